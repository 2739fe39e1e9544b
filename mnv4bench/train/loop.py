"""The training loop over ultralytics' modules, loss, augmentation and EMA, one optimisation step after another.

What a step does depends on the trainer's state, the epoch's number and the batches alone, and the state can be saved
between epochs: a run that is killed and started again ends with the same bytes as one that never stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mnv4bench.io.errors import Diverged
from mnv4bench.models.yolo import DetectionLoss, Detector, ModelEMA, fix_shapes, padded
from mnv4bench.results.curve import LOSSES
from mnv4bench.spec.run import LossSpec, TrainSpec
from mnv4bench.train.mixture import with_ground_truth
from mnv4bench.train.optimizer import make_optimizer
from mnv4bench.train.ranks import ALONE, Ranks
from mnv4bench.train.schedule import average_constants, rates

CLIP = 10.0
"""Largest norm of the gradient (ultralytics' value)."""
COMPILED = "reduce-overhead"
"""How torch.compile is asked for CUDA graphs."""
GRAPHS = 64
"""Shapes that are compiled at most; with another one training stops."""
STEPS_UNLOOKED_AT = {"cuda": 32}
"""Device → steps after which losses are looked at: a GPU would have to be waited for each time. Elsewhere each step."""


class Extra(Protocol):
    """A loss term besides the model's own."""

    projectors: nn.ModuleList
    """What the term trains for itself; no part of the model."""

    def __call__(self, student: Mapping[str, Any], images: Tensor) -> Tensor:
        """Return a scalar, scaled by the batch size, for a model's predictions on images."""


@dataclass(frozen=True)
class Progress:
    """How far training has come."""

    epoch: int = 0
    step: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)
    """A row of curve.csv for each epoch."""
    images: int = 0
    seconds: float = 0.0

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Progress:
        """Return the progress in a trainer's state; none at all where that is empty."""
        return cls(**{name.name: state[name.name] for name in fields(cls) if name.name in state})


