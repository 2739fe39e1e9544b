"""How the parts came out, in a few lines, and what it would take to tell apart those that could not be."""

from __future__ import annotations

import math
from statistics import NormalDist

from mnv4bench.report import formatting as fmt
from mnv4bench.report import words
from mnv4bench.report.paper import findings
from mnv4bench.report.paper.findings import Payment
from mnv4bench.report.results import Results
from mnv4bench.results.comparison import Comparison, Difference
from mnv4bench.statistics.small_samples import seeds_needed

TITLES: dict[Payment, str] = {
    "pays": "Paid: AP better and no runtime slower, or AP equivalent and time saved",
    "trades": "Trades AP against time",
    "not shown": "Was not shown to pay",
    "lead": "Leads: the interval excludes zero, but so few seeds cannot pass the test",
    "open": "Could not be told apart",
}
MOST = 999


def outcomes(results: Results) -> dict[str, list[str]]:
    """Return for each kind of outcome its arms, each with what was found; kinds without an arm have no entry."""
    decimals = words.decimals_for(arm.difference for arm in results.arms)
    found: dict[str, list[str]] = {}
    for kind, title in TITLES.items():
        for arm in results.arms:
            paid, d = findings.pays(results, arm), arm.difference
            if paid is None or paid[0] != kind or d is None:
                continue
            text = f"{arm.arm.label}: ΔAP {words.interval(d, decimals)}. "
            text += takes(d, results.comparison) if kind in ("lead", "open") else paid[1]
            found.setdefault(title, []).append(text.strip())
    return found


def takes(d: Difference, comparison: Comparison) -> str:
    """Return what a verdict would take: of a lead the seeds that can pass the test; else what would make the smallest
    effect that matters detectable, from the noise seen here.

    By the normal approximation: the standard error has to fall to smallest_effect / (z₁₋α/₂ + z_power).
    """
    if d.verdict in ("better", "worse", "equivalent") or d.seed_sd is None or d.image_se is None:
        return ""
    if d.verdict == "untestable":
        return f"To test it takes {seeds_needed(comparison.family, comparison.alpha)} seeds."
    normal = NormalDist()
    reach = normal.inv_cdf((1 + comparison.level) / 2) + normal.inv_cdf(comparison.power)
    variance = (d.smallest_effect / reach) ** 2
    effect = fmt.plain(d.smallest_effect)
    # Half of the variance for the images, half for the seeds: neither alone can carry it all.
    seeds = max(2, math.ceil(d.seed_sd**2 / (variance / 2)))
    images = math.ceil(comparison.images * max(1.0, d.image_se**2 / (variance / 2)))
    if seeds > MOST:
        return f"To detect {effect} would take more than {MOST} seeds."
    return f"To detect {effect} would take about {seeds} seeds and {images} validation images."
