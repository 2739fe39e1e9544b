"""A complete results folder in the real schema, made up by rule; for tests of the report only."""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import fmean
from typing import get_args

import numpy as np
from PIL import Image

from mnv4bench.data.prepared import digest
from mnv4bench.evaluate import coco, match_records
from mnv4bench.io.files import write_json, write_text
from mnv4bench.results import matches
from mnv4bench.results.comparison import Comparison, Difference, SliceDifference
from mnv4bench.results.cost import Cost, CostRow, PartCost
from mnv4bench.results.dataset import Dataset, Split
from mnv4bench.results.environment import Environment
from mnv4bench.results.latency import (
    Absence,
    Disturbance,
    Latency,
    LatencyRow,
    LatencySession,
    QuantisedAP,
    Reason,
    WideSpread,
)
from mnv4bench.results.metrics import Errors, Metrics, Reading, Scores
from mnv4bench.results.run import Status
from mnv4bench.spec import plan as planning
from mnv4bench.spec.arms import Arm
from mnv4bench.spec.model import PartName, readings
from mnv4bench.spec.plan import Plan
from mnv4bench.spec.run import derive_seed

SLICES = ("plain", "small", "crowd", "large", "context")
CLASSES = ("disc", "bar")
FAKE = "fake machine & 100% invented"
RUNTIMES = ("torch", "onnxruntime", "openvino", "onnxruntime_int8", "openvino_int8")
STAGES = {"forward": 0.9, "post": 0.1, "end_to_end": 1.0, "in_graph": 0.97}
RESOLUTION = 0.024

PRESET = """\
title: fake & invented_100%
data: {{name: scenes, imgsz: 64, train: 20, val: 10}}
train: {{epochs: 4}}
{trunk}
seeds: {seeds}
ablations: [psa, nms_free, distillation]
"""
ABLATIONS = {
    "psa": """\
title: Attention_{psa} & none
question: Does it pay, at 100 % certainty?
published:
  place: invented_100%, Table & 5
  figures:
    none:
      AP: yolov10/table5/S +cls/ap_val
      params_M: yolov10/table5/S +cls/params_M
      flops_G: yolov10/table5/S +cls/flops_G
      latency_ms: yolov10/table5/S +cls/latency_ms
    psa:
      AP: yolov10/table5/S +downs/ap_val
      params_M: yolov10/table5/S +downs/params_M
      flops_G: yolov10/table5/S +downs/flops_G
      latency_ms: yolov10/table5/S +downs/latency_ms
  note: in another network
fresh: [attention]
baseline: none
arms: {none: {model.attention: none}, psa: {model.attention: psa}}
smallest_effect: 0.005
""",
    "nms_free": """\
title: NMS and NMS-free
question: What does reading the one-to-one head cost?
published:
  place: Table 3
  figures:
    dual_nms_free: {AP: yolov10/table3/dual/ap, latency_ms: yolov10/table3/dual/latency_ms}
baseline: one_to_many
arms:
  one_to_many: {model.head: one_to_many, read: nms}
  dual_nms_free: {model.head: dual, read: nms_free}
  dual_nms: {model.head: dual, read: nms}
smallest_effect: 0.005
""",
    "distillation": """\
title: Distillation
question: Does a teacher help?
published:
  place: MobileNetV4, Table 9
  figures:
    none: {top1: mobilenetv4/table9/MNv4-Conv-S/in1k_only}
    outputs: {top1: mobilenetv4/table9/MNv4-Conv-S/our_distill}
baseline: none
arms: {none: {}, outputs: {distill.logits: 1.0}}
smallest_effect: 0.005
""",
}
TRUNK = "trunk: {}"


def make_plan(root: Path, seeds: tuple[int, ...] = (0, 1, 2), trunk: bool = True, only: str | None = None) -> Plan:
    """Write a preset and its ablations under `root` and load them."""
    write_text(root / "config/fake.yaml", PRESET.format(seeds=list(seeds), trunk=TRUNK if trunk else ""))
    for name, text in ABLATIONS.items():
        write_text(root / f"ablations/{name}.yaml", text)
    return planning.load("fake", only, root=root)


def noise(*names: object) -> float:
    return float(np.random.Generator(np.random.PCG64(derive_seed("fake", *names))).normal())


