"""Latency as people read it: per runtime the times and the paired ratios, then how quiet the machine was."""

from __future__ import annotations

from mnv4bench.report import formatting as fmt
from mnv4bench.report import text, timing
from mnv4bench.report.results import ArmResult, Results
from mnv4bench.report.tables import markdown
from mnv4bench.report.tables.cells import Table, table
from mnv4bench.report.tables.raw import STAGES
from mnv4bench.results.latency import LatencySession, Stage

TITLES: dict[Stage, str] = {
    "forward": "forward",
    "post": "post",
    "end_to_end": "end to end",
    "in_graph": "in graph",
}


def stages(results: Results, runtime: str) -> tuple[Stage, ...]:
    """Return the stages that some arm was timed at."""
    return tuple(stage for stage in STAGES if any(arm.row(runtime, stage) for arm in results.arms))


def _measured(results: Results, runtime: str) -> list[ArmResult]:
    return [arm for arm in results.arms if arm.latency.get(runtime)]


def _name(arm: ArmResult) -> tuple[str, str]:
    return arm.arm.ablation, arm.arm.name + (" (baseline)" if arm.is_baseline else "")


def times(results: Results, runtime: str) -> Table:
    """Return each arm's median times in milliseconds, one column per stage, and the end-to-end minimum and p90."""
    shown = stages(results, runtime)
    rows = []
    for arm in _measured(results, runtime):
        whole = arm.row(runtime)
        rows.append(
            (
                *_name(arm),
                *(timing.milliseconds(arm.row(runtime, stage)) for stage in shown),
                fmt.significant(whole.min_ms if whole else None),
                fmt.significant(whole.p90_ms if whole else None),
                fmt.share(whole.spread) if whole else fmt.NONE,
            )
        )
    header = ("ablation", "arm", *(f"{TITLES[stage]} (ms)" for stage in shown), "min (ms)", "p90 (ms)", "spread")
    return table(header, "ll" + "r" * (len(shown) + 3), rows)


def ratios(results: Results, runtime: str) -> Table:
    """Return each arm's times over its ablation's baseline's, with interval and verdict, one column per stage."""
    shown = stages(results, runtime)
    rows = [
        (arm.arm.ablation, arm.arm.name, *(timing.ratio_and_verdict(arm.row(runtime, stage)) for stage in shown))
        for arm in _measured(results, runtime)
        if not arm.is_baseline
    ]
    header = ("ablation", "arm", *(TITLES[stage] for stage in shown))
    return table(header, "ll" + "l" * len(shown), rows)


def quantised(results: Results) -> Table:
    """Return what the int8 runtimes do to AP, beside the time that they take: one row per arm and runtime."""
    rows = []
    for runtime in results.timed_int8:
        for arm in _measured(results, runtime):
            found = arm.quantised.get(runtime)
            ap, whole = (found.AP, found.AP_float) if found else (None, None)
            change = None if ap is None or whole is None else ap - whole
            rows.append(
                (
                    runtime,
                    *_name(arm),
                    fmt.number(whole, 3),
                    fmt.number(ap, 3),
                    fmt.number(change, 3, sign=True),
                    timing.milliseconds(arm.row(runtime)),
                    timing.ratio_and_verdict(arm.row(runtime)),
                )
            )
    header = ("runtime", "ablation", "arm", "AP float32", "AP int8", "change", "ms", "× base")
    return table(header, "lllrrrrl", rows)


def sessions(results: Results) -> Table:
    """Return what disturbed each session."""
    rows = [_session(session) for session in results.latency.sessions]
    header = ("session", "threads", "seconds", "busy before", "busy during", "switches", "canary", "contaminated")
    return table(header, "rrrrrrrl", rows)


def _session(session: LatencySession) -> tuple[str, ...]:
    switches = session.involuntary_switches
    return (
        str(session.number),
        str(session.threads),
        fmt.number(session.seconds, 0),
        fmt.number(session.busy_before, 2),
        fmt.number(session.busy_during, 2),
        fmt.NONE if switches is None else str(switches),
        fmt.NONE if session.canary_drift is None else fmt.share(session.canary_drift),
        "; ".join(session.contaminated) or "no",
    )


