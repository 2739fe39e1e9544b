"""Training one run: a loop over ultralytics' modules, loss, augmentation and EMA, with exact resume.

`fit` is the loop; `train` is a run from its spec to its files. State between epochs is the checkpoint and the epoch's
number: batches, augmentation and rates are functions of seed and step, so a run that is killed and started again ends
with the same bytes as one that never stopped.
"""

from __future__ import annotations

import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mnv4bench.io.errors import Diverged, Mnv4benchError, SpecError
from mnv4bench.io.files import read_json, replacing, write_json, write_text
from mnv4bench.io.locks import exclusive
from mnv4bench.machine.environment import environment
from mnv4bench.machine.process import set_up_process
from mnv4bench.models import detector, weights
from mnv4bench.models.yolo import Detector, ModelEMA, hyperparameters
from mnv4bench.results.dataset import Dataset
from mnv4bench.results.run import State, Status
from mnv4bench.spec.run import LossSpec, RunSpec, TrainSpec, derive_seed
from mnv4bench.train import pairing
from mnv4bench.train.batches import Batches, training_mixture
from mnv4bench.train.distillation import Distillation, make_projectors
from mnv4bench.train.mixture import with_ground_truth
from mnv4bench.train.schedule import rates

CLIP = 10.0
"""Largest norm of the gradient (ultralytics' value)."""
CURVE = ("epoch", "step", "lr", "box_loss", "cls_loss", "dfl_loss", "distill_loss")
CHECKPOINT = "checkpoint.pt"


class Extra(Protocol):
    """A loss term besides the model's own."""

    projectors: nn.ModuleList
    """What the term trains for itself; no part of the model."""

    def __call__(self, student: Mapping[str, Any], images: Tensor) -> Tensor:
        """Return a scalar, scaled by the batch size, for a model's predictions on images."""


class Trainer:
    """Everything that changes while training, and how it is saved.

    The parts of one optimisation step are ultralytics' in their order, so that the same batches give the same bits as
    its DetectionTrainer.
    """

    def __init__(
        self, model: Detector, spec: TrainSpec, extra: Extra | None = None, loss: LossSpec | None = None
    ) -> None:
        self.model, self.spec, self.extra = model, spec, extra
        self.projectors = extra.projectors if extra else nn.ModuleList()
        self.criterion = model.init_criterion(loss, spec.epochs)
        self.optimizer = make_optimizer(model, spec, self.projectors)
        self.ema = ModelEMA(model, decay=spec.ema_decay, tau=spec.ema_tau)
        self.amp = spec.precision == "amp"
        self.scaler = torch.amp.GradScaler("cuda", enabled=self.amp)
        self.epoch = 0
        self.step = 0
        self.curve: list[dict[str, float]] = []
        self.images = 0
        self.seconds = 0.0

    def run_epoch(self, batches: Iterable[dict[str, Any]], steps: int) -> dict[str, float]:
        """Train on one epoch's batches and return its row of the curve: mean losses per image.

        Args:
            steps: number of batches in every epoch.

        Raises:
            Diverged: the loss is not finite.
        """
        self.model.train()
        total: Tensor | None = None
        lr = 0.0
        for batch in batches:
            lr = self._set_rates(steps)
            terms = self.step_on(batch)
            if not torch.isfinite(terms).all():
                raise Diverged(f"loss is {terms.sum().item()} in epoch {self.epoch + 1}, step {self.step + 1}")
            total = terms if total is None else total + terms
            self.step += 1
            self.images += len(batch["img"])
        assert total is not None, "an epoch has at least one batch"
        if not all(torch.isfinite(parameter).all() for parameter in self.model.parameters()):
            raise Diverged(f"weights are not finite after epoch {self.epoch + 1}")
        self.epoch += 1
        self.criterion.epoch = self.epoch
        means = (total / steps).tolist()
        row = dict(zip(CURVE, [self.epoch, self.step, lr, *means], strict=True))
        self.curve.append(row)
        return row

    def step_on(self, batch: dict[str, Any]) -> Tensor:
        """Take one optimisation step; return the detached box, class, distance and distillation losses."""
        device = next(self.model.parameters()).device
        batch = {
            key: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
            for key, value in batch.items()
        }
        with torch.autocast("cuda", enabled=self.amp):
            images = batch["img"] = batch["img"].float() / 255
            predictions = self.model(images)
            losses, items = self._supervised(predictions, batch)
            loss = losses.sum()
            distilled = self.extra(predictions, images) if self.extra else torch.zeros((), device=device)
            if self.extra:
                loss = loss + distilled
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.model.parameters(), max_norm=CLIP)
        if self.projectors:
            # Apart: a common norm would let the projectors' gradient shorten the student's step, in this arm alone.
            nn.utils.clip_grad_norm_(self.projectors.parameters(), max_norm=CLIP)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.ema.update(self.model)
        per_image = distilled.detach() / images.shape[0]
        return torch.stack([*(value.detach().float() for value in items.values()), per_image.float()])

    def _supervised(self, predictions: Any, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the model's own loss, over the images that have ground truth."""
        if "labelled" not in batch:
            return self.criterion(predictions, batch)
        if chosen := with_ground_truth(predictions, batch):
            return self.criterion(*chosen)
        nothing = batch["img"].new_zeros(3)
        return nothing, dict(zip(CURVE[3:6], nothing, strict=True))

    def _set_rates(self, steps: int) -> float:
        now = rates(self.spec, self.step, steps)
        for group in self.optimizer.param_groups:
            group["lr"] = now.bias_lr if group["role"] == "bias" else now.lr
            if "momentum" in group:
                group["momentum"] = now.momentum
        return now.lr

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "projectors": self.projectors.state_dict(),
            "ema": self.ema.ema.state_dict(),
            "updates": self.ema.updates,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "curve": self.curve,
            "images": self.images,
            "seconds": self.seconds,
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


def make_optimizer(model: nn.Module, spec: TrainSpec, projectors: nn.ModuleList | None = None) -> torch.optim.Optimizer:
    """Return AdamW or Nesterov SGD; weight decay acts on weights alone, not on biases and normalisation."""
    norms = tuple(kind for name, kind in vars(nn).items() if "Norm" in name)
    roles: dict[str, list[nn.Parameter]] = {"bias": [], "weight": [], "norm": []}
    for module in chain(model.modules(), projectors.modules() if projectors else ()):
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                role = "bias" if name == "bias" else "norm" if isinstance(module, norms) else "weight"
                roles[role].append(parameter)
    groups = [
        {"params": parameters, "role": role, "weight_decay": spec.weight_decay if role == "weight" else 0.0}
        for role, parameters in roles.items()
    ]
    if spec.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=spec.lr, betas=(spec.momentum, 0.999))
    return torch.optim.SGD(groups, lr=spec.lr, momentum=spec.momentum, nesterov=True)


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


