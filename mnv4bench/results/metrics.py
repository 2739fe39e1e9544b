"""runs/<run>/metrics.json: accuracy on the validation split."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mnv4bench.results import manifest
from mnv4bench.results.record import Record, read_record
from mnv4bench.results.run import State
from mnv4bench.spec.model import Read

MAX_DETECTIONS = 100
"""Per image and over all classes, as COCO asks of submissions."""


class Scores(Record):
    """COCO metrics on 0–1; None where the data has no object of that kind."""

    AP: float | None
    AP50: float | None
    AP75: float | None
    APs: float | None
    APm: float | None
    APl: float | None


ErrorType = Literal["classification", "localisation", "both", "duplicate", "background", "missed"]


class Errors(Record):
    """What keeps AP50 down, by type (TIDE: Bolya et al., ECCV 2020, section 2)."""

    AP50: float | None
    """By the same matching as the gains; equal to COCO's AP50."""
    gains: dict[ErrorType, float | None]
    """AP50 gained, on 0–1, when the errors of this type alone are repaired."""
    counts: dict[ErrorType, int]
    duplicates_per_object: float | None
    """Duplicate detections above `confidence` for each object: what suppression would have removed."""
    confidence: float
    """Of `duplicates_per_object` alone; gains and counts are over all detections kept."""


class Reading(Record):
    """One way of reading a model, scored."""

    scores: Scores
    slices: dict[str, Scores] = {}
    classes: dict[str, Scores] = {}
    detections_per_image: float
    errors: Errors | None = None


class Metrics(Record):
    """runs/<run>/metrics.json: accuracy on the validation split."""

    run: str
    state: State
    reason: str | None = None
    readings: dict[Read, Reading] = {}
    images: int = 0
    data_digest: str | None = None
    weights_digest: str | None = None
    nms_iou: float | None = None
    confidence: float | None = None
    """Detections below this score are not kept."""
    detections_kept: int | None = None
    """At most so many an image, over all classes; None in older files, which have MAX_DETECTIONS."""
    ignored_classes: tuple[str, ...] = ()
    """Classes of a published network that the data set does not have, and whose detections are dropped."""
    unknown_classes: tuple[str, ...] = ()
    """Classes of the data set that a published network does not know; their AP is 0."""


def read_metrics(folder: Path, renamed: bool = False) -> Metrics:
    """Return the scores in a run's folder.

    Args:
        renamed: take the run under whatever name its folder has.

    Raises:
        FileError: they are missing or damaged, or another run's.
    """
    path = folder / "metrics.json"
    metrics = read_record(path, Metrics)
    manifest.check(path)
    if not renamed:
        manifest.check_name(path, metrics.run)
    return metrics
