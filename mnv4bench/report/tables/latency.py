"""Latency as people read it: per runtime the times and the paired ratios, then how quiet the machine was."""

from __future__ import annotations

from typing import Any

from mnv4bench.report import formatting as fmt
from mnv4bench.report import text, timing
from mnv4bench.report.rendering import page, sentences
from mnv4bench.report.results import ArmResult, Results, grouped
from mnv4bench.report.tables import arms
from mnv4bench.report.tables.arms import STAGE_TITLES
from mnv4bench.report.tables.cells import Table, stacked
from mnv4bench.report.tables.columns import Column, numbers, of_part, pick, points, printed, words
from mnv4bench.results.blocks import STAGES
from mnv4bench.results.latency import UNJUDGED, LatencyRow, LatencySession, QuantisedAP, Stage


def columns(results: Results) -> list[Column[LatencyRow]]:
    """Return the columns of latency.csv: every field of a row, and both APs of the int8 runtimes."""
    quantised = {(name, arm.arm.label): record for arm in results.arms for name, record in arm.quantised.items()}
    both: list[Column[LatencyRow]] = of_part(
        pick(QUANTISED, "AP", "AP_float"), lambda row: quantised.get((row.runtime, row.arm))
    )
    return [*map(_field, LatencyRow.model_fields), *both]


def _field(name: str) -> Column[LatencyRow]:
    def value(row: LatencyRow) -> Any:
        if name == "reason":
            return text.time_reason(row) if row.reason else None
        content = getattr(row, name)
        return " ".join(map(repr, content)) if isinstance(content, tuple) else content

    return Column(name, value)


QUANTISED: list[Column[QuantisedAP]] = [
    points("AP_float", "AP float32 (points)", lambda record: record.AP_float),
    points("AP", "AP int8 (points)", lambda record: record.AP),
    points(
        "change",
        "change",
        lambda record: None if record.AP is None or record.AP_float is None else record.AP - record.AP_float,
        sign=True,
    ),
]
"""What eight-bit integers do to AP."""


def stages(results: Results, runtime: str) -> tuple[Stage, ...]:
    """Return the stages that some arm was timed at."""
    return tuple(stage for stage in STAGES if any(arm.row(runtime, stage) for arm in results.arms))


def _measured(results: Results, runtime: str) -> list[ArmResult]:
    return [arm for arm in results.arms if arm.latency.get(runtime)]


def times(results: Results, runtime: str) -> Table:
    """Return each arm's median times in milliseconds, one column per stage, and the end-to-end minimum and p90."""
    spread: list[Column[LatencyRow]] = [Column("spread", None, "spread", lambda row: fmt.share(row.spread))]
    shown = [
        *pick(arms.identity(), "ablation", "arm"),
        *(arms.times(runtime, stage, f"{STAGE_TITLES[stage]} (ms)")[0] for stage in stages(results, runtime)),
        *arms.times(runtime, "end_to_end", "")[1:],
        *of_part(spread, lambda arm: arm.row(runtime)),
    ]
    return printed(shown, _measured(results, runtime))


def ratios(results: Results, runtime: str) -> Table:
    """Return each arm's times over its ablation's baseline's, with interval and verdict, one column per stage."""
    shown = [
        *pick(arms.identity(), "ablation", "arm"),
        *(arms.ratios(runtime, stage, STAGE_TITLES[stage])[0] for stage in stages(results, runtime)),
    ]
    return printed(shown, [arm for arm in _measured(results, runtime) if not arm.is_baseline])


def quantised(results: Results) -> Table:
    """Return what the int8 runtimes do to AP, beside the time that they take: one row per arm and runtime."""
    runtimes = results.timed_int8 or ("none",)  # a table without rows has its titles
    return stacked([printed(_quantised(runtime), _measured(results, runtime)) for runtime in runtimes])


def _quantised(runtime: str) -> arms.Columns:
    return [
        words("runtime", "runtime", lambda arm: runtime),
        *pick(arms.identity(), "ablation", "arm"),
        *of_part(QUANTISED, lambda arm: arm.quantised.get(runtime)),
        arms.times(runtime, "end_to_end", "ms")[0],
        arms.ratios(runtime, "end_to_end", "× base")[0],
    ]


SESSIONS: list[Column[LatencySession]] = [
    Column("number", None, "session", lambda session: str(session.number)),
    Column("threads", None, "threads", lambda session: str(session.threads)),
    numbers("seconds", "seconds", lambda session: session.seconds, 0),
    numbers("busy_before", "busy before", lambda session: session.busy_before, 2),
    numbers("busy_during", "busy during", lambda session: session.busy_during, 2),
    numbers("involuntary_switches", "switches", lambda session: session.involuntary_switches, 0),
    Column("canary_drift", None, "canary", lambda session: _share(session.canary_drift)),
    words("contaminated", "rejected", timing.contaminated),
]


def _share(value: float | None) -> str:
    return fmt.NONE if value is None else fmt.share(value)


def sessions(results: Results) -> Table:
    """Return what disturbed each session."""
    return printed(SESSIONS, results.latency.sessions)


Probe = tuple[str, Stage]
"""Runtime and stage in which a second copy of one network was timed."""


def noise(results: Results) -> Table:
    """Return by how much two copies of one network differed in each session, and the MDE that follows."""

    def resolution(probe: Probe) -> str:
        known = [row.resolution for arm in results.arms if (row := arm.row(*probe)) and row.resolution]
        return timing.smallest(max(known)) if known else fmt.NONE

    shown: list[Column[Probe]] = [
        words("runtime", "runtime", lambda probe: probe[0]),
        words("stage", "stage", lambda probe: STAGE_TITLES[probe[1]]),
        *(_copies(session) for session in results.latency.sessions if session.threads == results.latency.threads),
        Column("mde", None, "MDE", resolution),
    ]
    runtimes = (*results.timed, *results.timed_int8)
    return printed(shown, [(runtime, stage) for runtime in runtimes for stage in stages(results, runtime)])


def _copies(session: LatencySession) -> Column[Probe]:
    def text(probe: Probe) -> str:
        return fmt.change(session.copies.get(" ".join(probe)))

    return Column(f"session_{session.number}", None, f"session {session.number}", text)


def as_markdown(results: Results) -> str:
    """Return tables/latency.md."""
    return page(
        "latency.md.j2",
        title=results.plan.title,
        restrictions=[*text.about(results, "not_comparable"), *text.not_timed(results.latency)],
        runtimes=[_runtime(results, runtime) for runtime in results.timed],
        runtimes_int8=[_runtime(results, runtime) for runtime in results.timed_int8],
        quantised=quantised(results),
        noise=noise(results),
        resolution=text.about(results, "resolution"),
        sessions=sessions(results),
        notes=text.timing_notes(results.latency),
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
        if row.verdict in UNJUDGED
    ]
    without = grouped(rows, lambda pair: (pair[1].verdict, text.time_reason(pair[1])))
    return sentences("text/no_verdict.j2", without={key: [name for name, _ in rows] for key, rows in without.items()})


def legend(results: Results) -> list[str]:
    """Return how to read the tables."""
    record = results.latency
    others = sorted({row.threads for row in record.rows if row.threads != record.threads})
    return sentences("text/latency.j2", other_threads=[*map(str, others)], **text.values(results))
