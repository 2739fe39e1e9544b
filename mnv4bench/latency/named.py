"""Models as users name them: a run's folder, a checkpoint, a name of the catalogue."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from mnv4bench.data.prepared import load as load_data
from mnv4bench.io.errors import SpecError
from mnv4bench.io.files import sha256
from mnv4bench.latency.measure.candidates import Candidate, Catalogued, Checkpoint, Run
from mnv4bench.models import weights
from mnv4bench.models.published import networks
from mnv4bench.models.yolo import DetectionModel, load_checkpoint
from mnv4bench.results import manifest
from mnv4bench.results.dataset import beside
from mnv4bench.results.record import read_record
from mnv4bench.results.run import Status, read_spec
from mnv4bench.spec.model import Read, default_read, readings

EXPORTED = (".onnx", ".xml", ".torchscript", ".param", ".tflite", ".pte", "_model")
"""Ends of the names of files for deployment, and of their folders."""


@dataclass(frozen=True)
class Named:
    """A model as the user named it."""

    candidate: Candidate
    network: str
    """Names structure and weights: models that agree in it and in their reading are timed once."""
    imgsz: int | None = None
    """The side that it was trained at; None where the model does not say."""
    classes: tuple[str, ...] = ()
    """Names by index; empty where the model does not say."""
    data: Path | None = None
    """The prepared data set that it was trained on, where it is at hand."""


def named(model: str, trust: bool = False) -> Named:
    """Return what a name stands for; ":nms" or ":nms_free" behind it chooses the reading.

    Args:
        trust: read checkpoints as Python does, which runs whatever code they hold.

    Raises:
        Mnv4benchError: there is nothing of that name, or it cannot be read so.
    """
    path, read = split(model)
    if (path / "spec.json").is_file():
        return _run(model, path, read)
    if path.suffix == ".pt":
        return _checkpoint(model, path, read, trust)
    if str(path) in networks.names():
        own = networks.read_of(str(path))
        if read not in (None, own):
            raise SpecError(f"{model}: the catalogue's {path} is read {own}; leave out “:{read}”")
        return Named(Candidate(model, own, Catalogued(str(path))), str(path))
    base, _, ending = model.rpartition(":")
    if (Path(base) / "spec.json").is_file() or base.endswith(".pt") or base in networks.names():
        raise SpecError(f"{model}: no reading {ending!r}; allowed behind the colon: {', '.join(get_args(Read))}")
    if path.exists() and path.name.endswith(EXPORTED):
        raise SpecError(
            f"{model}: a file that was exported; `mnv4bench export` times its files in the table that it prints. Name "
            "what it was made of: a run's folder or an ultralytics checkpoint (.pt)"
        )
    raise SpecError(
        f"{model}: neither a run's folder (with spec.json and weights.safetensors), nor an ultralytics checkpoint "
        f"(.pt), nor a name of the catalogue ({', '.join(networks.names()[:4])}, …; `mnv4bench models` lists them)"
    )


def load(model: str | Path, trust: bool = False) -> DetectionModel:
    """Return a trained network in eval mode, as `mnv4bench latency` reads it: an ultralytics DetectionModel.

    It bears the names of its classes and the side that it was trained at, by which `mnv4bench.as_yolo` predicts.

    Args:
        model: a run's folder, one of results/reference/trunks for example, or a checkpoint (.pt); ":nms" or
            ":nms_free" behind it chooses the reading.
        trust: read a checkpoint as Python does, which runs whatever code it holds.

    Raises:
        Mnv4benchError: there is nothing of that name, it cannot be read so, or it has not learned anything.
    """
    found = named(str(model), trust)
    if not found.candidate.source.trained:
        raise SpecError(
            f"{model}: a catalogue name has fresh weights; name a run's folder or a checkpoint, or make an untrained "
            "network with mnv4bench.build"
        )
    network: Any = found.candidate.source.load()
    if found.classes:
        network.names = dict(enumerate(found.classes))
    if found.imgsz:
        network.imgsz = found.imgsz  # what as_yolo takes
    network.yaml_file = f"{stem(found)}.yaml"  # which ultralytics names its exported files after
    loaded: DetectionModel = network
    return loaded


def stem(model: Named) -> str:
    """Return what files of a model are called, without their endings."""
    path, _ = split(model.candidate.label)
    return re.sub(r"[^\w.+-]", "_", path.resolve().name.removesuffix(".pt"))


def split(model: str) -> tuple[Path, Read | None]:
    """Return what a name points at, and the reading that ":nms" or ":nms_free" behind it chooses."""
    name, _, ending = model.rpartition(":")
    read: Read | None = next((read for read in get_args(Read) if read == ending), None)
    return (Path(name), read) if name and read else (Path(model), None)


def _run(label: str, folder: Path, read: Read | None) -> Named:
    spec = read_spec(folder)
    read = read or default_read(spec.model)
    if read not in readings(spec.model):
        raise SpecError(f"{label}: its {spec.model.head} head is read {' or '.join(readings(spec.model))}")
    path = folder / "weights.safetensors"
    # Of whatever name the folder has now.
    status = read_record(folder / "status.json", Status) if (folder / "status.json").exists() else None
    recorded = status.weights_digest if status else None
    manifest.check(path)
    count = len(status.classes) if status and spec.model.weights else weights.classes(path, recorded)
    source = Run(spec.model, count, read, path, recorded=recorded)
    data = beside(folder, status.data_digest) if status else None
    classes = status.classes if status else ()
    if data and not classes:
        classes = load_data(data).classes
    network = f"{spec.model.model_dump_json()} {sha256(path)}"
    return Named(Candidate(label, read, source), network, spec.data.imgsz, classes, data)


def _checkpoint(label: str, path: Path, read: Read | None, trust: bool) -> Named:
    if not path.is_file():
        raise SpecError(f"{path}: no such checkpoint")
    network, own, classes = load_checkpoint(path, trust)
    if read not in (None, own):
        raise SpecError(f"{label}: this checkpoint is read {own}; leave out “:{read}”")
    imgsz = getattr(network, "imgsz", None)  # in a file of `as_yolo(...).save`
    return Named(Candidate(label, own, Checkpoint(path, trust)), sha256(path), imgsz, classes)
