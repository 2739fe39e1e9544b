"""How long each arm takes where it is deployed: one image at a time, real images, trained weights.

Stages, in milliseconds per image:
- forward: letterboxed array in, raw output of the fused network with the one head that is read out. For NMS-free arms
  that includes the selection of the 300 best scores, which is part of their network in every runtime.
- post: raw output in, detections out, at confidence 0.25. For NMS arms this is the suppression (IoU 0.7) in NumPy, on
  what the trained network says about these images; for NMS-free arms one comparison with the confidence.
- end_to_end: letterboxed array in, detections out; timed by itself, not added up.
- in_graph: end to end with suppression inside the runtime's graph, where the runtime can. An NMS-free arm's graph ends
  in detections anyway.

Published networks are timed at the confidence and overlap that they are scored with, and the forward pass of those that
differ in nothing else is timed once. Decoding and letterboxing are not timed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mnv4bench.data.prepared import intact
from mnv4bench.evaluate.settings import PUBLISHED_DETECTIONS, TRAINED
from mnv4bench.io.errors import DataError
from mnv4bench.latency.analyse.analysis import Judged
from mnv4bench.latency.campaign import (
    Campaign,
    analysed,
    calibration_images,
    first_images,
    measure,
    schedule,
)
from mnv4bench.latency.measure.accuracy import Split
from mnv4bench.latency.measure.agreement import Rows, scored
from mnv4bench.latency.measure.candidates import Candidate, Run
from mnv4bench.latency.measure.task import Task
from mnv4bench.latency.quantised import calibration
from mnv4bench.latency.runtimes.outputs import Thresholds
from mnv4bench.latency.runtimes.registry import GPU_RUNTIMES
from mnv4bench.results.blocks import read_blocks
from mnv4bench.results.dataset import Dataset
from mnv4bench.results.latency import Absence, Latency
from mnv4bench.results.metrics import Metrics, read_metrics
from mnv4bench.results.record import read_record
from mnv4bench.results.run import Status, read_status
from mnv4bench.spec.arms import Arm
from mnv4bench.spec.model import default_read
from mnv4bench.spec.plan import Plan
from mnv4bench.spec.run import DeploySpec, RunSpec

THRESHOLDS = {name: getattr(DeploySpec(), name) for name in ("confidence", "iou")}


def time_arms(plan: Plan, results: Path, data_folder: Path) -> None:
    """Time all arms together; write latency/blocks.csv, then latency/latency.json, which is computed from it.

    Arms that deploy the same network (equal model and reading) are measured once, with the first one's weights. AP in
    int8 is recorded for the arms that these are the weights of.

    Args:
        results: folder that holds runs/.
        data_folder: folder of dataset.json.

    Raises:
        Mnv4benchError: damaged weights, unreadable images, or a session that was killed.
    """
    folder = results / "latency"
    measure(campaign(plan, results / "runs", data_folder), folder / "latency.json", folder / "blocks.csv")


def recomputed(plan: Plan, results: Path) -> Latency:
    """Return latency.json's record with all that follows from blocks.csv computed anew.

    Raises:
        Mnv4benchError: blocks.csv is missing or not readable.
    """
    record = read_record(results / "latency" / "latency.json", Latency)
    arms = judged(plan, share(plan, unfinished(plan, results / "runs")))
    return analysed(record, read_blocks(results / "latency" / "blocks.csv"), arms)


def campaign(plan: Plan, runs: Path, data: Path) -> Campaign:
    """Return what is timed for a preset.

    Raises:
        DataError: the validation split has no image, or a run's detections cannot be read.
    """
    absent = unfinished(plan, runs)
    shared = share(plan, absent)
    arms = {arm.label: arm for arm in plan.arms}
    return Campaign(
        name=plan.preset_name,
        task=_task(plan, shared, runs, data),
        arms=tuple(judged(plan, shared)),
        spec=plan.preset.latency,
        absent=tuple(absent.values()),
        float_ap={
            label: _scored_ap(plan, arms[label], runs)
            for label, measured in shared.items()
            if _timed_run(plan, arms[label]) == _timed_run(plan, arms[measured])
        },
    )


def _task(plan: Plan, shared: Mapping[str, str], runs: Path, data: Path) -> Task:
    spec, imgsz = plan.preset.latency, plan.preset.data.imgsz
    dataset = intact(data)
    annotations, folder = (dataset.path(data, part) for part in (dataset.val.annotations, dataset.val.images))
    images = first_images(dataset, data, "val", spec.images)
    if not images:
        raise DataError(f"{annotations}: no image to time; the validation split needs one")
    return Task(
        candidates=_candidates(plan, shared, runs, data, dataset, [image for image, _ in images]),
        reference=choose_reference(plan, shared),
        runtimes=tuple(dict.fromkeys([*spec.runtimes, *GPU_RUNTIMES])),
        images=images,
        imgsz=imgsz,
        schedule=schedule(spec),
        calibration=calibration_images(dataset, data, spec.calibration),
        score=Split(annotations, folder, dataset.category_ids, imgsz),
    )


def _candidates(
    plan: Plan, shared: Mapping[str, str], runs: Path, data: Path, dataset: Dataset, images: Collection[int]
) -> tuple[Candidate, ...]:
    """Return every network that is measured. Each run's detections are read once, for all readings of them."""
    arms = [arm for arm in plan.arms if shared.get(arm.label) == arm.label]
    reads = defaultdict(set)
    for arm in arms:
        reads[_timed_run(plan, arm)].add(arm.read)
    detections = {
        run: scored(runs / run / "detections.json", wanted, dataset.category_ids, images)
        for run, wanted in reads.items()
    }
    forward = forward_of(plan, arms)
    found = []
    for arm in arms:
        run = _timed_run(plan, arm)
        candidate = _candidate(arm, plan.spec(arm), runs / run, data, len(dataset.classes), detections[run][arm.read])
        found.append(replace(candidate, forward=arm.label in forward))
    return tuple(found)