def ap(model: str, seed: int, read: str, part: str = "") -> float:
    """The fake AP of a run: a level per model, a little per seed, a little per slice."""
    level = 0.35 + 0.01 * noise(model, read) + 0.002 * noise(model, seed, read)
    return level if not part else max(0.02, level + 0.15 * noise(part) + 0.01 * noise(model, part, seed))


def scores(value: float) -> Scores:
    return Scores(AP=value, AP50=value * 1.4, AP75=value * 1.02, APs=value / 2, APm=value, APl=None)


def write_results(
    plan: Plan, results: Path, ends: dict[str, tuple[str, str]] | None = None, slices: bool = True
) -> None:
    """Write everything that the report reads.

    Args:
        ends: run → state and reason, for runs that did not end `done`.
    """
    ends = ends or {}
    environment = Environment(
        cpu=FAKE,
        cpu_flags="0" * 12,
        gpu=None,
        cores=2,
        platform="fake",
        python="3.11",
        packages={"torch": "0.0"},
        threads=1,
        commit="f" * 40,
    )
    write_data(results / "data" / "fake", slices)
    for run in plan.runs:
        write_run(plan, results, run, ends.get(run, ("done", "")), environment, slices)
    costs = {arm.label: cost_row(arm) for arm in plan.arms}
    write_json(results / "cost.json", Cost(imgsz=64, classes=2, arms=costs))
    write_json(results / "latency/latency.json", latency(plan, environment))
    write_json(results / "compare.json", comparison(plan, ends, slices))


def write_data(folder: Path, slices: bool = True) -> None:
    """Ten 64-pixel images, two per slice, with one, two, … objects."""
    images, annotations = [], []
    for k in range(10):
        pixels = np.full((64, 64, 3), 40 + 12 * k, np.uint8)
        record = {"id": k + 1, "file_name": f"{k}.png", "width": 64, "height": 64}
        images.append(record | ({"slice": SLICES[k % 5]} if slices else {}))
        for n in range(k % 4 + 1):
            x, y, side = 4 + 14 * n, 6 + 10 * n, 14
            pixels[y : y + side, x : x + side] = (220, 30 * n, 90)
            annotation = {"id": len(annotations) + 1, "image_id": k + 1, "category_id": n % 2 + 1, "iscrowd": 0}
            annotations.append(annotation | {"bbox": [x, y, side, side], "area": side * side})
        path = folder / "images/val" / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    for half in ("train", "val"):
        write_json(folder / f"annotations/{half}.json", content)
    parts = dict.fromkeys(SLICES, 2) if slices else {}
    split = Split(
        annotations="annotations/val.json", images="images/val", count=10, objects=len(annotations), slices=parts
    )
    write_json(
        folder / "dataset.json",
        Dataset(
            name="scenes",
            digest=digest(folder),
            classes=CLASSES,
            category_ids=(1, 2),
            slices=SLICES if slices else (),
            train=split,
            val=split,
            notes=("Dropped one box of zero area.",),
        ),
    )


def write_run(
    plan: Plan, results: Path, run: str, end: tuple[str, str], environment: Environment, slices: bool
) -> None:
    spec, folder = plan.runs[run], results / "runs" / run
    state, reason = end
    done = state == "done"
    status = {"run": run, "state": state, "reason": reason or None, "epochs": 4, "steps": 8, "seconds": 60.0}
    write_json(folder / "spec.json", spec)
    write_json(folder / "status.json", Status(**status, environment=environment))  # type: ignore[arg-type]
    write_text(folder / "curve.csv", curve(run, spec.distill.wanted))
    model = run.rsplit("-", 2)[0]
    scored = {
        read: Reading(
            scores=scores(ap(model, spec.seed, read)),
            slices={part: scores(ap(model, spec.seed, read, part)) for part in SLICES if slices},
            classes={name: scores(ap(model, spec.seed, read)) for name in CLASSES},
            detections_per_image=3.0,
            errors=errors(model, spec.seed, read),
        )
        for read in readings(spec.model)
        if done
    }
    fields = {"reason": reason or None, "readings": scored, "images": 10, "nms_iou": 0.7, "confidence": 0.001}
    write_json(folder / "metrics.json", Metrics(run=run, state=state, **fields))  # type: ignore[arg-type]
    found = {read: detections(run, read) for read in scored}
    write_text(folder / "detections.json", json.dumps(found))
    if done:
        truth = coco.ground_truth(results / "data/fake/annotations/val.json")
        records = {read: match_records.from_eval(coco.evaluate(truth, rows)) for read, rows in found.items()}
        matches.save(folder / "matches.npz", records)


