"""Suppression against its definition, torchvision and ultralytics."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from mnv4bench.models.nms import nms, read_nms, read_top
from mnv4bench.models.torchvision_ops import declare


def random_boxes(
    rng: np.random.Generator, count: int, dtype: type[np.floating] = np.float64, side: float = 64
) -> np.ndarray:
    """Boxes on a grid of quarter pixels, so that ultralytics' shift by class is exact in float32."""
    corner = rng.integers(0, int(side * 4), (count, 2)) / 4
    size = rng.integers(8, int(side * 2), (count, 2)) / 4
    return np.hstack([corner, corner + size]).astype(dtype)


def distinct_scores(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    count = int(np.prod(shape))
    return ((rng.permutation(count) + 1) / (count + 1)).reshape(shape).astype(np.float32)


def overlap(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union


def greedy(boxes: np.ndarray, scores: np.ndarray, iou: float) -> list[int]:
    """The definition: from the highest score down, keep what overlaps no kept box by more than the threshold."""
    kept: list[int] = []
    plain = boxes.tolist()
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        if all(overlap(plain[k], plain[i]) <= iou for k in kept):
            kept.append(i)
    return kept


@pytest.fixture
def torchvision() -> Any:
    if declare():
        pytest.skip("torchvision's compiled library does not load here, and ours must not be compared with itself")
    return pytest.importorskip("torchvision")


@pytest.fixture
def without_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ultralytics use its own suppression, because torchvision's may be ours."""
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)


@pytest.mark.parametrize("iou", [0.3, 0.5, 0.7])
def test_nms_equals_the_greedy_definition(iou: float) -> None:
    rng = np.random.default_rng(1)
    for count in [1, 2, 20, 80] * 5:
        boxes, scores = random_boxes(rng, count), rng.random(count)
        assert nms(boxes, scores, iou).tolist() == greedy(boxes, scores, iou)


def test_equal_scores_keep_their_order() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        boxes, scores = random_boxes(rng, 60), rng.integers(0, 4, 60) / 4
        assert nms(boxes, scores, 0.4).tolist() == greedy(boxes, scores, 0.4)


def test_nms_equals_torchvision(torchvision: Any) -> None:
    import torch

    rng = np.random.default_rng(3)
    for iou in (0.3, 0.6, 0.7):
        for dtype in (np.float32, np.float64):
            boxes, scores = random_boxes(rng, 400, dtype), (rng.integers(0, 200, 400) / 200).astype(dtype)
            theirs = torchvision.ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), iou)
            assert nms(boxes, scores, iou).tolist() == theirs.tolist()


def test_limit_gives_the_beginning_of_the_unlimited_result() -> None:
    rng = np.random.default_rng(4)
    boxes, scores = random_boxes(rng, 200), rng.random(200)
    everything = nms(boxes, scores, 0.5).tolist()
    assert len(everything) > 30
    assert nms(boxes, scores, 0.5, limit=30).tolist() == everything[:30]
    assert nms(boxes, scores, 0.5, limit=0).tolist() == []


def test_overlap_equal_to_the_threshold_is_kept_and_compared_as_a_double() -> None:
    boxes = np.array([[0, 0, 10, 1], [0, 0, 6, 1]])  # overlap 6 / 10
    scores = np.array([0.9, 0.8])
    assert nms(boxes.astype(np.float64), scores, 0.6).tolist() == [0, 1]
    # In float32 six tenths is 0.60000002, which exceeds the double 0.6, as in torchvision.
    assert nms(boxes.astype(np.float32), scores.astype(np.float32), 0.6).tolist() == [0]


def test_boxes_without_area_do_not_suppress_each_other() -> None:
    boxes = np.array([[5.0, 5, 5, 5], [5, 5, 5, 5]])
    assert nms(boxes, np.array([0.2, 0.3]), 0.5).tolist() == [1, 0]


def test_no_boxes_give_no_detections() -> None:
    empty = np.empty((0, 4), np.float32)
    assert nms(empty, np.empty(0, np.float32), 0.5).shape == (0,)
    assert read_nms(empty, np.empty((0, 3), np.float32), 0.1, 0.5).shape == (0, 6)
    assert read_top(empty, np.empty((0, 3), np.float32)).shape == (0, 6)
    assert read_nms(np.ones((5, 4)), np.full((5, 3), 0.05), 0.1, 0.5).shape == (0, 6)


@pytest.mark.usefixtures("without_torchvision")
@pytest.mark.parametrize(("classes", "candidates"), [(1, 30000), (6, 30000), (6, 900)])
def test_read_nms_equals_ultralytics_multi_label_nms(classes: int, candidates: int) -> None:
    import torch
    from ultralytics.utils.nms import non_max_suppression

    rng = np.random.default_rng(5)
    for _ in range(3):
        boxes, scores = random_boxes(rng, 600, np.float32), distinct_scores(rng, (600, classes))
        assert (scores > 0.6).sum() > 900 or classes == 1
        centre = np.hstack([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]])
        theirs = non_max_suppression(
            torch.from_numpy(np.hstack([centre, scores]).T[None]),
            0.6,
            0.7,
            multi_label=True,
            max_det=100,
            nc=classes,
            max_nms=candidates,
            max_time_img=1e6,
        )[0].numpy()
        ours = read_nms(boxes, scores, 0.6, 0.7, limit=100, candidates=candidates)
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, theirs)


def test_classes_do_not_suppress_each_other_and_one_anchor_can_be_two_classes() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [0, 0, 10, 9]])
    found = read_nms(boxes, np.array([[0.9, 0.5], [0.8, 0.7]]), 0.1, 0.5)
    np.testing.assert_array_equal(found, [[0, 0, 10, 10, 0.9, 0], [0, 0, 10, 9, 0.7, 1]])


def test_every_image_of_a_crowded_batch_gets_its_detections() -> None:
    rng = np.random.default_rng(6)
    for _ in range(16):
        boxes, scores = random_boxes(rng, 8400, np.float32, side=160), rng.random((8400, 6), np.float32)
        assert len(read_nms(boxes, scores, 0.001, 0.7)) == 300


@pytest.mark.parametrize(("anchors", "classes"), [(500, 6), (30, 6), (500, 1)])
def test_read_top_equals_ultralytics_nms_free_head(anchors: int, classes: int) -> None:
    import torch
    from ultralytics.nn.modules.head import Detect

    head = Detect(nc=classes, ch=(16,))
    head.max_det = 100
    rng = np.random.default_rng(7)
    boxes, scores = random_boxes(rng, anchors, np.float32), distinct_scores(rng, (anchors, classes))
    theirs = head.postprocess(torch.from_numpy(np.hstack([boxes, scores])[None]))[0].numpy()
    np.testing.assert_array_equal(read_top(boxes, scores, limit=100), theirs)


def test_read_top_takes_classes_only_from_the_best_anchors() -> None:
    boxes = np.arange(12.0).reshape(3, 4)
    scores = np.array([[0.9, 0.8], [0.7, 0.1], [0.6, 0.5]])
    found = read_top(boxes, scores, limit=2)
    np.testing.assert_array_equal(found, [[0, 1, 2, 3, 0.9, 0], [0, 1, 2, 3, 0.8, 1]])
    np.testing.assert_array_equal(read_top(boxes, scores, limit=3)[:, 4], [0.9, 0.8, 0.7])
    np.testing.assert_array_equal(read_top(boxes, scores, limit=3, confidence=0.7)[:, 4], [0.9, 0.8])