class Trainer:
    """Everything that changes while training, and how it is saved.

    The parts of one optimisation step are ultralytics' in their order, so that the same batches give the same bits as
    its DetectionTrainer.
    """

    def __init__(
        self,
        model: Detector,
        spec: TrainSpec,
        extra: Extra | None = None,
        loss: LossSpec | None = None,
        steps: int = 1,
        ranks: Ranks = ALONE,
    ) -> None:
        """Make the state before the first step.

        Args:
            steps: in an epoch; what an average `ema_by_length` is scaled to.
            ranks: the processes that share the batches, which all have a trainer of the same values.
        """
        self.model, self.spec, self.extra, self.ranks = model, spec, extra, ranks
        self.forward: Any = self._compiled(model) if spec.compile else model
        self.projectors = extra.projectors if extra else nn.ModuleList()
        self.criterion = model.init_criterion(loss, spec.epochs)
        if spec.compile and isinstance(self.criterion, DetectionLoss):
            fix_shapes(self.criterion, self._compiled)
        if ranks.count > 1:
            self.criterion.normalise_over(ranks.total)
        self.optimizer = make_optimizer(model, spec, self.projectors)
        decay, tau = average_constants(spec, steps)
        self.ema = ModelEMA(model, decay=decay, tau=tau)
        self.amp = spec.precision == "amp"
        self.scaler = torch.amp.GradScaler("cuda", enabled=self.amp)
        self.epoch = 0
        self.step = 0
        self.curve: list[dict[str, float]] = []
        self.images = 0
        self.seconds = 0.0

    @staticmethod
    def _compiled(function: Any) -> Any:
        # A graph for each shape: the last batch of an epoch may be smaller, and objects are padded to a power of two.
        return torch.compile(function, mode=COMPILED, dynamic=False, fullgraph=True, recompile_limit=GRAPHS)  # type: ignore[call-overload]

    def run_epoch(self, batches: Iterable[dict[str, Any]], steps: int) -> dict[str, float]:
        """Train on one epoch's batches and return its row of the curve: mean losses per image.

        Args:
            steps: number of batches in every epoch.

        Raises:
            Diverged: the loss is not finite.
        """
        self.model.train()
        total: Tensor | None = None
        unlooked_at: list[Tensor] = []
        lr = 0.0
        for batch in batches:
            lr = self._set_rates(steps)
            terms = self.step_on(batch)
            total = terms if total is None else total + terms
            self.step += 1
            unlooked_at.append(terms)
            if len(unlooked_at) >= STEPS_UNLOOKED_AT.get(terms.device.type, 1):
                self._look_at(unlooked_at)
                unlooked_at = []
        assert total is not None, "an epoch has at least one batch"
        self._look_at(unlooked_at)
        if not all(torch.isfinite(parameter).all() for parameter in self.model.parameters()):
            raise Diverged(f"weights are not finite after epoch {self.epoch + 1}")
        self.epoch += 1
        self.criterion.epoch = self.epoch
        means = (total / steps).tolist()
        row = dict(
            zip(("epoch", "step", "lr", *LOSSES, "distill_loss"), [self.epoch, self.step, lr, *means], strict=True)
        )
        self.curve.append(row)
        return row

    def _look_at(self, losses: list[Tensor]) -> None:
        """Go back to before the first of the last steps whose losses are not finite, if there is one.

        Raises:
            Diverged: there is one.
        """
        for place, terms in enumerate(torch.stack(losses).cpu() if losses else ()):
            if not torch.isfinite(terms).all():
                self.step -= len(losses) - place
                raise Diverged(f"loss is {terms.sum().item()} in epoch {self.epoch + 1}, step {self.step + 1}")

    def step_on(self, batch: dict[str, Any]) -> Tensor:
        """Take one optimisation step; return the detached box, class, distance and distillation losses."""
        weight = next(self.model.parameters())
        device = weight.device
        if self.spec.compile and "labelled" not in batch:
            batch = padded(batch)
        batch = {
            key: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
            for key, value in batch.items()
        }
        with torch.autocast("cuda", enabled=self.amp):
            images = batch["img"] = batch["img"].to(weight.dtype) / 255
            if self.spec.compile:
                torch.compiler.cudagraph_mark_step_begin()  # the last step's predictions may be written over
            predictions = self.forward(images)
            losses, items = self._supervised(predictions, batch)
            loss = losses.sum()
            distilled = self.extra(predictions, images) if self.extra else torch.zeros((), device=device)
            if self.extra:
                loss = loss + distilled
        self.scaler.scale(loss).backward()
        self.ranks.add_gradients([*self.model.parameters(), *self.projectors.parameters()])
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.model.parameters(), max_norm=CLIP)
        if self.projectors:
            # Apart: a common norm would let the projectors' gradient shorten the student's step, in this arm alone.
            nn.utils.clip_grad_norm_(self.projectors.parameters(), max_norm=CLIP)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.ema.update(self.model)
        count = self.ranks.images(images)
        self.images += count
        per_image = distilled.detach() / count
        return self.ranks.total(torch.stack([*(value.detach().float() for value in items.values()), per_image.float()]))

    def _supervised(self, predictions: Any, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the model's own loss, over the images that have ground truth."""
        if "labelled" not in batch:
            return self.criterion(predictions, batch)
        if self.ranks.total(batch["labelled"].sum()):  # a rank without any still tells the others so
            return self.criterion(*with_ground_truth(predictions, batch))
        nothing = batch["img"].new_zeros(3)
        return nothing, dict(zip(LOSSES, nothing, strict=True))

    def _set_rates(self, steps: int) -> float:
        now = rates(self.spec, self.step, steps)
        for group in self.optimizer.param_groups:
            group["lr"] = now.bias_lr if group["role"] == "bias" else now.lr
            if "momentum" in group:
                group["momentum"] = now.momentum
        return now.lr

    @property
    def progress(self) -> Progress:
        return Progress(self.epoch, self.step, self.curve, self.images, self.seconds)

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "projectors": self.projectors.state_dict(),
            "ema": self.ema.ema.state_dict(),
            "updates": self.ema.updates,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            **vars(self.progress),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.projectors.load_state_dict(state["projectors"])
        self.ema.ema.load_state_dict(state["ema"])
        self.ema.updates = state["updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.epoch = self.criterion.epoch = state["epoch"]
        self.step = state["step"]
        self.curve, self.images, self.seconds = list(state["curve"]), state["images"], state["seconds"]


def fit(
    trainer: Trainer,
    batches: Callable[[int], Iterable[dict[str, Any]]],
    steps: int,
    after_epoch: Callable[[Trainer, dict[str, float]], None] = lambda trainer, row: None,
) -> None:
    """Train from where `trainer` stands to its last epoch.

    Args:
        batches: epoch → that epoch's batches, `steps` of them.
        after_epoch: called with the trainer and the curve's new row.
    """
    while trainer.epoch < trainer.spec.epochs:
        start = time.perf_counter()
        row = trainer.run_epoch(batches(trainer.epoch), steps)
        trainer.seconds += time.perf_counter() - start
        after_epoch(trainer, row)
