"""A run from its spec to its files: resumed from its last finished epoch, never mixed with another data set's."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from mnv4bench.data.prepared import load, verify
from mnv4bench.io.errors import Diverged, Mnv4benchError, SpecError
from mnv4bench.io.files import write_json
from mnv4bench.io.locks import exclusive
from mnv4bench.io.signals import ending_in_order
from mnv4bench.machine.process import set_up_process
from mnv4bench.models import detector, weights
from mnv4bench.models.starting import Started, start_from
from mnv4bench.models.synchronised import synchronise
from mnv4bench.models.yolo import Detector, hyperparameters
from mnv4bench.results import manifest
from mnv4bench.results.dataset import Dataset
from mnv4bench.results.pretrained import PRETRAINED, Pretrained
from mnv4bench.results.run import Status, check_data, read_spec, read_status
from mnv4bench.spec.pretrained import PretrainedSpec
from mnv4bench.spec.run import RunSpec, derive_seed
from mnv4bench.train import checkpoint, pairing, published, ranks, starts, trunks
from mnv4bench.train.batches import Batches, training_mixture
from mnv4bench.train.distillation import Distillation, make_projectors
from mnv4bench.train.launch import torchrun
from mnv4bench.train.loop import Progress, Trainer, fit
from mnv4bench.train.outcome import Outcome, is_out_of_memory, write_outcome

Validate = Callable[[Detector], Mapping[str, float]]
"""A model → its columns of the curve (mnv4bench.results.curve.VALIDATION)."""


def train(
    run: str, spec: RunSpec, data: Path, runs: Path, validate: Validate = lambda model: {}, shipped: Path | None = None
) -> Status:
    """Train a run into `runs`/<run>, from its checkpoint where it has one, and return its status.

    Writes spec.json, pairing.json, curve.csv, weights.safetensors (the EMA) and, last, status.json. Two failures are
    results and become statuses: the loss diverges, memory runs out. A run that has a status is left as it is, unless
    it was trained on other data, or not at all because of another run. One that another process is training is waited
    for.

    Args:
        data: folder of the prepared data set.
        validate: called with the averaged weights after each epoch; draws nothing from a random stream.
        shipped: folder of trunks that the run is taken from where it is among them.

    Raises:
        Mnv4benchError: the spec, the data, the pairing or a file is wrong, or the device is not here; the next start
            tries again.
    """
    folder = runs / run
    _check_device(spec)
    with exclusive(folder / ".lock"), ending_in_order():
        dataset = verify(data)
        if spec.model.weights:
            return published.take(folder, spec, dataset)
        if status := _finished(folder, dataset):
            return status
        (folder / manifest.FILE).unlink(missing_ok=True)  # of files that are now written anew
        if shipped and (taken := trunks.take(folder, spec, dataset, shipped)):
            _remove_state(folder, taken)
            return taken
        write_json(folder / "spec.json", spec)
        set_up_process(spec.train.threads)
        with starts.counted(folder) as killed:
            status = _train(run, spec, dataset, data, runs, killed, validate)
        _remove_state(folder, status)
        return status


def _check_device(spec: RunSpec) -> None:
    if spec.train.device == "cuda" and not torch.cuda.is_available():
        raise Mnv4benchError(
            f"train.device: cuda, and PyTorch {torch.__version__} finds no GPU on {platform.node()}; start the run on "
            "a machine that has one, with a CUDA build of PyTorch"
        )


def _finished(folder: Path, dataset: Dataset) -> Status | None:
    """Return the status of a run that need not be trained; put the files of other data's training aside."""
    if not (folder / "status.json").exists():
        return None
    status = read_status(folder)
    if status.state == "failed":
        return None
    if status.data_digest == dataset.digest:
        _remove_state(folder, status)
        return status
    _put_aside(folder, status.data_digest or "unknown", dataset.digest)
    return None


def _remove_state(folder: Path, status: Status) -> None:
    """Remove what only an unfinished run needs; after out_of_memory, deleting status.json goes on from there."""
    (folder / starts.FILE).unlink(missing_ok=True)
    if status.state in ("done", "diverged"):
        (folder / checkpoint.FILE).unlink(missing_ok=True)


