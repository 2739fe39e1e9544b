"""Verdicts in words. They are taken from compare.json and latency.json; nothing is judged here."""

from __future__ import annotations

import math

from mnv4bench.latency.analyse.noise import SMALLEST
from mnv4bench.report import formatting as fmt
from mnv4bench.report.results import Results
from mnv4bench.results.comparison import Comparison, Difference
from mnv4bench.results.latency import LatencyRow

STRONG = ("better", "worse")
"""The only verdicts that are set in bold."""


def strong(d: Difference | None) -> bool:
    return d is not None and d.verdict in STRONG


def verdict(d: Difference | None) -> str:
    """Return the verdict on AP in a word or two, or an en dash."""
    if d is None or d.verdict is None:
        return fmt.NONE
    return f"untestable at {fmt.count(len(d.seeds), 'seed')}" if d.verdict == "untestable" else d.verdict


def agreement(d: Difference | None) -> str:
    """Return how many seeds have the mean's sign, and which: "3/3 up"."""
    if d is None or d.mean is None:
        return fmt.NONE
    way = " up" if d.mean > 0 else " down" if d.mean < 0 else ""
    return f"{d.agreeing}/{len(d.seeds)}{way}"


def seed_error(d: Difference | None) -> float | None:
    """Return the standard error over seeds alone: would another training agree?"""
    return None if d is None or d.seed_sd is None else d.seed_sd / math.sqrt(len(d.seeds))


def p_value(d: Difference | None) -> str:
    """Return p after Holm's adjustment; where no p of so few seeds could pass, that."""
    if d is None or d.mean is None:
        return fmt.NONE
    if d.p_holm is None:
        return f"untestable at {fmt.count(len(d.seeds), 'seed')}"
    return "<0.001" if d.p_holm < 0.001 else fmt.number(d.p_holm, 3)


def reason(d: Difference, comparison: Comparison, decimals: int) -> str:
    """Return the verdict and what it rests on, as a clause."""
    matters = f"±{fmt.plain(d.smallest_effect)}, the smallest effect declared to matter"
    family = f"Holm's adjustment for {fmt.count(comparison.family, 'comparison')}"
    says = {
        "better": f"the interval excludes zero, p is {p_value(d)} after {family}, and the mean reaches {matters}",
        "worse": f"the interval excludes zero, p is {p_value(d)} after {family}, and the mean reaches {matters}",
        "tiny": f"the interval excludes zero, and the mean stays within {matters}",
        "equivalent": f"the {fmt.percent(1 - 2 * comparison.alpha)} interval{_bounds(d, decimals)} lies within "
        f"{matters}",
        "inconclusive": f"neither a difference nor equivalence is shown{_detectable(d, comparison, decimals)}",
        "untestable": f"the interval excludes zero and the mean reaches {matters}, but so few seeds cannot pass the "
        f"sign-flip test at {fmt.plain(comparison.alpha)} after {family}",
    }
    if d.verdict is None:
        return "no verdict was given"
    if d.verdict == "untestable" and len(d.seeds) == 1:
        return f"{verdict(d)}: how far another training would differ is unknown"
    return f"{verdict(d)}: {says[d.verdict]}"


def _bounds(d: Difference, decimals: int) -> str:
    if d.equivalence_low is None or d.equivalence_high is None:
        return ""
    low, high = (fmt.number(bound, decimals, sign=True) for bound in (d.equivalence_low, d.equivalence_high))
    return f", {low} to {high},"


def _detectable(d: Difference, comparison: Comparison, decimals: int) -> str:
    if d.mde is None:
        return ""
    mde = fmt.number(d.mde, decimals)
    return f"; the interval would exclude zero with {fmt.percent(comparison.power)} power at a difference of {mde}"


def speed(row: LatencyRow | None) -> str:
    """Return the verdict on time in a word or two, or an en dash."""
    if row is None or row.verdict is None:
        return fmt.NONE
    if row.verdict == "identical":
        return "identical network"
    if row.verdict in ("same", "unresolved") and row.resolution is not None:
        return f"{row.verdict} (MDE {fmt.share(row.resolution)})"
    return row.verdict


