"""Published checkpoints as files: which there are, where they lie, and whether they are what they are called."""

from __future__ import annotations

import os
import urllib.request
import zipfile
from collections.abc import Iterator, Sequence
from functools import cache
from http.client import HTTPException
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field
from safetensors import SafetensorError, safe_open

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import replacing, sha256
from mnv4bench.io.places import DATA_VARIABLE, WEIGHTS, fetched_weights, weight_folders
from mnv4bench.spec.base import Spec

TENSORS = ".safetensors"
"""Ends the name of a file that holds a network's tensors alone, whose structure is then the definition of that name."""

TIMEOUT = 20
"""Seconds in which a server has to answer."""


class Missing(Mnv4benchError):
    """A checkpoint, or a package that it needs, is not on this machine."""


class Checkpoint(Spec):
    """What is known of a published checkpoint."""

    file: str
    url: str
    classes: Literal["coco"]
    """The data set that it was trained on; names its classes where the file only numbers them."""
    sha256: tuple[str, ...] = Field(())
    """Of every release that this project has seen; empty where it has seen none, and then any is taken."""


@cache
def known() -> dict[str, Checkpoint]:
    """Return every published checkpoint by the name that specs give it."""
    text = (files("mnv4bench.data") / "weights.yaml").read_text(encoding="utf-8")
    return {name: Checkpoint.model_validate(fields) for name, fields in yaml.safe_load(text).items()}


def places(name: str) -> tuple[Path, ...]:
    """Return where a checkpoint is looked for: $MNV4BENCH_DATA/weights, then the cache that fetched files lie in.

    In each the release's own file comes first, then its tensors alone as NAME.safetensors.
    """
    files = dict.fromkeys((known()[name].file, f"{name}{TENSORS}"))
    return tuple(folder / file for folder in weight_folders() for file in files)


def present(name: str) -> bool:
    return any(path.is_file() for path in places(name))


def state(name: str | None) -> str | None:
    """Return what changes when a checkpoint's file does, without reading it; None where there is none to look for."""
    if name is None:
        return None
    path = next((path for path in places(name) if path.is_file()), None)
    return "absent" if path is None else f"{path.stat().st_size} {path.stat().st_mtime_ns}"


def locate(name: str) -> Path:
    """Return a checkpoint's path, its content checked.

    Raises:
        Missing: it is not on this machine; says which file to place where.
        Mnv4benchError: it is damaged, or not the file that bears this name.
    """
    path = next((path for path in places(name) if path.is_file()), None)
    if path is None:
        record = known()[name]
        # It goes into records, which leave this machine: no folder's name.
        raise Missing(
            f"published weights are missing: place {record.file} from {record.url} into ${DATA_VARIABLE}/{WEIGHTS}/"
        )
    if path.suffix != TENSORS:  # which are checked where they are read, and cannot run anything
        _check(path, known()[name], path)
    return path


def _check(content: Path, record: Checkpoint, path: Path) -> None:
    """Refuse a file that is not what it is called; `path` is where it lies or will lie."""
    if record.sha256:
        digest = sha256(content)
        if digest not in record.sha256:
            raise Mnv4benchError(
                f"{path}: SHA-256 is {digest}, not that of a known release; fetch {record.url} again, or add the sum "
                "of another release to mnv4bench/data/weights.yaml"
            )
        return
    damaged = None
    try:
        if path.suffix == TENSORS:
            with safe_open(content, "np"):
                pass
        else:
            with zipfile.ZipFile(content) as archive:
                damaged = archive.testzip()
    except (SafetensorError, zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
        raise Mnv4benchError(f"{path}: truncated, or no checkpoint ({error}); fetch {record.url} again") from error
    if damaged:
        raise Mnv4benchError(f"{path}: {damaged}: damaged; fetch {record.url} again")


def obtain(names: Sequence[str]) -> list[str]:
    """Fetch those of the named checkpoints that are not on this machine; return what is still missing.

    The first failure ends the attempt: what one address of a machine cannot be reached from, others cannot either.

    Raises:
        Mnv4benchError: what was sent is no checkpoint, or cannot be written.
    """
    missing = [name for name in names if not present(name)]
    for place, name in enumerate(missing):
        try:
            _fetch(name)
        except (OSError, _NoAnswer):
            return missing[place:]
    return []


class _NoAnswer(Exception):
    """A server cannot be reached, or falls silent; no OSError, which would pass for one of the disk."""


def _fetch(name: str) -> None:
    path = fetched_weights() / known()[name].file
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = _blocks(known()[name].url)
    first = next(blocks, b"")  # nothing is written where nobody answers
    with replacing(path) as temporary:
        with temporary.open("wb") as stream:
            for block in chain([first], blocks):
                stream.write(block)
        _check(temporary, known()[name], path)


def _blocks(url: str) -> Iterator[bytes]:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            while block := response.read(1 << 20):
                yield block
    except (OSError, HTTPException) as error:
        raise _NoAnswer from error


def how_to_get(names: Sequence[str]) -> str:
    """Return which files to place where."""
    folder = places(names[0])[0].parent
    wanted = "; ".join(f"{known()[name].file} from {known()[name].url}" for name in names)
    hint = "" if os.environ.get(DATA_VARIABLE) else f" (or into {WEIGHTS}/ of a folder that ${DATA_VARIABLE} names)"
    some = "one or more of these " if len(names) > 1 else ""
    return f"published weights are missing: place {some}into {folder}{hint}: {wanted}"
