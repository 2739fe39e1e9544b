"""What a preset measured of published checkpoints, for the ledger: their scores on COCO's images, their times."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mnv4bench.data.prepared import key
from mnv4bench.ledger.verdict import CheckpointResult, PartResult
from mnv4bench.report.formatting import in_points
from mnv4bench.report.rendering import render
from mnv4bench.results.dataset import RECORD, Dataset, Split
from mnv4bench.results.latency import Latency
from mnv4bench.results.metrics import Scores
from mnv4bench.results.record import read_record
from mnv4bench.results.runs import seed_results
from mnv4bench.spec.arms import Arm
from mnv4bench.spec.model import default_read
from mnv4bench.spec.plan import Plan
from mnv4bench.spec.run import DeploySpec

VAL2017 = (5000, 36781)
"""Images and annotated objects, crowds among them, of COCO val2017."""

SIDE = 640
"""Pixels of the printed scores and times."""


def checkpoints(plan: Plan, results: Path) -> Mapping[str, CheckpointResult]:
    """Return checkpoint → what was measured of it as its authors deploy it; empty where the images are not COCO's."""
    record = results / "data" / key(plan.preset.data) / RECORD
    if plan.preset.data.name != "coco" or not record.exists():
        return {}
    images = read_record(record, Dataset).val
    measured: dict[str, CheckpointResult] = {}
    for arm in plan.arms:
        name = arm.model.weights
        if name is None or not _as_deployed(plan, arm):
            continue
        (run,) = arm.runs.values()
        if not (results / "runs" / run / "metrics.json").exists():
            continue  # not scored yet
        (result,) = seed_results(arm, results)
        if result.reading is None:
            continue
        times = _times(plan, arm, results) or (measured[name].times if name in measured else "")
        measured[name] = _result(name, images, result.reading.scores, times)
    return measured


def _as_deployed(plan: Plan, arm: Arm) -> bool:
    spec = plan.spec(arm)
    return arm.read == default_read(arm.model) and spec.deploy == DeploySpec() and spec.data.imgsz == SIDE


def _result(name: str, images: Split, scores: Scores, times: str) -> CheckpointResult:
    whole = (images.count, images.objects) == VAL2017
    points = {score: None if value is None else in_points(value) for score, value in scores}
    told = {
        score: render(
            "text/ledger_checkpoint.j2", name=name, score=score, value=value, images=images.count, whole=whole
        )
        for score, value in points.items()
    }
    return CheckpointResult(whole, {score: PartResult(points[score], told[score]) for score in points}, times)


def _times(plan: Plan, arm: Arm, results: Path) -> str:
    """Return the sentence on its time over another checkpoint's; empty where it was not timed beside one."""
    path, baseline = results / "latency/latency.json", plan.baseline(arm.ablation).model.weights
    if baseline == arm.model.weights or not path.exists():
        return ""
    latency = read_record(path, Latency)
    rows = [
        row
        for row in latency.rows
        if (row.arm, row.stage, row.threads) == (arm.label, "end_to_end", latency.threads) and row.ratio is not None
    ]
    told = {"name": arm.model.weights, "baseline": baseline, "latency": latency, "rows": rows}
    return render("text/ledger_checkpoint_times.j2", **told) if rows else ""
