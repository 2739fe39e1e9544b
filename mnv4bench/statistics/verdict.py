"""The words that a comparison may be summed up in, and the one rule that chooses between them."""

from __future__ import annotations

from dataclasses import dataclass

from mnv4bench.results.comparison import Difference, Verdict


@dataclass(frozen=True)
class Evidence:
    """What is known of one arm's mean difference to its baseline."""

    seeds: int
    mean: float
    interval: tuple[float, float]
    """Over other seeds and other images, at the level that differences are printed with (95 %)."""
    equivalence: tuple[float, float]
    """The same at 1 − 2·alpha (90 %): two one-sided tests at level alpha (Schuirmann, J. Pharmacokinet. Biopharm. 15,
    1987)."""
    p: float | None
    """Adjusted for the family of declared comparisons; None where so few seeds could not pass whatever they showed."""
    given_weights: bool = False
    """Whether the weights themselves are judged, which have no noise of training."""
    trained: bool = True
    """Whether the networks passed the preset's gates."""


def judge(evidence: Evidence, smallest_effect: float, alpha: float) -> Verdict:
    """Return the word that the evidence supports. The first that fits, from top to bottom:

    - a gate was not passed: `under-trained`, whatever the numbers say;
    - one seed, unless weights are given: `untestable`, whatever the images say: the noise of training is unknown;
    - the interval excludes zero and |mean| >= smallest_effect: `untestable` without p, `better` or `worse` where
      p <= alpha, else `inconclusive`, because interval and test disagree;
    - the interval excludes zero: `tiny`;
    - the equivalence interval lies inside ±smallest_effect: `equivalent`;
    - `inconclusive`.

    An interval that ends on zero contains it, and one that ends on ±smallest_effect does not lie inside.
    """
    low, high = evidence.interval
    if not evidence.trained:
        return "under-trained"
    if evidence.seeds < 2 and not evidence.given_weights:
        return "untestable"
    if low > 0 or high < 0:
        return _beyond_zero(evidence, smallest_effect, alpha)
    if inside(evidence.equivalence, smallest_effect):
        return "equivalent"
    return "inconclusive"


def inside(equivalence: tuple[float | None, float | None], smallest_effect: float) -> bool:
    """Return whether an interval is known and lies inside ±smallest_effect."""
    low, high = equivalence
    return low is not None and high is not None and -smallest_effect < low and high < smallest_effect


def surely_tiny(difference: Difference) -> bool:
    """Return whether a tiny difference is too small to matter with the confidence that equivalence asks for."""
    equivalence = (difference.equivalence_low, difference.equivalence_high)
    return difference.verdict == "tiny" and inside(equivalence, difference.smallest_effect)


def _beyond_zero(evidence: Evidence, smallest_effect: float, alpha: float) -> Verdict:
    if abs(evidence.mean) < smallest_effect:
        return "tiny"
    if evidence.p is None:
        return "untestable"
    if evidence.p > alpha:
        return "inconclusive"
    return "better" if evidence.mean > 0 else "worse"
