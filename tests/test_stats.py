"""Intervals, tests and power against hand calculation, printed tables, brute force and simulation."""

from __future__ import annotations

import itertools
import math
from statistics import NormalDist

import numpy as np
import pytest

from mnv4bench.io.errors import DataError
from mnv4bench.statistics.bootstrap import bootstrap_weights
from mnv4bench.statistics.small_samples import (
    combined_interval,
    detection_power,
    holm,
    is_testable,
    minimum_detectable,
    satterthwaite,
    seeds_needed,
    sign_flip_p,
    smallest_p,
    student_t_quantile,
)


def test_combined_interval_of_a_hand_worked_case() -> None:
    deltas = [0.01, 0.02, 0.03]  # mean 0.02, standard deviation 0.01
    replicates = np.array([0.01, 0.02, 0.03])  # variance 0.0001
    got = combined_interval(deltas, replicates, images=5)
    a, b = 0.0001 / 3, 0.0001
    df = (a + b) ** 2 / (a**2 / 2 + b**2 / 4)  # 16/9 / (1/18 + 1/4) = 5.818...
    assert df == pytest.approx(64 / 11)
    assert (got.mean, got.seed_sd, got.image_se, got.df) == pytest.approx((0.02, 0.01, 0.01, df))
    half = student_t_quantile(0.975, df) * math.sqrt(a + b)
    assert (got.low, got.high) == pytest.approx((0.02 - half, 0.02 + half))
    assert got.high - got.low > combined_interval(deltas, replicates, images=5, level=0.9).high - got.low


def test_one_seed_gives_the_image_interval_and_says_so() -> None:
    got = combined_interval([0.02], np.array([0.01, 0.02, 0.03]), images=11)
    assert (got.seed_sd, got.df) == (None, 10)
    assert (got.low, got.high) == pytest.approx((0.02 - 0.01 * 2.228139, 0.02 + 0.01 * 2.228139), abs=1e-8)


def test_interval_without_any_noise_is_a_point() -> None:
    got = combined_interval([0.5, 0.5], np.full(9, 0.5), images=20)
    assert (got.low, got.mean, got.high, got.seed_sd, got.image_se, got.df) == (0.5, 0.5, 0.5, 0.0, 0.0, 1.0)


def test_resamples_without_ap_are_left_out_of_the_interval() -> None:
    values = np.array([0.01, np.nan, 0.02, 0.03])
    assert combined_interval([0.1, 0.2], values, 9) == combined_interval([0.1, 0.2], values[[0, 2, 3]], 9)


@pytest.mark.parametrize(("deltas", "replicates", "images"), [([], 3, 5), ([0.1], 1, 5), ([0.1], 3, 1)])
def test_too_little_data_for_an_interval_is_refused(deltas: list[float], replicates: int, images: int) -> None:
    with pytest.raises(DataError, match="needs at least"):
        combined_interval(deltas, np.zeros(replicates), images)


def test_satterthwaite_lies_between_the_smallest_and_the_summed_degrees() -> None:
    assert satterthwaite([(1.0, 4), (0.0, 9)]) == 4
    assert satterthwaite([(1.0, 4), (1.0, 4)]) == 8
    assert satterthwaite([(1e-300, 4), (1e-300, 4)]) == pytest.approx(8)
    assert satterthwaite([(0.0, 4), (0.0, 2)]) == 2


@pytest.mark.parametrize("probability", [0.6, 0.9, 0.95, 0.975, 0.9995])
def test_t_quantile_equals_its_closed_forms(probability: float) -> None:
    p = probability
    assert student_t_quantile(p, 1) == pytest.approx(math.tan(math.pi * (p - 0.5)), rel=1e-10)
    assert student_t_quantile(p, 2) == pytest.approx((2 * p - 1) / math.sqrt(2 * p * (1 - p)), rel=1e-10)
    alpha = 4 * p * (1 - p)
    q = math.cos(math.acos(math.sqrt(alpha)) / 3) / math.sqrt(alpha)
    assert student_t_quantile(p, 4) == pytest.approx(2 * math.sqrt(q - 1), rel=1e-10)
    z = NormalDist().inv_cdf(p)
    assert student_t_quantile(p, 1e5) == pytest.approx(z + (z**3 + z) / 4e5, rel=1e-8)
    assert student_t_quantile(1 - p, 3.7) == pytest.approx(-student_t_quantile(p, 3.7))


