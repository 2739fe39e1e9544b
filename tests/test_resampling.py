"""Resampled AP against pycocotools on copied images, and against hand calculation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from test_coco_eval import Json, coco, random_split, result, split, thing

from mnv4bench.evaluate import match_records
from mnv4bench.evaluate.coco import evaluate, score
from mnv4bench.io.errors import DataError
from mnv4bench.results.matches import AREAS, MatchRecords
from mnv4bench.statistics.bootstrap import average_precision, bootstrap_ap, bootstrap_weights


def records_of(content: Json, found: list[Json]) -> MatchRecords:
    return match_records.from_eval(evaluate(coco(content), found))


def copied(content: Json, found: list[Json], weights: np.ndarray) -> tuple[Json, list[Json]]:
    """Write out every image, with its objects and detections, as often as its weight says."""
    images: list[Json] = []
    things: list[Json] = []
    detections: list[Json] = []
    for image, weight in zip(content["images"], weights, strict=True):
        for _ in range(weight):
            new: dict[str, Any] = {"image_id": len(images) + 1}
            images.append({**image, "id": new["image_id"]})
            mine = [thing for thing in content["annotations"] if thing["image_id"] == image["id"]]
            things += [{**thing, **new, "id": len(things) + number} for number, thing in enumerate(mine, start=1)]
            detections += [{**found_, **new} for found_ in found if found_["image_id"] == image["id"]]
    return {**content, "images": images, "annotations": things}, detections


def by_area(scores: Any) -> list[float]:
    values = (scores.AP, scores.APs, scores.APm, scores.APl)
    return [np.nan if value is None else value for value in values]


@pytest.mark.parametrize(("seed", "decimals"), [(0, None), (1, None), (2, 1)])
def test_unweighted_ap_equals_pycocotools_also_with_equal_scores(seed: int, decimals: int | None) -> None:
    content, found = random_split(seed, images=20, decimals=decimals)
    ours = [average_precision(records_of(content, found), area=area) for area in AREAS]
    theirs = by_area(score(coco(content), found))
    assert 0.05 < theirs[0] < 0.95
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def test_resampled_ap_equals_pycocotools_on_copied_images() -> None:
    content, found = random_split(3, images=10)
    records = records_of(content, found)
    weights = bootstrap_weights(10, 8, seed=5)
    weights[-1] = [1, 0, 1, 0, 0, 1, 0, 0, 0, 1]
    ours = np.transpose([bootstrap_ap(records, weights, area) for area in AREAS])
    theirs = []
    for row in weights:
        again, detections = copied(content, found, row)
        theirs.append(by_area(score(coco(again), detections)))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    assert np.ptp(ours[:, 0]) > 0.01


def test_weights_of_zero_and_one_select_a_subset() -> None:
    content, found = random_split(4)
    records = records_of(content, found)
    chosen = [2, 5, 6, 11]
    weights = np.isin(records.image_ids, chosen).astype(int)
    theirs = score(coco(content), found, chosen).AP
    assert theirs is not None
    assert average_precision(records, weights) == pytest.approx(theirs, abs=1e-12)


def test_weighted_ap_of_a_hand_worked_split() -> None:
    # By score: wrong (image 1), right (image 2), wrong (image 1), right (image 1).
    content = split(2, [thing(1, 1, 1, [0, 0, 20, 20]), thing(2, 2, 1, [0, 0, 20, 20])])
    found = [
        result(1, 1, [90, 90, 20, 20], 0.9),
        result(2, 1, [0, 0, 20, 20], 0.8),
        result(1, 1, [90, 0, 20, 20], 0.7),
        result(1, 1, [0, 0, 20, 20], 0.6),
    ]
    records = records_of(content, found)
    # Recall 1/2 at precision 1/2, recall 1 at precision 2/4: the envelope is 1/2 everywhere.
    assert average_precision(records) == pytest.approx(1 / 2, abs=1e-12)
    # Image 2 three times: recall 3/4 at precision 3/4 (76 levels), recall 1 at precision 4/6 (25 levels).
    assert average_precision(records, np.array([1, 3])) == pytest.approx((76 * 3 / 4 + 25 * 2 / 3) / 101, abs=1e-12)
    assert average_precision(records, np.array([0, 2])) == pytest.approx(1, abs=1e-12)
    assert average_precision(records, np.array([2, 0])) == pytest.approx(1 / 3, abs=1e-12)


def test_resample_without_objects_has_no_ap() -> None:
    records = records_of(split(2, [thing(1, 1, 1, [0, 0, 20, 20])]), [result(2, 1, [0, 0, 9, 9], 0.5)])
    assert bootstrap_ap(records, np.array([[1, 1], [0, 2]])).tolist() == pytest.approx([0, np.nan], nan_ok=True)
    assert math.isnan(average_precision(records_of(split(2, []), [])))


def test_blocks_of_replicates_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    records = records_of(*random_split(5))
    weights = bootstrap_weights(12, 50, seed=1)
    whole = bootstrap_ap(records, weights)
    monkeypatch.setattr("mnv4bench.statistics.bootstrap._BLOCK", 7)
    np.testing.assert_array_equal(bootstrap_ap(records, weights), whole)


def test_bootstrap_weights_are_seeded_draws_of_all_images() -> None:
    weights = bootstrap_weights(30, 500, seed=9)
    assert weights.shape == (500, 30)
    assert set(weights.sum(axis=1)) == {30}
    assert 0.8 < weights.var() < 1.1  # multinomial: 1 - 1/30
    np.testing.assert_array_equal(weights, bootstrap_weights(30, 500, seed=9))
    assert not np.array_equal(weights, bootstrap_weights(30, 500, seed=10))


def test_weights_of_other_images_are_refused() -> None:
    records = records_of(*random_split(8))
    with pytest.raises(DataError, match="12 images"):
        bootstrap_ap(records, np.ones((3, 11), int))
