"""What the arms were trained and timed with, read from the preset and the records: no setting in the paper is typed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mnv4bench.report import text
from mnv4bench.report.ledger_checkpoints import VAL2017
from mnv4bench.report.results import ArmResult, Results, grouped
from mnv4bench.results.metrics import MAX_DETECTIONS
from mnv4bench.spec.run import RunSpec

YOLOV10 = {"epochs": 500, "images": 118_287, "imgsz": 640}
"""A training from random weights in the papers: YOLOv10, Table 14; COCO train2017."""
RECIPE = {
    "epochs",
    "images",
    "longer",
    "batch",
    "optimizer",
    "lr",
    "schedule",
    "weight_decay",
    "device",
    "precision",
    "threads",
}
"""Fields of a training that the paper names."""


def method(results: Results) -> dict[str, Any]:
    """Return the values of the sections on data, training, timing, limits and the machine."""
    return {
        "data": _data(results),
        "training": _training(results),
        "latency": _latency(results),
        "noise": _noise(results),
        "limits": _limits(results),
        "machine": _machine(results),
    }


def _data(results: Results) -> dict[str, Any]:
    record = results.data.record
    return {
        "name": record.name,
        "source": results.plan.preset.data.name,
        "classes": record.classes,
        "train_images": record.train.count,
        "images": record.val.count,
        "objects": record.val.objects,
        "part_of": _part_of(results),
        "imgsz": results.plan.preset.data.imgsz,
        "detections_kept": _detections_kept(results),
        "notes": record.notes,
    }


def _part_of(results: Results) -> int:
    """Return how many images there are of which published weights were scored on a part; 0 where on all."""
    images, _ = VAL2017
    part = results.plan.published and results.data.record.name == "coco" and results.data.record.val.count < images
    return images if part else 0


def _detections_kept(results: Results) -> int:
    """Return how many detections of an image were scored."""
    return max(
        (scores.detections_kept or MAX_DETECTIONS for scores in results.metrics.values()), default=MAX_DETECTIONS
    )


def _arm_runs(results: Results) -> list[RunSpec]:
    return [results.plan.runs[run] for arm in results.arms for run in arm.arm.runs.values()]


def _training(results: Results) -> dict[str, Any]:
    plan, runs = results.plan, _arm_runs(results)
    teachers = dict.fromkeys(run.teacher for run in runs if run.teacher)
    return {
        "trunk": plan.preset.trunk is not None,
        "scratch": len(text.from_scratch(plan)),
        "recipes": _recipes(results),
        "trunks": [{"name": trunk.block, **_length(trunk.spec)} for trunk in plan.trunks],
        "teachers": [
            {**_length(plan.runs[name]), "from_trunk": plan.runs[name].start is not None} for name in teachers
        ],
        "own_draws": [arm.arm.full_title for arm in results.arms if plan.spec(arm.arm).train.draw],
        "augment": [[name, value] for name, value in plan.preset.train.augment if value],
        "runs": len(results.statuses),
        "done": sum(status.state == "done" for status in results.statuses.values()),
        "hours": sum(status.seconds for status in results.statuses.values()) / 3600,
    }


def _length(run: RunSpec) -> dict[str, Any]:
    return run.train.model_dump(include={"epochs", "images"})


def _recipes(results: Results) -> list[dict[str, Any]]:
    """Return how the arms were trained, the most common first: recipes, and the ablations or single arms of each."""

    def recipe(arm: ArmResult) -> tuple[tuple[str, Any], ...]:
        train = results.plan.runs[next(iter(arm.arm.runs.values()))].train
        return tuple(train.model_dump(include=RECIPE).items())

    ranked = sorted(grouped(results.arms, recipe).items(), key=lambda item: -len(item[1]))
    return [
        dict(fields) | {"ablations": list(dict.fromkeys(_whose(results, arm, arms) for arm in arms))}
        for fields, arms in ranked
    ]


def _whose(results: Results, arm: ArmResult, group: Sequence[ArmResult]) -> str:
    """Return the arm's ablation where all of its arms are in the group, else the arm."""
    whole = all(other in group for other in results.ablations[arm.arm.ablation])
    return arm.arm.ablation if whole else arm.arm.label


def _latency(results: Results) -> dict[str, Any]:
    record = results.latency
    return {
        "threads": record.threads,
        "images": record.images,
        "sessions": sum(session.threads == record.threads for session in record.sessions),
        "rounds": record.rounds,
        "blocks": record.blocks,
        "block_ms": record.block_ms,
        "notes": [*text.about(results, "not_comparable"), *text.not_timed(record)],
    }


def _noise(results: Results) -> dict[str, Any]:
    """Return how quiet the machine was; None where copies or the canary were not measured."""
    sessions = [session for session in results.latency.sessions if session.threads == results.latency.threads]
    copies = [abs(value) for session in sessions for value in session.copies.values()]
    drifts = [abs(session.canary_drift) for session in sessions if session.canary_drift is not None]
    return {
        "reference": results.latency.reference,
        "copies": max(copies, default=None),
        "canary": max(drifts, default=None),
        "contaminated": [
            {"session": session.number, "reasons": text.disturbances(session)}
            for session in sessions
            if session.contaminated
        ],
        "resolution": text.about(results, "resolution"),
    }


def _limits(results: Results) -> dict[str, Any]:
    runs = _arm_runs(results)
    epochs = sorted({run.train.epochs for run in runs if run.start is None})
    shorter = epochs and epochs[0] * results.data.record.train.count < YOLOV10["epochs"] * YOLOV10["images"]
    environments = [status.environment for status in results.statuses.values()]
    return {
        "coco": results.plan.preset.data.name == "coco",
        "detector_sizes": len({arm.arm.model.scale for arm in results.arms}),
        "trunk": any(run.start for run in runs),
        "short_training": epochs if shorter else [],
        "yolov10": YOLOV10,
        "machines": len({(e.cpu, e.cpu_flags, e.gpu) for e in environments}),
    }


def _machine(results: Results) -> dict[str, Any]:
    """Return where the times were taken."""
    environment = results.latency.environment.model_dump(
        include={"cpu", "gpu", "cores", "platform", "python", "packages", "commit"}
    )
    return environment | {
        "fingerprint": results.latency.fingerprint,
        "data_digest": results.data.record.digest,
        "trained": text.commits(results),
    }