def _put_aside(folder: Path, earlier: str, now: str) -> None:
    target = folder / f"of-data-{earlier[:12]}"
    target.mkdir(exist_ok=True)
    for path in sorted(folder.iterdir(), key=lambda path: path.name == "status.json"):
        if path.is_file() and path.name not in (".lock", "train.log"):
            path.replace(target / path.name)
    print(
        f"{folder.name}: was trained on data {earlier}, the prepared data are {now} now; its files are in {target}, "
        "and it is trained again",
        file=sys.stderr,
        flush=True,
    )


def _train(
    run: str, spec: RunSpec, dataset: Dataset, data: Path, runs: Path, killed: int, validate: Validate
) -> Status:
    folder = runs / run
    sources = trained_sources(spec, dataset.digest, runs)
    if broken := [source for source in sources.values() if source.state != "done"]:
        reason = f"it needs {broken[0].run}, which ended {broken[0].state}"
        return write_outcome(folder, dataset.digest, "failed", reason)
    identity = _identity(spec, dataset, sources)
    if killed >= starts.LIMIT:
        reached = Progress.of(checkpoint.read(identity, folder) or {})
        reason = f"killed {killed} times in epoch {reached.epoch + 1}, as the kernel does when memory runs out"
        return write_outcome(folder, dataset.digest, "out_of_memory", reason, reached)
    if spec.train.devices == 1:
        outcome = _fit(run, spec, data, runs, identity, validate)
        return write_outcome(folder, dataset.digest, **outcome)
    (folder / "status.json").unlink(missing_ok=True)  # of an earlier start, or it would pass for the ranks' own
    try:
        torchrun(spec.train.devices, spec.train.threads + spec.train.workers, [run, str(data), str(runs)])
    except Mnv4benchError:
        if not (folder / "status.json").exists():
            raise
    return read_status(folder)


def train_as_rank(run: str, spec: RunSpec, data: Path, runs: Path, validate: Validate) -> None:
    """Take part in a training that `train` started on several devices; the first rank writes what it came to.

    A rank without memory writes that itself, and ends the training, as the others wait for it.
    """
    set_up_process(spec.train.threads)
    dataset = load(data)
    identity = _identity(spec, dataset, trained_sources(spec, dataset.digest, runs))
    with ending_in_order():
        outcome = _fit(run, spec, data, runs, identity, validate)
        ended_alone = outcome["state"] == "out_of_memory"
        if ranks.current().first or ended_alone:
            write_outcome(runs / run, dataset.digest, **outcome)
        if ended_alone:
            sys.exit(1)


def _identity(spec: RunSpec, dataset: Dataset, sources: Mapping[str, Status]) -> checkpoint.Identity:
    identity = {"spec": spec.digest(), "data": dataset.digest}
    return identity | {role: str(source.weights_digest) for role, source in sources.items()}


def _fit(run: str, spec: RunSpec, data: Path, runs: Path, identity: checkpoint.Identity, validate: Validate) -> Outcome:
    folder, me = runs / run, ranks.current()

    def after_epoch(trainer: Trainer, row: dict[str, float]) -> None:
        if me.first:
            row.update(validate(_averaged(trainer)))
            checkpoint.save(trainer, identity, folder)
            _print_progress(run, trainer, row)
        row.update(me.from_first(row))

    trainer: Trainer | None = None
    try:
        trainer, batches = prepare(run, spec, data, runs)
        if not _resume(trainer, identity, folder):
            trainer, batches = prepare(run, spec, data, runs)
        if me.first:
            _print_start(run, trainer, len(batches))
        fit(trainer, batches, len(batches), after_epoch)
        average = _averaged(trainer)
        if spec.train.half_weights:
            weights.round_to_half(average)
    except Diverged as error:
        assert trainer is not None
        return {"state": "diverged", "reason": str(error), "progress": trainer.progress}
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        reached = trainer.progress if trainer else Progress()
        return {"state": "out_of_memory", "reason": f"{type(error).__name__}: {error}", "progress": reached}
    return {"state": "done", "reason": None, "progress": trainer.progress, "average": average}


def _averaged(trainer: Trainer) -> Detector:
    average = trainer.ema.ema
    assert isinstance(average, Detector)
    return average


def trained_sources(spec: RunSpec, data: str, runs: Path) -> dict[str, Status]:
    """Return the statuses of the run that this one starts from (`start`) and of the one it learns from (`teacher`).

    Args:
        data: digest of the prepared data.

    Raises:
        SpecError: such a run has not been trained.
        DataError: it was trained on other data.
    """
    sources: dict[str, Status] = {}
    for role, other in (("start", spec.start), ("teacher", spec.teacher)):
        if other is None:
            continue
        path = runs / other / "status.json"
        if not path.exists():
            raise SpecError(f"{path}: missing; train {other} first, as this run starts from it or learns from it")
        sources[role] = read_status(runs / other)
        check_data(runs / other, sources[role], data)
    return sources