def forward_of(plan: Plan, arms: Sequence[Arm]) -> set[str]:
    """Return the labels of the arms whose forward pass is timed: all but published networks' other thresholds, which
    come after it."""
    first: dict[str, str] = {}
    for arm in arms:
        spec = plan.spec(arm)
        deploy = spec.deploy.model_copy(update=THRESHOLDS)
        first.setdefault(_deployed(arm, spec.model_copy(update={"deploy": deploy})), arm.label)
    return set(first.values())


def _candidate(
    arm: Arm, spec: RunSpec, run: Path, data: Path, classes: int, detections: Mapping[int, Rows]
) -> Candidate:
    recorded = read_status(run).weights_digest
    source = Run(arm.model, classes, arm.read, run / "weights.safetensors", recorded=recorded)
    if not arm.published:
        return Candidate(arm.label, arm.read, source, detections)
    metrics = read_metrics(run)
    same_classes = not metrics.ignored_classes and not metrics.unknown_classes
    int8 = None if spec.deploy.runtime == "torch" else spec.deploy.runtime
    return Candidate(
        arm.label,
        arm.read,
        source,
        detections if same_classes else None,
        imgsz=spec.data.imgsz,
        thresholds=Thresholds(spec.deploy.confidence, spec.deploy.iou),  # the very ones that it was scored with
        settings=replace(TRAINED, limit=PUBLISHED_DETECTIONS),
        quantised=spec.deploy == DeploySpec() and same_classes,
        int8=int8,
        calibration=calibration(spec, data) if int8 else None,
    )


def _timed_run(plan: Plan, arm: Arm) -> str:
    """Return the run whose weights are timed: the first seed's."""
    return arm.runs[0 if arm.published else plan.preset.seeds[0]]


def _scored_ap(plan: Plan, arm: Arm, runs: Path) -> float | None:
    return read_metrics(runs / _timed_run(plan, arm)).readings[arm.read].scores.AP


def judged(plan: Plan, shared: Mapping[str, str]) -> list[Judged]:
    """Return every arm that was timed, with what it is compared with."""
    return [
        Judged(label=arm.label, measured=shared[arm.label], read=arm.read, baseline=_baseline(plan, arm))
        for arm in plan.arms
        if arm.label in shared
    ]


def _baseline(plan: Plan, arm: Arm) -> str | None:
    baseline = plan.baseline(arm.ablation)
    return None if baseline.label == arm.label else baseline.label


def unfinished(plan: Plan, runs: Path) -> dict[str, Absence]:
    """Return the label of every arm whose run of the first seed has no weights, or lacks its runtime, and why."""
    absent = {}
    for arm in plan.arms:
        run = _timed_run(plan, arm)
        end: Status | Metrics | None = read_status(runs / run) if (runs / run / "status.json").exists() else None
        if end is not None and end.state == "done" and plan.spec(arm).deploy.runtime != "torch":
            end = read_metrics(runs / run)
        if end is None:
            absent[arm.label] = Absence(arm=arm.label, run=run)
        elif end.state != "done":
            absent[arm.label] = Absence(arm=arm.label, run=run, state=end.state, error=end.reason)
    return absent


def share(plan: Plan, absent: Collection[str]) -> dict[str, str]:
    """Return for every arm that is not absent the label of the first one that deploys the same network."""
    first: dict[str, str] = {}
    present = [arm for arm in plan.arms if arm.label not in absent]
    return {arm.label: first.setdefault(network(plan, arm), arm.label) for arm in present}


def network(plan: Plan, arm: Arm) -> str:
    """Name what an arm deploys."""
    return _deployed(arm, plan.spec(arm))


def _deployed(arm: Arm, spec: RunSpec) -> str:
    deployed = f" {spec.deploy.model_dump_json()} at {spec.data.imgsz}" if arm.published else ""
    return f"{arm.model.model_dump_json()} read {arm.read}{deployed}"


def choose_reference(plan: Plan, shared: Mapping[str, str]) -> str:
    """Return the arm that is timed twice: the preset's own model, else the first baseline that was measured."""
    default = [arm for arm in plan.arms if arm.model == plan.preset.model and arm.read == default_read(arm.model)]
    baselines = [plan.baseline(name) for name in plan.ablations]
    candidates = [arm.label for arm in (*default, *baselines, *plan.arms)]
    return next((shared[label] for label in candidates if label in shared), candidates[0])
