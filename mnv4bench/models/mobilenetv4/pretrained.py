"""timm's ImageNet-1k weights for MobileNetV4 trunks: from a file, a folder of such files, or the Hugging Face hub.

The weights are timm's own (Apache-2.0), trained without the paper's distillation and private data; where timm offers
several for a network, the one at the paper's input side is taken.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from mnv4bench.io.errors import Mnv4benchError, SpecError
from mnv4bench.io.files import sha256
from mnv4bench.io.places import BACKBONE_VARIABLE
from mnv4bench.models.mobilenetv4.network import Classifier, MobileNetV4
from mnv4bench.models.yolo import Conv
from mnv4bench.spec.pretrained import CHECKPOINTS, HUB_FILE

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's red, green and blue in 0–1: how images were normalised for every one of these checkpoints."""


def load_pretrained(model: MobileNetV4, name: str, file: Path | None = None) -> str:
    """Fill a trunk with published weights, made to read images in 0–1 as the detectors do.

    Args:
        name: the backbone that `model` is.
        file: a safetensors file with the tensors of timm's checkpoint; None looks for one (see `find`).

    Returns:
        The hexadecimal SHA-256 of the file, for the record.

    Raises:
        SpecError: no published weights for this backbone, or a file that holds another network.
        Mnv4benchError: the file is not there, or not readable.
    """
    checkpoint = _checkpoint(name)
    path = find(name) if file is None else Path(file)
    try:
        state = load_file(path)
    except Exception as error:  # safetensors raises several unrelated kinds
        raise Mnv4benchError(
            f"{path}: not readable as safetensors ({error}); put {_source(checkpoint)} there"
        ) from error
    try:
        load_timm(model, state)
    except SpecError as error:
        raise SpecError(f"{path} does not fit {name}: {error}; it needs {_source(checkpoint)}") from error
    _read_unnormalised_images(model)
    return sha256(path)


def load_timm(model: MobileNetV4 | Classifier, state: Mapping[str, Tensor]) -> None:
    """Fill a model with timm's checkpoint of the same network; what lies behind a trunk's tap is left.

    timm registers the same tensors in the same order under other names, so order and shape identify them.

    Raises:
        SpecError: a tensor is missing, has another shape, or a name that timm's MobileNetV4 does not have.
    """
    ours, theirs = _without_counters(model.state_dict()), _without_counters(state)
    if len(theirs) < len(ours):
        raise SpecError(f"the checkpoint holds {len(theirs)} tensors, this network needs {len(ours)}")
    loaded: dict[str, Tensor] = {}
    for (name, wanted), their_name in zip(ours.items(), sorted(theirs, key=_place), strict=False):
        value = theirs[their_name]
        if wanted.shape != value.shape:
            raise SpecError(
                f"checkpoint tensor {their_name} has shape {tuple(value.shape)}, {name} {tuple(wanted.shape)}"
            )
        loaded[name] = value
    model.load_state_dict({**model.state_dict(), **loaded})


def _without_counters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out how many batches a batch norm has seen, which some checkpoints lack and nothing here uses."""
    return {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}


TIMM_ORDER = (
    *("conv_stem", "conv_exp", "conv", "bn1", "conv_pwl", "bn2"),
    *("blocks", "conv_head", "norm_head", "classifier"),
    *("dw_start", "pw_exp", "dw_mid", "pw_proj", "bn"),
    *("down_conv", "norm", "attn", "query", "key", "value", "output", "proj", "layer_scale"),
    *("weight", "bias", "running_mean", "running_var", "gamma"),
)
"""The words in timm's tensor names, in an order that holds in each of its modules."""


def _place(name: str) -> list[int]:
    """Return a sort key that restores the order of registration, which files do not keep."""
    try:
        return [int(word) if word.isdigit() else TIMM_ORDER.index(word) for word in name.split(".")]
    except ValueError:
        raise SpecError(f"checkpoint tensor {name} is none of timm's MobileNetV4") from None


def find(name: str) -> Path:
    """Return the file of a backbone's weights: in $MNV4BENCH_WEIGHTS, else downloaded from the hub or from its cache.

    Raises:
        SpecError: no published weights for this backbone.
        Mnv4benchError: it is in neither place; says which file to put where.
    """
    checkpoint = _checkpoint(name)
    folder = os.environ.get(BACKBONE_VARIABLE)
    if folder and (path := Path(folder) / f"{checkpoint}.safetensors").exists():
        return path
    remedy = f"save {_source(checkpoint)} as ${BACKBONE_VARIABLE}/{checkpoint}.safetensors"
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise Mnv4benchError(
            f"no weights for {name}: pip install '.[pretrained]' in this project's folder to download them, or {remedy}"
        ) from error
    try:
        return Path(hf_hub_download(f"timm/{checkpoint}", HUB_FILE))
    except Exception as error:  # the hub's client and what it is built on raise many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Mnv4benchError(f"no weights for {name}: the hub cannot be reached ({reason}); {remedy}") from error


def _checkpoint(name: str) -> str:
    if name not in CHECKPOINTS:
        raise SpecError(f"there are no published weights for {name!r}; allowed: {', '.join(CHECKPOINTS)}")
    return CHECKPOINTS[name]


def _source(checkpoint: str) -> str:
    return f"{HUB_FILE} of the Hugging Face repository timm/{checkpoint}"


@torch.no_grad()
def _read_unnormalised_images(model: MobileNetV4) -> None:
    """Fold the checkpoints' normalisation of images into the first convolution and its batch norm.

    Exact except where the convolution's padding is seen: it is black now and was the mean colour.
    """
    stem = model.blocks[0]
    assert isinstance(stem, Conv)
    mean, std = (Tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    weight, running_mean = stem.conv.weight, stem.bn.running_mean
    weight /= std
    running_mean += (weight * mean).sum(dim=(1, 2, 3))
