"""One error for everything that is wrong with a data set."""

from __future__ import annotations

from collections.abc import Sequence

from mnv4bench.io.errors import DataError

SHOWN = 50
"""Problems that one error lists by name; the rest are counted."""


def refuse(problems: Sequence[str], what: str) -> None:
    """Raise one DataError that lists all problems, or do nothing when there are none."""
    if not problems:
        return
    shown = [f"  {problem}" for problem in problems[:SHOWN]]
    if len(problems) > SHOWN:
        shown.append(f"  … and {len(problems) - SHOWN} more")
    noun = "problem" if len(problems) == 1 else "problems"
    raise DataError("\n".join([f"{what}: {len(problems)} {noun}; fix or remove them and start again", *shown]))
