"""YAML with line numbers, so that an error can point at the place in the file."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from mnv4bench.io.errors import SpecError

Record = TypeVar("Record", bound=BaseModel)


class YamlFile:
    """A YAML file's content together with the line of every key.

    Raises:
        SpecError: unreadable file, YAML syntax, or a key that stands twice in one mapping.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            text = self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SpecError(f"{self.path}: cannot be read ({error})") from error
        self._lines: dict[tuple[str, ...], int] = {}
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            self.content: Any = {} if node is None else self._value(node, ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = f":{mark.line + 1}" if mark else ""
            raise SpecError(f"{self.path}{line}: not valid YAML: {error.problem}") from error

    def _value(self, node: yaml.Node, place: tuple[str, ...]) -> Any:
        self._lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            result: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key = str(key_node.value)
                line = key_node.start_mark.line + 1
                if key in result:
                    first = self._lines[(*place, key)]
                    raise SpecError(
                        f"{self.path}:{line}: {key!r} stands twice (first in line {first}); rename or drop one"
                    )
                self._lines[(*place, key)] = line
                result[key] = self._value(value_node, (*place, key))
            return result
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*place, str(i))) for i, item in enumerate(node.value)]
        return yaml.SafeLoader("").construct_object(node, deep=True)

    def error(self, place: Sequence[str | int], message: str) -> SpecError:
        """Return an error at `place` (a path of keys), naming file, line and field."""
        keys = tuple(str(key) for key in place)
        known = next(keys[:n] for n in range(len(keys), -1, -1) if keys[:n] in self._lines or n == 0)
        line = self._lines.get(known, 1)
        field = ".".join(keys)
        return SpecError(f"{self.path}:{line}: {field + ': ' if field else ''}{message}")

    def parse(self, record: type[Record], content: Any = None, place: Sequence[str] = ()) -> Record:
        """Validate the content (or the part of it at `place`) as `record`.

        Raises:
            SpecError: every problem on a line of its own, with what is allowed.
        """
        try:
            return record.model_validate(self.content if content is None else content)
        except ValidationError as error:
            raise self.explain(record, error, place) from error

    def explain(self, record: type[BaseModel], error: ValidationError, place: Sequence[str] = ()) -> SpecError:
        """Turn pydantic's problems into one error, a line each."""
        lines = [
            str(self.error([*place, *problem["loc"]], _in_words(record, dict(problem)))) for problem in error.errors()
        ]
        return SpecError("\n".join(lines))


def _in_words(record: type[BaseModel], problem: dict[str, Any]) -> str:
    if problem["type"] == "extra_forbidden":
        owner = _owner(record, problem["loc"][:-1])
        allowed = sorted(owner.model_fields) if owner else []
        return f"unknown key; {nearest(str(problem['loc'][-1]), allowed)}"
    if problem["type"] == "missing":
        return "is required"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{message} (got {problem['input']!r})" if not isinstance(problem["input"], dict) else message


def _owner(record: type[BaseModel], loc: Sequence[Any]) -> type[BaseModel] | None:
    owner: Any = record
    for key in loc:
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
