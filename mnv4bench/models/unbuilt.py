"""Parts that have a name in the spec and nothing that builds it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import get_args

from mnv4bench.io.errors import SpecError
from mnv4bench.spec.model import ModelSpec

TABLES = {
    "block": ("stages", "INNER"),
    "attention": ("alternatives", "ATTENTION"),
    "downsample": ("alternatives", "DOWNSAMPLE"),
}
"""Field of ModelSpec → the module beside this one, and its table, that builds what the field names."""
BY_HAND = {"c2f", "c2fcib", "none"}
"""Built without a table, or nothing to build."""


def check_built(model: type[ModelSpec] = ModelSpec) -> None:
    """Refuse a part that no table builds.

    A module is imported, and torch with it, only where its text lacks a part.

    Raises:
        SpecError: names the table and the part.
    """
    for field, (module, table) in TABLES.items():
        names = set(get_args(model.model_fields[field].annotation)) - BY_HAND
        source = Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
        if all(f'"{name}"' in source for name in names):
            continue
        built = getattr(importlib.import_module(f"mnv4bench.models.{module}"), table)
        for name in sorted(names - set(built)):
            raise SpecError(
                f"mnv4bench/models/{module}.py: {table} has no entry {name!r}, although {field} in "
                "mnv4bench/spec/model.py allows it; add what builds it"
            )
