"""Numbers and sentences, made one way for the tables, the figures and the paper."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from mnv4bench.report.results import ArmResult, Results
from mnv4bench.results.comparison import Difference
from mnv4bench.results.latency import Latency
from mnv4bench.spec.plan import Plan

NONE = "–"
STATES = {"diverged": "diverged", "out_of_memory": "out of memory", "failed": "failed", "done": "done"}
READS = {"nms": "NMS", "nms_free": "NMS-free"}


def number(value: float | None, decimals: int, sign: bool = False) -> str:
    """Return `value` rounded, with a true minus sign; an en dash where there is none."""
    if value is None or not math.isfinite(value):
        return NONE
    rounded = round(value, decimals) + 0.0
    text = f"{abs(rounded):.{decimals}f}"
    if rounded < 0:
        return f"−{text}"
    return f"+{text}" if sign and rounded > 0 else text


def significant(value: float | None, digits: int = 3) -> str:
    """Return `value` with so many significant digits, never in exponent form."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    return number(value, max(0, digits - 1 - math.floor(math.log10(abs(value)))))


def decimals_for(differences: Iterable[Difference | None]) -> int:
    """Return 3 or 4: as many decimals of AP as the narrowest interval carries to two digits."""
    halves = [(d.high - d.low) / 2 for d in differences if d is not None and d.high is not None and d.low is not None]
    positive = [half for half in halves if half > 0]
    if not positive:
        return 3
    return min(4, max(3, 1 - math.floor(math.log10(min(positive)))))


def join(words: Iterable[str]) -> str:
    """Return "a, b and c"."""
    items = list(words)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def settings(overrides: Mapping[str, Any]) -> str:
    """Return "model.block = c2fcib, model.block_stages = p5_out + p4_out"; empty where nothing is set."""
    return ", ".join(f"{key} = {setting(value)}" for key, value in overrides.items())


def setting(value: Any) -> str:
    """Return a setting's value as a reader takes it: "p5_out + p4_out", "false", "none"."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return " + ".join(f"{name}: {setting(part)}" for name, part in value.items())
    return " + ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def interval(difference: Difference | None, decimals: int) -> str:
    """Return "+0.0012 [−0.0031, +0.0055]", or an en dash."""
    if difference is None or difference.mean is None:
        return NONE
    mean = number(difference.mean, decimals, sign=True)
    if difference.low is None or difference.high is None:
        return mean
    return f"{mean} [{number(difference.low, decimals, sign=True)}, {number(difference.high, decimals, sign=True)}]"


def seed_cells(arm: ArmResult, decimals: int) -> list[str]:
    """Return each seed's AP, or the state that it ended in."""
    return [
        number(result.score("AP"), decimals) if result.state == "done" else STATES[result.state] for result in arm.seeds
    ]


def mean_cell(arm: ArmResult, decimals: int) -> str:
    """Return the mean AP; where no seed has one, the states."""
    if arm.done:
        return number(arm.mean("AP"), decimals)
    return ", ".join(dict.fromkeys(STATES[result.state] for result in arm.seeds))


def protocol(plan: Plan) -> str:
    """Return what the arms start from, and what that makes the differences mean."""
    trunk, scratch = plan.preset.trunk, from_scratch(plan)
    if trunk is None or len(scratch) == len(plan.ablations):
        return "Every arm was trained from scratch with the same recipe, which is the protocol of the papers."
    others = {name: spec.fresh for name, spec in plan.ablations.items() if spec.fresh and name not in scratch}
    but = "; ".join(f"in {name} {join(fresh)}" for name, fresh in others.items())
    who = f"Every arm of {join(scratch)} was trained from scratch. Every other arm" if scratch else "Every arm"
    return (
        f"{who} started from one trained trunk, with {join(trunk.fresh)} fresh from the seed in every arm"
        f"{f' ({but})' if but else ''}. {'Their' if scratch else 'The'} differences are therefore marginal effects of "
        "a part in an already trained network, not the from-scratch effects of the papers."
    )


def from_scratch(plan: Plan) -> list[str]:
    """Return the ablations that are trained from scratch although others start from the preset's trunk."""
    return [name for name, spec in plan.ablations.items() if spec.start == "scratch" and plan.preset.trunk is not None]


def uncertainty(results: Results) -> str:
    """Return what the intervals hold."""
    level = percent(results.comparison.level)
    if len(results.plan.preset.seeds) == 1:
        return f"Intervals are {level} and hold image noise only: there is one seed, so seed noise is unknown."
    return f"Intervals are {level} and join the variance over seeds with that over resampled validation images."


def not_comparable(results: Results) -> list[str]:
    """Return the sentence that marks times from a busy machine; none where it was quiet."""
    if results.latency.comparable:
        return []
    busiest = max((session.busy_before for session in results.latency.sessions), default=None)
    cores = "" if busiest is None else f" ({number(busiest, 2)} cores at work for others)"
    return [f"The machine was busy when a session began{cores}: the times are shown, and not to be compared."]


def not_timed(times: Latency) -> list[str]:
    """Return the sentence that names the arms and runtimes that were not timed; none where all were."""
    absent = [f"{name} ({why.rstrip('.')})" for name, why in sorted(times.absent.items())]
    return [f"Not timed: {join(absent)}."] if absent else []


def arm_notes(arm: ArmResult, planned_seeds: int) -> list[str]:
    """Return what must be said under a table about this arm."""
    ended: dict[str, list[str]] = {}
    for result in arm.seeds:
        if result.state != "done":
            why = f": {result.reason.strip().rstrip('.')}" if result.reason else ""
            ended.setdefault(f"{STATES[result.state]}{why}", []).append(str(result.seed))
    notes = [f"seed{'s' * (len(seeds) > 1)} {join(seeds)} {how}." for how, seeds in ended.items()]
    d = arm.difference
    if d is None:
        return notes
    if not d.seeds:
        notes.append("no seed was scored both here and in the baseline, so there is no difference.")
    elif len(d.seeds) == 1:
        notes.append("1 seed: image noise only.")
    elif len(d.seeds) < planned_seeds:
        notes.append(f"difference over seeds {join(map(str, d.seeds))} alone.")
    return notes


def wrapped(text: str, width: int) -> str:
    """Return `text` in lines of at most `width` characters."""
    return "\n".join(textwrap.wrap(text, width))


def percent(share: float) -> str:
    """Return 0.95 as "95 %"."""
    return f"{plain(share * 100)}\N{NO-BREAK SPACE}%"


def change(value: float | None, decimals: int = 1) -> str:
    """Return 0.0213 as "+2.1 %"."""
    return NONE if value is None else f"{number(value * 100, decimals, sign=True)}\N{NO-BREAK SPACE}%"


def share(value: float, digits: int = 2) -> str:
    """Return 0.0213 as "2.1 %", 0.02 as "2 %"."""
    text = significant(value * 100, digits)
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}\N{NO-BREAK SPACE}%"


def decimals_of(half: float, least: int, most: int) -> int:
    """Return how many decimals a number known to ±`half` carries: down to the first digit of `half`."""
    return most if half <= 0 else min(most, max(least, -math.floor(math.log10(half))))


def plain(value: float) -> str:
    """Return a setting as a person would type it: no exponent, no trailing zeros."""
    return f"{value:.12f}".rstrip("0").rstrip(".")


def ratio(value: float) -> str:
    """Return "0.934 ×"."""
    return f"{number(value, 3)}\N{NO-BREAK SPACE}×"
