"""Whether the networks of a comparison have learned enough for a verdict: recovery of the trunk, and every class.

A difference between networks that are still learning tells how fast a part learns, not what it is worth. What fails a
gate keeps its numbers and gets the word under-trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from mnv4bench.results.comparison import Gate, WeakClass
from mnv4bench.results.metrics import Reading, read_metrics
from mnv4bench.results.reference import TRUNKS
from mnv4bench.results.runs import SeedResult
from mnv4bench.spec.arms import Arm
from mnv4bench.spec.model import Read
from mnv4bench.spec.plan import Plan
from mnv4bench.spec.preset import GateSpec

_Pair = tuple[SeedResult, SeedResult]
"""The arm's result and the baseline's, of one seed."""


def gate(
    plan: Plan, results: Path, arm: Arm, pairs: Sequence[_Pair], objects: Sequence[int], shipped: Path = TRUNKS
) -> Gate:
    """Judge the networks of one comparison.

    Args:
        pairs: of the seeds that are compared.
        objects: validation objects of each class, in the order of a reading's classes.
        shipped: the trunks that a baseline from random weights is compared with, those of the same data.
    """
    spec = plan.preset.gates
    baseline = plan.baseline(arm.ablation)
    from_trunk = any(plan.runs[ours.run].start for ours, _ in pairs)
    least = spec.recovered if from_trunk else spec.from_scratch
    trunk_ap = (
        _own_trunks(plan, results, pairs, baseline.read)
        if from_trunk
        else _shipped_trunk(pairs[0][1].data, baseline.read, shipped)
    )
    baseline_ap = fmean(theirs.score("AP") or 0.0 for _, theirs in pairs)
    weak = _weak_classes(spec, (arm.name, baseline.name), pairs, objects)
    recovered = trunk_ap is None or (trunk_ap > 0 and baseline_ap >= least * trunk_ap)
    learned = recovered and baseline_ap >= spec.class_ap
    return Gate(
        passed=learned and not weak,
        from_trunk=from_trunk,
        trunk_ap=trunk_ap,
        baseline_ap=baseline_ap,
        least_share=least,
        least_class_ap=spec.class_ap,
        weak=weak,
    )


def _own_trunks(plan: Plan, results: Path, pairs: Sequence[_Pair], read: Read) -> float | None:
    """Return the mean AP of the trunks that the seeds started from; None where one cannot be read like the baseline."""
    starts = [plan.runs[theirs.run].start for _, theirs in pairs]
    readings = [read_metrics(results / "runs" / start).readings.get(read) for start in starts if start]
    values = [reading.scores.AP for reading in readings if reading]
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(starts) else None


def _shipped_trunk(data: str | None, read: Read, shipped: Path) -> float | None:
    """Return the best AP of a shipped trunk on these data; None where there is none."""
    found = [read_metrics(path.parent) for path in sorted(shipped.glob("*/metrics.json"))]
    readings = [metrics.readings[read] for metrics in found if metrics.data_digest == data and read in metrics.readings]
    return max((reading.scores.AP or 0.0 for reading in readings), default=None)


def _weak_classes(
    spec: GateSpec, arms: tuple[str, str], pairs: Sequence[_Pair], objects: Sequence[int]
) -> tuple[WeakClass, ...]:
    weak = []
    for arm, seeds in zip(arms, zip(*pairs, strict=True), strict=True):
        readings = [result.reading for result in seeds if result.reading]
        for name, count in zip(readings[0].classes, objects, strict=bool(readings[0].classes)):
            if count >= spec.class_objects and (ap := _class_ap(readings, name)) < spec.class_ap:
                weak.append(WeakClass(arm=arm, name=name, AP=ap, objects=count))
    return tuple(weak)


def _class_ap(readings: Sequence[Reading], name: str) -> float:
    scores = [reading.classes[name].AP for reading in readings if name in reading.classes]
    return fmean(score or 0.0 for score in scores) if scores else 0.0
