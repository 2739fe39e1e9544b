"""Reading a checkpoint's pickle without running what it says.

A pickle is a program: it names classes and functions, and calls them. Here a name stands for one of three things, and
any other is refused before the file is read:

- a network's module (torch.nn, ultralytics.nn, ours): its state is filled in, its constructor is never called;
- data that a network does without (settings, paths, metrics, losses): an inert record takes its place;
- a tensor and its storage: torch's own restricted reader, `weights_only`, which checks sizes.
"""

from __future__ import annotations

import importlib
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mnv4bench.io.errors import Mnv4benchError

MODULES = ("torch.nn.modules", "ultralytics.nn.modules", "ultralytics.nn.tasks", "mnv4bench.models")
"""Where the classes of a network's modules are: these Python modules and those inside them."""

ALIASES = {
    "ultralytics.nn.tasks.YOLOv10DetectionModel": "ultralytics.nn.tasks.DetectionModel",  # YOLOv10's own repository
    "ultralytics.nn.modules.block.Silence": "torch.nn.modules.linear.Identity",  # YOLOv9
}
"""Former names of module classes."""

UNUSED = ("ultralytics.utils", "ultralytics.yolo", "numpy", "pathlib")
"""Where the data come from that a checkpoint holds beside its network."""

REMEDY = (
    "if you trust its author, read it with --trust (in Python by mnv4bench.load with trust=True), which runs what it "
    "says"
)

PICKLE, ARCHIVE = b"\x80", b"PK"
"""How a pickle begins since protocol 2, and a zip archive."""
BEGINNING = 256
"""Bytes that tell what a file is."""


def read(path: Path) -> Any:
    """Return what `torch.save` wrote: networks unfused or fused, tensors and plain values.

    Raises:
        Mnv4benchError: the file is no such archive, is damaged, or names what is not on the lists above.
    """
    _check_archive(path)
    modules: list[nn.Module] = []
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        stand_ins = {name: _stand_in(name, modules) for name in names}
        if refused := sorted(name for name, stand_in in stand_ins.items() if stand_in is None):
            raise Mnv4benchError(f"{path}: names {', '.join(refused)}, which no network needs; {REMEDY}")
        allowed: list[Any] = [(stand_in, name) for name, stand_in in stand_ins.items()]
        with torch.serialization.safe_globals(allowed):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Mnv4benchError:
        raise
    except Exception as error:  # a file from elsewhere may fail anywhere
        raise Mnv4benchError(f"{path}: damaged, or not a checkpoint ({_first_line(error)}); {REMEDY}") from error
    for module in modules:
        _come_alive(module)
    return content


def _check_archive(path: Path) -> None:
    """Refuse what is not a plain archive of `torch.save`.

    Raises:
        Mnv4benchError: says what it is instead.
    """
    try:
        entries = zipfile.ZipFile(path).infolist()
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        raise Mnv4benchError(f"{path}: not a checkpoint of torch.save: {_instead(path)}") from error
    names = {entry.filename.rpartition("/")[2] for entry in entries}
    if "constants.pkl" in names:
        raise Mnv4benchError(f"{path}: a TorchScript archive; name the checkpoint that it was exported from")
    if "data.pkl" not in names:
        raise Mnv4benchError(f"{path}: an archive without data.pkl, so not a checkpoint; name a file of torch.save")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise Mnv4benchError(f"{path}: a compressed archive; torch.save writes none, so save it again; {REMEDY}")


def _instead(path: Path) -> str:
    """Return what a file is that is no archive, and what to do; code is offered to run only where there may be some."""
    with path.open("rb") as stream:
        beginning = stream.read(BEGINNING)
    if beginning.startswith(PICKLE):
        return f"it is a bare pickle; save it again with torch.save; {REMEDY}"
    if beginning.startswith(ARCHIVE):
        return "it is a truncated archive; copy or fetch it again"
    if not beginning:
        return "it is empty; check the path"
    return f"it {'begins with text' if _is_text(beginning) else 'is of another format'}; check the path"


def _is_text(content: bytes) -> bool:
    """Return whether bytes, of which the last may be cut, are printable."""
    text = content.decode("utf-8", errors="replace").rstrip("\ufffd")
    return "\ufffd" not in text and all(letter.isprintable() or letter.isspace() for letter in text)


def _stand_in(name: str, made: list[nn.Module]) -> type | None:
    """Return what the pickle gets for a name; None for a name that is not on the lists."""
    if name == "builtins.getattr":
        return _Method
    if _inside(name, UNUSED):
        return _Unused
    original = _module_class(ALIASES.get(name, name))
    return None if original is None else _without_constructor(original, made)


def _inside(name: str, places: tuple[str, ...]) -> bool:
    return any(name.startswith(f"{place}.") for place in places)


def _module_class(name: str) -> type[nn.Module] | None:
    if not _inside(name, MODULES):
        return None
    place, _, attribute = name.rpartition(".")
    try:
        value = getattr(importlib.import_module(place), attribute, None)
    except ImportError:
        return None
    return value if isinstance(value, type) and issubclass(value, nn.Module) else None


def _without_constructor(original: type[nn.Module], made: list[nn.Module]) -> type[nn.Module]:
    """Return a subclass whose instances are listed in `made` and cannot be constructed, only filled with a state.

    A pickle may also call a class: some constructors read files or evaluate text.
    """

    def new(cls: type[nn.Module], *_: Any) -> nn.Module:
        module = object.__new__(cls)
        made.append(module)
        return module

    def refuse(_: nn.Module, *__: Any) -> None:
        raise pickle.UnpicklingError(f"it calls the constructor of {original.__name__}")

    return type(original.__name__, (original,), {"__new__": new, "__init__": refuse})


def _come_alive(module: nn.Module) -> None:
    """Give a module that was read its own class, and its forward pass where a fused network has another."""
    module.__class__ = type(module).__base__  # type: ignore[assignment]
    method = vars(module).get("forward")
    if isinstance(method, _Method):
        del module.forward
        if method.owner is module and method.name == "forward_fuse":
            module.forward = module.forward_fuse


class _Unused:
    """Takes the place of data that a network does without; forgets what it is given."""

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


class _Method:
    """A method's owner and name, in the place of the method."""

    def __init__(self, owner: Any, name: Any) -> None:
        self.owner, self.name = owner, name


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
