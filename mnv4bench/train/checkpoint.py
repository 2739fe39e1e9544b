"""The state of an unfinished run between two epochs, on disk.

The file is a line with the SHA-256 of what follows, and then PyTorch's archive of the trainer's state and of what it
belongs to. One that is damaged, or another run's, is put aside: the run starts over, and ends with the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import sys
from pathlib import Path
from typing import Any, Protocol

import torch

from mnv4bench.io.errors import FileError
from mnv4bench.io.files import MEND, write_bytes

FILE = "checkpoint.pt"
ASIDE = "checkpoint-unusable.pt"
DIGITS = 64
"""Of a SHA-256."""

Identity = dict[str, str]
"""What a checkpoint belongs to: digests of the spec, the data and the weights that the run started from."""


class Resumable(Protocol):
    """What a checkpoint is made of: a trainer, or a search."""

    def state(self) -> dict[str, Any]: ...


class _Unusable(Exception):
    """Why a checkpoint is not gone on from."""


def save(trainer: Resumable, identity: Identity, folder: Path) -> None:
    """Write the checkpoint.

    Raises:
        FileError: there is no room for it.
    """
    stream = io.BytesIO()
    torch.save({"of": identity, "trainer": trainer.state()}, stream)
    content = stream.getvalue()
    write_bytes(folder / FILE, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def mark(folder: Path) -> str | None:
    """Return the digest in the checkpoint's first line, which differs from epoch to epoch; None without one."""
    try:
        with (folder / FILE).open("rb") as stream:
            return stream.read(DIGITS).decode("ascii", errors="replace")
    except OSError:
        return None


def read(identity: Identity, folder: Path) -> dict[str, Any] | None:
    """Return the trainer's state in the checkpoint; None where there is no usable one, after putting it aside.

    Raises:
        FileError: the file cannot be read.
    """
    path = folder / FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error}); {MEND}") from error
    try:
        return _state(content, identity)
    except _Unusable as error:
        put_aside(folder, str(error))
        return None


def _state(content: bytes, identity: Identity) -> dict[str, Any]:
    digest, archive = content[:DIGITS], content[DIGITS + 1 :]
    if hashlib.sha256(archive).hexdigest().encode() != digest:
        raise _Unusable("it is damaged, or of another version")
    # Its digest is right, so this is what some version of this program wrote.
    checkpoint = torch.load(io.BytesIO(archive), map_location="cpu", weights_only=True)
    if differing := sorted(name for name in identity if checkpoint["of"].get(name) != identity[name]):
        name = differing[0]
        raise _Unusable(f"its {name} is {checkpoint['of'].get(name)}, not {identity[name]}")
    state: dict[str, Any] = checkpoint["trainer"]
    return state


def put_aside(folder: Path, reason: str) -> None:
    """Rename a checkpoint that cannot be gone on from, and say so."""
    (folder / FILE).replace(folder / ASIDE)
    print(f"{folder / FILE}: {reason}; renamed to {ASIDE}, and the run starts over", file=sys.stderr, flush=True)
