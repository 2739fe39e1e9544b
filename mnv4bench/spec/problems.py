"""pydantic's validation errors as a reader meets them: a place, what is wrong there, and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

Place = tuple[str | int, ...]

LONGEST = 80
"""Characters of an offending value that an error shows."""


def problems(record: type[BaseModel], error: ValidationError) -> Iterator[tuple[Place, str]]:
    """Yield the place of every problem in an input of `record`, and its description."""
    for problem in error.errors(include_url=False, include_context=False):
        yield problem["loc"], _description(record, problem["type"], problem["loc"], problem["msg"], problem["input"])


def _description(record: type[BaseModel], kind: str, place: Place, message: str, value: object) -> str:
    if kind == "extra_forbidden":
        owner = _owner(record, place[:-1])
        return f"unknown key; {nearest(str(place[-1]), sorted(owner.model_fields) if owner else [])}"
    if kind == "missing":
        return "is required"
    text = message.removeprefix("Value error, ")
    return text if isinstance(value, dict) else f"{text} (got {shortened(value)})"


def shortened(value: object) -> str:
    """Return a value's `repr`, cut where it is long."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _owner(record: type[BaseModel], place: Place) -> type[BaseModel] | None:
    """Return the record that lies at a place of `record`."""
    owner: Any = record
    for key in place:
        field = getattr(owner, "model_fields", {}).get(key)
        if field is None:
            return None
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        owner = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    return owner if isinstance(owner, type) and issubclass(owner, BaseModel) else None


def nearest(word: str, allowed: Sequence[str]) -> str:
    """Return "allowed: a, b, c", with a guess at what was meant."""
    close = difflib.get_close_matches(word, allowed, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{guess}allowed: {', '.join(allowed)}"
