"""The code that a network was built from: recorded with what it learned, and compared with what stands there today.

A run's identity is its spec, which names parts and does not hold their code. Read from the source, since importing it
takes seconds.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from mnv4bench.models.unbuilt import TABLES

PACKAGE = "mnv4bench.models"
CHARACTERS = 12
"""Of a digest."""


def code_of(layers: Iterable[Any], spec: Mapping[str, Any]) -> dict[str, str]:
    """Return "file:what" → digest: of every class of ours among layers and what they derive from, and of what a table
    holds for a field of the spec.

    A digest is of the source of that class or entry, and of all in the same file that it uses.

    Args:
        layers: such as `model.modules()`.
        spec: fields of a ModelSpec.
    """
    kinds = {kind for layer in layers for kind in type(layer).__mro__ if kind.__module__.startswith(f"{PACKAGE}.")}
    names = [f"{_file(kind.__module__)}:{kind.__qualname__}" for kind in kinds]
    names += [f"{module}.py:{table}[{spec[field]}]" for field, (module, table) in TABLES.items() if field in spec]
    found = ((name, _digest(*name.split(":", 1))) for name in sorted(names))
    return {name: digest for name, digest in found if digest}


def changed(code: Mapping[str, str]) -> list[str]:
    """Return which of these are made of other source now, or are gone."""
    return [name for name, digest in code.items() if _digest(*name.split(":", 1)) != digest]


def _file(module: str) -> str:
    return module.removeprefix(f"{PACKAGE}.").replace(".", "/") + ".py"


def _digest(file: str, name: str) -> str | None:
    """Return the digest of something in a file under this folder; None where it is not there."""
    sources, uses = _definitions(file)
    if name not in sources:
        return None
    wanted, left = set(), [name]
    while left:
        if (one := left.pop()) not in wanted:
            wanted.add(one)
            left += uses[one] & sources.keys()
    text = "\n".join(sources[one] for one in sorted(wanted))
    return hashlib.sha256(text.encode()).hexdigest()[:CHARACTERS]


@cache
def _definitions(file: str) -> tuple[dict[str, str], dict[str, set[str]]]:
    """Return what a file defines: name → source, and name → the names in it; of a table each entry, as "TABLE[key]"."""
    sources: dict[str, str] = {}
    uses: dict[str, set[str]] = {}

    def add(name: str, *nodes: ast.AST) -> None:
        sources[name] = "\n".join(ast.get_source_segment(text, node) or "" for node in nodes)
        uses[name] = {found.id for node in nodes for found in ast.walk(node) if isinstance(found, ast.Name)}

    try:
        text = (Path(__file__).parent / file).read_text(encoding="utf-8")
        body = ast.parse(text).body
    except (OSError, ValueError, SyntaxError):
        return {}, {}
    tables = {table for _, table in TABLES.values()}
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            add(node.name, node, *node.decorator_list)
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if isinstance(target, ast.Name) and target.id not in tables:
                add(target.id, node)
            if isinstance(target, ast.Name) and target.id in tables and isinstance(node.value, ast.Dict):
                for key, value in zip(node.value.keys, node.value.values, strict=True):
                    if isinstance(key, ast.Constant):
                        add(f"{target.id}[{key.value!s}]", value)
            if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
                add(f"{ast.unparse(target.value)}[{target.slice.value!s}]", node.value)
    return sources, uses
