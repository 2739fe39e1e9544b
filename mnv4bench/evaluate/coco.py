"""COCO's bounding-box metrics by pycocotools: matched once, accumulated for any subset of images or classes."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mnv4bench.evaluate import tide
from mnv4bench.io.errors import DataError
from mnv4bench.results.matches import AREAS
from mnv4bench.results.metrics import Reading, Scores

MAX_DETS = 100
"""Detections per image and class that COCO's AP looks at."""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def ground_truth(path: Path) -> COCO:
    """Load COCO annotations without printing.

    Raises:
        DataError: no COCO JSON, or ids that COCOeval would silently get wrong.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error}); give a COCO annotation file") from error
    missing = [
        key for key in ("images", "annotations", "categories") if not isinstance(content, dict) or key not in content
    ]
    if missing:
        raise DataError(f"{path}: {', '.join(missing)}: missing; give a COCO annotation file")
    ids = [annotation["id"] for annotation in content["annotations"]]
    # COCOeval writes the matched object's id and reads 0 as "no match".
    if 0 in ids or len(set(ids)) != len(ids):
        raise DataError(f"{path}: annotations.id: must be unique and not 0; number the annotations from 1")
    return _indexed(content)


def _indexed(content: dict[str, Any]) -> COCO:
    coco = COCO()
    coco.dataset = content
    with _quiet():
        coco.createIndex()
    return coco


def evaluate(
    truth: COCO,
    detections: Sequence[Mapping[str, Any]],
    image_ids: Iterable[int] | None = None,
    max_dets: int = MAX_DETS,
) -> COCOeval:
    """Match detections with objects; `scores`, `reading` and `match_records.from_eval` read the result.

    Args:
        detections: COCO results: image_id, category_id, bbox (x, y, width, height in pixels) and score.
        image_ids: Images to score, None is all of them; detections in other images are left out.
        max_dets: Highest scores per image and class that count.

    Raises:
        DataError: an image or category that the ground truth does not have.
    """
    wanted = sorted(truth.imgs if image_ids is None else set(image_ids))
    _check_ids("images", wanted, truth.imgs)
    _check_ids("detections: image_id", (d["image_id"] for d in detections), truth.imgs)
    _check_ids("detections: category_id", (d["category_id"] for d in detections), truth.cats)
    evaluation = COCOeval(truth, _results(truth, detections), "bbox")
    evaluation.params.imgIds = wanted
    evaluation.params.maxDets = [max_dets]
    with _quiet():
        evaluation.evaluate()
    return evaluation


def _check_ids(what: str, ids: Iterable[int], known: Mapping[int, Any]) -> None:
    unknown = sorted(set(ids) - set(known))
    if unknown:
        shown = ", ".join(map(str, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
        raise DataError(f"{what}: {shown} not in the ground truth; score against the annotations of these images")


def _results(truth: COCO, detections: Sequence[Mapping[str, Any]]) -> COCO:
    """Index results as COCO.loadRes does, but also none at all, and without changing the caller's records."""
    annotations = [
        {**detection, "id": number, "iscrowd": 0, "area": detection["bbox"][2] * detection["bbox"][3]}
        for number, detection in enumerate(detections, start=1)
    ]
    kept = {key: truth.dataset[key] for key in ("images", "categories")}
    return _indexed({**kept, "annotations": annotations})


def score(
    truth: COCO,
    detections: Sequence[Mapping[str, Any]],
    image_ids: Iterable[int] | None = None,
    max_dets: int = MAX_DETS,
) -> Scores:
    """Return COCO's AP, AP50, AP75, APs, APm and APl on 0–1; None where no object is of that kind.

    Raises:
        DataError: as `evaluate`.
    """
    return scores(evaluate(truth, detections, image_ids, max_dets))


def scores(evaluation: COCOeval, image_ids: Iterable[int] | None = None) -> Scores:
    """Accumulate an evaluation over a subset of its images; nothing is matched again.

    Raises:
        DataError: an image that was not evaluated.
    """
    return _summary(_precision(evaluation, image_ids))


def reading(evaluation: COCOeval) -> Reading:
    """Score the whole, every class by its name, every slice that the image records name; say what keeps AP50 down."""
    precision = _precision(evaluation)
    params, truth = evaluation.params, evaluation.cocoGt
    slices: dict[str, list[int]] = {}
    for image in params.imgIds:
        if truth.imgs[image].get("slice"):
            slices.setdefault(truth.imgs[image]["slice"], []).append(image)
    images = set(params.imgIds)
    detections = sum(1 for detection in evaluation.cocoDt.anns.values() if detection["image_id"] in images)
    return Reading(
        scores=_summary(precision),
        slices={name: scores(evaluation, slices[name]) for name in sorted(slices)},
        classes={truth.cats[c]["name"]: _summary(precision[:, :, [k]]) for k, c in enumerate(params.catIds)},
        detections_per_image=detections / len(images) if images else 0.0,
        errors=tide.errors(evaluation),
    )


def _precision(evaluation: COCOeval, image_ids: Iterable[int] | None = None) -> np.ndarray:
    """Return interpolated precision (thresholds, recalls, classes, areas); -1 where there is no object."""
    # accumulate(p) with fewer images picks the wrong cells (it indexes by place in the subset), so cut the cells here.
    part = copy.copy(evaluation)
    part.params = copy.deepcopy(evaluation.params)
    if image_ids is not None:
        subset = set(image_ids)
        _check_ids("images", subset, dict.fromkeys(evaluation.params.imgIds))
        places = [i for i, image in enumerate(evaluation.params.imgIds) if image in subset]
        count = len(evaluation.params.imgIds)
        rows = range(0, len(evaluation.evalImgs), count)
        part.evalImgs = [evaluation.evalImgs[row + place] for row in rows for place in places]
        part.params.imgIds = [evaluation.params.imgIds[place] for place in places]
    part._paramsEval = part.params
    with _quiet():
        part.accumulate()
    return np.asarray(part.eval["precision"][..., -1])


def _summary(precision: np.ndarray) -> Scores:
    thresholds = {"AP50": 0, "AP75": 5}
    values = {"AP": precision[:, :, :, 0]}
    values |= {name: precision[place, :, :, 0] for name, place in thresholds.items()}
    values |= {f"AP{area[0]}": precision[..., place] for place, area in enumerate(AREAS) if area != "all"}
    return Scores(**{name: _mean(value) for name, value in values.items()})


def _mean(precision: np.ndarray) -> float | None:
    counted = precision[precision > -1]
    return float(np.mean(counted)) if counted.size else None
