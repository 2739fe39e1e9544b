"""COCO scores and match records against pycocotools itself and against hand-worked cases."""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mnv4bench.evaluate import match_records
from mnv4bench.evaluate.coco import evaluate, ground_truth, reading, score, scores
from mnv4bench.io.errors import DataError
from mnv4bench.results import matches
from mnv4bench.results.matches import MatchRecords
from mnv4bench.results.metrics import Scores

Json = dict[str, Any]
NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def thing(number: int, image: int, category: int, bbox: list[float], **more: Any) -> Json:
    area = bbox[2] * bbox[3]
    return {"id": number, "image_id": image, "category_id": category, "bbox": bbox, "area": area, "iscrowd": 0} | more


def result(image: int, category: int, bbox: list[float], value: float) -> Json:
    return {"image_id": image, "category_id": category, "bbox": bbox, "score": value}


def split(images: int, annotations: list[Json], categories: Iterable[int] = (1,), slices: tuple[str, ...] = ()) -> Json:
    pictures = [{"id": i, "width": 400, "height": 400} for i in range(1, images + 1)]
    for picture, name in zip(pictures, slices, strict=False):
        picture["slice"] = name  # type: ignore[assignment]
    names = [{"id": c, "name": f"class {c}"} for c in categories]
    return {"images": pictures, "annotations": annotations, "categories": names}


def random_split(seed: int, images: int = 12, decimals: int | None = None) -> tuple[Json, list[Json]]:
    """Objects of all sizes, crowds, an empty image, a class without objects; noisy, doubled and false detections."""
    rng = np.random.default_rng(seed)
    things: list[Json] = []
    found: list[Json] = []
    for image in range(1, images):
        for _ in range(rng.integers(1, 7)):
            side = float(rng.choice([20, 60, 130]))
            box = [*rng.uniform(0, 250, 2), *rng.uniform(0.7, 1.3, 2) * side]
            crowd = int(rng.random() < 0.15)
            things.append(thing(len(things) + 1, image, int(rng.choice([2, 5, 7])), box, iscrowd=crowd))
            for _ in range(rng.integers(0, 3)):
                close = (np.array(box) + rng.normal(0, 0.04 * side, 4)).tolist()
                found.append(result(image, int(rng.choice([things[-1]["category_id"], 2])), close, rng.beta(3, 2)))
    for _ in range(4 * images):
        box = [*rng.uniform(0, 250, 2), *rng.uniform(10, 120, 2)]
        found.append(result(int(rng.integers(1, images + 1)), int(rng.choice([2, 5, 7, 9])), box, rng.beta(2, 3)))
    for detection in found:
        detection["score"] = float(detection["score"] if decimals is None else round(detection["score"], decimals))
    names = ("plain", "crowd", "small")
    return split(images, things, (2, 5, 7, 9), tuple(names[i % 3] for i in range(images))), found


def coco(content: Json) -> COCO:
    truth = COCO()
    truth.dataset = json.loads(json.dumps(content))
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth


def official(content: Json, found: list[Json], images: list[int] | None = None, categories: Any = None) -> Scores:
    """Score with pycocotools as its manual shows."""
    truth = coco(content)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(json.loads(json.dumps(found))), "bbox")
        evaluation.params.imgIds = evaluation.params.imgIds if images is None else images
        evaluation.params.catIds = evaluation.params.catIds if categories is None else categories
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return Scores(**{n: None if v == -1 else float(v) for n, v in zip(NAMES, evaluation.stats, strict=False)})


def assert_same(ours: Scores, theirs: Scores) -> None:
    for name in NAMES:
        a, b = getattr(ours, name), getattr(theirs, name)
        assert (a is None) == (b is None), name
        assert a is None or abs(a - b) <= 1e-12, name


@pytest.mark.parametrize("seed", range(4))
def test_score_equals_pycocotools(seed: int) -> None:
    content, found = random_split(seed)
    theirs = official(content, found)
    assert 0.05 < (theirs.AP or 0) < 0.95
    assert_same(score(coco(content), found), theirs)


def test_subset_of_an_evaluation_equals_pycocotools_on_the_subset() -> None:
    content, found = random_split(10)
    evaluation = evaluate(coco(content), found)
    for images in ([1, 5, 9], [2], [12], list(range(1, 13))):
        assert_same(scores(evaluation, images), official(content, found, images))


def test_image_ids_limit_what_is_scored() -> None:
    content, found = random_split(11)
    assert_same(score(coco(content), found, [3, 4, 8]), official(content, found, [3, 4, 8]))


