"""Whether a part pays, by its verdicts: every word, and what is compared with it elsewhere."""

from __future__ import annotations

import pytest

from mnv4bench.results.comparison import Comparison, Difference, Verdict
from mnv4bench.results.latency import LatencyVerdict
from mnv4bench.statistics.payoff import Payoff, payoff
from mnv4bench.statistics.replication import Disagreement, disagreement, shared_verdict
from mnv4bench.statistics.sample_size import SampleSize, sample_size
from mnv4bench.statistics.small_samples import minimum_detectable, satterthwaite


def difference(verdict: Verdict | None = None, seeds: int = 8, **fields: float | None) -> Difference:
    known = {"mean": 0.01, "low": 0.0, "high": 0.02, "seed_sd": 0.01, "image_se": 0.005, **fields}
    deltas = dict.fromkeys(range(seeds), 0.01)
    names = {"ablation": "psa", "arm": "psa", "baseline": "none"}
    return Difference(**names, seeds=deltas, smallest_effect=0.005, verdict=verdict, **known)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("verdict", "speeds", "word"),
    [
        ("better", ["same"], "pays"),
        ("better", ["identical"], "pays"),
        ("better", ["unresolved", "faster"], "pays"),
        ("better", ["slower", "same"], "trades"),
        ("better", ["slower", "faster"], "trades"),
        ("better", ["unstable"], "open"),
        ("better", ["slower", "suppressed"], "open"),
        ("equivalent", ["faster", "same"], "pays"),
        ("equivalent", ["faster", "slower"], "trades"),
        ("equivalent", ["same"], "not shown"),
        ("equivalent", ["slower"], "not shown"),
        ("worse", ["faster"], "trades"),
        ("worse", ["same"], "not shown"),
        ("worse", ["slower"], "not shown"),
        ("tiny", ["faster"], "open"),
        ("inconclusive", ["faster"], "open"),
        ("under-trained", ["faster"], "open"),
        ("untestable", ["faster"], "lead"),
        ("untestable", ["unstable"], "lead"),
        (None, ["faster"], None),
        ("better", [], None),
    ],
)
def test_a_part_pays_by_its_verdicts_alone(
    verdict: Verdict | None, speeds: list[LatencyVerdict], word: Payoff | None
) -> None:
    assert payoff(difference(verdict), speeds) == word


@pytest.mark.parametrize(
    ("low", "high", "speeds", "word"),
    [
        (0.001, 0.0049, ["faster"], "pays"),
        (0.001, 0.0049, ["same"], "not shown"),
        (0.001, 0.005, ["same"], "open"),
        (-0.005, -0.001, ["faster"], "open"),
    ],
)
def test_a_tiny_difference_is_settled_where_no_larger_one_is_possible(
    low: float, high: float, speeds: list[LatencyVerdict], word: Payoff
) -> None:
    d = difference("tiny", mean=(low + high) / 2, equivalence_low=low, equivalence_high=high)
    assert payoff(d, speeds) == word
    assert (sample_size(d, COMPARISON) is None) is (word != "open")


@pytest.mark.parametrize("verdict", ["better", "worse", "tiny", "equivalent", "inconclusive", "untestable"])
@pytest.mark.parametrize("speeds", [["identical"], ["faster"], []])
def test_a_network_against_itself_cannot_pay(verdict: Verdict, speeds: list[LatencyVerdict]) -> None:
    assert payoff(difference(verdict), speeds, control=True) == "control"
    assert payoff(difference(), speeds, control=True) is None


def test_one_seed_is_no_lead_and_no_difference_is_nothing() -> None:
    assert payoff(difference("untestable", seeds=1), ["faster"]) == "open"
    assert payoff(None, ["faster"]) is None


@pytest.mark.parametrize(
    ("here", "there", "holds"),
    [
        ("better", "better", "better"),
        ("better", "untestable", "untestable"),
        ("inconclusive", "worse", "inconclusive"),
        ("untestable", "inconclusive", "inconclusive"),
        ("under-trained", "better", "under-trained"),
        ("inconclusive", "under-trained", "under-trained"),
        ("tiny", "better", "tiny"),
        ("worse", "tiny", "tiny"),
        ("tiny", "equivalent", "equivalent"),
        ("better", "worse", None),
        ("equivalent", "better", None),
        (None, "better", None),
    ],
)
def test_the_weaker_of_two_verdicts_or_none_where_they_contradict(
    here: Verdict | None, there: Verdict, holds: Verdict | None
) -> None:
    assert shared_verdict(difference(here), difference(there)) == holds


