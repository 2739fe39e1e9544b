"""TIDE's error types by hand, and against a plain reference that repairs the detections themselves and scores again."""

from __future__ import annotations

import contextlib
import io
import json
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import pytest
from pycocotools.coco import COCO

from mnv4bench.evaluate import coco as coco_eval
from mnv4bench.evaluate import tide
from mnv4bench.models.nms import read_nms, read_top
from mnv4bench.results.metrics import Errors

Json = dict[str, Any]
Split = tuple[Json, list[Json]]
"""COCO ground truth, and detections in it."""

A, B = [0.0, 0.0, 100.0, 100.0], [200.0, 200.0, 100.0, 100.0]
FAR = [350.0, 0.0, 40.0, 40.0]
PART = [0.0, 0.0, 100.0, 40.0]  # 0.4 of A
KINDS = ("classification", "localisation", "both", "duplicate", "background", "missed")


def split(objects: list[tuple[int, list[float]]], *detections: tuple[int, list[float], float], crowd: int = 0) -> Split:
    """Return an image of objects (class, box), the last `crowd` of them crowds, and detections (class, box, score)."""
    annotations = [
        thing(number, 1, category, box, number > len(objects) - crowd)
        for number, (category, box) in enumerate(objects, 1)
    ]
    return truth(1, annotations), [result(1, *row) for row in detections]


def truth(images: int, annotations: list[Json], classes: int = 3) -> Json:
    return {
        "images": [{"id": image, "width": 400, "height": 400} for image in range(1, images + 1)],
        "annotations": annotations,
        "categories": [{"id": category, "name": f"class {category}"} for category in range(1, classes + 1)],
    }


def thing(number: int, image: int, category: int, box: list[float], crowd: bool = False) -> Json:
    where = {"image_id": image, "bbox": box, "area": box[2] * box[3]}
    return {"id": number, "category_id": category, "iscrowd": int(crowd), **where}


def result(image: int, category: int, box: list[float], score: float) -> Json:
    return {"image_id": image, "category_id": category, "bbox": box, "score": score}


def coco(content: Json) -> COCO:
    indexed = COCO()
    indexed.dataset = json.loads(json.dumps(content))
    with contextlib.redirect_stdout(io.StringIO()):
        indexed.createIndex()
    return indexed


def evaluation(content: Json, detections: list[Json]) -> Any:
    return coco_eval.evaluate(coco(content), detections)


def errors(case: Split) -> Errors:
    return tide.errors(evaluation(*case))


def named(counts: dict[str, int]) -> dict[str, int]:
    return {kind: count for kind, count in counts.items() if count}


WRONG_BETWEEN = (1 - 2 / 3) * 50 / 101
"""AP that a wrong detection between two right ones costs: precision 2/3 instead of 1 at the upper 50 recall levels."""


@pytest.mark.parametrize(
    ("kind", "case", "gain"),
    [
        ("localisation", split([(1, A)], (1, PART, 0.9)), 1),
        ("classification", split([(1, A)], (2, A, 0.9)), 1),
        ("duplicate", split([(1, A), (1, B)], (1, A, 0.9), (1, A, 0.8), (1, B, 0.7)), WRONG_BETWEEN),
        ("background", split([(1, A), (1, B)], (1, A, 0.9), (1, FAR, 0.8), (1, B, 0.7)), WRONG_BETWEEN),
        ("both", split([(1, A), (1, B), (2, FAR)], (1, A, 0.9), (1, [350.0, 0, 40, 16], 0.8), (1, B, 0.7),
                       (2, FAR, 0.6)), WRONG_BETWEEN / 2),
        ("missed", split([(1, A), (1, B)], (1, A, 0.9)), 50 / 101),
    ],
)  # fmt: skip
def test_each_type_alone_is_seen_and_repaired(kind: str, case: Split, gain: float) -> None:
    got = errors(case)
    assert named(got.counts) == {kind: 1}
    assert got.gains == pytest.approx({one: gain if one == kind else 0 for one in KINDS}, abs=1e-12)


