"""The word for a ratio of times.

- "faster" and "slower" need the whole interval beyond the condition's resolution, which is what two copies of one
  network differ by and at least 2 %; every session's median on the same side; and a p of no difference, after Holm's
  correction over all comparisons of the condition, of at most 5 %. With dozens of rounds the last of the three is the
  weakest; with a few rounds and many arms it keeps a run of equal signs from being a finding.
- "unstable" says that the rounds disagree too much to be summed up. Rounds begin with other images and may find the
  machine at another clock rate; such times spread widely without any harm to their ratios. So it is the ratios' scatter
  that has to be small against the effect, not the times' (on a machine that alternates between two clock rates 15 %
  apart, an arm and its copy would come out unstable instead of the same). Times that spread by more than a quarter are
  refused in any case.
- "suppressed" says that no session was fit for a verdict; "identical", that there is nothing to compare.
- "unresolved" says that the interval excludes equal times and reaches beyond the smallest change of interest (2 %), but
  one of the conditions above is not met: timing for longer would tell.
- "same" is everything else: not proof of equal times, but no difference of the resolution's size was shown.
"""

from __future__ import annotations

import math

from mnv4bench.latency.analyse.condition import Condition, Pair
from mnv4bench.latency.analyse.estimates import Estimate
from mnv4bench.latency.analyse.noise import SMALLEST
from mnv4bench.results.latency import LatencyVerdict, Reason

ALPHA = 0.05
SPREAD = 0.25
"""Of either arm's times, above which there is no verdict: torch.utils.benchmark's "significant environmental
influence"."""
SCATTER = 0.10
"""Of the ratio, above which there is no verdict unless the effect is larger still."""


def judge(condition: Condition, pair: Pair, estimate: Estimate, p: float) -> tuple[LatencyVerdict, Reason | None]:
    """Return the verdict on an arm, and the reason where there is none on the ratio.

    Args:
        p: of no difference, by Holm.
    """
    if pair[0] == pair[1]:
        return "identical", None
    if condition.resolution is None:
        return "suppressed", Reason(code="no_copy")
    if all(session in condition.disturbed for session in condition.used):
        disturbances = tuple(dict.fromkeys(condition.disturbed.values()))
        return "suppressed", Reason(code="no_quiet_session", disturbances=disturbances)
    if reason := unstable(estimate, condition.spread(pair[0]), condition.spread(pair[1])):
        return "unstable", reason
    return direction(estimate, p, condition.resolution), None


def unstable(estimate: Estimate, arm_spread: float, baseline_spread: float) -> Reason | None:
    """Return why a ratio cannot be summed up, if so.

    Args:
        arm_spread: interquartile range over median of the arm's times.
        baseline_spread: the same of its baseline.
    """
    if arm_spread > SPREAD:
        return Reason(code="arm_spread", value=arm_spread)
    if baseline_spread > SPREAD:
        return Reason(code="baseline_spread", value=baseline_spread)
    if estimate.scatter > max(SCATTER, abs(estimate.value)):
        return Reason(code="ratio_scatter", value=math.expm1(estimate.scatter))
    return None


def direction(estimate: Estimate, p: float, resolution: float) -> LatencyVerdict:
    """Return what an interval shows. Its logarithm is compared, so that arm and baseline exchanged give the mirror."""
    limit = math.log1p(resolution)
    if p <= ALPHA and estimate.low > limit and min(estimate.sessions) > 0:
        return "slower"
    if p <= ALPHA and estimate.high < -limit and max(estimate.sessions) < 0:
        return "faster"
    smallest = math.log1p(SMALLEST)
    if (estimate.low > 0 and estimate.high > smallest) or (estimate.high < 0 and estimate.low < -smallest):
        return "unresolved"
    return "same"
