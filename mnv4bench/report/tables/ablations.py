"""One ablation as people read it: what it did to AP and how sure that is, what it costs, all its scores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain

from mnv4bench.report import accuracy, claims, text
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
    """An ablation's arms, and tables of them; every table has the same arms in the same rows."""

    name: str
    title: str
    question: str
    columns: arms.Columns
    """As arms.columns has them, with the notes' letters at the arms' names."""
    rows: tuple[ArmResult, ...]
    runtimes: tuple[str, ...]
    """Shown side by side."""
    notes: tuple[tuple[str, str], ...]
    """Letter and sentence; the letters stand at the arms' names."""
    claims: tuple[str, ...]
    """What the source prints and what was measured beside it; empty where the ablation names no source."""
    published: bool
    """Whether its arms judge given weights."""

    def table(self, *names: str) -> Table:
        """Return the columns of these names, rounded, without those on seeds where there are none."""
        told = [name for name in names if not (self.published and name in arms.ABOUT_SEEDS)]
        return printed(pick(self.columns, *told), self.rows)

    @property
    def accuracy(self) -> Table:
        return self.table(*ACCURACY)

    @property
    def cost(self) -> Table:
        times = ((f"{name}_end_to_end_p50_ms", f"{name}_ratio_to_baseline") for name in self.runtimes)
        return self.table("arm", "params_M", "flops_G", *chain(*times))

    @property
    def scores(self) -> Table:
        return self.table("arm", *arms.FURTHER_SCORES, "AP_seeds")


def section(results: Results, name: str) -> Section:
    """Return one ablation's tables, rounded: AP to the digits that the preset's narrowest interval carries."""
    spec, rows, columns = results.plan.ablations[name], results.ablations[name], arms.columns(results)
    decimals = accuracy.decimals_of(results)
    notes = {arm.arm.name: text.arm_notes(arm, results, decimals) for arm in rows}
    letters = {note: _letter(place) for place, note in enumerate(dict.fromkeys(chain(*notes.values())))}

    def name_and_marks(arm: ArmResult) -> Cell:
        return Cell(arms.label(arm), marks=" ".join(letters[note] for note in notes[arm.arm.name]))

    return Section(
        name=name,
        title=spec.title,
        question=spec.question,
        columns=[replace(column, text=name_and_marks) if column.name == "arm" else column for column in columns],
        rows=rows,
        runtimes=results.timed,
        notes=tuple((letter, note) for note, letter in letters.items()),
        claims=claims.sentences(spec, rows),
        published=spec.start == "published",
    )


def _letter(position: int) -> str:
    return chr(ord("a") + position) if position < 26 else f"a{position - 25}"


def verdicts(results: Results) -> Table:
    """Return one row per comparison: the difference in AP, the end-to-end time in each runtime, and both verdicts."""
    return comparisons(results, results.arms, results.timed, *pick(arms.identity(), "ablation"))


def comparisons(
    results: Results, rows: Iterable[ArmResult], runtimes: Iterable[str], first: Column[ArmResult]
) -> Table:
    """Return a row for each of these arms but the baselines.

    Args:
        first: the column that tells the rows' origin.
    """

    def comparison(arm: ArmResult) -> str:
        spec = results.plan.ablations[arm.arm.ablation]
        return f"{arm.arm.title} − {spec.title_of(spec.baseline)}"

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
    accuracy = [(s.title, s.accuracy, [*latex.notes(s.notes), *map(latex.escape, s.claims)]) for s in sections]
    return page(
        "ablations.tex.j2",
        accuracy=latex.tabular(accuracy, text.about(results, "how_to_read")),
        cost=latex.tabular([(s.title, s.cost, ()) for s in sections]),
        scores=latex.tabular([(s.title, s.scores, ()) for s in sections]),
    )
