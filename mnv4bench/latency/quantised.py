"""Scoring a published network as an 8-bit runtime computes it: records like those of any other run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnv4bench.cost.arms import deployed
from mnv4bench.data.letterbox import into_square
from mnv4bench.evaluate import detections
from mnv4bench.evaluate.settings import Settings
from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.latency.campaign import calibration_images
from mnv4bench.latency.measure.accuracy import detect
from mnv4bench.latency.runtimes.registry import RUNTIMES
from mnv4bench.latency.runtimes.runtime import Deployment
from mnv4bench.models.yolo import Detector
from mnv4bench.results import manifest
from mnv4bench.results.dataset import Dataset
from mnv4bench.results.detections import Detections
from mnv4bench.results.metrics import Metrics
from mnv4bench.results.record import read_record
from mnv4bench.spec.model import Read, readings
from mnv4bench.spec.run import RunSpec


def evaluate(run: str, spec: RunSpec, data: Path, runs: Path) -> Metrics:
    """Score a run in its own runtime; write what `evaluate.detections.evaluate` writes.

    Its metrics.json says `missing` where this machine lacks the runtime.
    """
    try:
        RUNTIMES[spec.deploy.runtime]()
    except (ImportError, Mnv4benchError) as error:
        metrics = Metrics(run=run, state="missing", reason=str(error))
        manifest.write_metrics(runs / run, metrics)
        return metrics
    return detections.evaluate(run, spec, data, runs, _Quantised(spec, calibration(spec, data)))


def calibration(spec: RunSpec, data: Path) -> tuple[Path, ...]:
    """Return the images that an 8-bit form takes its ranges from."""
    return calibration_images(read_record(data / "dataset.json", Dataset), data, spec.deploy.calibration)


@dataclass(frozen=True)
class _Quantised:
    """What `evaluate.detections.detect` does, with a network of 8 bits for each branch of the head."""

    spec: RunSpec
    calibration: Sequence[Path]

    def __call__(
        self,
        model: Detector,
        images: Sequence[dict[str, Any]],
        folder: Path,
        imgsz: int,
        category_ids: Sequence[int],
        settings: Settings,
    ) -> dict[Read, Detections]:
        pixels = [into_square(path, imgsz, model.fit).pixels for path in self.calibration]
        results: dict[Read, Detections] = {}
        for read in readings(self.spec.model):
            model.read = read
            runtime = RUNTIMES[self.spec.deploy.runtime]()
            runtime.load(Deployment(deployed(model), imgsz, self.spec.train.threads, read, pixels))
            results[read] = detect(runtime, read, images, folder, imgsz, category_ids, settings, model.fit)
        return results