def test_verdicts_that_name_a_sign_contradict_where_the_means_have_another() -> None:
    mirrored = difference("tiny", mean=-0.01, low=-0.02, high=-0.001)
    assert shared_verdict(difference("better"), mirrored) is None
    assert shared_verdict(difference("inconclusive"), mirrored) == "inconclusive"


def test_two_equivalent_differences_on_both_sides_of_zero_agree() -> None:
    here = difference("equivalent", mean=0.0001, low=-0.003, high=0.003)
    there = difference("equivalent", mean=-0.0001, low=-0.003, high=0.003)
    assert disagreement(here, there) is None
    assert disagreement(here, difference("inconclusive", mean=-0.01, low=-0.02, high=0.001)) == "sign"


@pytest.mark.parametrize(
    ("there", "how"),
    [
        ({"mean": 0.01}, None),
        ({"mean": -0.01, "low": -0.02, "high": 0.0}, "sign"),
        ({"mean": 0.03, "low": 0.02, "high": 0.04}, None),
        ({"mean": 0.03, "low": 0.021, "high": 0.04}, "size"),
        ({"mean": 0.03, "low": None, "high": None}, None),
        ({"mean": None, "low": None, "high": None}, None),
    ],
)
def test_two_differences_disagree_in_sign_or_size(there: dict[str, float | None], how: Disagreement | None) -> None:
    assert disagreement(difference(), difference(**there)) == how  # type: ignore[arg-type]
    assert disagreement(difference(**there), difference()) == how  # type: ignore[arg-type]


COMPARISON = Comparison(
    level=0.95, alpha=0.05, family=6, power=0.8, bootstrap=10, bootstrap_seed=0, images=10, differences=()
)


def test_what_it_would_take_by_hand() -> None:
    """With many degrees of freedom, the standard error has to be 0.005 / 2.8016: half of its square for 0.01² / n, half
    for 0.005² · 10 / images: 63 seeds and 157 images. Student's t takes some more."""
    assert sample_size(difference("inconclusive", low=-0.01), COMPARISON) == SampleSize(63, 168, tested=8)
    for verdict in ("better", "worse", "equivalent", "under-trained"):
        assert sample_size(difference(verdict), COMPARISON) is None  # type: ignore[arg-type]
    assert sample_size(difference("untestable", seeds=1, seed_sd=None), COMPARISON) is None


def detectable(seed_sd: float, image_se: float, size: SampleSize) -> float:
    parts = [(image_se**2 * COMPARISON.images / size.images, size.images - 1)]
    if size.seeds:
        parts.append((seed_sd**2 / size.seeds, size.seeds - 1))
    return minimum_detectable(sum(part for part, _ in parts) ** 0.5, satterthwaite(parts), 0.05, COMPARISON.power)


@pytest.mark.parametrize("seeds", [2, 3, 8])
@pytest.mark.parametrize("seed_sd", [0.0, 0.0001, 0.0015, 0.003, 0.01, 0.1])
@pytest.mark.parametrize("image_se", [0.0, 0.0005, 0.001, 0.01])
def test_what_it_would_take_has_an_mde_of_the_smallest_effect(seeds: int, seed_sd: float, image_se: float) -> None:
    d = difference("inconclusive", seeds, low=-0.01, seed_sd=seed_sd, image_se=image_se)
    size = sample_size(d, COMPARISON)
    assert size is not None
    assert detectable(seed_sd, image_se, size) <= d.smallest_effect
    at_hand = SampleSize(seeds, COMPARISON.images)
    assert ((size.seeds, size.images) == at_hand[:2]) is (detectable(seed_sd, image_se, at_hand) <= d.smallest_effect)


@pytest.mark.parametrize("image_se", [0.0, 0.001, 0.006, 0.05])
def test_given_weights_take_images_alone(image_se: float) -> None:
    d = difference("inconclusive", 1, low=-0.01, seed_sd=None, image_se=image_se).model_copy(
        update={"given_weights": True}
    )
    size = sample_size(d, COMPARISON)
    assert size is not None
    assert (size.seeds, size.tested) == (0, 0)
    assert detectable(0, image_se, size) <= d.smallest_effect


@pytest.mark.parametrize(("low", "high"), [(0.001, 0.02), (-0.02, -0.001)])
def test_nothing_is_known_of_what_passes_a_test_that_contradicts_the_interval(low: float, high: float) -> None:
    assert sample_size(difference("inconclusive", mean=(low + high) / 2, low=low, high=high), COMPARISON) is None


def test_a_lead_takes_the_seeds_that_can_pass_the_test() -> None:
    """Of n seeds the smallest two-sided p is 2 / 2^n; six comparisons at 0.05 need it to be at most 0.05 / 6."""
    assert sample_size(difference("untestable"), COMPARISON) == SampleSize(seeds=8, images=10, tested=8)
