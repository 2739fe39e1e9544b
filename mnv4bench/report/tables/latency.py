"""Latency as people read it: per runtime the times and the paired ratios, then how quiet the machine was."""

from __future__ import annotations

from typing import Any, NamedTuple

from mnv4bench.report import formatting as fmt
from mnv4bench.report import text, timing
from mnv4bench.report.rendering import page, sentences
from mnv4bench.report.results import ArmResult, Results
from mnv4bench.report.tables import arms
from mnv4bench.report.tables.arms import STAGE_TITLES, STAGES
from mnv4bench.report.tables.cells import Table
from mnv4bench.report.tables.columns import Column, numbers, of_part, pick, printed, words
from mnv4bench.results.latency import LatencyRow, LatencySession, QuantisedAP, Stage


class TimedRow(NamedTuple):
    """One row of latency.json, with its AP where the runtime detects something else than was scored."""

    row: LatencyRow
    quantised: QuantisedAP | None


def _field(name: str) -> Column[LatencyRow]:
    def value(row: LatencyRow) -> Any:
        content = getattr(row, name)
        return " ".join(map(repr, content)) if isinstance(content, tuple) else content

    return Column(name, value)


AP: list[Column[QuantisedAP]] = [
    numbers("AP", "AP int8", lambda record: record.AP, 3),
    numbers("AP_float", "AP float32", lambda record: record.AP_float, 3),
]
COLUMNS: list[Column[TimedRow]] = [
    *of_part([_field(name) for name in LatencyRow.model_fields], lambda timed: timed.row),
    *of_part(AP, lambda timed: timed.quantised),
]
"""Of latency.csv: every field of a row, and both APs of the int8 runtimes."""


def rows(results: Results) -> list[TimedRow]:
    """Return every row of latency.json, at all thread counts."""
    quantised = {(record.runtime, record.arm): record for record in results.latency.quantised}
    return [TimedRow(row, quantised.get((row.runtime, row.arm))) for row in results.latency.rows]


def stages(results: Results, runtime: str) -> tuple[Stage, ...]:
    """Return the stages that some arm was timed at."""
    return tuple(stage for stage in STAGES if any(arm.row(runtime, stage) for arm in results.arms))


def _measured(results: Results, runtime: str) -> list[ArmResult]:
    return [arm for arm in results.arms if arm.latency.get(runtime)]


def times(results: Results, runtime: str) -> Table:
    """Return each arm's median times in milliseconds, one column per stage, and the end-to-end minimum and p90."""

    def spread(arm: ArmResult) -> str:
        row = arm.row(runtime)
        return fmt.share(row.spread) if row else fmt.NONE

    shown = [
        *pick(arms.identity(), "ablation", "arm"),
        *(arms.times(runtime, stage)[0] for stage in stages(results, runtime)),
        *arms.times(runtime, "end_to_end")[1:],
        Column("spread", None, "spread", spread),
    ]
    return printed(shown, _measured(results, runtime))


def ratios(results: Results, runtime: str) -> Table:
    """Return each arm's times over its ablation's baseline's, with interval and verdict, one column per stage."""
    shown = [
        *pick(arms.identity(), "ablation", "arm"),
        *(arms.ratios(runtime, stage, STAGE_TITLES[stage])[0] for stage in stages(results, runtime)),
    ]
    return printed(shown, [arm for arm in _measured(results, runtime) if not arm.is_baseline])


class QuantisedArm(NamedTuple):
    """One arm in one int8 runtime."""

    runtime: str
    arm: ArmResult

    record: QuantisedAP | None
    row: LatencyRow | None

    @property
    def change(self) -> float | None:
        if self.record is None or self.record.AP is None or self.record.AP_float is None:
            return None
        return self.record.AP - self.record.AP_float


QUANTISED: list[Column[QuantisedArm]] = [
    words("runtime", "runtime", lambda pair: pair.runtime),
    words("ablation", "ablation", lambda pair: pair.arm.arm.ablation),
    words("arm", "arm", lambda pair: arms.label(pair.arm)),
    *of_part(pick(AP, "AP_float", "AP"), lambda pair: pair.record),
    numbers("change", "change", lambda pair: pair.change, 3, sign=True),
    Column("p50_ms", None, "ms", lambda pair: timing.milliseconds(pair.row)),
    Column("ratio", None, "× base", lambda pair: timing.ratio_and_verdict(pair.row), "l"),
]


