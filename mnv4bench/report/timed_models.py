"""What `mnv4bench latency` prints: a table for the terminal, and below it the verdicts in words."""

from __future__ import annotations

from mnv4bench.latency.named import split
from mnv4bench.report import formatting as fmt
from mnv4bench.report import text, timing
from mnv4bench.report.choices import leaders
from mnv4bench.report.rendering import sentences
from mnv4bench.report.terminal import aligned
from mnv4bench.report.untrained import least_ap
from mnv4bench.results.latency import Latency, LatencyRow
from mnv4bench.spec.latency import INT8

SCORED = ("model", "runtime", "ms/image", "AP (points)", "")
HEADER = ("runtime", "model", "stage", "ms/image", "ratio [95 %]", "verdict")


def describe(record: Latency) -> str:
    """Return every row as a line of a table, and the verdicts on the widest stage that was timed."""
    lines = [*aligned([HEADER, *map(_line, record.rows)]), "", *_sentences(record)]
    if record.scores:
        below = sentences("text/choices.j2", unscored=_unscored(record))
        lines += ["", *aligned([SCORED, *_choices(record)]), "", *below]
    return "\n".join(lines)


def _unscored(record: Latency) -> list[str]:
    """Return the models that were timed and are not trained."""
    return list(dict.fromkeys(row.arm for row in record.rows if row.arm not in record.scores))


def _choices(record: Latency) -> list[tuple[str, ...]]:
    """Return a line for each model in each runtime that was both timed and scored, the fastest first."""
    quantised = {(score.arm, score.runtime): score.AP for score in record.quantised}
    rows = [row for row in record.rows if row.stage == "end_to_end" and row.threads == record.threads]
    scored = [(row, quantised.get((row.arm, row.runtime), _float_ap(record, row))) for row in rows]
    least = {row.arm: least_ap(split(row.arm)[0]) for row, _ in scored}
    known = [(row, ap) for row, ap in scored if ap is not None]
    best = {id(row) for row, _ in leaders(known, lambda item: item[0].p50_ms, lambda item: item[1])}
    lines: list[tuple[str, ...]] = []
    for row, ap in sorted(scored, key=lambda item: (item[0].p50_ms, -(item[1] or 0))):
        leads = "best so far" if id(row) in best else ""
        word = "untrained" if ap is not None and ap < least[row.arm] else leads
        lines.append((row.arm, row.runtime, timing.milliseconds(row), fmt.points(ap, 1), word))
    return lines


def _float_ap(record: Latency, row: LatencyRow) -> float | None:
    return None if row.runtime.endswith(INT8) else record.scores.get(row.arm)


def _line(row: LatencyRow) -> tuple[str, ...]:
    runtime = row.runtime + (f" ({row.threads} threads)" if row.threads > 1 else "")
    ratio = "1 (baseline)" if row.baseline is None else timing.ratio(row)
    return runtime, row.arm, row.stage, timing.milliseconds(row), ratio, row.verdict or ""


def _sentences(record: Latency) -> list[str]:
    judged = [row for row in record.rows if row.verdict]
    shown = [row for row in judged if row.stage == "end_to_end"] or [row for row in judged if row.stage == "forward"]
    rows = [(row, text.time_reason(row)) for row in shown]
    return [
        *sentences("text/timed_models.j2", rows=rows, comparable=record.comparable),
        *text.not_timed(record),
        *text.timing_notes(record, direct=True),
    ]
