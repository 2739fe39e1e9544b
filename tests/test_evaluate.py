"""What a run's metrics say is what its own detections score, by pycocotools alone."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from helpers import SIDE, prepare_again, spread, tiny_dataset, tiny_run
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mnv4bench.data.letterbox import letterbox
from mnv4bench.evaluate.detections import evaluate
from mnv4bench.io.files import read_json, write_json
from mnv4bench.machine.environment import environment
from mnv4bench.models import detector, weights
from mnv4bench.results import matches
from mnv4bench.results.metrics import Metrics
from mnv4bench.results.run import Status
from mnv4bench.statistics import bootstrap as resampling


def run_folder(runs: Path, state: str = "done", reason: str | None = None, data: str | None = None) -> None:
    """Write what training leaves behind, with spread-out random weights."""
    model = detector.build(tiny_run().model, 2)
    spread(model)
    digest = weights.save(model, runs / "run" / "weights.safetensors")
    status = Status(
        run="run",
        state=state,  # type: ignore[arg-type]
        reason=reason,
        epochs=1,
        steps=1,
        seconds=1.0,
        data_digest=data,
        weights_digest=digest,
        environment=environment(),
    )
    write_json(runs / "run" / "status.json", status)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Metrics]:
    root = tmp_path_factory.mktemp("evaluate")
    data = tiny_dataset(root / "data", val=12)
    make_some_detections_true(root)
    run_folder(root / "runs", data=prepare_again(data).digest)
    return root, evaluate("run", tiny_run(), data, root / "runs")


def make_some_detections_true(root: Path) -> None:
    """Put objects where the random network detects some, the whole image, more and less exactly."""
    path = root / "data/annotations/val.json"
    truth = json.loads(path.read_text())
    truth["annotations"] = [
        {
            "id": 2 * image["id"] + place,
            "image_id": image["id"],
            "category_id": category,
            "bbox": [0.0, 0.0, (0.5 + 0.04 * image["id"]) * SIDE, SIDE],
            "area": (0.5 + 0.04 * image["id"]) * SIDE**2,
            "iscrowd": 0,
        }
        for image in truth["images"]
        for place, category in enumerate((3, 7))
    ]
    write_json(path, truth)


def test_both_readings_equal_pycocotools_on_the_written_detections(scored: tuple[Path, Metrics]) -> None:
    root, metrics = scored
    written = json.loads((root / "runs/run/detections.json").read_text())
    assert set(written) == {"nms", "nms_free"}
    assert set(metrics.readings) == {"nms", "nms_free"}
    for read, rows in written.items():
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO(str(root / "data/annotations/val.json"))
            reference = COCOeval(truth, truth.loadRes(rows), "bbox")
            reference.evaluate()
            reference.accumulate()
            reference.summarize()
        scores = metrics.readings[read].scores  # type: ignore[index]
        assert scores.AP is not None
        assert scores.AP > 0
        assert scores.AP < 1
        assert pytest.approx(reference.stats[:3], abs=1e-12) == (scores.AP, scores.AP50, scores.AP75)


def test_every_reading_says_what_keeps_its_ap50_down(scored: tuple[Path, Metrics]) -> None:
    root, metrics = scored
    assert Metrics.model_validate(read_json(root / "runs/run/metrics.json")) == metrics
    written = read_json(root / "runs/run/detections.json")
    for read, reading in metrics.readings.items():
        assert reading.errors is not None
        np.testing.assert_allclose(reading.errors.AP50, reading.scores.AP50, atol=1e-12)
        wrong = sum(count for kind, count in reading.errors.counts.items() if kind != "missed")
        assert 0 < wrong < len(written[read])


def test_match_records_give_the_same_ap(scored: tuple[Path, Metrics]) -> None:
    root, metrics = scored
    records = matches.load(root / "runs/run/matches.npz")
    for read, reading in metrics.readings.items():
        assert resampling.average_precision(records[read]) == pytest.approx(reading.scores.AP, abs=1e-12)


def test_a_diverged_run_is_scored_as_such(tmp_path: Path) -> None:
    run_folder(tmp_path, "diverged", "loss is nan in epoch 1, step 2")
    metrics = evaluate("run", tiny_run(), tmp_path / "no data needed", tmp_path)
    assert (metrics.state, metrics.reason, metrics.readings) == ("diverged", "loss is nan in epoch 1, step 2", {})
    assert not (tmp_path / "run" / "detections.json").exists()


def test_letterbox_takes_boxes_there_and_back(tmp_path: Path) -> None:
    import cv2

    path = tmp_path / "wide.png"
    image = np.zeros((60, 100, 3), np.uint8)
    image[20:40, 10:50] = (0, 0, 255)  # red, in OpenCV's order
    cv2.imwrite(str(path), image)
    boxed = letterbox(path, SIDE)
    assert boxed.pixels.shape == (3, SIDE, SIDE)
    assert boxed.pixels[:, 0, 0] == pytest.approx([114 / 255] * 3)
    ys, xs = np.nonzero((boxed.pixels[0] > 0.5) & (boxed.pixels[2] < 0.2))
    square = np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], float)
    assert boxed.restore(square)[0] == pytest.approx([10, 20, 50, 40], abs=1.0)
    assert boxed.restore(np.array([[-50.0, -50.0, 500.0, 500.0]]))[0].tolist() == [0, 0, 100, 60]
