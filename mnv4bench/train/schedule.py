"""Learning rates as a pure function of the step, so that a resumed run needs no scheduler's memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mnv4bench.spec.run import TrainSpec

WARM_UP = 0.1
"""Share of a one-cycle schedule spent rising from 1/25 of the peak."""


@dataclass(frozen=True)
class Rates:
    """What the optimiser uses at one step."""

    lr: float
    bias_lr: float
    momentum: float


def rates(spec: TrainSpec, step: int, steps_per_epoch: int) -> Rates:
    """Return the rates of a step counted from 0 over the whole training."""
    if spec.schedule == "one_cycle":
        lr = spec.lr * _one_cycle(step, spec.epochs * steps_per_epoch, spec.final_lr)
        return Rates(lr, lr, spec.momentum)
    return _per_epoch(spec, step, steps_per_epoch)


def _one_cycle(step: int, steps: int, final: float) -> float:
    """Cosine rise from 1/25 to 1, then cosine fall to `final` (arXiv 1708.07120; fast.ai's cosine form)."""
    rise = max(1, round(WARM_UP * steps))
    if step < rise:
        return _cosine(1 / 25, 1.0, step / rise)
    return _cosine(1.0, final, (step - rise) / max(1, steps - 1 - rise))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


def _per_epoch(spec: TrainSpec, step: int, steps_per_epoch: int) -> Rates:
    """ultralytics' schedule: a fall per epoch, and a warm-up per step in which the biases' rate may start high."""
    epoch = step // steps_per_epoch
    if spec.schedule == "linear":
        factor = max(1 - epoch / spec.epochs, 0) * (1.0 - spec.final_lr) + spec.final_lr
    else:
        factor = max((1 - math.cos(epoch * math.pi / spec.epochs)) / 2, 0) * (spec.final_lr - 1) + 1
    target = spec.lr * factor
    warm_up = round(min(spec.warmup_epochs, max(spec.epochs - 1, 0)) * steps_per_epoch)
    if warm_up and step <= warm_up:

        def rise(start: float, end: float) -> float:
            return float(np.interp(step, [0, warm_up], [start, end]))

        return Rates(
            lr=rise(0.0, target),
            bias_lr=rise(spec.warmup_bias_lr, target),
            momentum=rise(spec.warmup_momentum, spec.momentum),
        )
    return Rates(target, target, spec.momentum)


YOLOV10_STEPS = 500 * 118_287 / 256
"""Optimisation steps of YOLOv10's training: 500 epochs of COCO train2017 in batches of 256 (its Table 14)."""


def average_constants(spec: TrainSpec, steps_per_epoch: int) -> tuple[float, float]:
    """Return decay and time constant, in steps, of the weights' moving average."""
    if not spec.ema_by_length:
        return spec.ema_decay, spec.ema_tau
    share = spec.epochs * steps_per_epoch / YOLOV10_STEPS
    memory = max(share / (1 - spec.ema_decay), 1.0)
    return 1 - 1 / memory, max(share * spec.ema_tau, 1e-9)
