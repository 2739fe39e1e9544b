"""YAML with line numbers, so that an error can point at the place in the file.

Made for files of strangers: size, depth and the number of values are limited, and no error is a traceback.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.composer import Composer

from mnv4bench.io.errors import SpecError
from mnv4bench.spec.problems import problems

LARGEST = 1 << 20
"""Bytes of a file."""
DEEPEST = 32
"""Mappings and lists inside each other."""
MOST_VALUES = 100_000
"""Keys and values, those behind an alias counted wherever it stands: a few lines of aliases can stand for billions."""
LARGEST_BITS = 64
"""Of a whole number."""

REMEDIES = {
    "mapping values are not allowed": "quote text that holds a colon, and indent the keys of one mapping alike",
    "found character '\\t'": "indent by blanks, not by tabs",
    "found character": "quote text that begins with it",
    "expected <block end>": "indent the keys of one mapping alike, and close no bracket or quotation mark too early",
    "sequence entries are not allowed": "begin a list in a line of its own, or write [a, b]",
    "could not find expected ':'": "write each key as `key: value`",
}
"""How a problem that PyYAML names begins → what to do; the first that fits."""
OPENED = {"flow mapping": "{", "flow sequence": "[", "quoted scalar": "quotation mark"}
"""The last words of what PyYAML was reading → what opened it."""

Record = TypeVar("Record", bound=BaseModel)


class _Shallow(Composer):
    """Composes nodes, as PyYAML does, and refuses those that lie too deep."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[attr-defined]
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {DEEPEST} levels", problem_mark=mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Loader(_Shallow, yaml.SafeLoader):
    """Its errors say where they are, and in the words that are shown."""


class _FastLoader(_Shallow, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads by libyaml, where PyYAML was built with it."""

    def __init__(self, text: str) -> None:
        super(Composer, self).__init__(text)
        Composer.__init__(self)


@lru_cache(maxsize=256)
def _composed(text: str) -> yaml.Node | None:
    """Return a document's nodes, kept because `mnv4bench check` reads every file once for each of the others."""
    try:
        return yaml.compose(text, Loader=_FastLoader)
    except yaml.YAMLError:
        return yaml.compose(text, Loader=_Loader)


def _syntax(error: yaml.MarkedYAMLError) -> str:
    """Return what PyYAML found wrong, with where it began and what to do."""
    problem = str(error.problem)
    opener = next((sign for words, sign in OPENED.items() if str(error.context).endswith(words)), None)
    if opener and error.context_mark and problem.startswith(("expected ',' or", "found unexpected end")):
        separator = "" if opener == OPENED["quoted scalar"] else ", or a comma is missing"
        return f"{problem}; the {opener} of line {error.context_mark.line + 1} is not closed{separator}"
    remedy = next((remedy for start, remedy in REMEDIES.items() if problem.startswith(start)), None)
    return f"{problem}; {remedy}" if remedy else problem


class YamlFile:
    """A YAML file's content together with the line of every key.

    Args:
        as_text: values as they are written, "yes" and not True; for files whose words are names.

    Raises:
        SpecError: unreadable file, YAML syntax, a key that stands twice in one mapping, or more than the limits allow.
    """

    def __init__(self, path: Path, as_text: bool = False) -> None:
        self.path = Path(path)
        self._as_text = as_text
        self._lines: dict[tuple[str, ...], int] = {}
        self._values = 0
        self._words = yaml.SafeLoader("")
        text = self._text()
        try:
            node = _composed(text)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise self._invalid(mark.line + 1 if mark else None, _syntax(error)) from error
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise self._invalid(line, f"the character {chr(error.character)!r} is not allowed") from error
        self.content: Any = {} if node is None else self._value(node, ())

    def _text(self) -> str:
        try:
            if self.path.exists() and not self.path.is_file():  # a pipe or a device may never end
                raise SpecError(f"{self.path}: is not a regular file")
            if self.path.stat().st_size > LARGEST:
                raise SpecError(f"{self.path}: is larger than {LARGEST:,} bytes; write less, or split it")
            return self.path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise SpecError(f"{self.path}: cannot be read ({error})") from error

    def _invalid(self, line: int | None, problem: str) -> SpecError:
        return SpecError(f"{self.path}{f':{line}' if line else ''}: not valid YAML: {problem}")

    def _value(self, node: yaml.Node, place: tuple[str, ...]) -> Any:
        line = node.start_mark.line + 1
        self._lines.setdefault(place, line)
        self._values += 1
        if self._values > MOST_VALUES:
            raise self._invalid(line, f"more than {MOST_VALUES:,} values, aliases counted; write less")
        if len(place) > DEEPEST:
            raise self._invalid(line, f"an alias inside itself, or nested deeper than {DEEPEST} levels")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*place, str(index))) for index, item in enumerate(node.value)]
        return self._scalar(node, line)

    def _mapping(self, node: yaml.MappingNode, place: tuple[str, ...]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._invalid(line, "a key is one word, not a list or a mapping")
            key = str(key_node.value)
            if key in result:
                first = self._lines[(*place, key)]
                raise SpecError(f"{self.path}:{line}: {key!r} stands twice (first in line {first}); rename or drop one")
            self._lines[(*place, key)] = line
            result[key] = self._value(value_node, (*place, key))
        return result

    def _scalar(self, node: yaml.Node, line: int) -> Any:
        if self._as_text:
            return node.value
        try:
            value = self._words.construct_object(node, deep=True)
        except yaml.YAMLError as error:
            raise self._invalid(line, str(getattr(error, "problem", error))) from error
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:  # !!int x, 2024-13-45
            raise self._invalid(line, f"{error} (quote it if it is text)") from error
        if isinstance(value, int) and value.bit_length() > LARGEST_BITS:
            raise self._invalid(line, f"a whole number of more than {LARGEST_BITS} bits")
        return value

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
        lines = [str(self.error([*place, *where], message)) for where, message in problems(record, error)]
        return SpecError("\n".join(lines))
