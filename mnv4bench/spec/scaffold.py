"""A new ablation's file: commented, valid as it stands, and ready to be changed."""

from __future__ import annotations

from pathlib import Path
from string import Template

from mnv4bench.io.errors import SpecError
from mnv4bench.io.files import write_text
from mnv4bench.io.names import checked_name
from mnv4bench.spec.ablation import ABLATIONS

TEMPLATE = Path(__file__).with_name("new_ablation.yaml")


def new_ablation(name: str, folder: Path = ABLATIONS) -> Path:
    """Write ablations/<name>.yaml and return its path.

    Raises:
        SpecError: the name is no plain file name, or the file exists.
    """
    path = folder / f"{checked_name(name, 'ablation')}.yaml"
    if path.exists():
        raise SpecError(f"{path}: exists already; choose another name, or edit it")
    if not folder.is_dir():
        raise SpecError(f"{folder}: no such folder; run from the project's folder")
    title = name.replace("_", " ").capitalize()
    write_text(path, Template(TEMPLATE.read_text(encoding="utf-8")).substitute(name=name, title=title))
    return path
