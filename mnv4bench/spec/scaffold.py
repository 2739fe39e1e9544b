"""New files of ablations/ and config/: commented, valid as they stand, and ready to be changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from mnv4bench.io.errors import SpecError
from mnv4bench.io.files import write_text
from mnv4bench.io.names import checked_name
from mnv4bench.spec.ablation import ABLATIONS
from mnv4bench.spec.preset import PRESETS

TEMPLATE = Path(__file__).with_name("new_ablation.yaml")
PRESET_TEMPLATE = Path(__file__).with_name("new_preset.yaml")


def new_ablation(name: str, folder: Path = ABLATIONS) -> Path:
    """Write ablations/<name>.yaml and return its path.

    Raises:
        SpecError: the name is no plain file name, or the file exists.
    """
    path = _new(folder, name, "ablation")
    title = name.replace("_", " ").capitalize()
    write_text(path, Template(TEMPLATE.read_text(encoding="utf-8")).substitute(name=name, title=title))
    return path


def preset_path(name: str, folder: Path = PRESETS, force: bool = False) -> Path:
    """Return the path of a preset that is yet to be written.

    Args:
        force: it may exist.

    Raises:
        SpecError: the name is no plain file name, or the file exists.
    """
    return _new(folder, name, "preset", force)


def preset_text(values: Mapping[str, Any]) -> str:
    """Return the text of a new preset, its blanks filled in."""
    return Template(PRESET_TEMPLATE.read_text(encoding="utf-8")).substitute(values)


def _new(folder: Path, name: str, kind: str, force: bool = False) -> Path:
    path = folder / f"{checked_name(name, kind)}.yaml"
    if path.exists() and not force:
        raise SpecError(f"{path}: exists already; choose another name, or edit it")
    if not folder.is_dir():
        raise SpecError(f"{folder}: no such folder; run from the project's folder")
    return path
