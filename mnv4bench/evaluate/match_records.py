"""COCOeval's per-image decisions, collected so that any resample of the images is arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.cocoeval import COCOeval

from mnv4bench.results.matches import AREAS, IOU_THRESHOLDS, MatchRecords


def from_eval(evaluation: COCOeval) -> MatchRecords:
    """Collect the records of an evaluated COCOeval, whose ground truth names each image's "slice" (or none)."""
    params = evaluation.params
    cells = np.empty(len(evaluation.evalImgs), object)
    cells[:] = evaluation.evalImgs
    grid = cells.reshape(len(params.catIds), len(AREAS), len(params.imgIds))
    classes = [_class_records(cells) for cells in grid]
    counts = [len(part["score"]) for part in classes]
    return MatchRecords(
        image_ids=np.array(params.imgIds, np.int64),
        slices=np.array([evaluation.cocoGt.imgs[i].get("slice") or "" for i in params.imgIds], np.str_),
        category_ids=np.array(params.catIds, np.int64),
        image=_join([part["image"] for part in classes], (0,), 0, np.int32),
        category=np.repeat(np.arange(len(counts), dtype=np.int32), counts),
        score=_join([part["score"] for part in classes], (0,), 0, np.float64),
        tp=_join([part["tp"] for part in classes], (len(AREAS), 0, IOU_THRESHOLDS), 1, np.bool_),
        ignored=_join([part["ignored"] for part in classes], (len(AREAS), 0, IOU_THRESHOLDS), 1, np.bool_),
        objects=_objects(grid),
    )


def _class_records(cells: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Join one class's images; `cells` is (areas, images) of COCOeval's dictionaries, None where there is nothing."""
    images = [i for i, cell in enumerate(cells[0]) if cell is not None]
    empty = (len(AREAS), 0, IOU_THRESHOLDS)
    score = _join([np.array(cells[0, i]["dtScores"], np.float64) for i in images], (0,), 0, np.float64)
    matched = [np.stack([cell["dtMatches"].T != 0 for cell in cells[:, i]]) for i in images]
    ignored = [np.stack([cell["dtIgnore"].T != 0 for cell in cells[:, i]]) for i in images]
    image = np.repeat(np.array(images, np.int32), [len(cells[0, i]["dtScores"]) for i in images])
    order = np.argsort(-score, kind="mergesort")
    all_ignored = _join(ignored, empty, 1, np.bool_)[:, order]
    return {
        "image": image[order],
        "score": score[order],
        "tp": _join(matched, empty, 1, np.bool_)[:, order] & ~all_ignored,
        "ignored": all_ignored,
    }


def _objects(grid: NDArray[Any]) -> NDArray[np.int32]:
    counts = [0 if cell is None else int(np.sum(np.asarray(cell["gtIgnore"]) == 0)) for cell in grid.ravel()]
    return np.ascontiguousarray(np.array(counts, np.int32).reshape(grid.shape).transpose(1, 2, 0))


def _join(parts: list[NDArray[Any]], empty: tuple[int, ...], axis: int, dtype: type) -> NDArray[Any]:
    return np.concatenate([np.empty(empty, dtype), *parts], axis=axis).astype(dtype, copy=False)
