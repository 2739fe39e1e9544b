"""Weights on disk: safetensors under part names, and digests that do not depend on file formats."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as save_bytes
from torch import Tensor

from mnv4bench.io.errors import Diverged, FileError, SpecError
from mnv4bench.io.files import write_bytes
from mnv4bench.models.yolo import Detector
from mnv4bench.results.reference import RECORD

REMEDY = "delete the run's folder to train it again"
RESTORE = "check it out again"
"""Of weights that the project ships."""
KEPT_ELSEWHERE = (
    "a reference keeps records and no weights; name the run of this name in results/<preset>/runs, where "
    "`snakemake --cores all --config preset=<preset>` trains it"
)

CLASS_BIAS = re.compile(r"\w+\.(one2one_)?cv3\.0\.2\.bias")
"""Name of a tensor with an element for each class; a peer's head has another part name."""


ONE_TO_ONE = re.compile(r"head\.one2one_")
"""Beginning of the name of a tensor of a dual head's one-to-one branch."""


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over names, types, shapes and bytes, in order of name."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        total.update(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode())
        total.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def save(model: Detector, path: Path) -> str:
    """Write a model's tensors and return their digest."""
    return write({name: value.detach().cpu().contiguous() for name, value in model.part_state().items()}, path)


def write(state: dict[str, Tensor], path: Path) -> str:
    """Write tensors and return their digest."""
    write_bytes(path, save_bytes(state))
    return digest(state)


def round_to_half(model: Detector) -> None:
    """Round a model's float32 tensors to what float16 holds.

    Raises:
        Diverged: one of them is too large for it.
    """
    state = model.part_state()
    halved = {name: value.half().float() if value.dtype == torch.float32 else value for name, value in state.items()}
    for name, value in halved.items():
        if not torch.isfinite(value).all():
            raise Diverged(f"{name}: holds values beyond float16's, which half_weights rounds to")
    model.load_part_state(halved)


def save_half(state: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors that `round_to_half` rounded, in half their size; `read` returns them to the bit."""
    halves = {name: value.half() if value.dtype == torch.float32 else value for name, value in state.items()}
    write_bytes(path, save_bytes(halves))


def load(model: Detector, path: Path, recorded: str | None = None) -> None:
    """Fill a model with what `save` wrote, whole and exactly.

    Args:
        recorded: as for `read`.

    Raises:
        FileError: the file is missing or damaged.
        SpecError: it holds another model's tensors; names the first of them.
    """
    state, expected = read(path, recorded), model.part_state()
    for name in sorted(state.keys() | expected.keys()):
        ours, theirs = (_form(tensors.get(name)) for tensors in (expected, state))
        if ours != theirs:
            raise SpecError(f"{path}: {name} is {theirs}, this model's is {ours}; {REMEDY}")
    model.load_part_state(state)


def _form(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else f"{tensor.dtype} of shape {tuple(tensor.shape)}"


def classes(path: Path, recorded: str | None = None) -> int:
    """Return how many classes the model that `save` wrote tells apart.

    Args:
        recorded: as for `read`.

    Raises:
        FileError: the file is missing or damaged, or holds other tensors.
        SpecError: it holds no detector.
    """
    sizes = [len(value) for name, value in read(path, recorded).items() if CLASS_BIAS.fullmatch(name)]
    if not sizes:
        raise SpecError(f"{path}: holds no detection head; {REMEDY}")
    return sizes[0]


def read(path: Path, recorded: str | None = None, remedy: str = REMEDY) -> dict[str, Tensor]:
    """Read what `save` or `save_half` wrote, in float32.

    Args:
        recorded: the digest in the run's status; None where there is none.
        remedy: what to do about a damaged file.

    Raises:
        FileError: the file is missing or damaged, or holds other tensors.
    """
    state = {
        name: value.float() if value.dtype == torch.float16 else value for name, value in _file(path, remedy).items()
    }
    if recorded is not None and (now := digest(state)) != recorded:
        raise FileError(f"{path}: digest is {now}, not {recorded} as status.json says; {remedy}")
    return state


def _file(path: Path, remedy: str) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = load_file(path)
    except FileNotFoundError as error:
        committed = (path.parent.parent.parent / RECORD).is_file()
        raise FileError(f"{path}: missing; {KEPT_ELSEWHERE if committed else remedy}") from error
    except (OSError, SafetensorError) as error:
        raise FileError(f"{path}: not readable as weights ({error}); {remedy}") from error
    return state


def load_parts(model: Detector, state: Mapping[str, Tensor], fresh: Iterable[str]) -> None:
    """Fill every part that `fresh` does not name; a one-to-one head alone takes the dual head's one-to-one branch.

    Args:
        fresh: may name a part that neither network has, as where both are without attention.

    Raises:
        SpecError: a loaded part's tensors differ in name or shape.
    """
    fresh = set(fresh)
    ours = model.part_state()
    merged = dict(ours)
    if model.head.assignment == "one_to_one":
        state = {**state, **{ONE_TO_ONE.sub("head.", name): v for name, v in state.items() if ONE_TO_ONE.match(name)}}
    for name, value in ours.items():
        if name.split(".", 1)[0] in fresh:
            continue
        if name not in state or state[name].shape != value.shape:
            raise SpecError(f"{name} cannot be loaded from the starting run: name its part in `fresh`")
        merged[name] = state[name]
    model.load_part_state(merged)
