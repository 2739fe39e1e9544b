"""Self-contained booktabs tabulars; everything that came from a file is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mnv4bench.report.tables.cells import Cell, Table

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # A row that opens with [ would be read as the optional argument of the \\ before it.
    "[": "{[}",
    "]": "{]}",
    "\N{NO-BREAK SPACE}": "~",
    "−": "$-$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "Δ": r"$\Delta$",
    "→": r"$\rightarrow$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "–": "--",
    "“": "``",
    "”": "''",
}


def escape(text: str) -> str:
    """Return `text` as LaTeX that prints it."""
    return "".join(SPECIAL.get(character, character) for character in re.sub(r"[ \t\r\n]+", " ", text))


def tabular(groups: Sequence[tuple[str, Table, Sequence[str]]], foot: Sequence[str] = (), align: str = "") -> str:
    """Return groups of rows under one header: each with a title, if it has one, and its notes, which are LaTeX.

    Needs the package booktabs, and a UTF-8 LaTeX (2018 or later).

    Args:
        foot: sentences for the last rows.
        align: of the columns; by default as the first table says.
    """
    first = groups[0][1]
    columns = len(first.header)
    lines = [rf"\begin{{tabular}}{{{align or first.align}}}", r"\toprule", _row(map(escape, first.header))]
    for title, content, notes in groups:
        lines += [r"\midrule", *([_wide(rf"\textit{{{escape(title)}}}", columns)] if title else [])]
        lines += [_row(map(_cell, row)) for row in content.rows]
        lines += [_note(note, columns) for note in notes]
    if foot:
        lines += [r"\midrule", *(_note(escape(sentence), columns) for sentence in foot)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def notes(lettered: Iterable[tuple[str, str]]) -> list[str]:
    """Return the notes that a table's marks refer to."""
    return [rf"\textsuperscript{{{letter}}} {escape(note)}" for letter, note in lettered]


def _cell(cell: Cell) -> str:
    text = rf"\textbf{{{escape(cell.text)}}}" if cell.strong else escape(cell.text)
    return text + (rf"\textsuperscript{{{escape(cell.marks)}}}" if cell.marks else "")


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _wide(text: str, columns: int) -> str:
    return rf"\multicolumn{{{columns}}}{{l}}{{{text}}} \\"


def _note(text: str, columns: int) -> str:
    return rf"\multicolumn{{{columns}}}{{p{{\linewidth}}}}{{\footnotesize {text}}} \\"
