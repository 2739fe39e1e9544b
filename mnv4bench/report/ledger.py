"""The ledger of published figures as people read it, with what this preset measured of the same parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from mnv4bench.io.files import write_json, write_text
from mnv4bench.ledger.counts import Counts
from mnv4bench.ledger.facts import load
from mnv4bench.ledger.ledger import Beside, ledger, shown, summary
from mnv4bench.report import accuracy
from mnv4bench.report import formatting as fmt
from mnv4bench.report.tables import markdown
from mnv4bench.report.tables.cells import Table, table
from mnv4bench.report.tables.csv import to_csv
from mnv4bench.report.tables.latex import escape
from mnv4bench.results.comparison import Comparison, Difference
from mnv4bench.results.latency import Latency, LatencyRow
from mnv4bench.results.ledger import OUTCOMES, LedgerSummary, Row
from mnv4bench.results.record import read_record
from mnv4bench.spec.plan import Plan

CLAIMED_TIMES = Path("latency") / "claims.json"
"""Under a preset's results: times of the networks that published claims on time are about."""

HOW_TO_READ = (
    "“reproduced”: what was counted or recomputed lies within half a unit of the last printed digit, the rounding of "
    "the figures that it is computed from included. “differs”: it does not.",
    "“not testable here”: the reason says what a test would take. “not comparable”: a time on another device; a ratio "
    "that was measured here is shown beside it, and is no verdict on the claim.",
    "“counted here” and “read off the model here” are measurements of models that this project builds; “recomputed "
    "from” and “printed in” hold a publication's figure against other printed figures, and measure nothing.",
    "Every figure, with its reason, is in ledger.csv.",
)


def write_ledger(plan: Plan, results: Path) -> LedgerSummary:
    """Write tables/ledger.{csv,md,tex,json} under `results`; counts of models are kept in counts.json beside them.

    compare.json, latency/latency.json and latency/claims.json are read where they exist.

    Raises:
        Mnv4benchError: a file of the package's published figures, or a result file, is not valid.
    """
    results = Path(results)
    published = load()
    claims = results / CLAIMED_TIMES
    times = read_record(claims, Latency) if claims.exists() else None
    rows = ledger(published, Counts(results / "counts.json"), parts(plan, results), times)
    found = summary(rows, published.sources)
    folder = results / "tables"
    write_text(folder / "ledger.csv", to_csv([row.model_dump() for row in rows], tuple(Row.model_fields)))
    write_text(folder / "ledger.md", as_markdown(found, rows))
    write_text(folder / "ledger.tex", as_latex(found))
    write_json(folder / "ledger.json", found)
    return found


def parts(plan: Plan, results: Path) -> dict[tuple[str, str, str], Beside]:
    """Return what the preset's ablations measured so far."""
    found: dict[tuple[str, str, str], Beside] = {}
    if (path := results / "compare.json").exists():
        comparison = read_record(path, Comparison)
        for d in comparison.differences:
            found[d.ablation, d.arm, "AP"] = Beside(None if d.mean is None else 100 * d.mean, _accuracy(d, plan))
    if (path := results / "latency/latency.json").exists():
        latency = read_record(path, Latency)
        for arm in plan.arms:
            if shown_rows := [row for row in _timed(latency) if row.arm == arm.label]:
                found[arm.ablation, arm.name, "latency"] = Beside(shown_rows[0].ratio, _time(shown_rows, latency))
    return found


def _timed(latency: Latency) -> list[LatencyRow]:
    return [
        row
        for row in latency.rows
        if row.stage == "end_to_end" and row.threads == latency.threads and row.ratio is not None
    ]


def _accuracy(d: Difference, plan: Plan) -> str:
    if d.mean is None:
        return "No seed of this preset can be compared."
    value = fmt.number(100 * d.mean, 2, sign=True)
    if d.low is not None and d.high is not None:
        value += f" [{fmt.number(100 * d.low, 2, sign=True)}, {fmt.number(100 * d.high, 2, sign=True)}]"
    seeds = fmt.count(len(d.seeds), "seed")
    return (
        f"The same part here, on other data and in another detector ({plan.title}; {seeds}): {value} AP, "
        f"{accuracy.verdict(d)}."
    )


