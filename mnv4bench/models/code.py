"""The code that a network was built from: recorded with what it learned, and compared with what stands there today.

A run's identity is its spec, which names parts and does not hold their code.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = "mnv4bench.models"
CHARACTERS = 12
"""Of a digest."""


def code_of(layers: Iterable[Any]) -> dict[str, str]:
    """Return "file:class" → digest of its source, for every class of ours among layers and what they derive from.

    Args:
        layers: such as `model.modules()`.
    """
    classes = {kind for layer in layers for kind in type(layer).__mro__ if kind.__module__.startswith(PACKAGE)}
    found: dict[str, str] = {}
    for kind in sorted(classes, key=lambda kind: (kind.__module__, kind.__qualname__)):
        name = f"{_file(kind.__module__)}:{kind.__qualname__}"
        if digest := _digests(name.partition(":")[0]).get(kind.__qualname__):
            found[name] = digest
    return found


def changed(code: Mapping[str, str]) -> list[str]:
    """Return which of those classes have another source now, or none."""
    pairs = ((name, *name.split(":", 1), digest) for name, digest in code.items())
    return [name for name, file, kind, digest in pairs if _digests(file).get(kind) != digest]


def _file(module: str) -> str:
    return module.removeprefix(f"{PACKAGE}.").replace(".", "/") + ".py"


@cache
def _digests(file: str) -> dict[str, str]:
    """Return class → digest, of a file under this folder; nothing where it cannot be read."""
    try:
        text = Path(__file__).with_name(file).read_text(encoding="utf-8")
        body = ast.parse(text).body
    except (OSError, SyntaxError):
        return {}
    sources = {node.name: ast.get_source_segment(text, node) for node in body if isinstance(node, ast.ClassDef)}
    return {name: hashlib.sha256(str(source).encode()).hexdigest()[:CHARACTERS] for name, source in sources.items()}
