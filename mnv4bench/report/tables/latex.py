"""Self-contained booktabs tabulars; everything that came from a file is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mnv4bench.report.tables.blocks import Block
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


def document(blocks: Sequence[Block], foot: Sequence[str]) -> str:
    """Return three tabulars one below the other: accuracy with all notes, cost and time, all scores.

    Needs the package booktabs, and a UTF-8 LaTeX (2018 or later).
    """
    parts = [
        r"% needs \usepackage{booktabs}; wide: put each tabular inside \resizebox or on a landscape page",
        _tabular([(b.title, b.accuracy, [*_lettered(b), *map(escape, b.claims)]) for b in blocks], foot),
        _tabular([(b.title, b.cost, []) for b in blocks], ()),
        _tabular([(b.title, b.scores, []) for b in blocks], ()),
    ]
    return "\n".join(parts)


def _lettered(block: Block) -> list[str]:
    return [rf"\textsuperscript{{{letter}}} {escape(note)}" for letter, note in block.notes]


def _tabular(groups: Sequence[tuple[str, Table, Sequence[str]]], foot: Sequence[str]) -> str:
    """Return titled groups of rows under one header, each with its notes, and the foot as the last rows."""
    first = groups[0][1]
    columns = len(first.header)
    lines = [rf"\begin{{tabular}}{{{first.align}}}", r"\toprule", _row(escape(name) for name in first.header)]
    for title, content, notes in groups:
        lines += [r"\midrule", _wide(rf"\textit{{{escape(title)}}}", columns)]
        lines += [_row(map(_cell, row)) for row in content.rows]
        lines += [_note(note, columns) for note in notes]
    if foot:
        lines += [r"\midrule", *(_note(escape(sentence), columns) for sentence in foot)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _cell(cell: Cell) -> str:
    text = rf"\textbf{{{escape(cell.text)}}}" if cell.strong else escape(cell.text)
    return text + (rf"\textsuperscript{{{escape(cell.marks)}}}" if cell.marks else "")


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _wide(text: str, columns: int) -> str:
    return rf"\multicolumn{{{columns}}}{{l}}{{{text}}} \\"


def _note(text: str, columns: int) -> str:
    return rf"\multicolumn{{{columns}}}{{p{{\linewidth}}}}{{\footnotesize {text}}} \\"
