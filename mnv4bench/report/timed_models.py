"""What `mnv4bench latency` prints: a table for the terminal, and below it the verdicts in words."""

from __future__ import annotations

from mnv4bench.report import text, timing
from mnv4bench.report.rendering import sentences
from mnv4bench.results.latency import Latency, LatencyRow

HEADER = ("runtime", "model", "stage", "ms/image", "ratio [95 %]", "verdict")


def describe(record: Latency) -> str:
    """Return every row as a line of a table, and the verdicts on the widest stage that was timed."""
    lines = [HEADER, *(_line(row) for row in record.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([*table, "", *_sentences(record)])


def _line(row: LatencyRow) -> tuple[str, ...]:
    runtime = row.runtime + (f" ({row.threads} threads)" if row.threads > 1 else "")
    ratio = "1 (baseline)" if row.ratio is None else timing.ratio(row)
    return runtime, row.arm, row.stage, timing.milliseconds(row), ratio, row.verdict or ""


def _sentences(record: Latency) -> list[str]:
    judged = [row for row in record.rows if row.verdict]
    shown = [row for row in judged if row.stage == "end_to_end"] or [row for row in judged if row.stage == "forward"]
    rows = [(row, text.time_reason(row)) for row in shown]
    return [
        *sentences("text/timed_models.j2", rows=rows, comparable=record.comparable),
        *text.not_timed(record),
        *text.timing_notes(record),
    ]