@pytest.mark.parametrize(
    ("df", "tabulated"), [(3, 3.182), (5, 2.571), (7, 2.365), (10, 2.228), (30, 2.042), (100, 1.984)]
)
def test_t_quantile_agrees_with_printed_tables(df: int, tabulated: float) -> None:
    assert student_t_quantile(0.975, df) == pytest.approx(tabulated, abs=5e-4)


def test_t_distribution_integrates_its_density_at_fractional_degrees() -> None:
    for df in (1.3, 5.8, 211.4):
        grid = np.linspace(0, 2.5, 20001)
        scale = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(df * math.pi)
        by_trapezoids = float(np.trapezoid(scale * (1 + grid**2 / df) ** (-(df + 1) / 2), grid))
        assert student_t_quantile(0.5 + by_trapezoids, df) == pytest.approx(2.5, abs=1e-6)


@pytest.mark.parametrize(
    ("df", "quantile", "cdf", "power", "detectable"),
    [
        (1.3, 7.500529325561967, 0.8534949896358026, 0.19930559374016593, 9.720547052777786),
        (2.0, 4.302652729749463, 0.8843832868992143, 0.29951392662988463, 5.653489269103725),
        (5.8, 2.4675111540210644, 0.9291271171501636, 0.548365279151512, 3.391298563409035),
        (7.0, 2.36462425159277, 0.9335355516087228, 0.5762285868084949, 3.2697598411314837),
        (211.4, 1.97124913141605, 0.9546991673871021, 0.70148531917885, 2.81438918651987),
    ],
)
def test_distributions_equal_their_integrals_by_quadrature(
    df: float, quantile: float, cdf: float, power: float, detectable: float
) -> None:
    """Values of an independent implementation: Gauss-Legendre for Student's t, the trapezoidal rule for its power."""
    assert student_t_quantile(0.975, df) == pytest.approx(quantile, rel=1e-10)
    assert student_t_quantile(cdf, df) == pytest.approx(1.7, rel=1e-10)
    assert detection_power(2.5, df, 0.05) == pytest.approx(power, rel=1e-10)
    assert minimum_detectable(1, df, 0.05, 0.8) == pytest.approx(detectable, rel=1e-10)


@pytest.mark.parametrize(("probability", "df"), [(0.0, 5), (1.0, 5), (math.nan, 5), (0.9, 0.5)])
def test_t_quantile_refuses_what_it_cannot_compute(probability: float, df: float) -> None:
    with pytest.raises(ValueError, match="probability"):
        student_t_quantile(probability, df)


@pytest.mark.parametrize(
    ("seeds", "seed_noise", "image_noise"), [(3, 0.2, 1.0), (3, 1.0, 0.2), (8, 0.2, 1.0), (8, 1.0, 0.2)]
)
def test_combined_interval_covers_the_truth_whichever_noise_dominates(
    seeds: int, seed_noise: float, image_noise: float
) -> None:
    """Difference of seed s on image i = seed effect + image effect + rest; the truth is 0."""
    rng = np.random.default_rng(12)
    images, trials = 100, 400
    weights = bootstrap_weights(images, 200, seed=3)
    covered = by_seeds_alone = by_images_alone = 0
    for _ in range(trials):
        effects = seed_noise * rng.normal(size=(seeds, 1)) + image_noise * math.sqrt(images) * rng.normal(size=images)
        values = effects + rng.normal(size=(seeds, images))
        deltas = values.mean(axis=1)
        replicates = weights @ values.mean(axis=0) / images
        interval = combined_interval(deltas, replicates, images)
        covered += interval.low <= 0 <= interval.high
        by_seeds_alone += abs(interval.mean) <= student_t_quantile(0.975, seeds - 1) * deltas.std(ddof=1) / seeds**0.5
        by_images_alone += abs(interval.mean) <= 1.984 * interval.image_se
    assert 0.91 < covered / trials < 0.985
    # What the combination is for: either source alone fails where the other one dominates.
    alone = by_seeds_alone if image_noise > seed_noise else by_images_alone
    assert alone / trials < 0.8


