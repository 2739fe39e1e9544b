"""A run from its spec to its files: resumed from its last finished epoch, its failures recorded."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

import torch

from mnv4bench.io.errors import Diverged, Mnv4benchError, SpecError
from mnv4bench.io.files import read_json, write_json
from mnv4bench.io.locks import exclusive
from mnv4bench.machine.process import set_up_process
from mnv4bench.models import detector, weights
from mnv4bench.models.yolo import Detector, hyperparameters
from mnv4bench.results.dataset import Dataset
from mnv4bench.results.run import State, Status
from mnv4bench.spec.run import RunSpec, derive_seed
from mnv4bench.train import checkpoint, pairing
from mnv4bench.train.batches import Batches, training_mixture
from mnv4bench.train.distillation import Distillation, make_projectors
from mnv4bench.train.loop import Trainer, fit
from mnv4bench.train.outcome import finish, is_out_of_memory


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
    def after_epoch(trainer: Trainer, row: Mapping[str, float]) -> None:
        checkpoint.save(trainer, runs / run)
        _print_progress(run, trainer, row)

    trainer: Trainer | None = None
    state: State = "done"
    if reason := unusable(spec, runs):
        return finish(run, runs / run, None, "failed", reason)
    try:
        trainer, batches = prepare(run, spec, data, runs)
        fit(trainer, batches, len(batches), after_epoch)
    except Diverged as error:
        state, reason = "diverged", str(error)
    except Mnv4benchError:
        raise
    except Exception as error:
        state, reason = ("out_of_memory" if is_out_of_memory(error) else "failed"), f"{type(error).__name__}: {error}"
        traceback.print_exc()
    return finish(run, runs / run, trainer, state, reason)


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
    if (spec.train.box_bias, spec.train.class_prior) != (2.0, "640"):
        side = spec.data.imgsz if spec.train.class_prior == "image" else 640
        model.set_first_biases(None if spec.model.peer else spec.train.box_bias, side)
    if spec.start:
        weights.load_parts(model, weights.read(runs / spec.start / "weights.safetensors"), spec.fresh)
    prints = pairing.fingerprint(model.part_state(), next(iter(batches(0))), spec)
    pairing.prove(run, spec, prints, runs)
    model.args = hyperparameters()
    model = model.to(spec.train.device, memory_format=torch.channels_last)
    extra = _distillation(spec, classes, runs, model) if spec.teacher else None
    trainer = Trainer(model, spec.train, extra, spec.loss, len(batches))
    checkpoint.resume(trainer, runs / run)
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


def _print_progress(run: str, trainer: Trainer, row: Mapping[str, float]) -> None:
    """Print a line with the time left."""
    rate = trainer.images / trainer.seconds
    left = round(trainer.seconds / trainer.epoch * (trainer.spec.epochs - trainer.epoch))
    loss = row["box_loss"] + row["cls_loss"] + row["dfl_loss"]
    print(
        f"{run}  epoch {trainer.epoch}/{trainer.spec.epochs}  loss {loss:.3f}  {rate:.0f} images/s  "
        f"{left // 60}:{left % 60:02d} left",
        file=sys.stderr,
        flush=True,
    )