@pytest.mark.parametrize(
    ("kind", "wrong", "other"),
    [
        ("localisation", [0.0, 50.0, 100.0, 100.0], [0.0, 50.0, 100.0, 100.0]),  # a third of A, all of the other
        ("classification", [0.0, 10.0, 100.0, 100.0], [0.0, 20.0, 100.0, 110.0]),  # most of A and of the other
        ("duplicate", [0.0, 0.0, 90.0, 100.0], FAR),
    ],
)
def test_the_first_type_that_holds_is_the_one(kind: str, wrong: list[float], other: list[float]) -> None:
    case = split([(1, A), (2, other)], (1, A, 0.9), (2, other, 0.9), (1, wrong, 0.5))
    assert named(errors(case).counts) == {kind: 1}


def test_thresholds_belong_to_the_types_that_the_paper_gives_them_to() -> None:
    tenth, half = [0.0, 0.0, 100.0, 10.0], [0.0, 0.0, 100.0, 50.0]
    assert named(errors(split([(1, A)], (1, tenth, 0.9))).counts) == {"localisation": 1}
    assert named(errors(split([(1, A)], (2, tenth, 0.9))).counts) == {"background": 1, "missed": 1}
    assert named(errors(split([(1, A)], (1, half, 0.9))).counts) == {}
    assert named(errors(split([(1, A)], (2, half, 0.9))).counts) == {"classification": 1}


def test_an_error_that_aims_at_a_matched_object_is_removed() -> None:
    for wrong in ((1, PART, 0.8), (3, A, 0.8)):
        got = errors(split([(1, A), (1, B), (3, FAR)], (1, A, 0.9), wrong, (1, B, 0.7), (3, FAR, 0.6)))
        kind = "localisation" if wrong[0] == 1 else "classification"
        cost = WRONG_BETWEEN if wrong[0] == 1 else 0.5
        assert named(got.counts) == {kind: 1}
        assert got.gains[kind] == pytest.approx(cost / 2, abs=1e-12)  # type: ignore[index]


def test_of_errors_that_aim_at_one_object_the_best_becomes_right_and_the_others_go() -> None:
    got = errors(split([(1, A), (1, B)], (1, PART, 0.9), (1, PART, 0.8), (1, B, 0.7)))
    assert named(got.counts) == {"localisation": 2}
    np.testing.assert_allclose(got.AP50, 51 / 101 / 3, atol=1e-12)
    assert got.gains["localisation"] == pytest.approx(1 - 51 / 101 / 3, abs=1e-12)


def test_a_class_whose_objects_are_all_missed_stays_at_zero() -> None:
    with np.errstate(all="raise"):
        got = errors(split([(1, A), (2, B)], (1, A, 0.9), (2, FAR, 0.8)))
    assert (got.AP50, named(got.counts), got.gains["missed"]) == (0.5, {"background": 1, "missed": 1}, 0.0)


def test_crowds_are_no_objects_and_detections_on_them_no_errors() -> None:
    got = errors(split([(1, A), (1, B)], (1, A, 0.9), (1, B, 0.8), (1, B, 0.7), crowd=1))
    assert (got.AP50, named(got.counts), got.duplicates_per_object) == (1.0, {}, 0.0)


def test_without_objects_nothing_can_be_gained() -> None:
    got = errors(split([], (1, A, 0.9)))
    assert (got.AP50, got.duplicates_per_object) == (None, None)
    assert got.gains == dict.fromkeys(KINDS)
    assert named(got.counts) == {"background": 1}


def test_without_detections_every_object_is_missed() -> None:
    got = errors(split([(1, A), (2, B)]))
    assert (got.AP50, named(got.counts), got.duplicates_per_object) == (0.0, {"missed": 2}, 0.0)


def test_only_duplicates_that_would_be_shown_are_counted_for_each_object() -> None:
    case = split([(1, A), (1, B)], (1, A, 0.9), (1, A, 0.26), (1, A, 0.25), (1, B, 0.2), (1, B, 0.1))
    got = errors(case)
    assert (got.counts["duplicate"], got.duplicates_per_object, got.confidence) == (3, 0.5, 0.25)


def test_a_duplicate_that_counts_as_another_type_is_still_a_duplicate_for_its_object() -> None:
    got = errors(split([(1, A), (2, A)], (1, A, 0.9), (2, A, 0.9), (1, A, 0.8)))
    assert (named(got.counts), got.duplicates_per_object) == ({"classification": 1}, 0.5)


