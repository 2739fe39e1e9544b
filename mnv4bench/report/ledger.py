"""The ledger of published figures as people read it, with what this preset measured of the same parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from mnv4bench.io.files import write_json, write_text
from mnv4bench.ledger.checks import ModelCounts
from mnv4bench.ledger.counts import Counts
from mnv4bench.ledger.facts import Published, load
from mnv4bench.ledger.ledger import ledger, summary
from mnv4bench.ledger.verdict import CheckpointResult, PartResult, Parts
from mnv4bench.report import accuracy
from mnv4bench.report import formatting as fmt
from mnv4bench.report.ledger_checkpoints import checkpoints
from mnv4bench.report.ledger_rows import as_row, shown
from mnv4bench.report.rendering import page, render
from mnv4bench.report.tables import latex
from mnv4bench.report.tables.cells import Table, table
from mnv4bench.report.tables.csv import to_csv
from mnv4bench.results.comparison import Comparison
from mnv4bench.results.latency import Latency, LatencyRow
from mnv4bench.results.ledger import CHECKED, OUTCOMES, LedgerSummary, Row
from mnv4bench.results.record import read_record
from mnv4bench.results.selection import COUNTS
from mnv4bench.spec.plan import Plan

CLAIMED_TIMES = Path("latency") / "claims.json"
"""Under a preset's results: times of the networks that published claims on time are about."""


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
    counts = Counts((results / COUNTS).resolve())  # a selection's is a link to its preset's
    rows = rows_of(published, counts, parts(plan, results), times, checkpoints(plan, results))
    counts.forget_unused()
    record = summary(rows, published.sources)
    folder = results / "tables"
    write_text(folder / "ledger.csv", to_csv([row.model_dump() for row in rows], tuple(Row.model_fields)))
    write_text(folder / "ledger.md", as_markdown(record, rows))
    write_text(folder / "ledger.tex", as_latex(record))
    write_json(folder / "ledger.json", record)
    return record


def rows_of(
    published: Published,
    counts: ModelCounts,
    parts: Parts | None = None,
    times: Latency | None = None,
    checkpoints: Mapping[str, CheckpointResult] | None = None,
) -> tuple[Row, ...]:
    """Return the row of each published figure, in the order of the files (see `ledger`)."""
    return tuple(as_row(checked) for checked in ledger(published, counts, parts, times, checkpoints))


def parts(plan: Plan, results: Path) -> dict[tuple[str, str, str], PartResult]:
    """Return what the preset's ablations measured so far."""
    measured: dict[tuple[str, str, str], PartResult] = {}
    if (path := results / "compare.json").exists():
        for d in read_record(path, Comparison).differences:
            sentence = render("text/ledger_accuracy.j2", d=d, plan=plan, verdict=accuracy.verdict(d))
            measured[d.ablation, d.arm, "AP"] = PartResult(None if d.mean is None else fmt.in_points(d.mean), sentence)
    if (path := results / "latency/latency.json").exists():
        latency = read_record(path, Latency)
        for arm in plan.arms:
            if rows := [row for row in _timed(latency) if row.arm == arm.label]:
                sentence = render("text/ledger_times.j2", rows=rows, latency=latency)
                measured[arm.ablation, arm.name, "latency"] = PartResult(rows[0].ratio, sentence)
    return measured


def _timed(latency: Latency) -> list[LatencyRow]:
    rows = [row for row in latency.rows if row.stage == "end_to_end" and row.threads == latency.threads]
    return [row for row in rows if row.ratio is not None]


def as_markdown(record: LedgerSummary, rows: Iterable[Row]) -> str:
    """Return the summary, what differs, what is unmatched, what was tried here, and the rest in groups."""
    rows = tuple(rows)
    tried = [row for row in rows if row.verdict not in CHECKED and row.measured is not None]
    return page(
        "ledger.md.j2",
        summary=summary_table(record),
        differing=rows_table(record.differing, record),
        unmatched=rows_table((row for row in rows if row.verdict == "unmatched"), record),
        tried=rows_table(tried, record),
        reproduced=_grouped(rows, record, "reproduced"),
        untested=_grouped(rows, record, "not testable here"),
        elsewhere=_grouped(rows, record, "not comparable"),
    )


def as_latex(record: LedgerSummary) -> str:
    """Return two tabulars: the summary, and what differs."""
    differing = rows_table(record.differing, record)
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            latex.tabular([("", summary_table(record), ())]),
            latex.tabular([("", differing, ())], align=r"lp{0.3\linewidth}llp{0.36\linewidth}"),
        ]
    )


def summary_table(record: LedgerSummary) -> Table:
    """Return a line per source and the total."""
    lines = [
        *((source.name, source.figures, source.verdicts) for source in record.sources.values()),
        ("all", record.figures, record.verdicts),
    ]
    rows = [
        (name, str(figures), *(str(verdicts[outcome]) for outcome in OUTCOMES)) for name, figures, verdicts in lines
    ]
    return table(("source", "figures", *OUTCOMES), "l" + "r" * (1 + len(OUTCOMES)), rows)


def rows_table(rows: Iterable[Row], record: LedgerSummary) -> Table:
    """Return a line per figure."""
    lines = [(_where(row, record), row.claim, _figure(row.published, row), _obtained(row), row.reason) for row in rows]
    return table(("where", "claim", "published", "obtained", "why"), "llrrl", lines)


def _where(row: Row, record: LedgerSummary) -> str:
    return ", ".join(filter(None, (record.sources[row.source].name, row.place)))


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


def _grouped(rows: Iterable[Row], record: LedgerSummary, outcome: str) -> Table:
    """Return how many figures of each place share a reason; where something was measured, only its basis is said."""
    number = Counter((_where(row, record), _common(row)) for row in rows if row.verdict == outcome)
    return table(("where", "figures", "why"), "lrl", [(where, str(n), why) for (where, why), n in number.items()])


def _common(row: Row) -> str:
    of_basis = row.verdict == "reproduced" or row.measured is not None
    return f"{fmt.capital(row.basis)}." if of_basis else row.reason
