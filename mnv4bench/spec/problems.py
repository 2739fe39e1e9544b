"""pydantic's validation errors as a reader meets them: a place, what is wrong there, and what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from mnv4bench.io.errors import SpecError

Place = tuple[str | int, ...]

LONGEST = 80
"""Characters of an offending value that an error shows."""
WORDS = {"string": "text", "int": "a whole number", "float": "a number", "bool": "true or false"}
"""What pydantic's errors of wrong types begin with → the type, as YAML's reader calls it."""
COUNTED = {"Tuple": "List", "Dictionary": "Mapping", "String": "Text"}
UNION = re.compile(r"constrained-\w+|literal\[.*\]")
"""What pydantic puts behind a place for each of the types that a value there may have."""


def problems(record: type[BaseModel], error: ValidationError) -> Iterator[tuple[Place, str]]:
    """Yield the place of every problem in an input of `record`, and its description."""
    found = error.errors(include_url=False, include_context=False)
    for p in found:
        p["loc"] = tuple(key for key in p["loc"] if not UNION.fullmatch(str(key)))
    misspelt = {(*p["loc"][:-1], _guess(record, p["loc"])) for p in found if p["type"] == "extra_forbidden"}
    for p in sorted(found, key=lambda problem: problem["type"] != "extra_forbidden"):
        if p["type"] == "missing" and p["loc"] in misspelt:
            continue  # what is unknown was meant to be it
        if p["type"] == "too_short" and any(q["loc"][: len(p["loc"])] == p["loc"] != q["loc"] for q in found):
            continue  # its entries are wrong, not too few
        text = _description(record, p["type"], p["loc"], p["msg"], p["input"])
        yield _named(record, p["loc"], text) if p["type"] == "value_error" else (p["loc"], text)


def check_option(option: str, kind: Any, value: object) -> None:
    """Check a value of the command line against the type that a preset's field of that meaning has.

    Raises:
        SpecError: names the option, what is allowed and what was given.
    """
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise SpecError(f"{option}: {plain(first['type'], first['msg'])} (got {shortened(value)})") from error


def plain(kind: str, message: str) -> str:
    """Return a message of pydantic's without Python's names of types.

    Args:
        kind: pydantic's type of the error.
    """
    name = kind.split("_")[0]
    if name in WORDS and kind in (f"{name}_type", f"{name}_parsing", "int_from_float"):
        return f"Input should be {WORDS[name]}"
    first, blank, rest = message.partition(" ")
    return COUNTED.get(first, first) + blank + rest.split(" after validation")[0]


def _guess(record: type[BaseModel], place: Place) -> str | None:
    """Return the key of the record that an unknown one may have meant."""
    owner = _owner(record, place[:-1])
    close = difflib.get_close_matches(str(place[-1]), list(owner.model_fields), n=1) if owner else []
    return close[0] if close else None


def _named(record: type[BaseModel], place: Place, text: str) -> tuple[Place, str]:
    """Take the field with which a check of a whole record begins into the place, so that its line is told."""
    field, colon, rest = text.partition(": ")
    owner = _owner(record, place)
    keys = field.split(".")
    return ((*place, *keys), rest) if colon and owner and keys[0] in owner.model_fields else (place, text)


def _description(record: type[BaseModel], kind: str, place: Place, message: str, value: object) -> str:
    if kind == "extra_forbidden":
        owner = _owner(record, place[:-1])
        return f"unknown key; {nearest(str(place[-1]), sorted(owner.model_fields) if owner else [])}"
    if kind == "missing":
        return _missing(record, place, value)
    text = plain(kind, message.removeprefix("Value error, "))
    if kind in ("tuple_type", "list_type"):
        text = "Input should be a list" + (f", such as [{value}]" if isinstance(value, str | int | float) else "")
    if kind in ("dict_type", "model_type"):
        empty = ", or {} for none" if value is None and kind == "dict_type" else ""
        text = f"Input should be a mapping, such as {_example(record, place)}{empty}"
    if kind == "string_type" and isinstance(value, int | float):
        text += f", such as '{value}'"
    if kind == "literal_error":
        close = difflib.get_close_matches(str(value), re.findall(r"'([^']*)'", text), n=1)
        text = f"did you mean {close[0]!r}? {text}" if close else text
    return text if isinstance(value, dict) else f"{text} (got {shortened(value)})"


def _missing(record: type[BaseModel], place: Place, beside: object) -> str:
    """Return what to write in a key's place, with the words to choose from where they stand beside it."""
    source = getattr(_owner(record, place[:-1]), "one_of", {}).get(place[-1])
    choices = beside.get(source) if isinstance(beside, dict) else None
    if isinstance(choices, dict) and choices:
        return f"is required; name one of {source}: {', '.join(choices)}"
    return f"is required; add `{place[-1]}: …`"


def _example(record: type[BaseModel], place: Place) -> str:
    owner = _owner(record, place[:-1]) if place else None
    field = owner.model_fields.get(str(place[-1])) if owner else None
    nested = any(get_origin(part) is dict for part in get_args(field.annotation)) if field else False
    return "name: {field: value}" if nested else "{field: value}"


def shortened(value: object) -> str:
    """Return a value's `repr`, cut where it is long; a key without a value has none."""
    text = "nothing" if value is None else repr(value)
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
