"""`start: FILE`: something trained that a network starts from, found and identified when it is planned.

FILE is a run's folder; a checkpoint of ultralytics (.pt); a published checkpoint by its name, or its tensors alone
(.safetensors); or `timm`, ImageNet weights for the backbone, which may also be given as their file.
"""

from __future__ import annotations

import json
import os
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import get_args

from pydantic import Field

from mnv4bench.io.files import sha256
from mnv4bench.io.places import BACKBONE_VARIABLE, DATA_VARIABLE, hub_file, weight_folders
from mnv4bench.spec.base import Spec
from mnv4bench.spec.model import ModelSpec, Weights
from mnv4bench.spec.problems import nearest

TIMM = "timm"
CHECKPOINTS = {
    "mnv4_conv_small": "mobilenetv4_conv_small.e2400_r224_in1k",
    "mnv4_conv_medium": "mobilenetv4_conv_medium.e500_r256_in1k",
    "mnv4_conv_large": "mobilenetv4_conv_large.e600_r384_in1k",
    "mnv4_hybrid_medium": "mobilenetv4_hybrid_medium.ix_e550_r256_in1k",
    "mnv4_hybrid_large": "mobilenetv4_hybrid_large.ix_e600_r384_in1k",
}
"""Backbone → timm's name of the checkpoint, which is also its repository's name on the hub, below timm/."""
HUB_FILE = "model.safetensors"
RUN_WEIGHTS = "weights.safetensors"
CHECKPOINT, TENSORS = ".pt", ".safetensors"
STEM = "conv_stem.weight"
"""A tensor that timm's checkpoints have."""
ALLOWED = "a run's folder, a checkpoint (.pt, .safetensors), a published one's name, or timm"


class PretrainedSpec(Spec):
    """What a network starts from. Its content is the identity; where it lies is not."""

    file: str
    """As the preset or the ablation writes it."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


def pretrained(file: str, model: ModelSpec) -> PretrainedSpec:
    """Return what `file` is for a network.

    Raises:
        ValueError: there is no such file, it is damaged, or nothing of it is for this network.
    """
    path = locate(file, model)
    _check(path)
    if is_backbone(path) and file != TIMM:
        _timm_name(model)
    status = path.stat()
    return PretrainedSpec(file=file, sha256=_sum(path, status.st_size, status.st_mtime_ns))


def locate(file: str, model: ModelSpec) -> Path:
    """Return the path of the weights.

    Raises:
        ValueError: there are none; says what is allowed, or where to get them.
    """
    if file == TIMM:
        return _timm(model)
    if file in get_args(Weights):
        places = [folder / f"{file}{suffix}" for folder in weight_folders() for suffix in (CHECKPOINT, TENSORS)]
        found = next((path for path in places if path.is_file()), None)
        if found is None:
            raise ValueError(f"{file} is not on this machine; put its checkpoint there as {places[0]}")
        return found
    base = os.environ.get(DATA_VARIABLE)
    places = [*([Path(base) / file] if base else []), Path(file)]
    found = next((path for path in places if path.exists()), None)
    if found is None:
        words = ("trunk", "scratch", "published", "classifiers", TIMM, *get_args(Weights))
        guess = nearest(file, words).partition("allowed: ")[0]
        raise ValueError(f"no such file or folder {file!r}; {guess}allowed: {ALLOWED}")
    return found / RUN_WEIGHTS if found.is_dir() else found


def is_backbone(path: Path) -> bool:
    """Return whether a file holds timm's tensors."""
    return path.suffix == TENSORS and STEM in _names(path)


def _timm(model: ModelSpec) -> Path:
    name = _timm_name(model)
    folder = os.environ.get(BACKBONE_VARIABLE)
    places = [Path(folder) / f"{name}{TENSORS}" if folder else None, hub_file(f"timm/{name}", HUB_FILE)]
    found = next((path for path in places if path and path.is_file()), None)
    if found is None:
        raise ValueError(
            f"timm's weights for {model.backbone} are not on this machine; fetch them once, with "
            f"`hf download timm/{name} {HUB_FILE}`, or save that file as ${BACKBONE_VARIABLE}/{name}{TENSORS}"
        )
    return found


def _timm_name(model: ModelSpec) -> str:
    """Return timm's name of the checkpoint for a network's backbone.

    Raises:
        ValueError: there is none.
    """
    published = model.uib == "mixed" and model.mobile_attention == "as_published"
    if model.peer or model.backbone not in CHECKPOINTS or not published:
        what = f"the peer {model.peer}" if model.peer else f"this form of {model.backbone}"
        raise ValueError(f"timm has no weights for {what}; allowed: the published forms of {', '.join(CHECKPOINTS)}")
    return CHECKPOINTS[model.backbone]


def _check(path: Path) -> None:
    """Refuse what cannot be weights, as far as a look at the file tells.

    Raises:
        ValueError: names the file and the remedy.
    """
    if path.name == RUN_WEIGHTS and not path.is_file():
        raise ValueError(f"{path.parent}: holds no {RUN_WEIGHTS}; name the folder of a run that was trained here")
    if path.name == RUN_WEIGHTS and (path.parent / "status.json").is_file():
        state = _state(path.parent / "status.json")
        if state != "done":
            raise ValueError(f"{path.parent}: its run ended {state}; name one that is done")
    if not path.is_file():
        raise ValueError(f"{path}: is not a regular file; allowed: {ALLOWED}")
    if path.suffix == CHECKPOINT:
        if not zipfile.is_zipfile(path):
            raise ValueError(f"{path}: damaged, or no checkpoint of PyTorch's; fetch or save it again")
    elif path.suffix != TENSORS:
        raise ValueError(f"{path}: is no kind of weights that is known; allowed: {ALLOWED}")
    elif not _names(path):
        raise ValueError(f"{path}: damaged, or no safetensors file; fetch or save it again")


def _state(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["state"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: cannot be read ({error}); name another run") from error


def _names(path: Path) -> frozenset[str]:
    """Return the names of a safetensors file's tensors; none where it is no such file."""
    try:
        with path.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(size)) if size <= path.stat().st_size else {}
        return frozenset(header) - {"__metadata__"} if isinstance(header, dict) else frozenset()
    except (OSError, ValueError, RecursionError):
        return frozenset()


@lru_cache(maxsize=256)
def _sum(path: Path, size: int, time: int) -> str:
    """Return a file's SHA-256; it is read again only where size or time have changed."""
    return sha256(path)