def _time(rows: list[LatencyRow], latency: Latency) -> str:
    threads = fmt.count(latency.threads, "thread")
    times = "; ".join(
        f"{row.runtime} {fmt.number(row.ratio, 3)} "
        f"[{fmt.number(row.ratio_low, 3)}, {fmt.number(row.ratio_high, 3)}], {row.verdict or 'no verdict'}"
        for row in rows
    )
    return f"The same part here, in another detector, on {latency.environment.cpu} with {threads}: {times}."


def as_markdown(found: LedgerSummary, rows: Iterable[Row]) -> str:
    """Return the summary, what differs, what was tried here, and the rest in groups."""
    rows = tuple(rows)
    here = [row for row in rows if row.verdict not in ("reproduced", "differs") and row.measured is not None]
    return markdown.document(
        [
            "# Published figures, checked",
            markdown.table(summary_table(found)),
            markdown.bullets(HOW_TO_READ),
            f"## What differs ({len(found.differing)})",
            markdown.table(rows_table(found.differing, found)),
            *(["## Parts that are tried here", markdown.table(rows_table(here, found))] if here else []),
            "## What was reproduced",
            markdown.table(_grouped(rows, found, "reproduced")),
            "## What was not tested, and why",
            markdown.table(_grouped(rows, found, "not testable here")),
            "## Times of other devices",
            markdown.table(_grouped(rows, found, "not comparable")),
        ]
    )


def as_latex(found: LedgerSummary) -> str:
    """Return two tabulars: the summary, and what differs."""
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            _tabular(summary_table(found), "l" + "r" * (1 + len(OUTCOMES))),
            _tabular(rows_table(found.differing, found), r"lp{0.3\linewidth}llp{0.36\linewidth}"),
        ]
    )


def summary_table(found: LedgerSummary) -> Table:
    """Return a line per source and the total."""
    lines = [
        *((source.name, source.figures, source.verdicts) for source in found.sources.values()),
        ("all", found.figures, found.verdicts),
    ]
    rows = [
        (name, str(figures), *(str(verdicts[outcome]) for outcome in OUTCOMES)) for name, figures, verdicts in lines
    ]
    return table(("source", "figures", *OUTCOMES), "l" + "r" * (1 + len(OUTCOMES)), rows)


def rows_table(rows: Iterable[Row], found: LedgerSummary) -> Table:
    """Return a line per figure."""
    lines = [(_where(row, found), row.claim, _figure(row.published, row), _obtained(row), row.reason) for row in rows]
    return table(("where", "claim", "published", "obtained", "why"), "llrrl", lines)


def _where(row: Row, found: LedgerSummary) -> str:
    return ", ".join(filter(None, (found.sources[row.source].name, row.place)))


def figure_in_words(row: Row) -> tuple[str, str]:
    """Return the published figure, and what was obtained, with their unit."""
    return _figure(row.published, row), _obtained(row)


def _obtained(row: Row) -> str:
    if row.measured is None:
        return fmt.NONE
    return _figure(row.measured, row, more=0 if row.basis.startswith("printed") else 2)


def _figure(value: float | str, row: Row, more: int = 0) -> str:
    if isinstance(value, str):
        return value
    exact = row.tolerance == 0.0
    number = shown(value, None) if exact or row.decimals is None else fmt.number(value, row.decimals + more)
    return f"{number} {row.unit}".strip()


def _grouped(rows: Iterable[Row], found: LedgerSummary, outcome: str) -> Table:
    """Return how many figures of each place share a reason; where something was measured, only its basis is said."""
    counted = Counter((_where(row, found), _common(row)) for row in rows if row.verdict == outcome)
    return table(("where", "figures", "why"), "lrl", [(where, str(n), why) for (where, why), n in counted.items()])


def _common(row: Row) -> str:
    if row.verdict == "reproduced":
        return row.basis[:1].upper() + row.basis[1:] + "."
    return row.reason if row.measured is None else row.basis[:1].upper() + row.basis[1:] + "."


def _tabular(content: Table, align: str) -> str:
    lines = [" & ".join(escape(cell.text) for cell in row) + r" \\" for row in content.rows]
    head = " & ".join(map(escape, content.header)) + r" \\"
    return "\n".join(
        [rf"\begin{{tabular}}{{{align}}}", r"\toprule", head, r"\midrule", *lines, r"\bottomrule", r"\end{tabular}", ""]
    )
