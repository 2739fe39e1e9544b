"""Small things that several tests share: a tiny prepared data set, and networks with spread-out random values."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from mnv4bench.data.prepared import digest, load
from mnv4bench.evaluate.detections import evaluate
from mnv4bench.io.files import sha256, write_json, write_text
from mnv4bench.machine.environment import environment
from mnv4bench.models import detector, weights
from mnv4bench.models.yolo import Detector
from mnv4bench.results.dataset import Dataset, Split
from mnv4bench.results.run import Status
from mnv4bench.spec.model import ModelSpec, Read, readings
from mnv4bench.spec.run import DataSpec, RunSpec, TrainSpec

ROOT = Path(__file__).parent.parent

WATCH = """
import json, sys
contacts = []

def watch(event, args):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request"}:
        contacts.append(f"{event} {args}")
        raise OSError("there is no network here")

sys.addaudithook(watch)
"""
"""Opens a script that must not touch the network: every attempt is recorded in `contacts` and refused."""

DYING = """
import os, signal, sys
from pathlib import Path
from mnv4bench.train import loop, run
from mnv4bench.io.files import read_json
from mnv4bench.spec.run import RunSpec

spec, data, folder = map(Path, sys.argv[1:4])
step_on = loop.Trainer.step_on

def dying(self, batch):
    if self.step == int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)
    return step_on(self, batch)

loop.Trainer.step_on = dying
run.train(folder.name, RunSpec.model_validate(read_json(spec)), data, folder.parent)
"""

SIDE = 64
CLASSES = ("square", "bar")


def tiny_dataset(folder: Path, train: int = 8, val: int = 4) -> Path:
    """Write a checked data set of drawn 64-pixel images, with YOLO labels and a data.yaml beside the COCO annotations.

    The first image of each half is empty.
    """
    splits = {name: _split(folder, name, count) for name, count in (("train", train), ("val", val))}
    dataset = Dataset(name="tiny", digest=digest(folder), classes=CLASSES, category_ids=(3, 7), **splits)
    write_json(folder / "dataset.json", dataset)
    names = ", ".join(CLASSES)
    write_text(folder / "data.yaml", f"path: {folder}\ntrain: images/train\nval: images/val\nnames: [{names}]\n")
    return folder


def prepare_again(folder: Path) -> Dataset:
    """Take changed annotations into the record of the data set, as preparing it again does."""
    dataset = load(folder).model_copy(update={"digest": digest(folder)})
    write_json(folder / "dataset.json", dataset)
    return dataset


def _split(folder: Path, name: str, count: int) -> Split:
    random = np.random.Generator(np.random.PCG64(len(name)))
    images, annotations = [], []
    (folder / "images" / name).mkdir(parents=True)
    for image_id in range(1, count + 1):
        pixels = random.integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
        lines = []
        for _ in range(0 if image_id == 1 else int(random.integers(1, 4))):
            label = int(random.integers(0, 2))
            width = int(random.integers(12, 30))
            height = width if label == 0 else width // 2
            x, y = (int(random.integers(0, SIDE - side)) for side in (width, height))
            pixels[y : y + height, x : x + width] = (40, 200, 240) if label == 0 else (240, 60, 30)
            box = [x, y, width, height]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": (3, 7)[label],
                    "bbox": box,
                    "area": width * height,
                    "iscrowd": 0,
                }
            )
            relative = ((x + width / 2) / SIDE, (y + height / 2) / SIDE, width / SIDE, height / SIDE)
            lines.append(f"{label} {' '.join(f'{value:.9f}' for value in relative)}")
        cv2.imwrite(str(folder / "images" / name / f"{image_id}.png"), pixels)
        write_text(folder / "labels" / name / f"{image_id}.txt", "\n".join(lines))
        content = sha256(folder / "images" / name / f"{image_id}.png")
        images.append(
            {"id": image_id, "file_name": f"{image_id}.png", "height": SIDE, "width": SIDE, "sha256": content}
        )
    categories = [{"id": category, "name": text} for category, text in zip((3, 7), CLASSES, strict=True)]
    coco = {"images": images, "annotations": annotations, "categories": categories}
    write_json(folder / "annotations" / f"{name}.json", coco)
    return Split(annotations=f"annotations/{name}.json", images=f"images/{name}", count=count, objects=len(annotations))


def thin_set(folder: Path, width: int = 400) -> Path:
    """Write two images in COCO 2017's layout, for scoring alone: a square one with an object, and one pixel high."""
    records, (images, annotations) = [], (folder / "val2017", folder / "annotations")
    images.mkdir(parents=True)
    for number, size in enumerate(((SIDE, SIDE), (1, width)), 1):
        cv2.imwrite(str(images / f"{number}.png"), np.full((*size, 3), 90, np.uint8))
        records.append({"id": number, "file_name": f"{number}.png", "height": size[0], "width": size[1]})
    row = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 8, 16, 16], "area": 256, "iscrowd": 0}
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, 1)]
    content = {"images": records, "annotations": [row], "categories": categories}
    write_json(annotations / "instances_val2017.json", content)
    return folder


