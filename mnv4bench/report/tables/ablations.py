"""One ablation as people read it: what it did to AP and how sure that is, what it costs, all its scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from mnv4bench.report import claims, text
from mnv4bench.report.rendering import page
from mnv4bench.report.results import ArmResult, Results
from mnv4bench.report.tables import arms, latex
from mnv4bench.report.tables.cells import Cell, Table
from mnv4bench.report.tables.columns import Column, pick, printed, words

ACCURACY = (
    "arm", "read", "AP", "difference_mean", "verdict", "difference_seed_sd", "difference_image_se", "seeds_agreeing",
    "p_holm", "mde",
)  # fmt: skip


@dataclass(frozen=True)
class Section:
    """Three tables with the same arms in the same rows."""

    name: str
    title: str
    question: str
    accuracy: Table
    cost: Table
    scores: Table
    notes: tuple[tuple[str, str], ...]
    """Letter and sentence; the letters stand at the arms' names."""
    claims: tuple[str, ...]
    """What the source prints and what was measured beside it; empty where the ablation names no source."""


def section(results: Results, name: str) -> Section:
    """Return one ablation's tables, rounded: AP to the digits that the preset's narrowest interval carries."""
    spec, rows = results.plan.ablations[name], results.ablations[name]
    planned = len(results.plan.preset.seeds)
    notes = {arm.arm.name: text.arm_notes(arm, planned) for arm in rows}
    letters = {note: _letter(place) for place, note in enumerate(dict.fromkeys(chain(*notes.values())))}

    def name_and_marks(arm: ArmResult) -> Cell:
        return Cell(arms.label(arm), marks=" ".join(letters[note] for note in notes[arm.arm.name]))

    columns = [
        replace(column, text=name_and_marks) if column.name == "arm" else column for column in arms.columns(results)
    ]
    return Section(
        name=name,
        title=spec.title,
        question=spec.question,
        accuracy=printed(pick(columns, *ACCURACY), rows),
        cost=printed([*pick(columns, "arm", "params_M", "flops_G"), *_times(columns, results.timed)], rows),
        scores=printed(pick(columns, "arm", *arms.SIZES, "AP_seeds"), rows),
        notes=tuple((letter, note) for note, letter in letters.items()),
        claims=claims.sentences(spec, rows),
    )


def _times(columns: arms.Columns, runtimes: Iterable[str]) -> Iterator[Column[ArmResult]]:
    """Yield, for each runtime, the end-to-end time and its ratio to the baseline's."""
    for runtime in runtimes:
        time, ratio = pick(columns, f"{runtime}_end_to_end_p50_ms", f"{runtime}_ratio_to_baseline")
        yield replace(time, title=f"{runtime} (ms)")
        yield ratio


def _letter(position: int) -> str:
    return chr(ord("a") + position) if position < 26 else f"a{position - 25}"


def verdicts(results: Results) -> Table:
    """Return one row per comparison: the difference in AP, the end-to-end time in each runtime, and both verdicts."""
    return comparisons(
        results, results.arms, results.timed, words("ablation", "ablation", lambda arm: arm.arm.ablation)
    )


def comparisons(
    results: Results, rows: Iterable[ArmResult], runtimes: Iterable[str], first: Column[ArmResult]
) -> Table:
    """Return a row for each of these arms but the baselines.

    Args:
        first: the column that tells the rows' origin.
    """

    def comparison(arm: ArmResult) -> str:
        return f"{arm.arm.name} − {results.plan.ablations[arm.arm.ablation].baseline}"

    columns = [
        first,
        words("comparison", "comparison", comparison),
        *pick(arms.columns(results), "difference_mean", "verdict"),
        *(arms.ratios(runtime, "end_to_end", f"time in {runtime}")[0] for runtime in runtimes),
    ]
    return printed(columns, [arm for arm in rows if not arm.is_baseline])


def as_markdown(results: Results) -> str:
    """Return tables/ablations.md: all verdicts first, then each ablation, then how to read them."""
    return page(
        "ablations.md.j2",
        title=results.plan.title,
        verdicts=verdicts(results),
        ablations=[section(results, name) for name in results.ablations],
        how_to_read=text.about(results, "how_to_read"),
    )


def as_latex(results: Results) -> str:
    """Return tables/ablations.tex, three tabulars: accuracy with all notes, cost and time, all scores."""
    sections = [section(results, name) for name in results.ablations]

    def tabular(
        table: Callable[[Section], Table], notes: Callable[[Section], list[str]], foot: Sequence[str] = ()
    ) -> str:
        return latex.tabular([(section.title, table(section), notes(section)) for section in sections], foot)

    return page(
        "ablations.tex.j2",
        accuracy=tabular(lambda section: section.accuracy, _notes, text.about(results, "how_to_read")),
        cost=tabular(lambda section: section.cost, lambda _: []),
        scores=tabular(lambda section: section.scores, lambda _: []),
    )


def _notes(section: Section) -> list[str]:
    return [*latex.notes(section.notes), *map(latex.escape, section.claims)]
