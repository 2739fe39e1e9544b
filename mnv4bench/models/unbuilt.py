"""Parts that have a name in the spec and nothing that builds it."""

from __future__ import annotations

import ast
from collections import Counter
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
    """Refuse a part that no table builds, or two build; read from the source, since importing it takes seconds.

    Raises:
        SpecError: names the file, the table and the part.
    """
    for field, (module, table) in TABLES.items():
        names = set(get_args(model.model_fields[field].annotation)) - BY_HAND
        built = Counter(_entries(Path(__file__).with_name(f"{module}.py"), table))
        where = f"mnv4bench/models/{module}.py: {table}"
        for name in sorted(names - set(built)):
            raise SpecError(
                f"{where} has no entry {name!r}, although {field} in mnv4bench/spec/model.py allows it; "
                "add what builds it"
            )
        for name in sorted(name for name, times in built.items() if times > 1):
            raise SpecError(f"{where} has two entries {name!r}, of which the last one counts; rename or drop one")


def _entries(path: Path, table: str) -> list[str]:
    """Return the keys that a module gives to a table, in its dictionary and by `TABLE["name"] = …` behind it."""
    try:
        body = ast.parse(path.read_text(encoding="utf-8")).body
    except SyntaxError as error:
        raise SpecError(f"mnv4bench/models/{path.name}:{error.lineno}: not valid Python: {error.msg}") from error
    keys: list[ast.expr | None] = []
    for node in body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if isinstance(target, ast.Name) and target.id == table and isinstance(node.value, ast.Dict):
                keys += node.value.keys
            if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name) and target.value.id == table:
                keys.append(target.slice)
    return [str(key.value) for key in keys if isinstance(key, ast.Constant)]
