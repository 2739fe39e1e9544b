"""Which word which evidence gets: every rule, and every boundary between two rules."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from mnv4bench.results.comparison import Verdict
from mnv4bench.statistics.small_samples import combined_interval, holm, is_testable, sign_flip_p
from mnv4bench.statistics.verdict import Evidence, judge

SMALLEST, ALPHA = 0.005, 0.05


def evidence(low: float, high: float, seeds: int = 8, p: float | None = 0.04, narrower: float = 0.8) -> Evidence:
    """Evidence whose mean is the middle of its interval, and whose equivalence interval is 0.8 as wide."""
    mean, half = (low + high) / 2, narrower * (high - low) / 2
    return Evidence(seeds, mean, (low, high), (mean - half, mean + half), p)


def mirrored(one: Evidence) -> Evidence:
    def turned(interval: tuple[float, float]) -> tuple[float, float]:
        return -interval[1], -interval[0]

    return replace(one, mean=-one.mean, interval=turned(one.interval), equivalence=turned(one.equivalence))


CASES: dict[str, tuple[Evidence, Verdict]] = {
    "a clear gain": (evidence(0.01, 0.03), "better"),
    "a clear gain by an interval that reaches below the smallest effect": (evidence(0.001, 0.03), "better"),
    "a mean of exactly the smallest effect": (Evidence(8, SMALLEST, (0.001, 0.009), (0.002, 0.008), 0.04), "better"),
    "p of exactly alpha": (evidence(0.01, 0.03, p=ALPHA), "better"),
    "p above alpha": (evidence(0.01, 0.03, p=0.0501), "inconclusive"),
    "seeds too few for any p": (evidence(0.01, 0.03, seeds=3, p=None), "untestable"),
    "a gain nobody would care for": (evidence(0.001, 0.003), "tiny"),
    "the same, of which the interval alone reaches beyond what matters": (evidence(0.0001, 0.0098), "tiny"),
    "a tiny difference needs no p": (evidence(0.001, 0.003, seeds=3, p=None), "tiny"),
    "an interval that ends on zero": (evidence(0.0, 0.03), "inconclusive"),
    "an interval that ends on zero inside ±smallest": (evidence(0.0, 0.004), "equivalent"),
    "an interval around zero, inside ±smallest": (evidence(-0.004, 0.004, seeds=3, p=None), "equivalent"),
    "only the equivalence interval lies inside": (evidence(-0.006, 0.006), "equivalent"),
    "an equivalence interval that ends on the limit": (
        Evidence(8, 0.001, (-0.004, 0.006), (-0.003, SMALLEST), 0.5),
        "inconclusive",
    ),
    "an interval around zero, beyond ±smallest": (evidence(-0.01, 0.02, p=None), "inconclusive"),
    "around zero beyond ±smallest, whatever p says": (evidence(-0.001, 0.03, p=0.001), "inconclusive"),
    "no noise and no difference": (evidence(0.0, 0.0, p=1.0), "equivalent"),
    "no noise and a difference": (evidence(0.01, 0.01, p=2 / 256), "better"),
    "no noise and a difference, in three seeds": (evidence(0.01, 0.01, seeds=3, p=None), "untestable"),
    "no noise and a tiny difference": (evidence(0.001, 0.001, p=2 / 256), "tiny"),
    "networks that failed a gate": (replace(evidence(0.01, 0.03), trained=False), "under-trained"),
    "the same with one seed": (replace(evidence(0.01, 0.03, seeds=1, p=None), trained=False), "under-trained"),
    "the same with a tiny difference": (replace(evidence(0.001, 0.003), trained=False), "under-trained"),
    "the same with none": (replace(evidence(-0.001, 0.001), trained=False), "under-trained"),
    "one seed, clear by its images": (evidence(0.01, 0.03, seeds=1, p=None), "untestable"),
    "one seed, tiny by its images": (evidence(0.001, 0.003, seeds=1, p=None), "untestable"),
    "one seed, equivalent by its images": (evidence(-0.001, 0.001, seeds=1, p=None), "untestable"),
    "one seed, and nothing to see": (evidence(-0.02, 0.02, seeds=1, p=None), "untestable"),
}


@pytest.mark.parametrize(("given", "word"), CASES.values(), ids=CASES)
def test_the_word_follows_from_the_evidence(given: Evidence, word: Verdict) -> None:
    assert judge(given, SMALLEST, ALPHA) == word


@pytest.mark.parametrize(("given", "word"), CASES.values(), ids=CASES)
def test_the_mirror_image_gets_the_same_word_but_worse_for_better(given: Evidence, word: Verdict) -> None:
    assert judge(mirrored(given), SMALLEST, ALPHA) == ("worse" if word == "better" else word)


def test_every_word_has_a_case() -> None:
    assert {word for _, word in CASES.values()} | {"worse"} == set(get_args(Verdict))


def word_of(deltas: list[float], image_se: float, family: int) -> Verdict:
    """Judge differences as compare does, with image noise of a known size."""
    replicates = np.random.default_rng(1).normal(0, 1, 400)
    replicates *= image_se / replicates.std(ddof=1)
    wide, narrow = (combined_interval(deltas, replicates, 200, level) for level in (0.95, 0.90))
    p = holm([sign_flip_p(deltas)], family)[0] if is_testable(len(deltas), family, ALPHA) else None
    return judge(Evidence(len(deltas), wide.mean, (wide.low, wide.high), (narrow.low, narrow.high), p), SMALLEST, ALPHA)


def test_the_word_changes_with_seeds_noise_and_family_as_a_reader_expects() -> None:
    gain = [0.020, 0.021, 0.019, 0.022, 0.018, 0.020, 0.021, 0.019]
    assert word_of(gain, 0.002, family=6) == "better"
    assert word_of(gain, 0.002, family=7) == "untestable"  # 7 × 2/256 > 0.05
    assert word_of(gain[:7], 0.002, family=3) == "better"  # 3 × 2/128 <= 0.05
    assert word_of(gain[:3], 0.002, family=1) == "untestable"
    assert word_of(gain, 0.02, family=6) == "inconclusive"  # other images might say otherwise
    assert word_of([0.1 * delta for delta in gain], 0.0002, family=6) == "tiny"
    assert word_of([0.001, -0.001, 0.0005, -0.0005], 0.001, family=6) == "equivalent"
    # One seed in eight disagrees: 4 of 256 patterns reach the mean, and 6 × 4/256 > 0.05.
    assert word_of([*gain[:7], -0.001], 0.002, family=6) == "inconclusive"


def test_noise_alone_is_rarely_called_better_or_worse() -> None:
    """Equal arms, 8 seeds, seed noise and image noise of one size, and a smallest effect of next to nothing."""
    rng = np.random.default_rng(8)
    words, by_seeds_alone, trials = [], 0, 300
    for _ in range(trials):
        image = rng.normal()
        deltas = image + rng.normal(0, 8**0.5, 8)
        replicates = rng.normal(image, 1, 100)
        wide, narrow = (combined_interval(deltas, replicates, 200, level) for level in (0.95, 0.90))
        p = sign_flip_p(deltas)
        words.append(judge(Evidence(8, wide.mean, (wide.low, wide.high), (narrow.low, narrow.high), p), 1e-9, ALPHA))
        by_seeds_alone += p <= ALPHA
    assert set(words) == {"better", "worse", "inconclusive"}
    assert (trials - words.count("inconclusive")) / trials < ALPHA + 3 * (ALPHA * (1 - ALPHA) / trials) ** 0.5
    # Seeds share their images: what those favour by chance, every seed confirms.
    assert by_seeds_alone / trials > 0.12
