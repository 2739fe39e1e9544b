"""Learning rates by hand, and against ultralytics' own scheduler code."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from ultralytics.engine.trainer import BaseTrainer

from mnv4bench.spec.run import TrainSpec
from mnv4bench.train.schedule import Rates, rates


def lrs(spec: TrainSpec, steps_per_epoch: int) -> list[float]:
    return [rates(spec, step, steps_per_epoch).lr for step in range(spec.epochs * steps_per_epoch)]


def test_one_cycle_rises_from_a_25th_over_a_tenth_of_the_steps_and_falls_to_its_end() -> None:
    # 101 steps: 10 of rise, and a fall of 90 whose middle is step 55.
    spec = TrainSpec(epochs=1, lr=2.0, final_lr=0.01)
    lr = lrs(spec, 101)
    assert lr[0] == pytest.approx(2.0 / 25)
    assert lr[5] == pytest.approx(2.0 * (1 / 25 + 1) / 2)
    assert lr[10] == max(lr) == 2.0
    assert lr[55] == pytest.approx(2.0 * (1 + 0.01) / 2)
    assert lr[100] == pytest.approx(2.0 * 0.01)
    assert lr[:11] == sorted(lr[:11])
    assert lr[10:] == sorted(lr[10:], reverse=True)


def test_one_cycle_knows_no_epochs_and_leaves_momentum_alone() -> None:
    spec = TrainSpec(epochs=10, momentum=0.9)
    assert lrs(spec, 7) == lrs(spec.model_copy(update={"epochs": 7}), 10)
    assert {rates(spec, step, 7).momentum for step in range(70)} == {0.9}
    assert all(rates(spec, step, 7).bias_lr == rates(spec, step, 7).lr for step in range(70))


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_one_cycle_stands_the_shortest_trainings(steps: int) -> None:
    lr = lrs(TrainSpec(epochs=1, lr=1.0), steps)
    assert lr[0] == pytest.approx(1 / 25)
    assert all(0 < value <= 1 for value in lr)


def test_linear_by_hand() -> None:
    # 4 epochs of 10 steps, one of warm-up; from then on 1 - epoch / 4 of the way to a hundredth.
    spec = TrainSpec(epochs=4, schedule="linear", lr=1.0, final_lr=0.01, warmup_epochs=1, warmup_bias_lr=0.1)
    assert rates(spec, 0, 10) == Rates(lr=0.0, bias_lr=0.1, momentum=0.8)
    half = rates(spec, 5, 10)
    assert (half.lr, half.bias_lr, half.momentum) == pytest.approx((0.5, 0.55, 0.85))
    assert rates(spec, 10, 10).lr == pytest.approx(0.75 * 0.99 + 0.01)
    assert rates(spec, 29, 10).lr == pytest.approx(0.5 * 0.99 + 0.01)
    assert rates(spec, 39, 10).lr == pytest.approx(0.25 * 0.99 + 0.01)


def test_cosine_by_hand() -> None:
    spec = TrainSpec(epochs=4, schedule="cosine", lr=1.0, final_lr=0.2, warmup_epochs=0)
    assert [rates(spec, epoch * 3, 3).lr for epoch in range(4)] == pytest.approx(
        [1.0, 1 - 0.8 * (1 - 2**-0.5) / 2, 0.6, 1 - 0.8 * (1 + 2**-0.5) / 2]
    )


def ultralytics_rates(spec: TrainSpec, batches: int) -> list[tuple[float, float, float]]:
    """Run ultralytics' scheduler and its warm-up formula (engine/trainer.py, _do_train) over a whole training."""
    parameters = [{"params": [torch.nn.Parameter(torch.zeros(1))], "param_group": name} for name in ("bias", "weight")]
    args = SimpleNamespace(lrf=spec.final_lr, cos_lr=spec.schedule == "cosine", warmup_epochs=spec.warmup_epochs)
    theirs: Any = SimpleNamespace(args=args, epochs=spec.epochs)
    theirs.optimizer = torch.optim.SGD(parameters, lr=spec.lr, momentum=spec.momentum, nesterov=True)
    BaseTrainer._setup_scheduler(theirs)
    warm_up = BaseTrainer._get_warmup_iterations(theirs, batches)
    theirs.scheduler.last_epoch = -1
    result = []
    for epoch in range(spec.epochs):
        theirs.optimizer.step()  # without gradients; torch wants it before the scheduler's step
        theirs.scheduler.step()
        for i in range(epoch * batches, (epoch + 1) * batches):
            if warm_up and i <= warm_up:
                for group in theirs.optimizer.param_groups:
                    low = spec.warmup_bias_lr if group["param_group"] == "bias" else 0.0
                    group["lr"] = np.interp(i, [0, warm_up], [low, group["initial_lr"] * theirs.lf(epoch)])
                    group["momentum"] = np.interp(i, [0, warm_up], [spec.warmup_momentum, spec.momentum])
            bias, weight = theirs.optimizer.param_groups
            result.append((float(weight["lr"]), float(bias["lr"]), float(weight["momentum"])))
    return result


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize(("epochs", "warm_up"), [(5, 3.0), (5, 1.5), (5, 0.0), (2, 3.0), (1, 3.0)])
def test_per_epoch_schedules_equal_ultralytics(schedule: Any, epochs: int, warm_up: float) -> None:
    spec = TrainSpec(
        epochs=epochs,
        schedule=schedule,
        lr=0.013,
        final_lr=0.02,
        warmup_epochs=warm_up,
        warmup_bias_lr=0.1,
        momentum=0.937,
    )
    ours = [rates(spec, step, 7) for step in range(epochs * 7)]
    assert [(rate.lr, rate.bias_lr, rate.momentum) for rate in ours] == ultralytics_rates(spec, 7)
