"""Numbers and sentences, made one way for the tables, the figures and the paper."""

from __future__ import annotations

import math
from collections.abc import Iterable

from mnv4bench.report import formatting as fmt
from mnv4bench.report.results import ArmResult, Results
from mnv4bench.results.comparison import Difference
from mnv4bench.results.latency import Latency
from mnv4bench.spec.plan import Plan

STATES = {"diverged": "diverged", "out_of_memory": "out of memory", "failed": "failed", "done": "done"}
READS = {"nms": "NMS", "nms_free": "NMS-free"}


def decimals_for(differences: Iterable[Difference | None]) -> int:
    """Return 3 or 4: as many decimals of AP as the narrowest interval carries to two digits."""
    halves = [(d.high - d.low) / 2 for d in differences if d is not None and d.high is not None and d.low is not None]
    positive = [half for half in halves if half > 0]
    if not positive:
        return 3
    return min(4, max(3, 1 - math.floor(math.log10(min(positive)))))


def interval(difference: Difference | None, decimals: int) -> str:
    """Return "+0.0012 [−0.0031, +0.0055]", or an en dash."""
    if difference is None or difference.mean is None:
        return fmt.NONE
    mean = fmt.number(difference.mean, decimals, sign=True)
    if difference.low is None or difference.high is None:
        return mean
    low, high = (fmt.number(bound, decimals, sign=True) for bound in (difference.low, difference.high))
    return f"{mean} [{low}, {high}]"


def seed_cells(arm: ArmResult, decimals: int) -> list[str]:
    """Return each seed's AP, or the state that it ended in."""
    return [
        fmt.number(result.score("AP"), decimals) if result.state == "done" else STATES[result.state]
        for result in arm.seeds
    ]


def mean_cell(arm: ArmResult, decimals: int) -> str:
    """Return the mean AP; where no seed has one, the states."""
    if arm.done:
        return fmt.number(arm.mean("AP"), decimals)
    return ", ".join(dict.fromkeys(STATES[result.state] for result in arm.seeds))


def protocol(plan: Plan) -> str:
    """Return what the arms start from, and what that makes the differences mean."""
    trunk, scratch = plan.preset.trunk, from_scratch(plan)
    if trunk is None or len(scratch) == len(plan.ablations):
        return "Every arm was trained from scratch with the same recipe, which is the protocol of the papers."
    others = {name: spec.fresh for name, spec in plan.ablations.items() if spec.fresh and name not in scratch}
    but = "; ".join(f"in {name} {fmt.join(fresh)}" for name, fresh in others.items())
    who = f"Every arm of {fmt.join(scratch)} was trained from scratch. Every other arm" if scratch else "Every arm"
    return (
        f"{who} started from one trained trunk, with {fmt.join(trunk.fresh)} fresh from the seed in every arm"
        f"{f' ({but})' if but else ''}. {'Their' if scratch else 'The'} differences are therefore marginal effects of "
        "a part in an already trained network, not the from-scratch effects of the papers."
    )


def from_scratch(plan: Plan) -> list[str]:
    """Return the ablations that are trained from scratch although others start from the preset's trunk."""
    return [name for name, spec in plan.ablations.items() if spec.start == "scratch" and plan.preset.trunk is not None]


def uncertainty(results: Results) -> str:
    """Return what the intervals hold."""
    level = fmt.percent(results.comparison.level)
    if len(results.plan.preset.seeds) == 1:
        return f"Intervals are {level} and hold image noise only: there is one seed, so seed noise is unknown."
    return f"Intervals are {level} and join the variance over seeds with that over resampled validation images."


def not_comparable(results: Results) -> list[str]:
    """Return the sentence that marks times from a busy machine; none where it was quiet."""
    if results.latency.comparable:
        return []
    busiest = max((session.busy_before for session in results.latency.sessions), default=None)
    cores = "" if busiest is None else f" ({fmt.number(busiest, 2)} cores at work for others)"
    return [f"The machine was busy when a session began{cores}: the times are shown, and not to be compared."]


def not_timed(times: Latency) -> list[str]:
    """Return the sentence that names the arms and runtimes that were not timed; none where all were."""
    absent = [f"{name} ({why.rstrip('.')})" for name, why in sorted(times.absent.items())]
    return [f"Not timed: {fmt.join(absent)}."] if absent else []


def arm_notes(arm: ArmResult, planned_seeds: int) -> list[str]:
    """Return what must be said under a table about this arm."""
    ended: dict[str, list[str]] = {}
    for result in arm.seeds:
        if result.state != "done":
            why = f": {result.reason.strip().rstrip('.')}" if result.reason else ""
            ended.setdefault(f"{STATES[result.state]}{why}", []).append(str(result.seed))
    notes = [f"seed{'s' * (len(seeds) > 1)} {fmt.join(seeds)} {how}." for how, seeds in ended.items()]
    d = arm.difference
    if d is None:
        return notes
    if not d.seeds:
        notes.append("no seed was scored both here and in the baseline, so there is no difference.")
    elif len(d.seeds) == 1:
        notes.append("1 seed: image noise only.")
    elif len(d.seeds) < planned_seeds:
        notes.append(f"difference over seeds {fmt.join(map(str, d.seeds))} alone.")
    return notes
