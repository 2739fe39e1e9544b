"""A network that starts from something trained: what fits is loaded, and what does not starts from the seed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mnv4bench.io.errors import Mnv4benchError, SpecError
from mnv4bench.io.files import sha256
from mnv4bench.models import detector
from mnv4bench.models.mobilenetv4.network import MobileNetV4
from mnv4bench.models.mobilenetv4.pretrained import load_pretrained
from mnv4bench.models.sharing import groups
from mnv4bench.models.weights import ONE_TO_ONE, read
from mnv4bench.models.yolo import Detector, load_checkpoint
from mnv4bench.models.yolov10 import YOLOv10Backbone
from mnv4bench.results.run import read_status
from mnv4bench.spec.model import ModelSpec
from mnv4bench.spec.pretrained import CHECKPOINT, RUN_WEIGHTS, PretrainedSpec, is_backbone, locate
from mnv4bench.spec.run import RunSpec

COUNTER = "num_batches_tracked"
"""Ends the name of a tensor that some files lack and nothing here uses."""
LAYER = re.compile(r"^(model\.)+(\d+)\.")
PSA = "layer10.attn."
"""Begins the name of a tensor that YOLOv10's networks alone have."""


@dataclass(frozen=True)
class Started:
    """The layers of a network, as mnv4bench.models.sharing groups them."""

    loaded: tuple[str, ...]
    fresh: tuple[str, ...]


def start_from(model: Detector, spec: RunSpec) -> Started:
    """Load a network's layers from what its spec names, and say which were loaded.

    A layer is loaded whole or not at all: all of its tensors are there in the same shapes, and its part is not `fresh`.

    Raises:
        SpecError: the file is gone or another one by now, or none of its layers fits.
        Mnv4benchError: it is damaged, could run code, or holds no network.
    """
    assert spec.pretrained is not None
    path = _located(spec.pretrained, spec.model)
    ours = model.part_state()
    named = {group: names for group, names in groups(ours).items() if group.split(".")[0] not in spec.fresh}
    if is_backbone(path):
        trunk = model.model[0]
        assert isinstance(trunk, MobileNetV4)  # planning refuses others
        load_pretrained(trunk, spec.model.backbone, path)
        loaded = {group for group in named if group.startswith("backbone.")}
        given = {name: value for name, value in model.part_state().items() if name.startswith("backbone.")}
    else:
        given = _state(path, model)
        loaded = {group for group, names in named.items() if all(_fits(name, ours, given) for name in names)}
    if not loaded:
        raise SpecError(
            f"{spec.pretrained.file}: none of its {len(groups(given))} layers fits this network; start from one of its "
            "own kind, or drop `start`"
        )
    taken = {name: given[name] for group in loaded for name in named[group] if name in given}
    model.load_part_state({**ours, **taken})
    return Started(tuple(sorted(loaded)), tuple(sorted(groups(ours).keys() - loaded)))


def _located(given: PretrainedSpec, model: ModelSpec) -> Path:
    try:
        path = locate(given.file, model)
        now = sha256(path)
    except (ValueError, OSError) as error:
        raise SpecError(f"{given.file}: {error}") from error
    if now != given.sha256:
        raise SpecError(f"{path}: SHA-256 is {now}, and was {given.sha256} when the run was planned; start again")
    return path


def _fits(name: str, ours: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> bool:
    return name.endswith(COUNTER) or (name in given and given[name].shape == ours[name].shape)


def _state(path: Path, model: Detector) -> dict[str, Tensor]:
    """Return a file's tensors under the part names of `model`."""
    state = _tensors(path)
    if not model.parts[0].startswith("layer") and any(name.startswith(PSA) for name in state):
        state = {_ours(name): value for name, value in state.items()}
    if model.assignment == "one_to_one":
        state |= {ONE_TO_ONE.sub("head.", name): v for name, v in state.items() if ONE_TO_ONE.match(name)}
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def _tensors(path: Path) -> dict[str, Tensor]:
    """Return a file's tensors, those of numbered layers as "layer0.conv.weight"."""
    if path.suffix == CHECKPOINT:
        network, _, _ = load_checkpoint(path)
        if isinstance(network, Detector):
            return network.part_state()
        return _numbered(network.state_dict())
    if path.name == RUN_WEIGHTS and (path.parent / "status.json").exists():
        return read(path, read_status(path.parent).weights_digest, "name another run")
    try:
        return _numbered(load_file(path))
    except (OSError, SafetensorError) as error:
        raise Mnv4benchError(f"{path}: damaged, or no safetensors file ({error}); fetch or save it again") from error


def _numbered(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {LAYER.sub(r"layer\2.", name): value for name, value in state.items()}


def _ours(name: str) -> str:
    number, _, rest = name.removeprefix("layer").partition(".")
    return f"{_released().get(number, f'layer{number}')}.{rest}" if name.startswith("layer") else name


@cache
def _released() -> dict[str, str]:
    """Return number of a layer in YOLOv10's release → our name of the part; both follow in the same order."""
    with torch.device("meta"):  # for their number alone
        stages = [list(stage.children()) for stage in YOLOv10Backbone("n").stages]
    trunk = [f"backbone.stages.{stage}.{layer}" for stage, layers in enumerate(stages) for layer in range(len(layers))]
    parts = detector.parts(ModelSpec(), 1, "nms")
    behind = [part.name for part in parts if part.inputs not in ((), ("backbone",))]  # the levels are no layers there
    return {str(number): name for number, name in enumerate([*trunk, *behind])}
