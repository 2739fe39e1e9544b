"""Names of presets, ablations and references: one rule, because each becomes a file or folder of the project."""

from __future__ import annotations

import re

from mnv4bench.io.errors import SpecError

PLAIN = re.compile(r"[a-z][a-z0-9_]*")
WITH_HYPHENS = re.compile(r"[a-z][a-z0-9_-]*")


def checked_name(name: object, kind: str, hyphens: bool = False) -> str:
    """Return `name` if no path can hide in it.

    Args:
        kind: what it names, for the error.
        hyphens: whether they are allowed, as in the names of references.

    Raises:
        SpecError: it is not text by the rule.
    """
    rule = WITH_HYPHENS if hyphens else PLAIN
    if not isinstance(name, str) or not rule.fullmatch(name):
        allowed = (
            "lower-case letters, digits, underscores and hyphens"
            if hyphens
            else "lower-case letters, digits and underscores"
        )
        example = "full-parts" if hyphens else "large_kernel"
        raise SpecError(f"{kind} {name!r}: a name is {allowed}, a letter first, as in {example}")
    return name
