"""The paper: main.typ compiled with the facts and figures of a preset's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import typst

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import replacing, write_json, write_text
from mnv4bench.report.paper.facts import facts
from mnv4bench.report.results import collect
from mnv4bench.report.searches import printed_searches
from mnv4bench.spec.plan import Plan

SOURCE = Path("paper")
SOURCES = ("main.typ", "method.typ", "results.typ", "appendix.typ", "format.typ", "layout.typ", "references.bib")
FACTS = "facts.json"
FIGURES = ("effects.pdf", "cost.pdf", "pareto.pdf", "curves.pdf", "slices.pdf", "detections.png")


def write_paper(
    plan: Plan, results: Path, dataset: Path | None = None, source: Path = SOURCE, reference: bool = False
) -> None:
    """Write paper/facts.json and paper/mnv4bench.pdf under `results`.

    Args:
        reference: whether the results are rebuilt from a committed reference.

    The source is copied beside them, so that the folder holds all that the PDF was made from. Fonts are those inside
    the compiler and the date is fixed: equal inputs give equal bytes. Nothing is fetched.

    Raises:
        Mnv4benchError: a result, a figure or the paper's source is missing, or the source does not compile.
    """
    results = Path(results)
    folder = results / "paper"
    # The paper of one's own results says nothing of the project's searches; that of a reference does.
    searches = printed_searches() if reference and not plan.published else []
    write_json(folder / FACTS, facts(collect(plan, results, dataset), searches))
    for name in SOURCES:
        write_text(folder / name, _read(Path(source) / name))
    for name in FIGURES:
        if not (results / "figures" / name).exists():
            raise Mnv4benchError(f"{results / 'figures' / name}: is missing; draw the figures first")
    with replacing(folder / "mnv4bench.pdf") as temporary:
        render(folder, temporary, "pdf")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise Mnv4benchError(f"{path}: cannot be read ({error.strerror}); run from the project's folder") from error


def render(folder: Path, output: Path, kind: Literal["pdf", "png", "html"]) -> None:
    """Compile <folder>/main.typ; for kind "png", `output` holds "{p}" for the page number.

    Raises:
        Mnv4benchError: the source does not compile; carries the compiler's own diagnosis.
    """
    try:
        typst.compile(
            str(folder / "main.typ"),
            output=str(output),
            root=str(folder.parent),
            format=kind,
            ignore_system_fonts=True,
            timestamp=0,
        )
    except typst.TypstError as error:
        raise Mnv4benchError(f"{folder / 'main.typ'}: does not compile: {error.diagnostic or error.message}") from error