def test_reading_scores_each_class_and_slice_as_pycocotools_does_alone() -> None:
    content, found = random_split(12)
    got = reading(evaluate(coco(content), found))
    assert_same(got.scores, official(content, found))
    assert list(got.classes) == ["class 2", "class 5", "class 7", "class 9"]
    for category in (2, 5, 7, 9):
        assert_same(got.classes[f"class {category}"], official(content, found, categories=[category]))
    assert list(got.slices) == ["crowd", "plain", "small"]
    for name, first in (("plain", 1), ("crowd", 2), ("small", 3)):
        assert_same(got.slices[name], official(content, found, list(range(first, 13, 3))))
    assert got.detections_per_image == len(found) / 12


def test_one_of_two_objects_found_gives_51_of_101_recall_levels() -> None:
    content = split(1, [thing(1, 1, 1, [0, 0, 40, 40]), thing(2, 1, 1, [100, 100, 40, 40])])
    found = [result(1, 1, [0, 0, 40, 40], 0.9), result(1, 1, [200, 200, 40, 40], 0.8)]
    got = score(coco(content), found)
    assert got.AP == got.AP50 == got.APm == pytest.approx(51 / 101, abs=1e-15)
    assert (got.APs, got.APl) == (None, None)


def test_overlap_of_six_tenths_counts_at_three_thresholds() -> None:
    content = split(1, [thing(1, 1, 1, [0, 0, 100, 100])])
    got = score(coco(content), [result(1, 1, [0, 0, 100, 61], 0.9)])  # 0.61 passes 0.50, 0.55 and 0.60
    np.testing.assert_allclose([got.AP, got.AP50, got.AP75], [0.3, 1, 0], atol=1e-12)


def test_max_dets_keeps_the_best_detections_of_an_image() -> None:
    content = split(1, [thing(1, 1, 1, [0, 0, 40, 40])])
    found = [result(1, 1, [200, 200, 40, 40], 0.9), result(1, 1, [0, 0, 40, 40], 0.8)]
    assert score(coco(content), found, max_dets=1).AP == 0.0
    everything = score(coco(content), found).AP
    assert everything == pytest.approx(0.5, abs=1e-12)


def test_no_detections_score_zero_where_there_are_objects() -> None:
    content, _ = random_split(13)
    assert score(coco(content), []).AP == 0.0
    got = reading(evaluate(coco(content), []))
    assert (got.detections_per_image, got.classes["class 9"].AP) == (0.0, None)


def test_no_objects_score_none() -> None:
    content = split(2, [])
    nothing = Scores(AP=None, AP50=None, AP75=None, APs=None, APm=None, APl=None)
    assert score(coco(content), []) == nothing
    assert score(coco(content), [result(1, 1, [0, 0, 9, 9], 0.5)]) == nothing


def test_scoring_is_silent_and_leaves_the_detections_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    content, found = random_split(14)
    before = json.dumps(found)
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(content))
    reading(evaluate(ground_truth(path), found))
    assert capsys.readouterr() == ("", "")
    assert json.dumps(found) == before


