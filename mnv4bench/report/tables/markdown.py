"""Tables and text as GitHub-flavoured Markdown; everything that came from a file is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mnv4bench.report.tables.cells import Cell, Table

RULES = {"l": "---", "r": "---:"}


def escape(text: str) -> str:
    """Return `text` as one line of Markdown that prints it."""
    for character in "\\|*_<>[]`":
        text = text.replace(character, f"\\{character}")
    return re.sub(r"[ \t\r\n]+", " ", text).strip()


def table(content: Table) -> str:
    """Return the table, without an empty line around it."""
    lines = [
        [escape(name) for name in content.header],
        [RULES[letter] for letter in content.align],
        *([_cell(cell) for cell in row] for row in content.rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(cell: Cell) -> str:
    text = f"**{escape(cell.text)}**" if cell.strong else escape(cell.text)
    return text + (f" <sup>{cell.marks}</sup>" if cell.marks else "")


def bullets(sentences: Iterable[str]) -> str:
    """Return one list item per sentence."""
    return "\n".join(f"- {escape(sentence)}" for sentence in sentences)


def notes(lettered: Iterable[tuple[str, str]]) -> str:
    """Return the notes that a table's marks refer to."""
    return "\n".join(f"- <sup>{letter}</sup> {escape(note)}" for letter, note in lettered)
