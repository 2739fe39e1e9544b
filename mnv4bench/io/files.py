"""Whole files or none: everything is written beside its place and then moved there."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel

from mnv4bench.io.errors import FileError

NODE = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
"""Stands for this machine in the names of temporary files: a process number says nothing about another machine's."""
MEND = "make room or mend the disk, and start again: finished work is kept"
_SERIAL = count()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; move it to `path` when the block succeeds.

    A reader sees the old file or the whole new one, never a part, also after a kill or a full disk. What killed
    processes of this machine left in the folder is removed first.

    Raises:
        FileError: the file cannot be written; names it and the reason.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name[:40]}.{NODE}-{os.getpid()}-{next(_SERIAL)}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path.parent.resolve())
        temporary.touch()
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        mine = error.filename in (None, str(temporary))
        raise FileError(f"{path}: cannot be written ({error.strerror if mine else error}); {MEND}") from error
    finally:
        temporary.unlink(missing_ok=True)


@cache
def _remove_abandoned(folder: Path) -> None:
    """Remove temporary files of processes of this machine that no longer run; once for each folder and process."""
    for path in folder.glob(f".*.{NODE}-*-*.tmp*"):
        owner = path.name.rsplit(f".{NODE}-", 1)[1].split("-")[0]
        if owner.isdecimal() and not is_running(int(owner)):
            path.unlink(missing_ok=True)


@contextmanager
def drafting(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder inside `folder`, which is made, and remove it afterwards with what is left in it.

    What killed processes of this machine left there is removed first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    prefix = f".draft-{NODE}-"
    remove_abandoned(folder, prefix)
    # Of a random name: in a container, a killed process may have had this one's number.
    prefix += f"{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=folder, ignore_cleanup_errors=True) as draft:
        yield Path(draft)


def check_folder(option: str, folder: Path) -> None:
    """Make a folder, and refuse one that cannot be written before anything is computed for it.

    Raises:
        FileError: names the option, the folder and the reason.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise FileError(
            f"{option}: {folder} is not a folder that can be written ({error.strerror}); name another"
        ) from error


def remove_abandoned(parent: Path, prefix: str) -> None:
    """Remove temporary folders, named by `prefix` and their process's number, of processes that no longer run."""
    for path in parent.glob(f"{prefix}*-*"):
        owner = path.name.removeprefix(prefix).split("-")[0]
        if owner.isdecimal() and not is_running(int(owner)):
            shutil.rmtree(path, ignore_errors=True)  # another user's stays


def is_running(process: int) -> bool:
    """Whether a process of this machine exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # another user's
        return True
    return True


def write_bytes(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write what `json_text` returns."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """Return a record or plain value as indented JSON with sorted keys and a final newline."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"


def write_with(path: Path, writer: Callable[[Path], Any]) -> None:
    """Let `writer` (a library's save function) write to a temporary name, then move the file."""
    with replacing(path) as temporary:
        writer(temporary)


def read_json(path: Path, remedy: str = "delete it and start again") -> Any:
    """Return the content of a JSON file.

    Raises:
        FileError: the file is missing, unreadable, not UTF-8 or not JSON; names it, what is wrong and the remedy.
    """
    path = Path(path)
    try:
        return json.loads(path.read_bytes().decode("utf-8"), parse_constant=_refuse_constant)
    except FileNotFoundError as error:
        again = remedy.rpartition(" and ")[2] if remedy.startswith("delete") else remedy  # there is nothing to delete
        raise FileError(f"{path}: missing; {again}") from error
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error}); mend the disk and start again") from error
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: not UTF-8 (byte {error.start}); {remedy}") from error
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: not JSON ({error}); {remedy}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