def test_loaded_ground_truth_scores_as_in_memory(tmp_path: Path) -> None:
    content, found = random_split(15)
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(content))
    assert score(ground_truth(path), found) == score(coco(content), found)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("not json", "cannot be read as JSON"),
        ('{"images": []}', "annotations, categories: missing"),
        (json.dumps(split(1, [thing(0, 1, 1, [0, 0, 5, 5])])), "annotations.id"),
        (json.dumps(split(1, [thing(3, 1, 1, [0, 0, 5, 5])] * 2)), "annotations.id"),
    ],
)
def test_bad_annotation_file_is_named_with_its_fault(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(DataError, match=named) as error:
        ground_truth(path)
    assert "broken.json" in str(error.value)


def test_unknown_images_and_classes_are_named() -> None:
    truth = coco(split(2, []))
    with pytest.raises(DataError, match=r"image_id: 7 not in the ground truth"):
        evaluate(truth, [result(7, 1, [0, 0, 5, 5], 0.5)])
    with pytest.raises(DataError, match=r"category_id: 4 not"):
        evaluate(truth, [result(1, 4, [0, 0, 5, 5], 0.5)])
    with pytest.raises(DataError, match=r"images: 3, 4 not"):
        evaluate(truth, [], [1, 3, 4])
    with pytest.raises(DataError, match=r"images: 2 not"):
        scores(evaluate(truth, [], [1]), [1, 2])


def test_match_records_of_a_hand_worked_split() -> None:
    content = split(
        3, [thing(1, 1, 1, [0, 0, 20, 20]), thing(2, 3, 1, [0, 0, 50, 50]), thing(3, 3, 1, [200, 0, 99, 99], iscrowd=1)]
    )
    content["images"][2]["slice"] = "crowd"
    found = [
        result(3, 1, [0, 0, 50, 31], 0.5),  # right up to 0.60
        result(1, 1, [0, 0, 20, 20], 0.5),  # right everywhere, and first of its equals by image
        result(3, 1, [200, 0, 99, 99], 0.9),  # on the crowd
        result(2, 1, [0, 0, 20, 20], 0.7),  # wrong
    ]
    got = match_records.from_eval(evaluate(coco(content), found))
    assert got.image_ids.tolist() == [1, 2, 3]
    assert got.slices.tolist() == ["", "", "crowd"]
    assert got.score.tolist() == [0.9, 0.7, 0.5, 0.5]
    assert got.image.tolist() == [2, 1, 0, 2]
    assert got.category.tolist() == [0] * 4
    assert got.tp[0].sum(axis=1).tolist() == [0, 0, 10, 3]
    assert got.ignored[0].sum(axis=1).tolist() == [10, 0, 0, 0]
    assert got.objects[:, :, 0].tolist() == [[1, 0, 1], [1, 0, 0], [0, 0, 1], [0, 0, 0]]
    small = matches.AREAS.index("small")
    assert got.tp[small].sum(axis=1).tolist() == [0, 0, 10, 0]
    # The last one matches the 50 x 50 object, ignored as too large, at 0.50 to 0.60 and is itself too large above.
    assert got.ignored[small].sum(axis=1).tolist() == [10, 0, 0, 10]


def assert_equal_records(a: MatchRecords, b: MatchRecords) -> None:
    for field in fields(MatchRecords):
        x, y = getattr(a, field.name), getattr(b, field.name)
        assert (x.dtype.kind, x.shape) == (y.dtype.kind, y.shape), field.name
        np.testing.assert_array_equal(x, y, err_msg=field.name)


def test_match_records_survive_the_file(tmp_path: Path) -> None:
    content, found = random_split(16)
    readings = {
        "nms": match_records.from_eval(evaluate(coco(content), found)),
        "nms_free": match_records.from_eval(evaluate(coco(content), found[::2], [1, 2, 5])),
        "empty": match_records.from_eval(evaluate(coco(split(2, [])), [])),
    }
    assert readings["nms"].tp.any()
    assert readings["nms"].ignored.any()
    matches.save(tmp_path / "matches.npz", readings)
    loaded = matches.load(tmp_path / "matches.npz")
    assert sorted(loaded) == sorted(readings)
    for name, records in readings.items():
        assert_equal_records(loaded[name], records)


@pytest.mark.parametrize("decimals", [6, 12])
def test_small_files_hold_the_same_records_whatever_the_scores_decimals(tmp_path: Path, decimals: int) -> None:
    content, found = random_split(18)
    rounded = [{**one, "score": round(one["score"] * 0.987654321, decimals)} for one in found]
    records = match_records.from_eval(evaluate(coco(content), rounded))
    matches.save(tmp_path / "small.npz", {"nms": records}, small=True)
    loaded = matches.load(tmp_path / "small.npz")["nms"]
    assert_equal_records(loaded, records)
    assert loaded.score.dtype == records.score.dtype
    with np.load(tmp_path / "small.npz") as archive:
        assert ("nms.score_steps" in archive) == (decimals == 6)


def test_equal_match_records_give_equal_bytes_at_any_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content, found = random_split(17)
    first, second = (match_records.from_eval(evaluate(coco(content), found)) for _ in range(2))
    matches.save(tmp_path / "a.npz", {"nms": first, "nms_free": second})
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(2**31))
    matches.save(tmp_path / "b.npz", {"nms_free": first, "nms": second})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 cut short", b"no archive"])
def test_unreadable_match_records_are_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "matches.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"matches\.npz: no match records"):
        matches.load(path)


def test_no_flipped_byte_of_match_records_ends_in_another_error(tmp_path: Path) -> None:
    content, found = random_split(17)
    path = tmp_path / "matches.npz"
    matches.save(path, {"nms": match_records.from_eval(evaluate(coco(content), found))})
    whole, rng = path.read_bytes(), np.random.Generator(np.random.PCG64(0))
    for place in rng.integers(len(whole), size=400):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ int(rng.integers(1, 256))]) + whole[place + 1 :])
        with contextlib.suppress(DataError):
            matches.load(path)