def quantised(results: Results) -> Table:
    """Return what the int8 runtimes do to AP, beside the time that they take: one row per arm and runtime."""
    pairs = [
        QuantisedArm(runtime, arm, arm.quantised.get(runtime), arm.row(runtime))
        for runtime in results.timed_int8
        for arm in _measured(results, runtime)
    ]
    return printed(QUANTISED, pairs)


SESSIONS: list[Column[LatencySession]] = [
    Column("number", None, "session", lambda session: str(session.number)),
    Column("threads", None, "threads", lambda session: str(session.threads)),
    numbers("seconds", "seconds", lambda session: session.seconds, 0),
    numbers("busy_before", "busy before", lambda session: session.busy_before, 2),
    numbers("busy_during", "busy during", lambda session: session.busy_during, 2),
    numbers("involuntary_switches", "switches", lambda session: session.involuntary_switches, 0),
    Column(
        "canary_drift",
        None,
        "canary",
        lambda session: fmt.NONE if session.canary_drift is None else fmt.share(session.canary_drift),
    ),
    words("contaminated", "contaminated", lambda session: "; ".join(session.contaminated) or "no"),
]


def sessions(results: Results) -> Table:
    """Return what disturbed each session."""
    return printed(SESSIONS, results.latency.sessions)


class Probe(NamedTuple):
    """What the copies of one network showed in one runtime and stage."""

    runtime: str
    stage: Stage
    resolution: float | None


def noise(results: Results) -> Table:
    """Return by how much two copies of one network differed in each session, and the MDE that follows."""
    shown: list[Column[Probe]] = [
        words("runtime", "runtime", lambda probe: probe.runtime),
        words("stage", "stage", lambda probe: STAGE_TITLES[probe.stage]),
        *(_copies(session) for session in results.latency.sessions if session.threads == results.latency.threads),
        Column("mde", None, "MDE", lambda probe: fmt.share(probe.resolution) if probe.resolution else fmt.NONE),
    ]
    return printed(
        shown,
        [
            Probe(runtime, stage, _resolution(results, runtime, stage))
            for runtime in (*results.timed, *results.timed_int8)
            for stage in stages(results, runtime)
        ],
    )


def _copies(session: LatencySession) -> Column[Probe]:
    def text(probe: Probe) -> str:
        return fmt.change(session.copies.get(f"{probe.runtime} {probe.stage}"))

    return Column(f"session_{session.number}", None, f"session {session.number}", text)


def _resolution(results: Results, runtime: str, stage: Stage) -> float | None:
    known = [row.resolution for arm in results.arms if (row := arm.row(runtime, stage)) and row.resolution]
    return max(known, default=None)


def as_markdown(results: Results) -> str:
    """Return tables/latency.md."""
    return page(
        "latency.md.j2",
        title=results.plan.title,
        restrictions=[*text.not_comparable(results), *text.not_timed(results.latency)],
        runtimes=[_runtime(results, runtime) for runtime in results.timed],
        runtimes_int8=[_runtime(results, runtime) for runtime in results.timed_int8],
        quantised=quantised(results),
        noise=noise(results),
        resolution=text.resolution(results),
        sessions=sessions(results),
        notes=results.latency.notes,
        how_to_read=legend(results),
    )


def _runtime(results: Results, runtime: str) -> dict[str, Any]:
    return {
        "name": runtime,
        "times": times(results, runtime),
        "ratios": ratios(results, runtime),
        "reasons": reasons(results, runtime),
    }


def reasons(results: Results, runtime: str) -> list[str]:
    """Return why there is no verdict where there is none, each reason once."""
    rows = [
        (f"{arm.arm.label} {STAGE_TITLES[stage]}", row)
        for arm in _measured(results, runtime)
        for stage, row in arm.latency[runtime].items()
        if row.verdict in ("unstable", "suppressed")
    ]
    without = text.grouped(rows, lambda pair: (pair[1].verdict, pair[1].reason))
    return sentences("text/no_verdict.j2", without={key: [name for name, _ in rows] for key, rows in without.items()})


def legend(results: Results) -> list[str]:
    """Return how to read the tables."""
    record = results.latency
    others = sorted({row.threads for row in record.rows if row.threads != record.threads})
    return sentences("text/latency.j2", other_threads=[*map(str, others)], **text.values(results))
