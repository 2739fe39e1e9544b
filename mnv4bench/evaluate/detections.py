"""Scoring a run: one forward pass per image, every branch of the head read from it, COCO metrics by pycocotools."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pycocotools.coco import COCO

from mnv4bench.data.letterbox import Letterboxed, into_square
from mnv4bench.data.prepared import load, verify
from mnv4bench.evaluate import coco as coco_eval
from mnv4bench.evaluate import match_records
from mnv4bench.evaluate.settings import TRAINED, Settings, read_rows, settings_of
from mnv4bench.machine.process import set_up_process
from mnv4bench.models import weights
from mnv4bench.models.detector import build
from mnv4bench.models.yolo import Detector
from mnv4bench.results import manifest, matches
from mnv4bench.results.curve import VALIDATED, VALIDATION
from mnv4bench.results.detections import Detections, write_detections
from mnv4bench.results.metrics import Metrics, Reading
from mnv4bench.results.run import Status, check_data, read_status
from mnv4bench.spec.model import Read
from mnv4bench.spec.run import RunSpec

BATCH = 16

Detect = Callable[[Detector, Sequence[dict[str, Any]], Path, int, Sequence[int], Settings], Mapping[Read, Detections]]
"""What `detect` takes and gives."""


def evaluate(run: str, spec: RunSpec, data: Path, runs: Path, detector: Detect | None = None) -> Metrics:
    """Score a trained run on the validation images; write detections.json, matches.npz, manifest.json and,
    last, metrics.json.

    A run that did not end well gets a metrics.json that says so.

    Args:
        detector: what computes the detections; `detect` where None.
    """
    folder = runs / run
    status = read_status(folder)
    if status.state != "done":
        metrics = Metrics(run=run, state=status.state, reason=status.reason)
    else:
        metrics = _score(run, spec, status, data, folder, detector or detect)
    manifest.write_metrics(folder, metrics)
    return metrics


def _score(run: str, spec: RunSpec, status: Status, data: Path, folder: Path, detector: Detect) -> Metrics:
    set_up_process(spec.train.threads)
    dataset = verify(data)
    check_data(folder, status, dataset.digest)
    model = build(spec.model, len(dataset.classes))
    weights.load(model, folder / "weights.safetensors", status.weights_digest)
    model = model.to(spec.train.device, memory_format=torch.channels_last).eval()

    truth = coco_eval.ground_truth(dataset.path(data, dataset.val.annotations))
    images = [truth.imgs[image] for image in sorted(truth.imgs)]
    settings = settings_of(spec, model.names, dataset.classes)
    where = dataset.path(data, dataset.val.images)
    results = detector(model, images, where, spec.data.imgsz, dataset.category_ids, settings)
    return scored(run, status, truth, results, settings, folder)


def validation(spec: RunSpec, data: Path) -> Callable[[Detector], dict[str, float]]:
    """Return what scores a model on the first validation images: its columns of the curve.

    Costs a few seconds an epoch, and draws nothing from a random stream.
    """

    def validate(model: Detector) -> dict[str, float]:
        dataset = load(data)
        truth = coco_eval.ground_truth(dataset.path(data, dataset.val.annotations))
        ids = sorted(truth.imgs)[:VALIDATED]
        # A copy, because reading a model sets it up for it.
        scored = copy.deepcopy(model).to(spec.train.device, memory_format=torch.channels_last).eval()
        settings = settings_of(spec, scored.names, dataset.classes)
        where = dataset.path(data, dataset.val.images)
        results = detect(scored, [truth.imgs[i] for i in ids], where, spec.data.imgsz, dataset.category_ids, settings)
        scores = {read: coco_eval.score(truth, rows, ids).AP for read, rows in results.items()}
        return {VALIDATION[read]: score for read, score in scores.items() if score is not None}

    return validate


def scored(
    run: str, status: Status, truth: COCO, results: Mapping[Read, Detections], settings: Settings, folder: Path
) -> Metrics:
    """Write detections.json and matches.npz and return the scores."""
    write_detections(folder / "detections.json", results)

    readings: dict[Read, Reading] = {}
    records: dict[str, matches.MatchRecords] = {}
    for read, rows in results.items():
        evaluation = coco_eval.evaluate(truth, rows)
        readings[read] = coco_eval.reading(evaluation)
        records[read] = match_records.from_eval(evaluation)
    matches.save(folder / "matches.npz", records)
    return Metrics(
        run=run,
        state="done",
        readings=readings,
        images=len(truth.imgs),
        data_digest=status.data_digest,
        weights_digest=status.weights_digest,
        nms_iou=settings.iou,
        confidence=settings.confidence,
        detections_kept=settings.limit,
        ignored_classes=settings.classes.ignored if settings.classes else (),
        unknown_classes=settings.classes.missing if settings.classes else (),
    )


def detect(
    model: Detector,
    images: Sequence[dict[str, Any]],
    folder: Path,
    imgsz: int,
    category_ids: Sequence[int],
    settings: Settings = TRAINED,
) -> dict[Read, Detections]:
    """Run an unfused model over COCO image records and read every branch of its head.

    Scores are rounded to 1e-6 and boxes to 0.01 pixels, so that what is written is exactly what is scored.
    """
    results: dict[Read, Detections] = {}
    device = next(model.parameters()).device
    for chunk in _chunks(images, BATCH):
        boxed = [into_square(folder / image["file_name"], imgsz, model.fit) for image in chunk]
        batch = torch.from_numpy(np.stack([letterboxed.pixels for letterboxed in boxed])).to(device)
        with torch.inference_mode():
            decoded = model.decode(batch)
        for read, (boxes, scores) in decoded.items():
            rows = results.setdefault(read, [])
            for image, letterboxed, box, score in zip(
                chunk, boxed, boxes.cpu().numpy(), scores.cpu().numpy(), strict=True
            ):
                kept = read_rows(read, box, score, settings)
                rows.extend(coco_rows(image["id"], letterboxed, kept, category_ids))
    return results


def coco_rows(
    image: int, letterboxed: Letterboxed, rows: np.ndarray, category_ids: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """Yield one image's (k, 6) detections in COCO's result format."""
    boxes = letterboxed.restore(rows[:, :4].astype(np.float64))
    corner = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).round(2)
    for box, score, label in zip(corner.tolist(), rows[:, 4].tolist(), rows[:, 5].astype(int).tolist(), strict=True):
        yield {"image_id": image, "category_id": category_ids[label], "bbox": box, "score": round(score, 6)}


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