def tiny_run(epochs: int = 1, **fields: Any) -> RunSpec:
    """Return the spec of a run on `tiny_dataset`; fields of `train` are given as a mapping."""
    train = TrainSpec(**{"epochs": epochs, "batch": 4, **fields.pop("train", {})})
    return RunSpec(data=DataSpec(imgsz=SIDE), train=train, **fields)


def drawn_run(results: Path, name: str = "a-run") -> Path:
    """Return the folder of a run as training leaves it, scored, beside its data; its weights are drawn."""
    data = results / "data" / "tiny"
    if not data.exists():
        tiny_dataset(data, train=4)
    folder, spec = results / "runs" / name, tiny_run()
    model = detector.build(spec.model, len(CLASSES))
    spread(model)
    write_json(folder / "spec.json", spec)
    status = Status(
        run=name,
        state="done",
        epochs=1,
        steps=1,
        seconds=90,
        data_digest=load(data).digest,
        weights_digest=weights.save(model, folder / "weights.safetensors"),
        environment=environment(),
    )
    write_json(folder / "status.json", status)
    evaluate(name, spec, data, folder.parent)
    return folder


def spread(model: nn.Module, seed: int = 0) -> None:
    """Fill batch norms and biases with values that differ from their defaults, so that equality means something."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(like: Tensor, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(like.shape, generator=generator)

    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(uniform(module.weight, 0.8, 1.2))
                module.bias.copy_(uniform(module.bias, -0.2, 0.2))
                module.running_mean.copy_(uniform(module.running_mean, -0.2, 0.2))
                module.running_var.copy_(uniform(module.running_var, 0.5, 1.5))
        if isinstance(model, Detector):
            for name, parameter in model.head.named_parameters():
                if "cv3" in name and name.endswith(("2.weight", "2.bias")) and parameter.shape[0] == model.head.nc:
                    parameter.copy_(uniform(parameter, -2.0, 2.0))


def images(count: int = 2, side: int = SIDE, seed: int = 1) -> Tensor:
    """Return random images of shape (count, 3, side, side) in 0–1."""
    return torch.rand((count, 3, side, side), generator=torch.Generator().manual_seed(seed))


def batch_of(boxes: list[list[float]], labels: list[int], side: int = 128) -> dict[str, Tensor]:
    """Return a training batch of one image, with boxes as relative centre x, centre y, width, height."""
    return {
        "img": images(1, side),
        "cls": torch.tensor(labels, dtype=torch.float32).reshape(-1, 1),
        "bboxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "batch_idx": torch.zeros(len(boxes)),
    }


def train_until_killed(folder: Path, spec: RunSpec, data: Path, step: int) -> None:
    """Train the run of that folder in a process that is killed in one of its steps."""
    path = folder.with_suffix(".json")
    write_json(path, spec)
    command = [sys.executable, "-c", DYING, str(path), str(data), str(folder), str(step)]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr


def check_branches(model: Detector, spec: ModelSpec, read: Read) -> None:
    """Assert that all branches are decoded, and the one that is read into what the model returns."""
    with torch.no_grad():
        output, decoded = model(images(2))[0], model.decode(images(2))
    assert set(decoded) == set(readings(spec))
    boxes, scores = decoded[read]
    if read == "nms_free":
        chosen = scores.max(dim=2).values.max(dim=1)
        torch.testing.assert_close(output[:, 0, 4], chosen.values)  # the best detection comes first
        torch.testing.assert_close(output[:, 0, :4], boxes[torch.arange(2), chosen.indices])
    else:
        corners = torch.cat([(output[:, :2] - output[:, 2:4] / 2), (output[:, :2] + output[:, 2:4] / 2)], dim=1)
        torch.testing.assert_close(boxes, corners.transpose(1, 2), atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(scores, output[:, 4:].transpose(1, 2))