@pytest.mark.parametrize(
    ("deltas", "p"),
    [
        ([0.3], 1),
        ([0.1, 0.2, 0.3], 2 / 8),
        ([-0.1, -0.2, -0.3], 2 / 8),
        # Observed sum 0.4; |sum| is 0.6 in the two patterns of one sign, 0.4 in the two that turn 0.1 alone.
        ([-0.1, 0.2, 0.3], 4 / 8),
        # Observed sum 0, which every pattern reaches, though 0.1 + 0.2 − 0.3 is not 0 in binary.
        ([0.1, 0.2, -0.3], 1),
        # 3, 1 and 1 reach 5 in 2 patterns, 3 (the observed sum) in 4 more.
        ([0.03, 0.01, -0.01], 6 / 8),
        # A difference of zero counts in both signs.
        ([0.1, 0.2, 0.3, 0.0], 4 / 16),
        ([0.0, 0.0], 1),
        ([0.01] * 8, 2 / 256),
    ],
)
def test_sign_flip_p_of_hand_worked_cases(deltas: list[float], p: float) -> None:
    assert sign_flip_p(deltas) == p


@pytest.mark.parametrize("seeds", [2, 3, 5, 8, 11])
def test_sign_flip_p_counts_every_pattern_once(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    patterns = np.array(list(itertools.product((-1, 1), repeat=seeds)))
    found = set()
    for hundredths in rng.integers(-3, 9, (20, seeds)):
        reached = np.abs(patterns @ hundredths) >= abs(hundredths.sum())  # in whole numbers, so ties are exact
        assert sign_flip_p(hundredths / 100) == reached.mean()
        found.add(reached.mean())
    assert len(found) > 1


@pytest.mark.parametrize("scale", [1e-6, 1, 1e6])
def test_sign_flip_p_ties_by_a_relative_tolerance(scale: float) -> None:
    # Observed a − a + b = b; the patterns that give 2a − b reach it only as ties.
    for excess, p in ((1e-12, 1), (1e-6, 6 / 8)):
        assert sign_flip_p([scale * 0.1, -scale * 0.1, scale * 0.1 * (1 + excess)]) == p


def test_sign_flip_rejects_a_true_hypothesis_at_most_as_often_as_it_says() -> None:
    rng = np.random.default_rng(4)
    p = np.array([sign_flip_p(rng.normal(size=8)) for _ in range(2000)])
    # Under symmetry p is uniform on the multiples of 2/256.
    for level in (2 / 256, 12 / 256, 0.25):
        assert np.mean(p <= level) == pytest.approx(level, abs=4 * math.sqrt(level / 2000))


def test_sign_flip_p_of_many_seeds_is_exact_too() -> None:
    # 40 equal differences, 13 of them negative: |sum| >= 14 where at most 13 or at least 27 signs agree.
    by_binomial = 2 * sum(math.comb(40, k) for k in range(14)) / 2**40
    assert sign_flip_p([0.01] * 27 + [-0.01] * 13) == pytest.approx(by_binomial, rel=1e-12)
    for count in (0, 41):
        with pytest.raises(DataError, match=f"{count} seeds; compare between 1 and 40"):
            sign_flip_p([0.01] * count)


@pytest.mark.parametrize(("family", "seeds"), [(1, 6), (3, 7), (5, 8), (8, 9)])
def test_seeds_needed_let_the_first_step_pass_and_no_fewer_do(family: int, seeds: int) -> None:
    assert seeds_needed(family, 0.05) == seeds
    assert smallest_p(seeds) == 2 / 2**seeds == sign_flip_p([0.01] * seeds)
    assert is_testable(seeds, family, 0.05)
    assert not is_testable(seeds - 1, family, 0.05)


def test_one_seed_is_never_testable() -> None:
    assert smallest_p(1) == 1
    assert not is_testable(1, 1, 0.05)


def test_holm_of_a_hand_worked_family() -> None:
    # Times 4, 3, 2, 1 in ascending order: 0.04, 0.06, 0.06 (2 × 0.03), 0.06 (0.04, raised to the one before it).
    assert holm([0.03, 0.01, 0.04, 0.02], 4) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    # Hypotheses without a p-value are charged for: times 6, 5, 4, 3.
    assert holm([0.03, 0.01, 0.04, 0.02], 6) == pytest.approx([0.12, 0.06, 0.12, 0.10])
    assert holm([0.4, 0.6], 2) == [0.8, 0.8]
    assert holm([0.9, 0.8], 3) == [1.0, 1.0]
    assert holm([], 3) == []
    with pytest.raises(ValueError, match="3 p-values in a family of 2"):
        holm([0.1, 0.2, 0.3], 2)


def test_holm_rejects_what_its_step_down_rule_rejects() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        p = rng.integers(1, 20, 6) / 256
        order = np.argsort(p, kind="stable")
        fails = [p[index] > 0.05 / (6 - place) for place, index in enumerate(order)]
        kept = fails.index(True) if True in fails else 6
        assert {i for i, value in enumerate(holm(list(p), 6)) if value <= 0.05} == set(order[:kept])


@pytest.mark.parametrize(
    ("alpha", "detectable"),
    [
        (0.05, {3: 3.26, 4: 2.13, 5: 1.68, 6: 1.43, 8: 1.16, 10: 1.00, 16: 0.75, 20: 0.66}),
        (0.01, {3: 7.32, 4: 3.72, 5: 2.63, 6: 2.11, 8: 1.60, 10: 1.33, 16: 0.96, 20: 0.84}),
    ],
)
def test_minimum_detectable_of_a_paired_t_test(alpha: float, detectable: dict[int, float]) -> None:
    """In standard deviations of the differences, at a power of 80 %."""
    found = {n: round(minimum_detectable(1 / math.sqrt(n), n - 1, alpha, 0.8), 2) for n in detectable}
    assert found == detectable


def test_power_grows_from_alpha_at_no_difference_to_one() -> None:
    for df, alpha in itertools.product((1, 1.3, 2, 7.7, 300), (0.05, 0.002)):
        assert detection_power(0, df, alpha) == pytest.approx(alpha, abs=1e-10)
        assert detection_power(2, df, alpha) == detection_power(-2, df, alpha)
        at = minimum_detectable(0.3, df, alpha, 0.9)
        assert detection_power(at / 0.3, df, alpha) == pytest.approx(0.9, abs=1e-7)


def test_power_with_many_degrees_of_freedom_is_that_of_a_normal_test() -> None:
    normal = NormalDist()
    z = normal.inv_cdf(0.975)
    assert detection_power(2.5, 1e6, 0.05) == pytest.approx(normal.cdf(2.5 - z) + normal.cdf(-2.5 - z), abs=1e-5)
    assert minimum_detectable(1, 1e6, 0.05, 0.8) == pytest.approx(z + normal.inv_cdf(0.8), abs=1e-4)


def test_power_is_the_share_of_simulated_experiments_that_reject() -> None:
    draws = np.random.default_rng(3).normal(1.2, 1, (20_000, 4))
    t = draws.mean(axis=1) / (draws.std(axis=1, ddof=1) / 2)
    rejected = np.mean(np.abs(t) > student_t_quantile(0.975, 3))
    assert detection_power(1.2 * 2, 3, 0.05) == pytest.approx(rejected, abs=0.012)


def test_minimum_detectable_without_noise_is_zero_and_its_power_is_checked() -> None:
    assert minimum_detectable(0, 2, 0.05, 0.8) == 0
    for power in (0.05, 1.0):
        with pytest.raises(ValueError, match="power"):
            minimum_detectable(1, 2, 0.05, power)