def train(run: str, spec: RunSpec, data: Path, runs: Path) -> Status:
    """Train a run into `runs`/<run>, from its checkpoint where it has one, and return its status.

    Writes spec.json, pairing.json, curve.csv, weights.safetensors (the EMA) and, last, status.json. A diverged or
    out-of-memory run is a status; so is any other failure of the training itself, whose traceback is printed. A run
    that has a status is left as it is; one that another process is training is waited for.

    Args:
        data: folder of the prepared data set.

    Raises:
        Mnv4benchError: the spec, data or pairing is wrong; nothing of the run is kept that would hide it.
    """
    folder = runs / run
    with exclusive(folder / ".lock"):
        if (folder / "status.json").exists():
            return Status.model_validate(read_json(folder / "status.json"))
        write_json(folder / "spec.json", spec)
        set_up_process(spec.train.threads)
        return _train(run, spec, data, runs)


def _train(run: str, spec: RunSpec, data: Path, runs: Path) -> Status:
    trainer: Trainer | None = None
    state: State = "done"
    if reason := unusable(spec, runs):
        return _finish(run, runs / run, None, "failed", reason)
    try:
        trainer, batches = prepare(run, spec, data, runs)
        fit(trainer, batches, len(batches), _Reporter(run, runs / run))
    except Diverged as error:
        state, reason = "diverged", str(error)
    except Mnv4benchError:
        raise
    except Exception as error:
        state, reason = ("out_of_memory" if is_out_of_memory(error) else "failed"), f"{type(error).__name__}: {error}"
        traceback.print_exc()
    return _finish(run, runs / run, trainer, state, reason)


def unusable(spec: RunSpec, runs: Path) -> str | None:
    """Return why a run that this one starts from or learns from has no weights, or None.

    Raises:
        SpecError: that run has not been trained.
    """
    for other in filter(None, (spec.start, spec.teacher)):
        path = runs / other / "status.json"
        if not path.exists():
            raise SpecError(f"{path}: missing; train {other} first, as this run starts from it or learns from it")
        status = Status.model_validate(read_json(path))
        if status.state != "done":
            return f"it needs {other}, which ended {status.state}"
    return None


