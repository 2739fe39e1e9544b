"""Why AP50 is not higher: the error types of TIDE and what each of them costs (Bolya et al., ECCV 2020, section 2).

Which detections are right is COCOeval's own decision at IoU 0.5 (all areas), so that AP50 is COCO's. Detections that
it ignores, those on crowds, are no errors; crowds are no objects. Every other detection that is not right has one type,
the first that holds. Its overlaps are IoUs with the objects of its image, matched or not:

1. localisation: the best overlap with its own class lies in [0.1, 0.5);
2. classification: the best overlap with another class is at least 0.5;
3. duplicate: it overlaps an object of its class by at least 0.5, and a higher score is matched with that object;
4. background: no overlap is above 0.1;
5. both: anything else; best is another class's object, at less than 0.5.

An object is missed when it is not matched and no localisation or classification error aims at it. The paper names the
types, its authors' program the order and the handling of objects that several errors aim at.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask

from mnv4bench.results.matches import RECALLS
from mnv4bench.results.metrics import Errors, ErrorType

if TYPE_CHECKING:
    from pycocotools.cocoeval import COCOeval

KINDS: tuple[ErrorType, ...] = get_args(ErrorType)
FOREGROUND = 0.5
"""Overlap of a well-placed box; COCOeval's first threshold."""
BACKGROUND = 0.1
"""Overlap up to which a box has nothing to do with an object."""
DEPLOYED = 0.25
"""Score above which duplicates are counted for each object: what a user would be shown."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Decisions:
    """Every detection that counts and every object that counts, image after image, detections by falling score."""

    category: Integers
    """(detections,) index into the evaluation's classes."""
    score: Floats
    """(detections,)"""
    error: NDArray[np.str_]
    """(detections,) error type; empty where the detection is right."""
    target: Integers
    """(detections,) the object that a localisation or classification error aims at, else -1."""
    duplicate: Flags
    """(detections,) not right, and 0.5 or more over a matched object of its class, whatever type goes first."""
    object_category: Integers
    """(objects,)"""
    matched: Flags
    """(objects,)"""

    @property
    def missed(self) -> Flags:
        """(objects,) not matched, and no error aims at them."""
        missed = ~self.matched
        missed[self.target[self.target >= 0]] = False
        return missed


def errors(evaluation: COCOeval) -> Errors:
    """Return counts and costs of all error types of an evaluated COCOeval; costs are None where there is no object."""
    decisions = decide(evaluation)
    before = ap50(decisions)
    objects = len(decisions.matched)
    shown = int((decisions.duplicate & (decisions.score > DEPLOYED)).sum())
    return Errors(
        AP50=before,
        gains={kind: _difference(ap50(decisions, {kind}), before) for kind in KINDS},
        counts={kind: int((decisions.missed if kind == "missed" else decisions.error == kind).sum()) for kind in KINDS},
        duplicates_per_object=shown / objects if objects else None,
        confidence=DEPLOYED,
    )