def noise(results: Results) -> Table:
    """Return by how much two copies of one network differed in each session, and the MDE that follows."""
    shown = [session for session in results.latency.sessions if session.threads == results.latency.threads]
    rows = []
    for runtime in (*results.timed, *results.timed_int8):
        for stage in stages(results, runtime):
            known = [row.resolution for arm in results.arms if (row := arm.row(runtime, stage)) and row.resolution]
            copies = (fmt.change(session.copies.get(f"{runtime} {stage}")) for session in shown)
            rows.append((runtime, TITLES[stage], *copies, fmt.share(max(known)) if known else fmt.NONE))
    header = ("runtime", "stage", *(f"session {session.number}" for session in shown), "MDE")
    return table(header, "ll" + "r" * (len(shown) + 1), rows)


def document(results: Results) -> str:
    """Return tables/latency.md."""
    record = results.latency
    parts = [f"# {markdown.escape(results.plan.title)}: latency"]
    parts += [markdown.bullets([*text.not_comparable(results), *text.not_timed(results.latency)])]
    for runtime in results.timed:
        parts += [f"## {markdown.escape(runtime)}", *_runtime(results, runtime)]
    if results.timed_int8:
        parts += ["## Eight-bit integers", markdown.table(quantised(results))]
        for runtime in results.timed_int8:
            parts += [f"### {markdown.escape(runtime)}", *_runtime(results, runtime)]
    parts += [
        "## Noise",
        "Time of the reference's second copy over its first, minus 1:",
        markdown.table(noise(results)),
    ]
    parts += [markdown.bullets(text.resolution(results)), markdown.table(sessions(results))]
    parts += [markdown.bullets(record.notes), "## How to read", markdown.bullets(legend(results))]
    return markdown.document(parts)


def _runtime(results: Results, runtime: str) -> list[str]:
    return [
        "Milliseconds per image:",
        markdown.table(times(results, runtime)),
        "Over the ablation's baseline:",
        markdown.table(ratios(results, runtime)),
        markdown.bullets(reasons(results, runtime)),
    ]


def reasons(results: Results, runtime: str) -> list[str]:
    """Return why there is no verdict where there is none, each reason once."""
    found: dict[str, list[str]] = {}
    for arm in _measured(results, runtime):
        for stage, row in arm.latency[runtime].items():
            if row.verdict in ("unstable", "suppressed"):
                why = f"{fmt.capital(row.verdict)}: {(row.reason or 'no reason given').rstrip('.')}"
                found.setdefault(why, []).append(f"{arm.arm.label} {TITLES[stage]}")
    return [f"{why} ({', '.join(cells)})." for why, cells in found.items()]


def legend(results: Results) -> list[str]:
    """Return how to read the tables."""
    record = results.latency
    others = sorted({str(row.threads) for row in record.rows if row.threads != record.threads})
    return [
        f"One image at a time, {fmt.count(record.threads, 'thread')}, {fmt.count(record.images, 'image')}. Times "
        "are medians, printed to the first digit of half the interquartile range; p90 is not exceeded by nine of ten "
        "timed blocks, at 99 % confidence; spread is the interquartile range of the rounds over their median.",
        "Forward is the network, post turns its output into detections, end to end is both; in graph is end to end "
        "with suppression inside the runtime's graph.",
        "A ratio is the median over rounds of the arm's time over the baseline's in the same round, with its "
        "95 % interval.",
        *text.spelled(text.time_legend()),
        "Busy is the number of cores at work for others; switches counts how often the process was put aside; canary "
        "is the drift of a fixed piece of work. Contaminated sessions keep their times and take no part in verdicts.",
        *([f"latency.csv has the times with {fmt.join(others)} threads as well."] if others else []),
        *([_int8(results)] if results.timed_int8 else []),
    ]


def _int8(results: Results) -> str:
    return (
        f"{fmt.join(results.timed_int8)} compute in eight-bit integers and so detect something else: their AP, of "
        "the weights that were timed, stands beside that of the same weights in float32."
    )