def random_split(seed: int, images: int = 10, classes: int = 12, decimals: int = 6) -> Split:
    """Return objects and crowds of many classes, and detections that are near, doubled, relabelled, or nowhere."""
    random = np.random.Generator(np.random.PCG64(seed))
    things: list[Json] = []
    detections: list[Json] = []
    for image in range(1, images + 1):
        for _ in range(random.integers(2, 9)):
            side = random.uniform(20, 120)
            box = [*random.uniform(0, 250, 2), *random.uniform(0.7, 1.3, 2) * side]
            category = int(random.integers(1, classes))  # the last class has no object
            things.append(thing(len(things) + 1, image, category, list(map(float, box)), random.random() < 0.15))
            for _ in range(random.integers(0, 5)):
                near = np.array(box) + random.normal(0, random.choice([0.03, 0.2]) * side, 4)
                label = category if random.random() < 0.7 else int(random.integers(1, classes + 1))
                detections.append(result(image, label, np.maximum(near, 1).tolist(), random.beta(3, 2)))
        for _ in range(4):
            box = [*random.uniform(0, 250, 2), *random.uniform(10, 120, 2)]
            detections.append(
                result(image, int(random.integers(1, classes + 1)), list(map(float, box)), random.beta(2, 3))
            )
    for detection in detections:
        detection["score"] = round(float(detection["score"]), decimals)
    return truth(images, things, classes), detections


def iou(a: list[float], b: list[float], crowd: bool = False) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / (a[2] * a[3] + (0 if crowd else b[2] * b[3] - common))


class Wrong(NamedTuple):
    kind: str
    detection: int
    target: Json | None


def reference(content: Json, detections: list[Json]) -> tuple[list[Wrong], list[Json], set[int]]:
    """Return wrong detections, missed objects and ids of matched ones, by loops over the definitions alone."""
    used: dict[int, int] = {}
    wrong: list[Wrong] = []
    order = sorted(range(len(detections)), key=lambda d: -detections[d]["score"])
    unmatched = []
    for d in order:
        mine = [g for g in content["annotations"] if g["image_id"] == detections[d]["image_id"]]
        own = [g for g in mine if g["category_id"] == detections[d]["category_id"]]
        free = [g for g in own if not g["iscrowd"] and g["id"] not in used]
        best = max(free, key=lambda g: iou(detections[d]["bbox"], g["bbox"]), default=None)
        if best and iou(detections[d]["bbox"], best["bbox"]) >= 0.5:
            used[best["id"]] = d
        elif not any(g["iscrowd"] and iou(detections[d]["bbox"], g["bbox"], True) >= 0.5 for g in own):
            unmatched.append(d)
    for d in unmatched:
        mine = [g for g in content["annotations"] if g["image_id"] == detections[d]["image_id"] and not g["iscrowd"]]
        pairs = [(iou(detections[d]["bbox"], g["bbox"]), g) for g in mine]
        own = [pair for pair in pairs if pair[1]["category_id"] == detections[d]["category_id"]]
        other = [pair for pair in pairs if pair[1]["category_id"] != detections[d]["category_id"]]
        near, close = (max(some, key=lambda pair: pair[0], default=(0.0, {})) for some in (own, other))
        if 0.1 <= near[0] < 0.5:
            wrong.append(Wrong("localisation", d, near[1]))
        elif close[0] >= 0.5:
            wrong.append(Wrong("classification", d, close[1]))
        elif any(overlap >= 0.5 and g["id"] in used for overlap, g in own):
            wrong.append(Wrong("duplicate", d, None))
        elif max(near[0], close[0]) <= 0.1:
            wrong.append(Wrong("background", d, None))
        else:
            wrong.append(Wrong("both", d, None))
    aimed = {one.target["id"] for one in wrong if one.target}
    objects = [g for g in content["annotations"] if not g["iscrowd"]]
    return wrong, [g for g in objects if g["id"] not in used and g["id"] not in aimed], set(used)