def _difference(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


def decide(evaluation: COCOeval) -> Decisions:
    """Collect COCOeval's decisions and give every wrong detection its type."""
    params = evaluation.params
    cells = np.empty(len(evaluation.evalImgs), object)
    cells[:] = evaluation.evalImgs
    areas = len(params.areaRng)
    all_areas = cells.reshape(len(params.catIds), areas, len(params.imgIds))[:, 0]
    parts = []
    objects = 0
    for image in all_areas.T:
        parts.append(_decide_image(evaluation, image, objects))
        objects += len(parts[-1].matched)
    return _joined(parts)


def ap50(decisions: Decisions, repaired: Collection[ErrorType] = ()) -> float | None:
    """Return AP50 on 0–1 after the errors of some types are repaired; None where there is no object.

    - localisation, classification: the box is moved onto the object, or the class becomes the object's, and the
      detection is right, with its score. That holds for the highest score of the repaired errors that aim at an object
      which is not matched; the others would be duplicates and are removed.
    - duplicate, background, both: the detection is removed. What a detection with both errors meant is not known.
    - missed: the object is taken out of the count, as if recall had risen at unchanged precision; nobody knows what
      score a detection of it would have. A class that has no other object keeps its AP of 0: nothing shows how
      precise it would be.
    """
    if not len(decisions.matched):
        return None
    repairable = np.isin(decisions.error, list(repaired))
    moved = _best_aims(decisions, repairable)
    category = decisions.category.copy()
    category[moved] = decisions.object_category[decisions.target[moved]]
    right = decisions.error == ""
    right[moved] = True
    kept = right | ~repairable
    objects = decisions.object_category
    counted = objects[~decisions.missed] if "missed" in repaired else objects
    values = []
    for label in np.unique(objects):
        rows = kept & (category == label)
        values.append(_class_ap(decisions.score[rows], right[rows], int((counted == label).sum())))
    return float(np.mean(values))


def _best_aims(decisions: Decisions, repairable: Flags) -> Integers:
    """Return, for every unmatched object that repairable errors aim at, the one of the highest score."""
    aims = np.flatnonzero(repairable & (decisions.target >= 0))
    aims = aims[~decisions.matched[decisions.target[aims]]]
    _, first = np.unique(decisions.target[aims], return_index=True)  # an image's detections stand by falling score
    best: Integers = aims[first]
    return best


def _class_ap(score: Floats, right: Flags, objects: int) -> float:
    """Return COCO's interpolated average precision of one class (COCOeval.accumulate)."""
    if not objects or not len(score):
        return 0.0
    hits = np.cumsum(right[np.argsort(-score, kind="stable")])
    precision = hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(hits / objects, RECALLS)
    return float(envelope[places[places < len(hits)]].sum() / len(RECALLS))


def _decide_image(evaluation: COCOeval, cells: NDArray[Any], objects_before: int) -> Decisions:
    """Decide one image from its cells, one for each class; targets count from `objects_before`."""
    objects, detections = [], []
    for category, cell in enumerate(cells):
        if cell is None:
            continue
        truths = zip(cell["gtIds"], cell["gtMatches"][0], cell["gtIgnore"], strict=True)
        objects += [(number, category, match != 0) for number, match, ignored in truths if not ignored]
        rows = zip(cell["dtScores"], cell["dtIds"], cell["dtMatches"][0], cell["dtIgnore"][0], strict=True)
        detections += [(-score, number, category, match != 0) for score, number, match, ignored in rows if not ignored]
    detections.sort()  # as COCOeval: by falling score, equal scores in the order in which they were given

    given, sought = evaluation.cocoDt.anns, evaluation.cocoGt.anns
    overlap = _overlap([given[row[1]]["bbox"] for row in detections], [sought[row[0]]["bbox"] for row in objects])
    classes = np.array([row[2] for row in detections], np.int64)
    object_classes = np.array([row[1] for row in objects], np.int64)
    matched = np.array([row[2] for row in objects], np.bool_)
    right = np.array([row[3] for row in detections], np.bool_)
    same = classes[:, None] == object_classes
    duplicate = (same & matched & (overlap >= FOREGROUND)).any(axis=1) & ~right
    error, target = _types(np.where(same, overlap, 0), np.where(same, 0, overlap), right, duplicate)
    return Decisions(
        category=classes,
        score=np.array([-row[0] for row in detections], np.float64),
        error=error,
        target=np.where(target >= 0, target + objects_before, -1),
        duplicate=duplicate,
        object_category=object_classes,
        matched=matched,
    )


def _types(own: Floats, other: Floats, right: Flags, duplicate: Flags) -> tuple[NDArray[np.str_], Integers]:
    """Return types and targets, given (detections, objects) overlaps with the own class and with other classes."""
    best_own, best_other = own.max(axis=1, initial=0), other.max(axis=1, initial=0)
    localisation = ~right & (best_own >= BACKGROUND) & (best_own < FOREGROUND)
    classification = ~right & ~localisation & (best_other >= FOREGROUND)
    background = np.maximum(best_own, best_other) <= BACKGROUND
    error = np.select(
        [right, localisation, classification, duplicate, background],
        ["", "localisation", "classification", "duplicate", "background"],
        "both",
    )
    target = np.full(len(right), -1)
    for rows, overlap in ((localisation, own), (classification, other)):
        if rows.any():
            target[rows] = overlap[rows].argmax(axis=1)
    return error, target


def _overlap(detections: list[list[float]], objects: list[list[float]]) -> Floats:
    """Return (detections, objects) IoU by pycocotools: the bits that COCOeval compared with its threshold."""
    if not detections or not objects:
        return np.zeros((len(detections), len(objects)))
    return np.asarray(mask.iou(detections, objects, [0] * len(objects)))


def _joined(parts: list[Decisions]) -> Decisions:
    kinds = {"error": np.str_, "score": np.float64, "duplicate": np.bool_, "matched": np.bool_}
    columns = {
        field.name: np.concatenate(
            [np.empty(0, kinds.get(field.name, np.int64)), *(getattr(part, field.name) for part in parts)]
        )
        for field in fields(Decisions)
    }
    return Decisions(**columns)
