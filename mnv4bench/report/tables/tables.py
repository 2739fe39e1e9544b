"""The tables' files: raw and complete as CSV, rounded for people as Markdown and LaTeX."""

from __future__ import annotations

from pathlib import Path

from mnv4bench.io.files import write_text
from mnv4bench.report.results import Results, collect
from mnv4bench.report.tables import error_types, latex, markdown, raw, speed
from mnv4bench.report.tables.blocks import Block, block, foot, verdicts
from mnv4bench.spec.plan import Plan


def write_tables(plan: Plan, results: Path, dataset: Path | None = None) -> None:
    """Write tables/ablations.{csv,md,tex}, {latency,errors}.{csv,md} and slices.csv under `results`.

    Raises:
        Mnv4benchError: a result file is missing or wrong.
    """
    found = collect(plan, results, dataset)
    files = {
        "ablations.csv": raw.to_csv(raw.raw_rows(found)),
        "slices.csv": raw.to_csv(raw.slice_rows(found), raw.SLICE_COLUMNS),
        "latency.csv": raw.to_csv(raw.latency_rows(found), raw.LATENCY_COLUMNS),
        "errors.csv": raw.to_csv(error_types.error_rows(found), error_types.COLUMNS),
        "ablations.md": ablations(found),
        "latency.md": speed.document(found),
        "errors.md": errors(found),
        "ablations.tex": latex.document([block(found, name) for name in found.ablations], foot(found)),
    }
    for name, text in files.items():
        write_text(Path(results) / "tables" / name, text)


def ablations(results: Results) -> str:
    """Return tables/ablations.md: all verdicts first, then each ablation, then how to read them."""
    parts = [f"# {markdown.escape(results.plan.title)}", markdown.table(verdicts(results))]
    for name in results.ablations:
        parts += _ablation(block(results, name))
    parts += ["## How to read", markdown.bullets(foot(results))]
    return markdown.document(parts)


def _ablation(b: Block) -> list[str]:
    return [
        f"## {markdown.escape(b.title)}",
        markdown.escape(b.question),
        markdown.table(b.accuracy),
        markdown.notes(b.notes),
        markdown.table(b.cost),
        markdown.bullets(b.claims),
        markdown.table(b.scores),
    ]


def errors(results: Results) -> str:
    """Return tables/errors.md."""
    return markdown.document(
        [
            f"# {markdown.escape(results.plan.title)}: what keeps AP50 down",
            markdown.table(error_types.error_table(results)) if error_types.recorded(results) else "",
            markdown.bullets(error_types.legend(results)),
        ]
    )
