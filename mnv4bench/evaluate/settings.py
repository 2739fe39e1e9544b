"""Which detections of a network are scored: thresholds, how many, and of which classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mnv4bench.models.nms import read_nms, read_top
from mnv4bench.models.published.stored import ClassMap, class_map
from mnv4bench.results.metrics import MAX_DETECTIONS
from mnv4bench.spec.model import Read
from mnv4bench.spec.run import DeploySpec, RunSpec

PUBLISHED_DETECTIONS = 300
"""Of published networks, as ultralytics' and YOLOv10's validators keep, so that their printed figures are comparable;
each class still counts no more than 100."""


@dataclass(frozen=True)
class Settings:
    """What is kept of a network's output."""

    confidence: float = DeploySpec().confidence
    """Scores must exceed it."""
    iou: float = DeploySpec().iou
    """Overlap above which suppression drops a box; both as ultralytics' validator has them."""
    limit: int = MAX_DETECTIONS
    """Detections of an image."""
    classes: ClassMap | None = None
    """The network's classes as the data set's; None where they are the same."""


TRAINED = Settings()
"""Of every run that is trained here."""


def settings_of(spec: RunSpec, names: Mapping[int, str], classes: Sequence[str]) -> Settings:
    """Return the settings that a run is scored with.

    Args:
        names: the network's classes.
        classes: the data set's.

    Raises:
        SpecError: a published network has none of the data set's classes.
    """
    if spec.model.weights is None:
        return TRAINED
    return Settings(spec.deploy.confidence, spec.deploy.iou, PUBLISHED_DETECTIONS, class_map(names, classes))


def read_rows(read: Read, boxes: np.ndarray, scores: np.ndarray, settings: Settings = TRAINED) -> np.ndarray:
    """Return (k, 6) x1, y1, x2, y2, score, class of one image's (A, 4) corner boxes and (A, classes) scores.

    Classes are the data set's, and those that it does not have are left out before anything is counted or suppressed.
    """
    if settings.classes:
        with_none = np.concatenate([scores, np.zeros((len(scores), 1), scores.dtype)], axis=1)
        columns = [scores.shape[1] if column is None else column for column in settings.classes.columns]
        scores = with_none[:, columns]
    if read == "nms":
        return read_nms(boxes, scores, settings.confidence, settings.iou, limit=settings.limit)
    return read_top(boxes, scores, limit=settings.limit, confidence=settings.confidence)


def top_rows(output: np.ndarray, settings: Settings = TRAINED) -> np.ndarray:
    """Return what is kept of the (k, 6) rows that a network without suppression ends in; see `read_rows`."""
    rows = output[output[:, 4] > settings.confidence]
    if settings.classes:
        place = {column: index for index, column in enumerate(settings.classes.columns) if column is not None}
        rows = np.array([[*row[:5], place[int(row[5])]] for row in rows if int(row[5]) in place]).reshape(-1, 6)
    return rows[np.argsort(-rows[:, 4], kind="stable")][: settings.limit]