def repaired(kind: str, content: Json, detections: list[Json]) -> Split:
    """Return the split with the errors of one type repaired in the data itself."""
    wrong, missed, used = reference(content, detections)
    if kind == "missed":
        gone = {g["id"] for g in missed}
        return {**content, "annotations": [g for g in content["annotations"] if g["id"] not in gone]}, detections
    new = dict(enumerate(detections))
    for one in (one for one in wrong if one.kind == kind):
        detection = new.pop(one.detection)
        if one.target and one.target["id"] not in used:
            used.add(one.target["id"])
            field = {"localisation": "bbox", "classification": "category_id"}[kind]
            new[one.detection] = {**detection, field: one.target[field]}
    return content, [new[d] for d in sorted(new)]


def official(content: Json, detections: list[Json], classes: int) -> float:
    """Return pycocotools' AP50; classes that have lost all objects count as 0."""
    got = coco_eval.reading(evaluation(content, detections)).classes.values()
    return sum(one.AP50 or 0.0 for one in got) / classes


@pytest.mark.parametrize(("seed", "decimals"), [(0, 6), (1, 6), (2, 6), (3, 1), (4, 1)])
def test_ap50_and_every_gain_are_what_pycocotools_scores(seed: int, decimals: int) -> None:
    content, detections = random_split(seed, decimals=decimals)
    got = errors((content, detections))
    np.testing.assert_allclose(got.AP50, coco_eval.score(coco(content), detections).AP50, atol=1e-12)
    wrong, missed, _ = reference(content, detections)
    counts = Counter(one.kind for one in wrong) + Counter({"missed": len(missed)})
    assert got.counts == {kind: counts[kind] for kind in KINDS}
    assert min(counts[kind] for kind in KINDS) > 0
    classes = len({g["category_id"] for g in content["annotations"] if not g["iscrowd"]})
    expected = {kind: official(*repaired(kind, content, detections), classes) - (got.AP50 or 0) for kind in KINDS}
    assert got.gains == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(5, 10))
def test_no_repair_costs_anything_and_all_together_leave_nothing_wrong(seed: int) -> None:
    decisions = tide.decide(evaluation(*random_split(seed, classes=4)))
    before = tide.ap50(decisions)
    assert before is not None
    assert 0 < before < 1
    assert all((tide.ap50(decisions, {kind}) or 0) >= before for kind in tide.KINDS)
    assert tide.ap50(decisions, tide.KINDS) == pytest.approx(1, abs=1e-12)


def test_removing_duplicates_where_there_are_none_gains_exactly_nothing() -> None:
    content, detections = random_split(11)
    once = repaired("duplicate", content, detections)
    got = errors(once)
    assert len(once[1]) < len(detections)
    assert (got.counts["duplicate"], got.gains["duplicate"]) == (0, 0.0)


def test_only_the_images_of_the_evaluation_are_looked_at() -> None:
    content, detections = random_split(12)
    images = [2, 3, 7]
    part = {
        **content,
        "images": [image for image in content["images"] if image["id"] in images],
        "annotations": [g for g in content["annotations"] if g["image_id"] in images],
    }
    some = coco_eval.evaluate(coco(content), detections, images)
    assert tide.errors(some) == errors((part, [d for d in detections if d["image_id"] in images]))


def test_a_one_to_many_head_read_without_suppression_shows_duplicates_that_suppression_removes() -> None:
    random = np.random.Generator(np.random.PCG64(0))
    objects = np.array([[20 + 120 * (i % 3), 20 + 120 * (i // 3), 80, 70] for i in range(9)], float)
    around = np.repeat(objects, 10, axis=0) + random.uniform(-2, 2, (90, 4))  # ten anchors learn each object
    corners = np.column_stack([around[:, :2], around[:, :2] + around[:, 2:]])
    scores = random.uniform(0.3, 0.9, (90, 1))
    content = truth(1, [thing(number, 1, 1, box.tolist()) for number, box in enumerate(objects, 1)])
    duplicates = {}
    for read, rows in (("top", read_top(corners, scores)), ("nms", read_nms(corners, scores, 0.001, 0.7))):
        detections = [result(1, 1, [*row[:2], *(row[2:4] - row[:2])], float(row[4])) for row in rows]
        duplicates[read] = errors((content, detections)).duplicates_per_object
    assert duplicates == {"top": 9.0, "nms": 0.0}