def prepare(run: str, spec: RunSpec, data: Path, runs: Path) -> tuple[Trainer, Batches]:
    """Build the trainer at its first epoch and prove the pairing."""
    dataset, me = load(data), ranks.current()
    classes = len(dataset.classes)
    batches = Batches(training_mixture(dataset, data, spec), spec.train, derive_seed("run", spec.stream), me)
    model = detector.build(spec.model, classes, seed=spec.stream)
    model.names = dict(enumerate(dataset.classes))
    if (spec.train.box_bias, spec.train.class_prior, spec.train.first_boxes) != (2.0, "640", "640"):
        # Otherwise they are what ultralytics leaves there.
        prior, boxes = (
            spec.data.imgsz if of == "image" else 640 for of in (spec.train.class_prior, spec.train.first_boxes)
        )
        model.set_first_biases(None if spec.model.peer else spec.train.box_bias, prior, boxes)
    if spec.start:
        source = runs / spec.start / "weights.safetensors"
        weights.load_parts(model, weights.read(source, read_status(source.parent).weights_digest), spec.fresh)
    elif spec.pretrained:
        started = start_from(model, spec)
        if me.first:
            _start(run, spec.pretrained, started, runs)
    if me.first:
        prints = pairing.fingerprint(model.part_state(), next(iter(batches(0))), spec)
        gpu = torch.cuda.get_device_name() if spec.train.device == "cuda" else None
        pairing.prove(run, spec, dataset.digest, prints, runs, gpu)
    model.args = hyperparameters()
    model = model.to(spec.train.device, memory_format=torch.channels_last)
    if me.count > 1 and spec.train.batch_norm == "synchronised":
        synchronise(model, spec.train.device)
    extra = _distillation(spec, classes, runs, model) if spec.teacher else None
    trainer = Trainer(model, spec.train, extra, spec.loss, len(batches), me)
    return trainer, batches


def _start(run: str, given: PretrainedSpec, started: Started, runs: Path) -> None:
    """Write down, and print, which layers were loaded."""
    record = Pretrained(file=given.file, sha256=given.sha256, loaded=started.loaded, fresh=started.fresh)
    write_json(runs / run / PRETRAINED, record)
    count = len(started.loaded) + len(started.fresh)
    print(
        f"{run}  starts from {given.file}: {len(started.loaded)} of {count} layers; fresh: "
        f"{', '.join(started.fresh) or 'none'}",
        file=sys.stderr,
        flush=True,
    )


def _distillation(spec: RunSpec, classes: int, runs: Path, student: Detector) -> Distillation:
    assert spec.teacher is not None
    folder = runs / spec.teacher
    teacher = detector.build(read_spec(folder).model, classes)
    weights.load(teacher, folder / "weights.safetensors", read_status(folder).weights_digest)
    teacher = teacher.to(spec.train.device, memory_format=torch.channels_last)
    projectors = None
    if spec.distill.features:
        projectors = make_projectors(student.head_channels, teacher.head_channels, spec.stream)
        projectors = projectors.to(spec.train.device)
    gains = spec.distill, student.args.cls, student.args.dfl
    return Distillation(teacher, *gains, student.head.assignment, projectors, ranks.current().total)


def _resume(trainer: Trainer, identity: checkpoint.Identity, folder: Path) -> bool:
    """Move a new trainer on to the checkpoint's epoch; False where that spoilt it, and it has to be built again."""
    me = ranks.current()
    state = checkpoint.read(identity, folder) if me.first else None  # who reads a damaged one puts it aside
    if not me.from_first(state is not None):
        return True
    state = state or checkpoint.read(identity, folder)
    assert state is not None
    try:
        trainer.load_state(state)
    except (KeyError, RuntimeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        me.from_first(None)  # all have read it
        if me.first:
            checkpoint.put_aside(folder, f"it is of another version ({error})")
        return False
    return True


def _print_start(run: str, trainer: Trainer, steps: int) -> None:
    spec = trainer.spec
    print(f"{run}  epoch {trainer.epoch}/{spec.epochs}  {steps} steps in each", file=sys.stderr, flush=True)


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
