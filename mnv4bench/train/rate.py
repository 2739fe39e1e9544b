"""How fast this machine trains: a few steps of the default detector on made-up images, timed."""

from __future__ import annotations

import time

import torch

from mnv4bench.machine.process import set_up_process
from mnv4bench.models import detector
from mnv4bench.models.yolo import hyperparameters
from mnv4bench.spec.model import ModelSpec
from mnv4bench.spec.run import TrainSpec
from mnv4bench.train.loop import Trainer

WARM_UP, LEAST_STEPS, LEAST_SECONDS = 1, 3, 4.0
OBJECTS = 4
"""Of each made-up image."""


def measured_rate(imgsz: int, classes: int, batch: int = 16) -> float:
    """Return images per second of one training process with one thread; reading images is not part of it."""
    set_up_process(1)
    spec = TrainSpec(epochs=1, batch=batch)
    model = detector.build(ModelSpec(), classes)
    model.args = hyperparameters()
    trainer = Trainer(model.to(memory_format=torch.channels_last), spec)
    trainer.model.train()
    steps, seconds = 0, 0.0
    while steps < LEAST_STEPS or seconds < LEAST_SECONDS:
        start = time.perf_counter()
        trainer.step_on(_batch(imgsz, classes, batch))
        steps += 1
        seconds = 0.0 if steps <= WARM_UP else seconds + time.perf_counter() - start
    return (steps - WARM_UP) * batch / seconds


def _batch(imgsz: int, classes: int, batch: int) -> dict[str, torch.Tensor]:
    number = batch * OBJECTS
    return {
        "img": torch.randint(0, 256, (batch, 3, imgsz, imgsz), dtype=torch.uint8),
        "cls": torch.randint(0, classes, (number, 1)).float(),
        "bboxes": torch.tensor([0.5, 0.5, 0.3, 0.3]).repeat(number, 1),
        "batch_idx": torch.arange(batch).repeat_interleave(OBJECTS).float(),
    }