def errors(model: str, seed: int, read: str) -> Errors:
    names = ("classification", "localisation", "both", "duplicate", "background", "missed")
    gains = {name: abs(0.03 * noise(name) + 0.005 * noise(name, model, seed, read)) for name in names}
    return Errors(
        AP50=1.4 * ap(model, seed, read),
        gains=gains,  # type: ignore[arg-type]
        counts={name: round(1000 * gain) for name, gain in gains.items()},  # type: ignore[misc]
        duplicates_per_object=abs(0.1 * noise("dup", model, seed, read)),
        confidence=0.25,
    )


def curve(run: str, distilled: bool) -> str:
    lines = ["epoch,step,lr,box_loss,cls_loss,dfl_loss,distill_loss,val_AP_nms_free,val_AP_nms"]
    for epoch in range(1, 5):
        values = [value / epoch + 0.05 * noise(run, epoch) for value in (1.5, 2.0, 1.0)]
        cells = [epoch, 2 * epoch, 0.001, *values, 0.3 / epoch if distilled else 0.0, 0.1 * epoch, ""]
        lines.append(",".join(map(str, cells)))
    return "\n".join(lines) + "\n"


def detections(run: str, read: str) -> list[dict[str, object]]:
    """Two boxes in every image, the second one below the sheet's threshold."""
    return [
        {"image_id": image, "category_id": 1, "bbox": [5 + noise(run, image), 6, 14, 14], "score": score}
        for image in range(1, 11)
        for score in (0.9, 0.1)
    ]


def cost_row(arm: Arm) -> CostRow:
    """Counts that follow the model; a peer's network has three parts."""
    names = ("backbone", "neck", "head") if arm.model.peer else get_args(PartName)
    model = arm.model.model_dump_json(exclude={"head"})
    parts = {
        name: PartCost(params=size, flops=300 * size)
        for place, name in enumerate(names)
        for size in [int(2_500_000 / (place + 1) * (1 + 0.1 * noise(name, model)))]
    }
    params, flops = (sum(getattr(part, field) for part in parts.values()) for field in ("params", "flops"))
    conv = flops - 10**6 * len(arm.model.attention)
    return CostRow(
        params=params, flops=flops, conv_flops=conv, activations=10**6, train_params=params + 10**5, parts=parts
    )


def latency(plan: Plan, environment: Environment) -> Latency:
    """Five runtimes, two thread counts, three sessions each; the last session of the first count is contaminated. As in
    older records, arms that deploy one network share its AP in int8, whosever weights were quantised."""
    rows = [
        row
        for runtime in RUNTIMES
        for threads in (1, 2)
        for arm in plan.arms
        for row in latency_rows(plan, runtime, threads, arm)
    ]
    copies = {f"{row.runtime} {row.stage}": 0.004 * noise(row.runtime, row.stage) for row in rows}
    sessions = [
        LatencySession(
            number=number,
            threads=1 if number < 3 else 2,
            seconds=61.5,
            busy_before=0.1,
            busy_during=0.2,
            involuntary_switches=12,
            canary_drift=0.013 * (-1) ** number,
            copies=copies,
            contaminated=(Disturbance(code="canary_drift", value=0.071),) if number == 2 else (),
        )
        for number in range(6)
    ]
    int8 = [
        QuantisedAP(runtime=name, arm=arm.label, read=arm.read, AP=0.31, AP_float=_ap(first, plan.preset.seeds[0]))
        for name in RUNTIMES
        if name.endswith("_int8")
        for arm in plan.arms
        for first in [next(other for other in plan.arms if (other.model, other.read) == (arm.model, arm.read))]
    ]
    return Latency(
        reference=plan.arms[0].label,
        images=10,
        rounds=9,
        blocks=4,
        block_ms=100,
        comparable=True,
        sessions=tuple(sessions),
        rows=tuple(rows),
        quantised=tuple(int8),
        absent=(Absence(runtime="torch_cuda", error="no GPU <here>"),),
        notes=(WideSpread(runtime="torch", threads=1, value=0.12, arm="psa/psa", stage="forward", rows=1),),
        fingerprint="a" * 12,
        environment=environment,
    )


