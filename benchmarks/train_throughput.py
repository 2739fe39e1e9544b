"""Training throughput: mnv4bench's parallel one-thread jobs against ultralytics' own trainer, in one run.

    python benchmarks/train_throughput.py [--images 192] [--epochs 3]
    python benchmarks/train_throughput.py --device cuda --imgsz 640 --batch 64 --images 4096 --compiled 1   # not run

The same model, images, image side, batch size and augmentation on the same cores. Two comparisons:
- all cores: as many one-thread jobs as there are cores, against one `YOLO.train` as it comes (its threads, its
  validation after each epoch);
- equal threads: one job of one thread, against `YOLO.train` held to one thread, without validation.
On a GPU, in mixed precision, with eight loader workers a job:
- shared: `--slots` jobs that share it, against one `YOLO.train` as it comes;
- alone: one job, against `YOLO.train` without validation.
The first epoch of each is a warm-up and is not counted. Sides alternate, and every ratio is taken within a round.
Prints a table and writes results/benchmarks/train_throughput.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mnv4bench.io.files import read_json, write_json

MODEL = "mnv4-yolov10n"
WORKERS = 8
"""Of a job on a GPU, as ultralytics has it."""


@dataclass(frozen=True)
class Load:
    """What both sides train."""

    data: Path
    epochs: int
    imgsz: int
    batch: int
    device: str
    compiled: int
    """1: our network is compiled and replayed as CUDA graphs."""

    @property
    def flags(self) -> list[str]:
        return [flag for name, value in asdict(self).items() for flag in (f"--{name}", str(value))]


def ours(work: Load, report: Path) -> None:
    """Train one job and write (images, seconds) after the warm-up epoch."""
    import torch

    from mnv4bench.data.prepared import load
    from mnv4bench.machine.process import set_up_process
    from mnv4bench.models import build
    from mnv4bench.models.yolo import hyperparameters
    from mnv4bench.spec.run import AugmentSpec, DataSpec, TrainSpec
    from mnv4bench.train.batches import Batches, training_set
    from mnv4bench.train.loop import Trainer, fit

    on_gpu: dict[str, Any] = {
        "device": "cuda", "precision": "amp", "workers": WORKERS, "compile": bool(work.compiled)
    }  # fmt: skip
    here = on_gpu if work.device == "cuda" else {}
    spec = TrainSpec(epochs=work.epochs, batch=work.batch, augment=AugmentSpec(mosaic=1.0), **here)
    set_up_process(spec.threads)
    dataset = load(work.data)
    batches = Batches(training_set(dataset, work.data, DataSpec(imgsz=work.imgsz), spec), spec, seed=0)
    model = build(MODEL, len(dataset.classes))
    model.args = hyperparameters()
    trainer = Trainer(model.to(work.device, memory_format=torch.channels_last), spec)
    marks: list[tuple[int, float]] = []
    fit(trainer, batches, len(batches), lambda state, row: marks.append((state.images, time.perf_counter())))
    write_json(report, [marks[-1][0] - marks[0][0], marks[-1][1] - marks[0][1]])


def theirs(work: Load, report: Path, as_it_comes: bool) -> None:
    """Train by ultralytics' DetectionTrainer and write (images, seconds) after the warm-up epoch."""
    from mnv4bench.data.prepared import load
    from mnv4bench.models import build
    from mnv4bench.models.torchvision_ops import provide

    provide()  # ultralytics' trainer imports torchvision

    import ultralytics.utils.torch_utils as torch_utils
    from ultralytics.models.yolo.detect import DetectionTrainer

    dataset = load(work.data)
    if not as_it_comes and work.device == "cpu":
        torch_utils.NUM_THREADS = 1

    class Trainer(DetectionTrainer):
        def get_model(self, cfg=None, weights=None, verbose=True):  # type: ignore[no-untyped-def]
            return build(MODEL, len(dataset.classes))

    ends: list[float] = []
    with tempfile.TemporaryDirectory() as project:
        settings = {
            "model": "yolov10n.yaml",  # read for its name alone
            "data": str(work.data / "data.yaml"),
            "epochs": work.epochs,
            "imgsz": work.imgsz,
            "batch": work.batch,
            "nbs": work.batch,
            "optimizer": "AdamW",
            "lr0": 2e-3,
            "device": "0" if work.device == "cuda" else "cpu",
            "workers": WORKERS,
            "close_mosaic": 0,
            **dict.fromkeys(("translate", "scale", "hsv_h", "hsv_s", "hsv_v", "erasing"), 0.0),
            "project": project,
            "name": "run",
            "val": as_it_comes,
            "plots": as_it_comes,
            "verbose": False,
        }
        trainer = Trainer(overrides=settings)
        event = "on_fit_epoch_end" if as_it_comes else "on_train_epoch_end"
        trainer.add_callback(event, lambda _: ends.append(time.perf_counter()))
        trainer.train()
    ends = ends[: work.epochs]  # the final validation calls back once more
    write_json(report, [(len(ends) - 1) * dataset.train.count, ends[-1] - ends[0]])


