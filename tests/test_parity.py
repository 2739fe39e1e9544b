"""Our loop against ultralytics' DetectionTrainer: the same batches must give the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import CLASSES, SIDE, tiny_dataset
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.utils import torch_utils
from ultralytics.utils.torch_utils import init_seeds

from mnv4bench.models import detector, torchvision_ops
from mnv4bench.models.yolo import Detector
from mnv4bench.spec.model import ModelSpec
from mnv4bench.spec.run import TrainSpec
from mnv4bench.train.loop import Trainer, fit

EPOCHS, BATCH = 2, 4


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torchvision_ops.provide()
    return tiny_dataset(tmp_path_factory.mktemp("parity"), train=10, val=2)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch_utils, "NUM_THREADS", 1)  # ultralytics sets this many wherever it selects a device
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class TheirTrainer(DetectionTrainer):
    """ultralytics' trainer with our model, and without validation and checkpoints."""

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> Detector:
        return new_model()

    def validate(self) -> tuple[dict[str, float], float]:
        return {}, 0.0

    def save_model(self) -> bool:
        return False

    def save_metrics(self, metrics: Any) -> None:
        pass

    def final_eval(self) -> None:
        pass


def new_model() -> Detector:
    return detector.build(ModelSpec(), len(CLASSES), seed=5)


def their_trainer(data: Path, folder: Path, spec: TrainSpec) -> TheirTrainer:
    trainer = TheirTrainer(
        overrides={
            "model": "mnv4.yaml",
            "data": str(data / "data.yaml"),
            "project": str(folder),
            "name": "theirs",
            "exist_ok": True,
            "device": "cpu",
            "epochs": spec.epochs,
            "batch": spec.batch,
            "nbs": spec.batch,
            "imgsz": SIDE,
            "optimizer": {"sgd": "SGD", "adamw": "AdamW"}[spec.optimizer],
            "lr0": spec.lr,
            "lrf": spec.final_lr,
            "cos_lr": spec.schedule == "cosine",
            "momentum": spec.momentum,
            "weight_decay": spec.weight_decay,
            "warmup_epochs": spec.warmup_epochs,
            "warmup_momentum": spec.warmup_momentum,
            "warmup_bias_lr": spec.warmup_bias_lr,
            "mosaic": 1.0,
            "close_mosaic": 0,
            "workers": 0,
            "amp": False,
            "val": False,
            "plots": False,
            "save": False,
            "verbose": False,
        }
    )
    trainer.add_callback("on_train_start", lambda _: init_seeds(0, deterministic=True))
    return trainer


def their_weights(data: Path, folder: Path, spec: TrainSpec) -> tuple[dict[str, Any], dict[str, Any]]:
    trainer = their_trainer(data, folder, spec)
    trainer.train()
    return trainer.model.state_dict(), trainer.ema.ema.state_dict()


def our_weights(data: Path, folder: Path, spec: TrainSpec) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train with our loop on batches from a second trainer's loader."""
    loader = their_trainer(data, folder, spec)
    loader._setup_train()
    model = new_model()
    model.args = loader.args
    trainer = Trainer(model, spec)
    init_seeds(0, deterministic=True)
    fit(trainer, lambda epoch: loader.train_loader, len(loader.train_loader))
    return model.state_dict(), trainer.ema.ema.state_dict()


@pytest.mark.parametrize(
    ("optimizer", "schedule", "lr", "warm_up"), [("sgd", "linear", 0.01, 1.0), ("adamw", "cosine", 0.002, 0.7)]
)
def test_loop_gives_ultralytics_bits(
    optimizer: Any, schedule: Any, lr: float, warm_up: float, data: Path, tmp_path: Path
) -> None:
    spec = TrainSpec(
        epochs=EPOCHS,
        batch=BATCH,
        optimizer=optimizer,
        schedule=schedule,
        lr=lr,
        momentum=0.9,
        weight_decay=5e-4,
        warmup_epochs=warm_up,
        ema_by_length=False,
        warmup_bias_lr=0.1 if optimizer == "sgd" else 0.0,
    )
    theirs, their_ema = their_weights(data, tmp_path, spec)
    ours, our_ema = our_weights(data, tmp_path, spec)
    assert [name for name, value in theirs.items() if not torch.equal(value, ours[name])] == []
    assert [name for name, value in their_ema.items() if not torch.equal(value, our_ema[name])] == []
    start = new_model().state_dict()
    changed = [name for name, value in ours.items() if not torch.equal(value, start[name])]
    assert len(changed) > 0.9 * len(start)
