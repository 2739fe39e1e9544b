"""Time to the table: the five ablations by this workflow, against the same arms trained one by one by ultralytics.

    python -m benchmarks.time_to_table [--epochs 3] [--images 128] [--seeds 2]

Ours is `snakemake --cores all` in a folder of its own, on the quick preset with another schedule: from nothing to
tables, figures, paper and report. Theirs is one Python process that trains every arm of every ablation, seed after
seed, by ultralytics' DetectionTrainer as it comes, and runs `YOLO.val` for every row of the table; an arm that is read
twice is trained once and validated twice. It trains the trunk and the teacher too, once each, as the arms of the table
are defined by them; what the ratio is without them is printed beside.

Equal on both sides: the networks, images, image side, batch size, optimiser, augmentation, epochs of each arm, the
moving average of the weights, and the validation images; the last epoch's average is scored. Each side's schedule of
the learning rate is its own, and so is its way to compute AP: only times are compared.

In our favour:
- an arm that several ablations name is trained once. A person would do the same by hand: "shared by hand" leaves
  theirs every repeated training and validation out.
- ultralytics trains with one thread fewer than there are cores, and that is how it is timed. "on all cores" divides its
  time by what the last training gains, if anything, when it is repeated with a thread for each core.
- it validates after every epoch and at the end, and `YOLO.val` again for the table; we validate once.
- our measurement of latency, which takes minutes in the quick preset, is cut to the smoke preset's, because `YOLO.val`
  prints no more than a mean speed.

In theirs:
- its arms start from random weights, which costs as much as starting from the trunk, and its distilled arm is a plain
  training, without the teacher's forward pass.
- the images are there when it starts: we draw, write and check them. It gets its labels in its own format for nothing.
- it makes no intervals, costs, figures or paper; its own plots are off; it starts Python once, and we for every job.

One run each and no repeats: read the ratio's first digit. Prints the ratios and writes
results/benchmarks/time_to_table.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.train_throughput import yolo_labels
from mnv4bench.data.prepared import key
from mnv4bench.io.files import read_json, write_json, write_text
from mnv4bench.spec.plan import Plan, load
from mnv4bench.spec.preset import PRESETS

ROOT = Path(__file__).resolve().parent.parent
PRESET = "time_to_table"


def preset(epochs: int, images: int, seeds: int) -> dict[str, Any]:
    """Return the quick preset with another schedule, and the smoke preset's latency."""
    content, smoke = (
        yaml.safe_load((ROOT / PRESETS / f"{name}.yaml").read_text(encoding="utf-8")) for name in ("quick", "smoke")
    )
    # The trunk is trained here as it is there, in place of a shipped one.
    content["train"] = {**content["train"], "epochs": epochs, "images": None}
    content["trunk"] = {"train": {"epochs": 3 * epochs}}
    content["teacher"] = {"from_trunk": True, "train": {"epochs": 2 * epochs}}
    data = content["data"]
    val = max(1, images * data["val"] // data["train"])
    return {
        **content,
        "title": "time to the table",
        "data": {**data, "train": images, "val": val},
        "seeds": list(range(seeds)),
        "latency": smoke["latency"],
    }


def project(folder: Path, content: dict[str, Any]) -> Plan:
    """Copy what `snakemake` reads, with a preset of its own; return its plan."""
    shutil.copy(ROOT / "Snakefile", folder)
    for name in ("ablations", "paper", "profiles"):
        shutil.copytree(ROOT / name, folder / name)
    write_text(folder / PRESETS / f"{PRESET}.yaml", yaml.safe_dump(content))
    return load(PRESET, root=folder)


def environment() -> dict[str, str]:
    """Return this process's environment as someone has it who sets nothing: each side chooses its threads."""
    chosen = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    return {**chosen, "PYTHONPATH": str(ROOT)}


def ours(folder: Path, plan: Plan) -> dict[str, Any]:
    """Run the workflow; return its seconds as a whole and until its parts were there."""
    results = folder / "results" / PRESET
    wall, begin = time.time(), time.perf_counter()
    command = [sys.executable, "-m", "snakemake", "--cores", "all", "--config", f"preset={PRESET}"]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise SystemExit(f"the workflow failed:\n{done.stderr[-4000:]}")
    scored = [results / "runs" / run / "metrics.json" for run in plan.runs]
    training = {run: read_json(results / "runs" / run / "status.json")["seconds"] for run in plan.runs}
    return {
        "seconds": seconds,
        "until_scored": max(path.stat().st_mtime for path in scored) - wall,
        "until_table": (results / "tables" / "ablations.md").stat().st_mtime - wall,
        "trainings": len(training),
        "training_core_seconds": {run: spent * plan.run(run).train.threads for run, spent in training.items()},
        "AP": {
            f"{arm.label} {seed}": read_json(results / "runs" / run / "metrics.json")["readings"][arm.read]["scores"][
                "AP"
            ]
            for arm in plan.arms
            for seed, run in arm.runs.items()
        },
    }


def trainings(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield what ultralytics trains: trunk and teacher, then every model of every ablation, seed after seed, each with
    its epochs and with how it is read."""
    arms = {run for arm in plan.arms for run in arm.runs.values()}
    for run, spec in plan.runs.items():
        if run not in arms:
            yield {"model": spec.model.model_dump(mode="json"), "seed": 0, "reads": {}, "epochs": spec.train.epochs}
    for seed in plan.preset.seeds:
        for ablation in plan.ablations:
            models: dict[str, dict[str, Any]] = {}
            for arm in plan.arms_of(ablation):
                epochs = plan.preset.train.epochs
                empty = {"model": arm.model.model_dump(mode="json"), "seed": seed, "reads": {}, "epochs": epochs}
                models.setdefault(arm.runs[seed], empty)["reads"][arm.read] = f"{arm.label} {seed}"
            yield from models.values()


def theirs(data: Path, jobs: list[dict[str, Any]], settings: dict[str, Any], report: Path) -> None:
    """Train and validate every job in this process; write how long each took and what it scored."""
    from mnv4bench.models.torchvision_ops import provide

    provide()  # ultralytics' trainer imports torchvision

    import torch
    import ultralytics.utils.torch_utils as torch_utils

    rows = []
    for job in jobs:
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            weights = train(job, data, settings, Path(folder))
            trained = time.perf_counter()
            scores = {label: validate(weights, read, data, settings) for read, label in job["reads"].items()}
            rows.append({"train": trained - begin, "validate": time.perf_counter() - trained, "AP": scores})
    threads = torch.get_num_threads()
    torch_utils.NUM_THREADS = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        train(jobs[-1], data, settings, Path(folder))
        again = time.perf_counter() - begin
    write_json(report, {"rows": rows, "threads": threads, "last_on_all_cores": again})


def train(job: dict[str, Any], data: Path, settings: dict[str, Any], folder: Path) -> Path:
    """Train one job by ultralytics; return its last checkpoint."""
    from ultralytics.models.yolo.detect import DetectionTrainer

    from mnv4bench.models import detector
    from mnv4bench.spec.model import ModelSpec

    class Trainer(DetectionTrainer):
        def get_model(self, cfg=None, weights=None, verbose=True):  # type: ignore[no-untyped-def]
            return detector.build(ModelSpec.model_validate(job["model"]), self.data["nc"], seed=job["seed"])

    overrides = {
        "model": "yolov10n.yaml",  # read for its name alone
        "data": str(data / "data.yaml"),
        "project": str(folder),
        "name": "run",
        "seed": job["seed"],
        "plots": False,
        **settings,
        "epochs": job["epochs"],
    }
    trainer = Trainer(overrides=overrides)
    trainer.train()
    return Path(trainer.last)


def validate(weights: Path, read: str, data: Path, settings: dict[str, Any]) -> float:
    """Return the AP that `YOLO.val` reports of a checkpoint's averaged weights, read one way."""
    import torch

    from mnv4bench.models import as_yolo

    model = torch.load(weights, map_location="cpu", weights_only=False)["model"].float()
    model.read = read
    chosen = {name: settings[name] for name in ("imgsz", "batch", "device")}
    result = as_yolo(model).val(
        data=str(data / "data.yaml"), plots=False, verbose=False, project=str(weights.parent), **chosen
    )
    return float(result.box.map)


def settings_of(plan: Plan) -> dict[str, Any]:
    """Return the preset's training as ultralytics' settings; what is not named stays as it comes."""
    spec = plan.preset
    augment = spec.train.augment.model_dump()
    return {
        **augment,
        "erasing": 0.0,
        "imgsz": spec.data.imgsz,
        "batch": spec.train.batch,
        "nbs": spec.train.batch,  # a step for each batch, as here
        "optimizer": {"adamw": "AdamW", "sgd": "SGD"}[spec.train.optimizer],
        "lr0": spec.train.lr,
        "momentum": spec.train.momentum,
        "weight_decay": spec.train.weight_decay,
        "device": "cpu",
        "verbose": False,
    }


def run_theirs(folder: Path, data: Path, plan: Plan) -> dict[str, Any]:
    """Run the other side in a fresh process; return its seconds, less the repeated last training."""
    jobs = list(trainings(plan))
    work, report = folder / "theirs.json", folder / "report.json"
    write_json(work, {"jobs": jobs, "settings": settings_of(plan)})
    begin = time.perf_counter()
    command = [sys.executable, __file__, "--data", data, "--work", work, "--report", report]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise SystemExit(f"ultralytics' side failed:\n{done.stderr[-4000:]}")
    got = read_json(report)
    return {
        "seconds": seconds - got["last_on_all_cores"],
        "repeated": repeated(jobs, got["rows"]),
        "trainings": len(jobs),
        "training_seconds": sum(row["train"] for row in got["rows"]),
        "trunk_and_teacher": sum(row["train"] for row in got["rows"] if not row["AP"]),
        "validation_seconds": sum(row["validate"] for row in got["rows"]),
        "threads": got["threads"],
        "gain_of_all_cores": got["rows"][-1]["train"] / got["last_on_all_cores"],
        "AP": {label: value for row in got["rows"] for label, value in row["AP"].items()},
    }


def repeated(jobs: Iterable[dict[str, Any]], rows: Iterable[dict[str, Any]]) -> float:
    """Return the seconds in trainings and validations of a model, seed and reading that had been done before."""
    seen: set[str] = set()
    total = 0.0
    for job, row in zip(jobs, rows, strict=True):
        model = json.dumps([job["model"], job["seed"], job["epochs"]], sort_keys=True)
        readings = {f"{model} {read}" for read in job["reads"]}
        total += row["train"] if model in seen else 0.0
        total += row["validate"] * len(readings & seen) / max(1, len(readings))
        seen |= {model, *readings}
    return total


def ratios(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, float]:
    """Return their time over ours, as it is and as a person could bring theirs down."""
    by_hand = theirs["seconds"] - theirs["repeated"]
    return {
        "whole job": theirs["seconds"] / ours["seconds"],
        "whole job, theirs without trunk and teacher": (theirs["seconds"] - theirs["trunk_and_teacher"])
        / ours["seconds"],
        "until the table": theirs["seconds"] / ours["until_table"],
        "whole job, theirs shared by hand": by_hand / ours["seconds"],
        "whole job, theirs shared by hand on all cores": by_hand
        / max(1.0, theirs["gain_of_all_cores"])
        / ours["seconds"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=3, help="of each arm (default: 3)")
    parser.add_argument("--images", type=int, default=128, help="to train on; a third as many to validate")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work = read_json(options.work)
        return theirs(options.data, work["jobs"], work["settings"], options.report)

    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = project(folder, preset(options.epochs, options.images, options.seeds))
        sides = {"ours": ours(folder, plan)}
        print(f"ours: {sides['ours']['seconds']:.0f} s, {sides['ours']['trainings']} trainings", flush=True)
        data = folder / "results" / PRESET / "data" / key(plan.preset.data)
        yolo_labels(data)
        sides["theirs"] = run_theirs(folder, data, plan)
        print(f"theirs: {sides['theirs']['seconds']:.0f} s, {sides['theirs']['trainings']} trainings")
    found = ratios(**sides)
    for label, value in found.items():
        print(f"{label}: {value:.2f} ×")

    from mnv4bench.machine.environment import environment as machine

    write_json(
        ROOT / "results" / "benchmarks" / "time_to_table.json",
        {
            "epochs": options.epochs,
            "images": options.images,
            "seeds": options.seeds,
            "ratios": found,
            **sides,
            "load_before": load_before,
            "environment": machine().model_dump(mode="json"),
        },
    )


if __name__ == "__main__":
    main()
