"""The permutation test over images, and the verdicts on given weights."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from mnv4bench.results.matches import AREAS, IOU_THRESHOLDS, MatchRecords
from mnv4bench.statistics.bootstrap import average_precision
from mnv4bench.statistics.permutation import exchange_p
from mnv4bench.statistics.verdict import Evidence, judge


def records(images: int, hit: float, seed: int) -> MatchRecords:
    """Return two classes with two objects in each image, of which a network finds a share."""
    generator = np.random.Generator(np.random.PCG64(seed))
    image = np.tile(np.repeat(np.arange(images, dtype=np.int32), 3), 2)
    category = np.repeat(np.arange(2, dtype=np.int32), 3 * images)
    score = generator.random(len(image)).round(1)  # with ties
    order = np.lexsort((image, -score, category))
    right = generator.random(len(image)) < hit
    right[2::3] = False
    tp = np.broadcast_to(right[order][None, :, None], (len(AREAS), len(image), IOU_THRESHOLDS)).copy()
    return MatchRecords(
        image_ids=np.arange(1, images + 1),
        slices=np.full(images, ""),
        category_ids=np.array([1, 2]),
        image=image[order],
        category=category[order],
        score=score[order],
        tp=tp,
        ignored=np.zeros_like(tp),
        objects=np.full((len(AREAS), images, 2), 2, np.int32),
    )


def exchanged(a: MatchRecords, b: MatchRecords, mask: tuple[int, ...]) -> float:
    """Return AP of a network that answers as `b` in the marked images and as `a` in the others."""
    from_b = np.array(mask, bool)
    kept = [(a, ~from_b[a.image]), (b, from_b[b.image])]
    fields = {
        name: np.concatenate([getattr(side, name)[keep] for side, keep in kept])
        for name in ("image", "category", "score")
    }
    marks = {
        name: np.concatenate([getattr(side, name)[:, keep] for side, keep in kept], axis=1)
        for name in ("tp", "ignored")
    }
    order = np.lexsort((fields["image"], -fields["score"], fields["category"]))
    fields = {name: value[order] for name, value in fields.items()}
    marks = {name: value[:, order] for name, value in marks.items()}
    return average_precision(replace(a, **fields, **marks))


def test_p_is_that_of_every_exchange() -> None:
    a, b = records(6, 0.9, 1), records(6, 0.4, 2)
    masks = list(itertools.product((0, 1), repeat=6))
    differences = [abs(exchanged(a, b, mask) - exchanged(a, b, tuple(1 - bit for bit in mask))) for mask in masks]
    assert differences[0] == abs(average_precision(a) - average_precision(b))
    exact = np.mean([difference >= differences[0] - 1e-12 for difference in differences])
    assert exchange_p(a, b, 20_000, seed=3) == pytest.approx(exact, abs=0.01)


def test_equal_networks_and_unequal_ones() -> None:
    a, b = records(60, 0.9, 1), records(60, 0.3, 2)
    assert exchange_p(a, a, 200, seed=0) == 1
    assert exchange_p(a, b, 999, seed=0) == 1 / 1000
    assert exchange_p(a, b, 999, seed=0) == exchange_p(b, a, 999, seed=0)


def test_equal_networks_are_rejected_as_seldom_as_the_level_says() -> None:
    p_values = [exchange_p(records(24, 0.6, 2 * k), records(24, 0.6, 2 * k + 1), 199, seed=k) for k in range(200)]
    assert 0.01 < np.mean([p <= 0.05 for p in p_values]) < 0.1
    assert 0.38 < np.mean(p_values) < 0.62


@pytest.mark.parametrize(
    ("mean", "half", "p", "verdict"),
    [
        (0.02, 0.01, 0.001, "better"),
        (-0.02, 0.01, 0.001, "worse"),
        (0.02, 0.01, 0.2, "inconclusive"),
        (0.002, 0.001, 0.001, "tiny"),
        (0.0, 0.004, 0.9, "equivalent"),
    ],
)
def test_given_weights_are_judged_although_there_is_one_run(mean: float, half: float, p: float, verdict: str) -> None:
    interval = (mean - half, mean + half)
    assert judge(Evidence(1, mean, interval, interval, p, given_weights=True), 0.005, 0.05) == verdict
    assert judge(Evidence(1, mean, interval, interval, p), 0.005, 0.05) == "untestable"