def rate(side: str, work: Load, jobs: int) -> float:
    """Run `jobs` processes of one side together; return their images per second, summed."""
    with tempfile.TemporaryDirectory() as folder:
        reports = [Path(folder) / f"{job}.json" for job in range(jobs)]
        environment = {**os.environ, **({} if side == "as_it_comes" else {"OMP_NUM_THREADS": "1"})}
        command = [sys.executable, __file__, "--side", side, *work.flags, "--report"]
        processes = [
            subprocess.Popen([*command, str(report)], env=environment, stdout=subprocess.DEVNULL) for report in reports
        ]
        if any(process.wait() for process in processes):
            raise SystemExit(f"{side}: a training process failed")
        return sum(images / seconds for images, seconds in map(read_json, reports))


def yolo_labels(data: Path) -> None:
    """Write the same boxes as YOLO text labels, for ultralytics' loader."""
    from mnv4bench.data.prepared import load

    dataset = load(data)
    for name, split in (("train", dataset.train), ("val", dataset.val)):
        coco = json.loads((data / split.annotations).read_text())
        (data / "labels" / name).mkdir(parents=True, exist_ok=True)  # ultralytics looks beside images/
        index = {category: position for position, category in enumerate(dataset.category_ids)}
        lines: dict[int, list[str]] = {image["id"]: [] for image in coco["images"]}
        sides = {image["id"]: (image["width"], image["height"]) for image in coco["images"]}
        for annotation in coco["annotations"]:
            x, y, w, h = annotation["bbox"]
            width, height = sides[annotation["image_id"]]
            row = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
            lines[annotation["image_id"]].append(" ".join(map(str, (index[annotation["category_id"]], *row))))
        for image in coco["images"]:
            label = data / "labels" / name / Path(image["file_name"]).with_suffix(".txt").name
            label.write_text("\n".join(lines[image["id"]]) + "\n")
    names = "\n".join(f"  {position}: {name}" for position, name in enumerate(dataset.classes))
    (data / "data.yaml").write_text(f"path: {data.resolve()}\ntrain: images/train\nval: images/val\nnames:\n{names}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--imgsz", type=int, default=160)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--compiled", type=int, choices=(0, 1), default=0, help="1: compile our side, on a GPU")
    parser.add_argument("--slots", type=int, default=4, help="jobs that share a GPU")
    parser.add_argument("--side", choices=("ours", "as_it_comes", "one_thread"), help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        work = Load(options.data, options.epochs, options.imgsz, options.batch, options.device, options.compiled)
        if options.side == "ours":
            return ours(work, options.report)
        return theirs(work, options.report, options.side == "as_it_comes")

    from mnv4bench.data.prepare import prepare
    from mnv4bench.machine.cores import usable_cores
    from mnv4bench.spec.run import DataSpec

    cores = usable_cores()
    many = options.slots if options.device == "cuda" else cores
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        prepare(DataSpec(name="scenes", imgsz=options.imgsz, train=options.images, val=32), data)
        yolo_labels(data)
        work = Load(data, options.epochs, options.imgsz, options.batch, options.device, options.compiled)
        rounds = []
        for number in range(options.rounds):
            order = [("ours", many), ("as_it_comes", 1), ("ours", 1), ("one_thread", 1)]
            if number % 2:
                order.reverse()
            measured = {(side, jobs): rate(side, work, jobs) for side, jobs in order}
            rounds.append(
                {
                    "ours_many": measured["ours", many],
                    "ultralytics_as_it_comes": measured["as_it_comes", 1],
                    "ours_one": measured["ours", 1],
                    "ultralytics_one": measured["one_thread", 1],
                }
            )
            print(
                f"round {number + 1}: " + ", ".join(f"{key} {value:.1f}" for key, value in rounds[-1].items()),
                flush=True,
            )
    ratios = {
        f"{many} jobs against one as it comes": [r["ours_many"] / r["ultralytics_as_it_comes"] for r in rounds],
        "one job against one without validation": [r["ours_one"] / r["ultralytics_one"] for r in rounds],
    }
    for name, values in ratios.items():
        print(f"{name}: median {statistics.median(values):.2f} × (rounds {', '.join(f'{v:.2f}' for v in values)})")
    record = {
        "device": options.device,
        "compiled": options.compiled,
        "imgsz": options.imgsz,
        "batch": options.batch,
        "cores": cores,
    }
    write_json(Path("results/benchmarks/train_throughput.json"), {**record, "rounds": rounds, "ratios": ratios})


if __name__ == "__main__":
    main()
