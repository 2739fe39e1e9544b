"""Whether a part pays: the verdict on AP and those on time read together, never weighed against each other."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from mnv4bench.results.comparison import Difference
from mnv4bench.results.latency import UNJUDGED, LatencyVerdict
from mnv4bench.statistics.verdict import surely_tiny

Payoff = Literal["pays", "trades", "not shown", "lead", "open", "control"]


def payoff(difference: Difference | None, speeds: Collection[LatencyVerdict], control: bool = False) -> Payoff | None:
    """Return the word that both kinds of verdict support, the first that fits; None where either kind is missing.

    - `control`: the arms differ in random numbers alone, so that nothing can pay;
    - `lead`: the interval excludes zero, but several seeds are too few for the test;
    - `open`: AP is neither better, worse nor as good, or a runtime gave no verdict;
    - `trades`: better on one side and worse on the other, or faster in one runtime and slower in another;
    - `pays`: AP better and no runtime slower, or AP as good and a runtime faster;
    - `not shown`: the rest.

    AP is as good where it is equivalent, or tiny and no larger than what equivalence allows.

    Args:
        difference: to the ablation's baseline.
        speeds: the verdict of each runtime that timed the arm as it was scored.
        control: whether the arm and its baseline differ in random numbers alone.
    """
    if difference is None or difference.verdict is None:
        return None
    if control:
        return "control"
    if not speeds:
        return None
    if difference.verdict == "untestable" and len(difference.seeds) > 1:
        return "lead"
    as_good = difference.verdict == "equivalent" or surely_tiny(difference)
    if not (as_good or difference.verdict in ("better", "worse")) or UNJUDGED & set(speeds):
        return "open"
    faster, slower = "faster" in speeds, "slower" in speeds
    if faster and slower:
        return "trades"
    if difference.verdict == "better":
        return "trades" if slower else "pays"
    if not faster:
        return "not shown"
    return "pays" if as_good else "trades"