def prepare(run: str, spec: RunSpec, data: Path, runs: Path) -> tuple[Trainer, Batches]:
    """Build the trainer at its first epoch, prove the pairing, and move on to the checkpoint's epoch."""
    dataset = Dataset.model_validate(read_json(data / "dataset.json"))
    classes = len(dataset.classes)
    batches = Batches(training_mixture(dataset, data, spec), spec.train, derive_seed("run", spec.seed))
    model = detector.build(spec.model, classes, seed=spec.seed)
    model.names = dict(enumerate(dataset.classes))
    if spec.start:
        weights.load_parts(model, weights.read(runs / spec.start / "weights.safetensors"), spec.fresh)
    prints = pairing.fingerprint(model.part_state(), next(iter(batches(0))), spec)
    pairing.prove(run, spec, prints, runs)
    model.args = hyperparameters()
    model = model.to(spec.train.device, memory_format=torch.channels_last)
    extra = _distillation(spec, classes, runs, model) if spec.teacher else None
    trainer = Trainer(model, spec.train, extra, spec.loss)
    checkpoint = runs / run / CHECKPOINT
    if checkpoint.exists():
        trainer.load_state(torch.load(checkpoint, map_location="cpu", weights_only=True))
    return trainer, batches


def _distillation(spec: RunSpec, classes: int, runs: Path, student: Detector) -> Distillation:
    assert spec.teacher is not None
    folder = runs / spec.teacher
    teacher_spec = RunSpec.model_validate(read_json(folder / "spec.json"))
    teacher = detector.build(teacher_spec.model, classes)
    weights.load(teacher, folder / "weights.safetensors")
    teacher = teacher.to(spec.train.device, memory_format=torch.channels_last)
    projectors = None
    if spec.distill.features:
        projectors = make_projectors(student.head_channels, teacher.head_channels, spec.seed)
        projectors = projectors.to(spec.train.device)
    return Distillation(teacher, spec.distill, student.args.cls, student.args.dfl, student.head.assignment, projectors)


class _Reporter:
    """After each epoch: save the checkpoint and print a line with the time left."""

    def __init__(self, run: str, folder: Path) -> None:
        self.run, self.folder = run, folder

    def __call__(self, trainer: Trainer, row: Mapping[str, float]) -> None:
        with replacing(self.folder / CHECKPOINT) as temporary:
            torch.save(trainer.state(), temporary)
        rate = trainer.images / trainer.seconds
        left = round(trainer.seconds / trainer.epoch * (trainer.spec.epochs - trainer.epoch))
        loss = row["box_loss"] + row["cls_loss"] + row["dfl_loss"]
        print(
            f"{self.run}  epoch {trainer.epoch}/{trainer.spec.epochs}  loss {loss:.3f}  {rate:.0f} images/s  "
            f"{left // 60}:{left % 60:02d} left",
            file=sys.stderr,
            flush=True,
        )


def _finish(run: str, folder: Path, trainer: Trainer | None, state: State, reason: str | None) -> Status:
    if trainer:
        lines = [",".join(CURVE), *(",".join(repr(row[column]) for column in CURVE) for row in trainer.curve)]
        write_text(folder / "curve.csv", "\n".join(lines) + "\n")
    digest = None
    if state == "done" and trainer:
        ema = trainer.ema.ema
        assert isinstance(ema, Detector)
        digest = weights.save(ema, folder / "weights.safetensors")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    status = Status(
        run=run,
        state=state,
        reason=reason,
        epochs=trainer.epoch if trainer else 0,
        steps=trainer.step if trainer else 0,
        images_per_second=_images_per_second(trainer),
        seconds=trainer.seconds if trainer else 0.0,
        peak_memory_mib=peak,
        weights_digest=digest,
        environment=environment(),
    )
    write_json(folder / "status.json", status)
    if state in ("done", "diverged"):  # after any other end, deleting status.json goes on from here
        (folder / CHECKPOINT).unlink(missing_ok=True)
    return status


def _images_per_second(trainer: Trainer | None) -> float | None:
    return trainer.images / trainer.seconds if trainer and trainer.seconds else None


def is_out_of_memory(error: Exception) -> bool:
    """Whether an exception says that memory ran out, on any device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    )
