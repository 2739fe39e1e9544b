"""Values as readers take them: rounded numbers, units, lists; no sentences, which stand in templates/."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from mnv4bench.io.words import count as count  # for whoever prints through this module

NONE = "–"
"""Printed where there is no value."""
STATES = {
    "diverged": "diverged",
    "out_of_memory": "out of memory",
    "failed": "failed",
    "missing": "missing",
    "done": "done",
}
READS = {"nms": "NMS", "nms_free": "NMS-free"}


def number(value: float | None, decimals: int, sign: bool = False) -> str:
    """Return `value` rounded, with a true minus sign; an en dash where there is none."""
    if value is None or not math.isfinite(value):
        return NONE
    rounded = round(value, decimals) + 0.0
    text = f"{abs(rounded):.{decimals}f}"
    if rounded < 0:
        return f"−{text}"
    return f"+{text}" if sign and rounded > 0 else text


def in_points(value: float) -> float:
    """Return a score of 0–1, or a difference of two, in points of 100, as everything that a person reads has it."""
    return 100 * value


def points(value: float | None, decimals: int | None = None, sign: bool = False) -> str:
    """Return a score of 0–1, or a difference of two, in points of 100; an en dash where there is none.

    Args:
        decimals: None prints it as a person would type it, without trailing zeros.
    """
    if value is None:
        return NONE
    return plain(in_points(value)) if decimals is None else number(in_points(value), decimals, sign)


def bound(value: float | None, decimals: int) -> str:
    """Return the end of an interval in points of 100; its sign stays where it rounds to zero, to tell the side."""
    text = points(value, decimals, sign=True)
    return text if not value or text[0] in "+−–" else f"{'−' if value < 0 else '+'}{text}"


def significant(value: float | None, digits: int = 3) -> str:
    """Return `value` with so many significant digits, never in exponent form."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")  # 9.996 has a digit more before its point than it seems
    return number(value, max(0, digits - 1 - math.floor(math.log10(abs(rounded)))))


def join(words: Iterable[str]) -> str:
    """Return "a, b and c"."""
    items = list(words)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def state(name: str) -> str:
    """Return how a run ended: "out of memory"."""
    return STATES[name]


def oneline(text: str) -> str:
    """Return a reason from a record as part of a sentence: on one line, without its full stop."""
    return re.sub(r"[ \t\r\n]+", " ", text).strip().rstrip(".")


def settings(overrides: Mapping[str, Any]) -> str:
    """Return "model.block = c2fcib, model.block_stages = p5_out + p4_out"; empty where nothing is set."""
    return ", ".join(f"{key} = {setting(value)}" for key, value in overrides.items())


def setting(value: Any) -> str:
    """Return a setting's value as a reader takes it: "p5_out + p4_out", "false", "none"."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return " + ".join(f"{name}: {setting(part)}" for name, part in value.items())
    return (" + ".join(map(str, value)) or "none") if isinstance(value, list | tuple) else str(value)


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def wrapped(text: str, width: int) -> str:
    """Return `text` in lines of at most `width` characters."""
    return "\n".join(textwrap.wrap(text, width))


def percent(share: float) -> str:
    """Return 0.95 as "95 %"."""
    return f"{plain(share * 100)}\N{NO-BREAK SPACE}%"


def one_decimal(share: float) -> str:
    """Return 0.9526 as "95.3 %", 1 as "100.0 %": for columns."""
    return f"{number(share * 100, 1)}\N{NO-BREAK SPACE}%"


def change(value: float | None, decimals: int = 1) -> str:
    """Return 0.0213 as "+2.1 %"."""
    return NONE if value is None else f"{number(value * 100, decimals, sign=True)}\N{NO-BREAK SPACE}%"


def share(value: float, digits: int = 2) -> str:
    """Return 0.0213 as "2.1 %", 0.02 as "2 %"."""
    text = significant(value * 100, digits)
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}\N{NO-BREAK SPACE}%"


def beyond(value: float, limit: float) -> str:
    """Return `share` of a value above a limit, with as many digits as tell the two apart: 0.05003 as "5.003 %"."""
    texts = (share(value, digits) for digits in range(2, 9) if share(value, digits) != share(limit, digits))
    return next(texts, share(value))


def decimals_of(half: float, least: int, most: int) -> int:
    """Return how many decimals a number known to ±`half` carries: down to the first digit of `half`."""
    return most if half <= 0 else min(most, max(least, -math.floor(math.log10(half))))


def plain(value: float) -> str:
    """Return a setting as a person would type it: no exponent, no trailing zeros."""
    return f"{value:.12f}".rstrip("0").rstrip(".")


def ratio(value: float) -> str:
    """Return "0.934 ×"."""
    return f"{number(value, 3)}\N{NO-BREAK SPACE}×"