def ratio(row: LatencyRow | None) -> str:
    """Return "0.934 [0.921, 0.947]", with as many decimals as the interval's half-width carries."""
    if row is None or row.ratio is None:
        return fmt.NONE
    if row.ratio_low is None or row.ratio_high is None:
        return fmt.number(row.ratio, 2)
    decimals = fmt.decimals_of((row.ratio_high - row.ratio_low) / 2, 2, 4)
    low, middle, high = (fmt.number(value, decimals) for value in (row.ratio_low, row.ratio, row.ratio_high))
    return f"{middle} [{low}, {high}]"


def ratio_and_speed(row: LatencyRow | None) -> str:
    """Return ratio and verdict for one cell; two arms that deploy one network have no ratio worth a number."""
    if row is None or row.verdict == "identical" or row.ratio is None:
        return speed(row)
    return f"{ratio(row)} {speed(row)}"


def milliseconds(row: LatencyRow | None) -> str:
    """Return the median time down to the first digit of half its interquartile range: two to four digits."""
    if row is None:
        return fmt.NONE
    if row.p50_ms <= 0:
        return fmt.significant(row.p50_ms)
    first = -math.floor(math.log10(row.p50_ms))
    decimals = fmt.decimals_of(row.p50_ms * row.spread / 2, max(0, first + 1), max(0, first + 3))
    return fmt.number(row.p50_ms, decimals)


def accuracy_legend(results: Results) -> dict[str, str]:
    """Return word → what it means of AP, a sentence each."""
    c = results.comparison
    level, within = fmt.percent(c.level), fmt.percent(1 - 2 * c.alpha)
    effects = dict.fromkeys(fmt.plain(spec.smallest_effect) for spec in results.plan.ablations.values())
    return {
        "better, worse": f"the {level} interval of ΔAP excludes zero, the exact sign-flip test over seeds passes at "
        f"{fmt.plain(c.alpha)} after Holm's adjustment for {fmt.count(c.family, 'declared comparison')}, and the "
        f"mean reaches the smallest effect that the ablation declares ({fmt.join(effects)} AP); nothing else is set "
        "in bold.",
        "tiny": "the interval excludes zero, and the mean is smaller than that effect.",
        "equivalent": f"the {within} interval lies within ± that effect (two one-sided tests).",
        "untestable at n seeds": "the interval excludes zero and the mean reaches that effect, but n seeds are too few "
        "for any p to pass the test; with one seed, always.",
        "inconclusive": "none of these; MDE is the difference whose interval would exclude zero with "
        f"{fmt.percent(c.power)} power, at the seeds and images at hand.",
    }


def speed_legend() -> dict[str, str]:
    """Return word → what it means of time, a sentence each."""
    return {
        "faster, slower": "the whole interval of the paired ratio lies beyond the MDE of times, every session agrees, "
        "and so does the test after Holm's adjustment; that MDE is what two copies of one network can differ by, never "
        f"less than a floor of {fmt.percent(SMALLEST)}.",
        "unresolved": "the interval excludes equal times and reaches beyond that floor, but does not pass: timing for "
        "longer would tell.",
        "same": "no difference was shown, which is no proof of equal times.",
        "unstable": "the rounds disagree too much to judge.",
        "suppressed": "no session was fit for a verdict; the numbers are kept.",
        "identical network": "both arms deploy the same network.",
    }


def spelled(legend: dict[str, str]) -> list[str]:
    """Return a legend as sentences: "Tiny: the interval …"."""
    return [f"{fmt.capital(term)}: {meaning}" for term, meaning in legend.items()]


def resolutions(results: Results, runtimes: tuple[str, ...]) -> dict[str, float]:
    """Return runtime → the smallest change of the end-to-end time that can get a verdict."""
    found = {}
    for runtime in runtimes:
        rows = (arm.row(runtime) for arm in results.arms)
        known = [row.resolution for row in rows if row is not None and row.resolution is not None]
        if known:
            found[runtime] = max(known)
    return found


def resolution(results: Results) -> list[str]:
    """Return the sentence on what the timing could have resolved."""
    found = resolutions(results, (*results.timed, *results.timed_int8))
    if not found:
        return []
    alike: dict[str, list[str]] = {}
    for runtime, value in found.items():
        alike.setdefault(fmt.share(value), []).append(runtime)
    each = "; ".join(f"{change} in {fmt.join(runtimes)}" for change, runtimes in alike.items())
    return [f"The smallest change of an end-to-end time that could be called faster or slower here is {each}."]
