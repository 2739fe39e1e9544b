"""Any models on this machine: `mnv4bench latency MODEL... --images DIR`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from mnv4bench.io.errors import DataError, Mnv4benchError, SpecError
from mnv4bench.io.files import sha256
from mnv4bench.latency.analyse.analysis import Judged
from mnv4bench.latency.campaign import Campaign, check_runtimes, measure, schedule
from mnv4bench.latency.measure.candidates import Candidate, Catalogued, Checkpoint, Run
from mnv4bench.latency.measure.task import Task
from mnv4bench.machine.cores import usable_cores
from mnv4bench.machine.load import BUSY, busy_cores
from mnv4bench.models import weights
from mnv4bench.models.published import networks
from mnv4bench.models.yolo import load_checkpoint
from mnv4bench.results.latency import Latency
from mnv4bench.results.record import read_record
from mnv4bench.results.run import Status, read_spec
from mnv4bench.spec.latency import LatencySpec
from mnv4bench.spec.model import Read, default_read, readings

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
SIDE = 640
"""Side in pixels where no run says another."""


@dataclass(frozen=True)
class Named:
    """A model as the user named it."""

    candidate: Candidate
    network: str
    """Names structure and weights: models that agree in it and in their reading are timed once."""
    imgsz: int | None = None
    """The side that it was trained at; None where the model does not say."""


def time_models(
    models: Sequence[str],
    images: Path,
    out: Path,
    spec: LatencySpec,
    imgsz: int | None = None,
    allow_busy: bool = False,
    trust: bool = False,
) -> Latency:
    """Time models against the first of them; write blocks.csv and latency.json into `out`.

    Args:
        models: run folders, ultralytics checkpoints, or names of the catalogue, which have fresh weights and are timed
            in their forward pass alone; ":nms" or ":nms_free" behind a name chooses the reading.
        images: folder of images to run on.
        imgsz: side in pixels; by default the one that the runs were trained at, else 640.
        allow_busy: measure although the machine is at work for others.
        trust: read checkpoints as Python does, which runs whatever code they hold.

    Raises:
        Mnv4benchError: a model cannot be read, there are no images, or the machine is busy.
    """
    check_runtimes(spec.runtimes, "--runtimes")
    if len(set(models)) != len(models):
        raise SpecError("each model may be named once; a second copy of the first one is timed anyway")
    campaign = _campaign([_named(model, trust) for model in models], images, spec, imgsz)
    busy = busy_cores()
    if busy > BUSY * usable_cores() and not allow_busy:
        raise Mnv4benchError(
            f"{busy:.1f} cores are at work for others, and times would say more about them: wait until they are done, "
            "or measure all the same with --allow-busy, which marks the result as not comparable"
        )
    return measure(campaign, out / "latency.json", out / "blocks.csv")


def _campaign(named: Sequence[Named], images: Path, spec: LatencySpec, imgsz: int | None) -> Campaign:
    files = _files(images, spec.images)
    first: dict[tuple[str, Read], str] = {}
    arms = tuple(
        Judged(
            label=model.candidate.label,
            measured=first.setdefault((model.network, model.candidate.read), model.candidate.label),
            read=model.candidate.read,
            baseline=None if model is named[0] else named[0].candidate.label,
        )
        for model in named
    )
    task = Task(
        candidates=tuple(model.candidate for model in named if model.candidate.label in first.values()),
        reference=named[0].candidate.label,
        runtimes=tuple(spec.runtimes),
        images=tuple(enumerate(files)),
        imgsz=_side(named, imgsz),
        schedule=schedule(spec),
        calibration=files[: spec.calibration],
    )
    return Campaign("direct", task, arms, spec)


def _named(model: str, trust: bool) -> Named:
    path, read = _split(model)
    if (path / "spec.json").is_file():
        return _run(model, path, read)
    if path.suffix == ".pt":
        return _checkpoint(model, path, read, trust)
    if str(path) in networks.names():
        own = networks.read_of(str(path))
        if read not in (None, own):
            raise SpecError(f"{model}: the catalogue's {path} is read {own}; leave out “:{read}”")
        return Named(Candidate(model, own, Catalogued(str(path))), str(path))
    raise SpecError(
        f"{model}: neither a run's folder (with spec.json and weights.safetensors), nor an ultralytics checkpoint "
        f"(.pt), nor a name of the catalogue ({', '.join(networks.names()[:4])}, …)"
    )


def _split(model: str) -> tuple[Path, Read | None]:
    name, _, ending = model.rpartition(":")
    read: Read | None = next((read for read in get_args(Read) if read == ending), None)
    return (Path(name), read) if name and read else (Path(model), None)


def _run(label: str, folder: Path, read: Read | None) -> Named:
    spec = read_spec(folder)
    read = read or default_read(spec.model)
    if read not in readings(spec.model):
        raise SpecError(f"{label}: its {spec.model.head} head is read {' or '.join(readings(spec.model))}")
    path = folder / "weights.safetensors"
    recorded = _recorded_digest(folder / "status.json")
    source = Run(spec.model, weights.classes(path, recorded), read, path, recorded=recorded)
    network = f"{spec.model.model_dump_json()} {sha256(path)}"
    return Named(Candidate(label, read, source), network, spec.data.imgsz)


def _recorded_digest(path: Path) -> str | None:
    """Return what a status says of the weights, whatever the folder is called now; None without a status."""
    return read_record(path, Status).weights_digest if path.exists() else None


def _checkpoint(label: str, path: Path, read: Read | None, trust: bool) -> Named:
    if not path.is_file():
        raise SpecError(f"{path}: no such checkpoint")
    _, own, _ = load_checkpoint(path, trust)
    if read not in (None, own):
        raise SpecError(f"{label}: this checkpoint is read {own}; leave out “:{read}”")
    return Named(Candidate(label, own, Checkpoint(path, trust)), sha256(path))


def _files(folder: Path, count: int) -> tuple[Path, ...]:
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in IMAGES)[:count]
    if not files:
        raise DataError(f"{folder}: no image ({', '.join(IMAGES)}); name a folder of images with --images")
    return tuple(files)


def _side(named: Sequence[Named], wanted: int | None) -> int:
    trained = {model.imgsz for model in named if model.imgsz}
    if wanted is None and len(trained) > 1:
        raise SpecError(f"these runs were trained at {sorted(trained)} pixels: choose one side with --imgsz")
    return wanted or next(iter(trained), SIDE)
