"""ablations/NAME.py: what one ablation adds to the workflow besides its arms."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from mnv4bench.io.errors import SpecError
from mnv4bench.spec.ablation import ABLATIONS
from mnv4bench.spec.plan import Plan

Step = Callable[[Plan, Path, Path], None]
"""Takes the plan, the results folder and the folder of the prepared data set; writes its outputs."""


@dataclass(frozen=True)
class Extension:
    """The EXTENSION of ablations/NAME.py.

    What its steps write into tables/ and latency/ becomes part of a published reference without being named here: as
    records, which a rebuild copies. Files that it makes again stand in `computed` and `rendered`, and those elsewhere
    that it needs for that in `measured`; all of them below the results folder.
    """

    steps: Mapping[str, Step]
    """Name → function, for the rules of ablations/NAME.smk: `{STEP} NAME`."""
    measured: tuple[str, ...] = ()
    """Records that a reference has to hold."""
    computed: tuple[str, ...] = ()
    """CSV and JSON that a rebuild computes from records; their numbers have to come out again."""
    rendered: tuple[str, ...] = ()
    """Markdown that a rebuild renders, and that a reference may hold."""
    untrained: Callable[[Path], Mapping[str, Mapping[str, float]]] | None = None
    """Takes the results folder; returns network → runtime → milliseconds of a forward pass, for networks without AP
    that the Pareto plot is to mark."""


def extensions(ablations: Iterable[str], root: Path = Path()) -> dict[str, Extension]:
    """Return ablation → extension, for those that have one.

    Raises:
        SpecError: a file cannot be loaded, declares no EXTENSION, or names a step that another one names.
    """
    paths = extension_paths(ablations, root)
    loaded = {name: load_extension(path) for name, path in paths.items()}
    refuse_shared_steps(paths, {name: extension.steps for name, extension in loaded.items()})
    return loaded


def extension_paths(ablations: Iterable[str], root: Path = Path()) -> dict[str, Path]:
    """Return ablation → ablations/NAME.py, for those that have one."""
    paths = {name: root / ABLATIONS / f"{name}.py" for name in ablations}
    return {name: path for name, path in paths.items() if path.exists()}


def refuse_shared_steps(paths: Mapping[str, Path], steps: Mapping[str, Iterable[str]]) -> None:
    """Refuse a step that two ablations add.

    Raises:
        SpecError: names both files.
    """
    owners: dict[str, str] = {}
    for name, added in steps.items():
        for step in added:
            if step in owners:
                raise SpecError(f"{paths[name]}: step {step!r} is a step of {paths[owners[step]]}, too; rename one")
            owners[step] = name


def load_extension(path: Path) -> Extension:
    """Return what a file declares.

    Raises:
        SpecError: it cannot be loaded, or declares no EXTENSION.
    """
    extension = getattr(load_module(path), "EXTENSION", None)
    if not isinstance(extension, Extension):
        raise SpecError(f"{path}: declares no EXTENSION = Extension(…); see docs/adding.md")
    return extension


def load_module(path: Path) -> ModuleType:
    """Return the module in a file, executed once.

    Raises:
        SpecError: it cannot be executed; names the error and its line.
    """
    return _load(path.resolve(), path)


@cache
def _load(resolved: Path, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"ablations.{path.stem}", resolved)
    if spec is None or spec.loader is None:
        raise SpecError(f"{path}: is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[spec.name]
        raise SpecError(
            f"{path}{_line(error, resolved)}: cannot be loaded ({type(error).__name__}: {error})"
        ) from error
    return module


def _line(error: Exception, path: Path) -> str:
    """Return ":line" of the last place in the file that the error passed."""
    if isinstance(error, SyntaxError):
        return f":{error.lineno}"
    line, trace = "", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = f":{trace.tb_lineno}"
        trace = trace.tb_next
    return line
