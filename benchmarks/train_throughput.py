"""Training throughput: mnv4bench's parallel one-thread jobs against ultralytics' own trainer, in one run.

    python benchmarks/train_throughput.py [--images 192] [--epochs 3]

The same model, images, image side, batch size and augmentation on the same cores. Two comparisons:
- all cores: as many one-thread jobs as there are cores, against one `YOLO.train` as it comes (its threads, its
  validation after each epoch);
- equal threads: one job of one thread, against `YOLO.train` held to one thread, without validation.
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
from pathlib import Path

from mnv4bench.io.files import read_json, write_json

MODEL = "mnv4-yolov10n"
IMGSZ, BATCH = 160, 16


def ours(data: Path, epochs: int, report: Path) -> None:
    """Train one one-thread job and write (images, seconds) after the warm-up epoch."""
    import torch

    from mnv4bench.data.prepared import load
    from mnv4bench.machine.process import set_up_process
    from mnv4bench.models import build
    from mnv4bench.models.yolo import hyperparameters
    from mnv4bench.spec.run import AugmentSpec, DataSpec, TrainSpec
    from mnv4bench.train.batches import Batches, training_set
    from mnv4bench.train.loop import Trainer, fit

    spec = TrainSpec(epochs=epochs, batch=BATCH, augment=AugmentSpec(mosaic=1.0))
    set_up_process(spec.threads)
    dataset = load(data)
    batches = Batches(training_set(dataset, data, DataSpec(imgsz=IMGSZ), spec), spec, seed=0)
    model = build(MODEL, len(dataset.classes))
    model.args = hyperparameters()
    trainer = Trainer(model.to(memory_format=torch.channels_last), spec)
    marks: list[tuple[int, float]] = []
    fit(trainer, batches, len(batches), lambda state, row: marks.append((state.images, time.perf_counter())))
    write_json(report, [marks[-1][0] - marks[0][0], marks[-1][1] - marks[0][1]])


def theirs(data: Path, epochs: int, report: Path, as_it_comes: bool) -> None:
    """Train by ultralytics' DetectionTrainer and write (images, seconds) after the warm-up epoch."""
    from mnv4bench.data.prepared import load
    from mnv4bench.models import build
    from mnv4bench.models.torchvision_ops import provide

    provide()  # ultralytics' trainer imports torchvision

    import ultralytics.utils.torch_utils as torch_utils
    from ultralytics.models.yolo.detect import DetectionTrainer

    dataset = load(data)
    if not as_it_comes:
        torch_utils.NUM_THREADS = 1

    class Trainer(DetectionTrainer):
        def get_model(self, cfg=None, weights=None, verbose=True):  # type: ignore[no-untyped-def]
            return build(MODEL, len(dataset.classes))

    ends: list[float] = []
    with tempfile.TemporaryDirectory() as project:
        settings = {
            "model": "yolov10n.yaml",  # read for its name alone
            "data": str(data / "data.yaml"),
            "epochs": epochs,
            "imgsz": IMGSZ,
            "batch": BATCH,
            "nbs": BATCH,
            "optimizer": "AdamW",
            "lr0": 2e-3,
            "device": "cpu",
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
    ends = ends[:epochs]  # the final validation calls back once more
    write_json(report, [(len(ends) - 1) * dataset.train.count, ends[-1] - ends[0]])


def rate(side: str, data: Path, epochs: int, jobs: int) -> float:
    """Run `jobs` processes of one side together; return their images per second, summed."""
    with tempfile.TemporaryDirectory() as folder:
        reports = [Path(folder) / f"{job}.json" for job in range(jobs)]
        environment = {**os.environ, **({} if side == "as_it_comes" else {"OMP_NUM_THREADS": "1"})}
        command = [sys.executable, __file__, "--side", side, "--data", str(data), "--epochs", str(epochs), "--report"]
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
    parser.add_argument("--side", choices=("ours", "as_it_comes", "one_thread"), help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side == "ours":
        return ours(options.data, options.epochs, options.report)
    if options.side:
        return theirs(options.data, options.epochs, options.report, options.side == "as_it_comes")

    from mnv4bench.data.prepare import prepare
    from mnv4bench.machine.cores import usable_cores
    from mnv4bench.spec.run import DataSpec

    cores = usable_cores()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        prepare(DataSpec(name="scenes", imgsz=IMGSZ, train=options.images, val=32), data)
        yolo_labels(data)
        rounds = []
        for number in range(options.rounds):
            order = [("ours", cores), ("as_it_comes", 1), ("ours", 1), ("one_thread", 1)]
            if number % 2:
                order.reverse()
            measured = {(side, jobs): rate(side, data, options.epochs, jobs) for side, jobs in order}
            rounds.append(
                {
                    "ours_all_cores": measured["ours", cores],
                    "ultralytics_as_it_comes": measured["as_it_comes", 1],
                    "ours_one_thread": measured["ours", 1],
                    "ultralytics_one_thread": measured["one_thread", 1],
                }
            )
            print(
                f"round {number + 1}: " + ", ".join(f"{key} {value:.1f}" for key, value in rounds[-1].items()),
                flush=True,
            )
    ratios = {
        "all cores against as it comes": [r["ours_all_cores"] / r["ultralytics_as_it_comes"] for r in rounds],
        "one thread against one thread": [r["ours_one_thread"] / r["ultralytics_one_thread"] for r in rounds],
    }
    for name, values in ratios.items():
        print(f"{name}: median {statistics.median(values):.2f} × (rounds {', '.join(f'{v:.2f}' for v in values)})")
    write_json(Path("results/benchmarks/train_throughput.json"), {"cores": cores, "rounds": rounds, "ratios": ratios})


if __name__ == "__main__":
    main()
