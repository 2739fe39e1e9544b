"""Numbers and sentences, made one way for the tables, the figures and the paper."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable
from typing import Any

from mnv4bench.plan import Plan
from mnv4bench.report.collect import QUANTISED, ArmResult, Results
from mnv4bench.report.compare import Difference

NONE = "–"
STATES = {"diverged": "diverged", "out_of_memory": "out of memory", "failed": "failed", "done": "done"}
READS = {"nms": "NMS", "nms_free": "NMS-free"}
SOURCES = {"yolov10": "YOLOv10 (arXiv 2405.14458)", "mobilenetv4": "MobileNetV4 (arXiv 2404.10518)"}
CLAIMS = {
    "AP": ("AP", 1, " AP points"),
    "params_M": ("parameters", 2, " M parameters"),
    "flops_G": ("FLOPs", 2, " GFLOPs"),
    "latency_ms": ("latency", 2, " ms"),
    "top1": ("top-1", 1, " points of ImageNet top-1"),
}
"""Published quantity → its name, decimals and unit; AP and top-1 in points of 100, as the papers print them."""
PLACE = ("paper", "table", "row", "arm", "note")
"""What else a published claim may say: where it stands, the arm that it is about, a remark."""


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
    """Return what every arm starts from, and what that makes the differences mean."""
    trunk = plan.preset.trunk
    if trunk is None:
        return "Every arm was trained from scratch with the same recipe, which is the protocol of the papers."
    return (
        f"Every arm started from one trained trunk, with {join(trunk.fresh)} fresh from the seed in every arm. The "
        "differences are therefore marginal effects of a part in an already trained network, not the from-scratch "
        "effects of the papers."
    )


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


def not_timed(results: Results) -> list[str]:
    """Return a sentence for each arm or runtime that was not timed."""
    return [f"Not timed: {name} ({why.rstrip('.')})." for name, why in sorted(results.latency.absent.items())]


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


def published_claim(published: dict[str, Any]) -> str | None:
    """Return the source's claim in words, with its place; None where the ablation names none."""
    if not published:
        return None
    source = SOURCES.get(str(published.get("paper")), str(published.get("paper", "source not named")))
    place = source + (f", Table {published['table']}" if "table" in published else "")
    place += f", row “{published['row']}”" if "row" in published else ""
    known = [f"{_claim(key, published[key])}{CLAIMS[key][2]}" for key in CLAIMS if key in published]
    rest = [f"{key} {published[key]}" for key in published if key not in {*CLAIMS, *PLACE}]
    note = f" ({published['note']})" if "note" in published else ""
    return f"{place}: {', '.join([*known, *rest]) or 'no number given'}{note}"


def _claim(key: str, value: Any) -> str:
    return number(float(value), CLAIMS[key][1], sign=True) if isinstance(value, int | float) else str(value)


def measured_beside(published: dict[str, Any], arm: ArmResult, baseline: ArmResult) -> str:
    """Return this preset's change in the quantities that the source gives, in the source's units."""
    parts = []
    d = arm.difference
    if "AP" in published:
        points = d.mean * 100 if d is not None and d.mean is not None else None
        parts.append(f"{number(points, 2, sign=True)} AP points")
    if arm.cost is not None and baseline.cost is not None:
        if "params_M" in published:
            change = (arm.cost.params - baseline.cost.params) / 1e6
            parts.append(f"{number(change, 3, sign=True)} M parameters")
        if "flops_G" in published:
            change = (arm.cost.conv_flops - baseline.cost.conv_flops) / 1e9
            parts.append(f"{number(change, 3, sign=True)} GFLOPs")
    if "latency_ms" in published:
        parts += [f"{number(change, 2, sign=True)} ms ({runtime})" for runtime, change in _times(arm, baseline).items()]
    if "top1" in published:
        parts.append("ImageNet top-1 is not measured here")
    return ", ".join(parts) or "nothing comparable"


def _times(arm: ArmResult, baseline: ArmResult) -> dict[str, float]:
    """Return runtime → change of the end-to-end time in ms: the paired ratio's, at the baseline's median."""
    found = {}
    for runtime in arm.latency:
        row, base = arm.row(runtime), baseline.row(runtime)
        if not runtime.endswith(QUANTISED) and row is not None and row.ratio is not None and base is not None:
            found[runtime] = (row.ratio - 1) * base.p50_ms
    return found


def claimed_arms(published: dict[str, Any], arms: tuple[ArmResult, ...]) -> list[ArmResult]:
    """Return the arms that the source's claim is set beside: the one that it names, else all but the baseline."""
    named = [arm for arm in arms if arm.arm.name == published.get("arm")]
    return named or [arm for arm in arms if not arm.is_baseline]


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