def latency_rows(plan: Plan, runtime: str, threads: int, arm: Arm) -> list[LatencyRow]:
    """Times that follow the model; OpenVINO's are too restless for a verdict."""
    base = plan.baseline(arm.ablation)
    ratio = _time(runtime, arm) / _time(runtime, base)
    verdict = "faster" if ratio * 1.03 < 1 - RESOLUTION else "slower" if ratio * 0.98 > 1 + RESOLUTION else "same"
    verdict = "unstable" if runtime == "openvino" else verdict
    over = {
        "ratio": ratio,
        "ratio_low": ratio * 0.98,
        "ratio_high": ratio * 1.03,
        "ratio_sessions": (ratio * 0.99, ratio),
        "resolution": RESOLUTION,
        "verdict": "identical" if ratio == 1 else verdict,
        "reason": Reason(code="arm_spread", value=0.31) if verdict == "unstable" else None,
    }
    return [
        LatencyRow(
            runtime=runtime,
            threads=threads,
            arm=arm.label,
            stage=stage,  # type: ignore[arg-type]
            blocks=135,
            p50_ms=20 * share * _time(runtime, arm) / threads,
            min_ms=19 * share * _time(runtime, arm) / threads,
            p90_ms=22 * share * _time(runtime, arm) / threads,
            spread=0.031,
            baseline=None if arm is base else base.label,
            **({} if arm is base else over),  # type: ignore[arg-type]
        )
        for stage, share in STAGES.items()
        if stage != "in_graph" or runtime != "torch"
    ]


def _time(runtime: str, arm: Arm) -> float:
    return 1 + 0.1 * noise(runtime, arm.model.model_dump_json(), arm.read)


def comparison(plan: Plan, ends: dict[str, tuple[str, str]], slices: bool) -> Comparison:
    """Differences of the fake scores with an interval of fixed width, and verdicts by a rule of thumb."""
    rows: list[Difference] = []
    for arm in plan.arms:
        if arm is not plan.baseline(arm.ablation):
            rows.append(_difference(plan, arm, ends, slices))
    return Comparison(
        level=0.95,
        alpha=0.05,
        family=len(rows),
        power=0.8,
        bootstrap=200,
        bootstrap_seed=1,
        images=10,
        differences=tuple(rows),
    )


def _difference(plan: Plan, arm: Arm, ends: dict[str, tuple[str, str]], slices: bool) -> Difference:
    base = plan.baseline(arm.ablation)
    seeds = [seed for seed in plan.preset.seeds if arm.runs[seed] not in ends and base.runs[seed] not in ends]
    deltas = {seed: _ap(arm, seed) - _ap(base, seed) for seed in seeds}
    names = {"ablation": arm.ablation, "arm": arm.name, "baseline": base.name}
    smallest = plan.ablations[arm.ablation].smallest_effect
    if not deltas:
        return Difference(**names, seeds={}, smallest_effect=smallest)
    mean = fmean(deltas.values())
    parts = {}
    for part in SLICES if slices else ():
        per_seed = {seed: _ap(arm, seed, part) - _ap(base, seed, part) for seed in seeds}
        parts[part] = SliceDifference(mean=fmean(per_seed.values()), seeds=per_seed)
    verdict = "inconclusive" if abs(mean) < 0.006 else "better" if mean > 0 else "worse"
    verdict = "untestable" if len(deltas) == 1 or (len(deltas) == 2 and verdict != "inconclusive") else verdict
    return Difference(
        **names,
        seeds=deltas,
        mean=mean,
        low=mean - 0.006,
        high=mean + 0.006,
        seed_sd=float(np.std(list(deltas.values()), ddof=1)) if len(deltas) > 1 else None,
        image_se=0.002,
        df=5.0,
        agreeing=sum(math.copysign(1, delta) == math.copysign(1, mean) for delta in deltas.values()),
        smallest_effect=smallest,
        equivalence_low=mean - 0.005,
        equivalence_high=mean + 0.005,
        p=None if verdict == "untestable" else 0.0156,
        p_holm=None if verdict == "untestable" else 0.0312,
        mde=0.0098,
        verdict=verdict,  # type: ignore[arg-type]
        slices=parts,
    )


def _ap(arm: Arm, seed: int, part: str = "") -> float:
    return ap(arm.runs[seed].rsplit("-", 2)[0], seed, arm.read, part)
