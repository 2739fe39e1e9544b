"""What tables, README and paper say alike: sentences of templates/text/, with the values that they need.

Nothing here chooses words; edit the template of the same name.
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean
from typing import Any

from mnv4bench.latency.analyse.estimates import LEVEL
from mnv4bench.latency.analyse.noise import DRIFT, SMALLEST
from mnv4bench.latency.analyse.notes import WIDE
from mnv4bench.report import accuracy, timing
from mnv4bench.report import formatting as fmt
from mnv4bench.report.rendering import render, sentences
from mnv4bench.report.results import ArmResult, Results, grouped
from mnv4bench.results.comparison import Difference
from mnv4bench.results.latency import Latency, LatencyRow, LatencySession
from mnv4bench.spec.plan import Plan
from mnv4bench.statistics import replication


def about(results: Results, template: str) -> list[str]:
    """Return what a template of text/ says of a preset's results, one that needs nothing else."""
    return sentences(f"text/{template}.j2", **values(results))


def values(results: Results) -> dict[str, Any]:
    """Return what the templates of text/ may name."""
    plan, latency = results.plan, results.latency
    changes = timing.resolutions(results, (*results.timed, *results.timed_int8))
    told = [runtime for runtime, change in changes.items() if change <= 1]
    return {
        **_of_plan(plan),
        "seeds": plan.preset.seeds,
        "comparison": results.comparison,
        "effects": list(dict.fromkeys(fmt.points(spec.smallest_effect) for spec in plan.ablations.values())),
        "imgsz": results.cost.imgsz,
        "latency": latency,
        "time_level": LEVEL,
        "absent": _by_reason(latency),
        "busiest": max((session.busy_before for session in latency.sessions), default=None),
        "int8": results.timed_int8,
        "resolutions": grouped(told, lambda runtime: fmt.share(changes[runtime])),
        "untold": [runtime for runtime in changes if runtime not in told],
        "smallest": SMALLEST,
    }


def _of_plan(plan: Plan) -> dict[str, Any]:
    given = started_elsewhere(plan)
    fresh = {name: spec.fresh for name, spec in plan.ablations.items() if spec.start == "trunk" and name not in given}
    return {
        "plan": plan,
        "trunks": [trunk.block for trunk in plan.trunks],
        "scratch": from_scratch(plan),
        "fresh": fresh,
        # Attention is the only part that a network may lack.
        "bare": [
            n for n, parts in fresh.items() if parts == ("attention",) and plan.baseline(n).model.attention == "none"
        ],
        "given": given,
        "origins": sorted({trunk.spec.pretrained.file for trunk in plan.trunks if trunk.spec.pretrained}),
    }


def started_elsewhere(plan: Plan) -> dict[str, list[str]]:
    """Return ablation → the files that its arms start from, of those that start from a `start: FILE`."""
    found = {name: [plan.spec(arm).pretrained for arm in plan.arms_of(name)] for name in plan.ablations}
    return {name: sorted({given.file for given in files if given}) for name, files in found.items() if any(files)}


def from_scratch(plan: Plan) -> list[str]:
    """Return the ablations that are trained from scratch although others start from the preset's trunk."""
    return [name for name, spec in plan.ablations.items() if spec.start == "scratch" and plan.preset.trunk is not None]


def commits(results: Results) -> str:
    """Return at which commits the trainings ran, as a clause; empty where nothing was trained."""
    return render("text/commits.j2", commits=results.commits)


def protocol(plan: Plan) -> str:
    """Return what the arms start from, and what that makes the differences mean."""
    return render("text/protocol.j2", **_of_plan(plan))


def accuracy_legend(results: Results) -> dict[str, str]:
    """Return verdict → what it means of AP."""
    return _terms(about(results, "verdicts"))


def time_legend() -> dict[str, str]:
    """Return verdict → what it means of time."""
    return _terms(sentences("text/time_verdicts.j2", smallest=SMALLEST))


def _terms(lines: Iterable[str]) -> dict[str, str]:
    """Return term → meaning from lines "term: meaning"."""
    return dict(line.split(": ", 1) for line in lines)


def not_timed(times: Latency) -> list[str]:
    """Return the sentence that names the arms and runtimes that were not timed; none where all were."""
    return sentences("text/not_timed.j2", absent=_by_reason(times))


def _by_reason(times: Latency) -> dict[str, list[str]]:
    reasons = absences(times)
    return grouped(reasons, reasons.__getitem__)


def absences(times: Latency) -> dict[str, str]:
    """Return arm, runtime or both → why it was not timed, as a clause."""
    reasons = {absence.name: render("text/absence.j2", absence=absence) for absence in times.absent}
    return dict(sorted(reasons.items()))


def disturbances(session: LatencySession) -> list[str]:
    """Return why times of a session take no part in ratios, a clause each."""
    return sentences("text/disturbances.j2", disturbances=session.contaminated, drift=DRIFT)


def time_reason(row: LatencyRow) -> str:
    """Return why a ratio of times has no verdict, as a clause."""
    return render("text/time_reason.j2", reason=row.reason, drift=DRIFT)


def timing_notes(times: Latency, direct: bool = False) -> list[str]:
    """Return what a reader should know before trusting the times.

    Args:
        direct: whether `mnv4bench latency` prints it, so that its options are named and not a preset's keys.
    """
    return sentences(
        "text/timing_notes.j2",
        sessions=times.sessions,
        notes=times.notes,
        drift=DRIFT,
        smallest=SMALLEST,
        wide=WIDE,
        direct=direct,
    )


def reason(d: Difference, results: Results, decimals: int) -> str:
    """Return the verdict on AP and what it rests on, as a clause."""
    return render(
        "text/reason.j2",
        d=d,
        comparison=results.comparison,
        title=results.plan.ablations[d.ablation].title_of,
        decimals=decimals,
        verdict=accuracy.verdict(d),
        p=accuracy.p_value(d),
    )


def opposed(arm: ArmResult, results: Results, decimals: int) -> str:
    """Return that the mean of an arm's difference hides opposite effects of its trunks; empty where it does not."""
    d, plan = arm.difference, results.plan
    groups = replication.by_trunk(plan, arm.arm, d.seeds) if d else {}
    if not replication.opposed(groups, results.comparison.level):
        return ""
    teacher = plan.spec(arm.arm).teacher
    start = plan.runs[teacher].start if teacher else None
    return render(
        "text/opposed.j2",
        groups={name: (fmean(values), len(values)) for name, values in groups.items()},
        decimals=decimals,
        teacher=next((trunk.block for trunk in plan.trunks if trunk.name == start), None),
    )


def arm_notes(arm: ArmResult, results: Results, decimals: int) -> list[str]:
    """Return what must be said under a table about this arm."""
    why = reason(arm.difference, results, decimals) if arm.difference else ""
    seeds = _seeds(arm, results)
    return sentences(
        "text/arm_notes.j2", reason=why, opposed=opposed(arm, results, decimals), decimals=decimals, **seeds
    )


def ended(arm: ArmResult, results: Results) -> list[str]:
    """Return how its seeds ended, where not well, and over which of them the difference is."""
    return sentences("text/ended.j2", **_seeds(arm, results))


def _seeds(arm: ArmResult, results: Results) -> dict[str, Any]:
    badly = (result for result in arm.seeds if result.state != "done")
    return {
        "ended": grouped(badly, lambda result: (result.state, result.reason)),
        "d": arm.difference,
        "planned_seeds": len(results.plan.preset.seeds),
        "published": arm.arm.published,
    }
