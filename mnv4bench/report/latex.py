"""One self-contained booktabs tabular; everything that came from a file is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mnv4bench.report.tables import Block

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


def tabular(blocks: Sequence[Block], foot: Sequence[str]) -> str:
    """Return the blocks as one tabular, notes and foot as its last rows.

    Needs the package booktabs, and a UTF-8 LaTeX (2018 or later).
    """
    columns = len(blocks[0].header)
    lines = [
        r"% needs \usepackage{booktabs}; wide: put it inside \resizebox or a landscape page",
        rf"\begin{{tabular}}{{ll{'r' * (columns - 2)}}}",
        r"\toprule",
        _row(escape(name) for name in blocks[0].header),
    ]
    for block in blocks:
        lines += [r"\midrule", _wide(rf"\textit{{{escape(block.title)}}}", columns)]
        for row, marks in zip(block.rows, block.marks, strict=True):
            mark = rf"\textsuperscript{{{escape(marks)}}}" if marks else ""
            lines.append(_row([escape(row[0]) + mark, *map(escape, row[1:])]))
        lines += [_note(rf"\textsuperscript{{{letter}}} {escape(note)}", columns) for letter, note in block.notes]
        lines += [_note(escape(claim), columns) for claim in block.claims]
    lines += [r"\midrule", *(_note(escape(sentence), columns) for sentence in foot), r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _wide(text: str, columns: int) -> str:
    return rf"\multicolumn{{{columns}}}{{l}}{{{text}}} \\"


def _note(text: str, columns: int) -> str:
    return rf"\multicolumn{{{columns}}}{{p{{\linewidth}}}}{{\footnotesize {text}}} \\"
