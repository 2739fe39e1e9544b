"""Precision, recall, F1 and confusion: worked by hand, and beside COCOeval's and ultralytics' own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from ultralytics.utils.metrics import ConfusionMatrix

from mnv4bench.evaluate import coco, confusion, match_records, operating
from mnv4bench.evaluate.coco import _indexed

CATEGORIES = (3, 7, 9)


def annotation(number: int, image: int, category: int, box: list[float], crowd: int = 0) -> dict[str, Any]:
    area = box[2] * box[3]
    return {"id": number, "image_id": image, "category_id": category, "bbox": box, "iscrowd": crowd, "area": area}


def detection(image: int, category: int, box: list[float], score: float) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "bbox": box, "score": score}


def truth(annotations: list[dict[str, Any]], images: int = 2) -> Any:
    return _indexed(
        {
            "images": [{"id": image + 1, "width": 100, "height": 100} for image in range(images)],
            "annotations": annotations,
            "categories": [{"id": category, "name": f"class {category}"} for category in CATEGORIES],
        }
    )


SOUGHT = [
    annotation(1, 1, 3, [0, 0, 10, 10]),
    annotation(2, 1, 3, [50, 50, 10, 10]),
    annotation(3, 2, 7, [0, 0, 20, 20]),
    annotation(4, 2, 3, [60, 60, 40, 40], crowd=1),
]
FOUND = [
    detection(1, 3, [0, 0, 10, 9], 0.9),  # right
    detection(1, 7, [50, 50, 10, 10], 0.8),  # a 3 taken for a 7
    detection(1, 3, [50, 50, 10, 10], 0.4),  # right for COCO; here the object is taken
    detection(2, 7, [0, 0, 20, 20], 0.3),  # right
    detection(2, 3, [70, 70, 10, 10], 0.7),  # on the crowd
    detection(2, 3, [0, 50, 10, 10], 0.6),  # of nothing
]


def found(annotations: list[dict[str, Any]], detections: list[dict[str, Any]], images: int = 2) -> operating.Curves:
    return operating.curves(match_records.from_eval(coco.evaluate(truth(annotations, images), detections)))


def test_curves_by_hand() -> None:
    """Class 3 has two objects and, above 0.9, 0.6 and 0.4, one, two and three detections: right, wrong, right."""
    made = found(SOUGHT, FOUND)
    three, seven, nine = range(3)
    at = {0.95: 95, 0.9: 90, 0.6: 60, 0.4: 40, 0.0: 0}
    assert [made.recall[three, k] for k in at.values()] == [0, 0.5, 0.5, 1, 1]
    assert [made.precision[three, k] for k in list(at.values())[1:]] == pytest.approx([1, 1 / 2, 2 / 3, 2 / 3])
    assert np.isnan(made.precision[three, 95])
    assert [made.f1[three, k] for k in at.values()] == pytest.approx([0, 2 / 3, 1 / 2, 4 / 5, 4 / 5])
    # Class 7 has one object and a wrong detection before the right one.
    assert [made.f1[seven, k] for k in (80, 31, 30)] == pytest.approx([0, 0, 2 / 3])
    assert np.isnan(made.f1[nine]).all()
    assert made.interpolated[three].tolist() == pytest.approx([1.0] * 51 + [2 / 3] * 50)
    assert made.interpolated[seven].tolist() == pytest.approx([0.5] * 101)
    assert made.best == 0
    assert made.mean_f1[0] == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_a_class_without_detections_has_recall_0_and_no_precision() -> None:
    made = found(SOUGHT, [])
    assert made.f1[:2].tolist() == made.recall[:2].tolist() == made.interpolated[:2].tolist() == [[0.0] * 101] * 2
    assert np.isnan(made.precision).all()
    assert found([], FOUND).best is None


def test_the_mean_over_seeds_is_of_the_seeds_that_have_a_value() -> None:
    one, none = found(SOUGHT, FOUND), found(SOUGHT, [])
    made = operating.mean([one, none])
    assert made.f1[0, 90] == pytest.approx(1 / 3)
    assert made.precision[0, 90] == 1
    assert np.isnan(made.precision[0, 95])


def test_confusion_by_hand() -> None:
    made = confusion.confusion(SOUGHT, FOUND, CATEGORIES, 0.4)
    assert made.tolist() == [
        [1, 1, 0, 0],
        [0, 0, 0, 1],  # its detection scores 0.3
        [0, 0, 0, 0],
        [2, 0, 0, 0],  # the second one on an object that is taken, and the one of nothing
    ]
    assert confusion.confusion(SOUGHT, [], CATEGORIES, 0.4)[:, -1].tolist() == [2, 1, 0, 0]
    assert confusion.confusion([], FOUND, CATEGORIES, 0.4)[-1].tolist() == [4, 1, 0, 0]


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.concatenate([rng.uniform(0, 60, (count, 2)), rng.uniform(15, 40, (count, 2))], axis=1).round(2)


def crowded(seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return objects that overlap, and detections near them."""
    rng = np.random.default_rng(seed)
    annotations, detections = [], []
    for image in range(1, 31):
        boxes = random_boxes(rng, int(rng.integers(0, 8)))
        for box in boxes:
            annotations.append(annotation(len(annotations) + 1, image, int(rng.choice(CATEGORIES)), box.tolist()))
        near = np.repeat(boxes, 2, axis=0)
        near = np.concatenate([near + rng.normal(0, 3, near.shape), random_boxes(rng, 3)])
        for box, score in zip(near.round(2), rng.permutation(len(near)) / len(near), strict=True):
            detections.append(detection(image, int(rng.choice(CATEGORIES)), box.tolist(), float(score)))
    return annotations, detections


@pytest.mark.parametrize("seed", [0, 1])
def test_the_mean_of_the_interpolated_precision_is_cocos_ap50(seed: int) -> None:
    annotations, detections = crowded(seed)
    reading = coco.reading(coco.evaluate(truth(annotations, 30), detections))
    made = found(annotations, detections, 30).interpolated.mean(axis=1)
    assert made.tolist() == pytest.approx([reading.classes[f"class {name}"].AP50 for name in CATEGORIES], abs=1e-12)


@pytest.mark.parametrize("confidence", [0.0, 0.31, 0.77])
@pytest.mark.parametrize("seed", [0, 1])
def test_confusion_is_what_ultralytics_counts(seed: int, confidence: float) -> None:
    annotations, detections = crowded(seed)
    theirs = ConfusionMatrix(names={index: str(index) for index in range(3)})
    truths, rows = confusion.by_image(annotations), confusion.by_image(detections)
    for image in rows:
        theirs.process_batch(
            {**_tensors(rows[image]), "conf": torch.tensor([row["score"] for row in rows[image]])},
            _tensors(truths.get(image, [])),
            conf=confidence - 1e-9,  # it takes what scores more
            iou_thres=0.5,
        )
    made = confusion.confusion(annotations, detections, CATEGORIES, confidence)
    assert made.sum() > 50
    assert made.tolist() == theirs.matrix.T.astype(int).tolist()


def _tensors(rows: list[Any]) -> dict[str, torch.Tensor]:
    boxes = torch.tensor([row["bbox"] for row in rows], dtype=torch.float64).reshape(-1, 4)
    corners = torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1)
    return {"cls": torch.tensor([CATEGORIES.index(row["category_id"]) for row in rows]), "bboxes": corners}
