"""`mnv4bench export MODEL`: files for deployment, each loaded again and held against the network."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mnv4bench.cost.arms import deployed
from mnv4bench.data.letterbox import Fit, fit_of, into_square
from mnv4bench.deploy.comparison import Call, Expected, check_rows, difference, kept, median_ms, score
from mnv4bench.deploy.formats import FORMATS, Format
from mnv4bench.io.errors import Mnv4benchError, SpecError
from mnv4bench.io.files import check_folder, drafting, write_json
from mnv4bench.latency.direct import SIDE, images_in
from mnv4bench.latency.labelled import labelled
from mnv4bench.latency.measure.accuracy import Split
from mnv4bench.latency.measure.candidates import Run
from mnv4bench.latency.measure.loading import in_one_line
from mnv4bench.latency.named import Named, named, split, stem
from mnv4bench.latency.runtimes.outputs import DEPLOYED, Image
from mnv4bench.latency.runtimes.pytorch import Torch
from mnv4bench.latency.runtimes.runtime import Deployment
from mnv4bench.machine.cores import usable_cores
from mnv4bench.machine.environment import environment
from mnv4bench.machine.load import BUSY, busy_cores
from mnv4bench.results.exported import Exported, ExportedFile
from mnv4bench.spec.latency import Threads
from mnv4bench.spec.model import readings
from mnv4bench.spec.problems import check_option, nearest
from mnv4bench.spec.run import Side

COMPARED = 16
"""Images that each file is compared on."""
CALIBRATION = 64
"""Images that int8 formats take their ranges from."""
STRIDE = 32
USUAL = ("onnx", "openvino", "torchscript")
"""Formats that are written where none is named."""
IMAGES = (
    "give --images DIR, any pictures like those that it will see, or --data DIR, labelled ones in COCO 2017's layout, "
    "for AP too"
)


@dataclass(frozen=True)
class Material:
    """Images to compare, calibrate and score on."""

    images: tuple[Path, ...]
    calibration: tuple[Path, ...]
    split: Split | None = None
    """None without labels."""
    scored: int = 0


def export(
    model: str,
    formats: Sequence[str] | None,
    out: Path,
    *,
    imgsz: int | None = None,
    images: Path | None = None,
    data: Path | None = None,
    nms: bool = False,
    threads: int = 1,
    trust: bool = False,
    done: Callable[[str, ExportedFile | None], None] = lambda form, file: None,
) -> Exported:
    """Write a network in every format into `out`, and <name>.json with how each compares to it.

    A file is put in its place once it has been loaded again and, in float32, found to compute what the network does. A
    format that fails or whose package is missing is reported, and the others are written. Files of an earlier export
    are replaced or stay; the record names them.

    Args:
        model: a run's folder or an ultralytics checkpoint; ":nms" or ":nms_free" behind it chooses the reading.
        formats: names of FORMATS; None is those of USUAL that can be as `nms` asks.
        imgsz: side of the images in pixels; by default the one that the run was trained at, else 640.
        images: folder of images to compare on and to calibrate int8 with.
        data: folder in COCO 2017's layout, for the same and for AP. A run whose own data lie beside it needs neither.
        nms: put suppression into the files.
        done: is told each format when it is over, and its file, None where it failed.

    Raises:
        Mnv4benchError: the model cannot be read, has no trained weights, there are no images, or `out` cannot be
            written.
    """
    if formats is None:
        formats = [form for form in USUAL if FORMATS[form].graph_nms or not nms]
    for name in formats:
        if name not in FORMATS:
            raise SpecError(f"--format: no format {name!r}; {nearest(name, list(FORMATS))}")
    check_option("--imgsz", Side | None, imgsz)
    check_option("--threads", Threads, threads)
    if images is not None and data is not None:
        raise SpecError("--images and --data: labelled images are images too; leave --images out")
    chosen = named(model, trust)
    if not chosen.candidate.source.trained:
        raise SpecError(f"{model}: a catalogue name has fresh weights; name a run's folder or a checkpoint")
    read = chosen.candidate.read
    if nms and read != "nms":
        run = chosen.candidate.source
        dual = isinstance(run, Run) and "nms" in readings(run.model)
        other = f", or name the other half of its head: {split(model)[0]}:nms" if dual else ""
        raise SpecError(f"--nms: {model} is read nms_free and needs no suppression; leave it out{other}")
    check_folder("--out", out)
    torch.set_num_threads(threads)
    source = chosen.candidate.source.load()
    classes = chosen.classes or tuple(str(index) for index in range(len(source.names)))  # type: ignore[arg-type]
    side = imgsz or chosen.imgsz or SIDE
    name = stem(chosen) + ("_nms" if nms else "")
    fit = fit_of(source)
    material = _material(chosen, classes, side, fit, images, data, out)
    deployment = Deployment(
        model=deployed(source),
        imgsz=side,
        threads=threads,
        read=read,
        calibration=_squares(material.calibration, side, fit) if any("int8" in form for form in formats) else (),
        nms_in_graph=nms,
    )
    before = [file for file in (name + form.ending for form in FORMATS.values()) if (out / file).exists()]
    expected, network = _network(deployment, _squares(material.images, side, fit))
    quiet = busy_cores(0.5) <= BUSY * usable_cores()
    about = facts(name, classes, fit, deployment)
    ap, ms = score(network, read, False, material.split), median_ms(network, expected.images)
    files, failed = [], {}
    for form in formats:
        try:
            target = out / (name + FORMATS[form].ending)
            files.append(_file(form, FORMATS[form](), target, deployment, about, expected, material.split))
        except Exception as error:  # a runtime may raise anything; the other formats are still worth having
            failed[form] = in_one_line(error)
        done(form, None if form in failed else files[-1])
    written = {file.file for file in files}
    record = Exported(
        source=model,
        classes=classes,
        imgsz=side,
        read=read,
        nms=nms,
        confidence=DEPLOYED.confidence,
        iou=DEPLOYED.iou,
        images=len(material.images),
        scored=material.scored,
        AP=ap,
        ms=ms,
        threads=threads,
        quiet=quiet,
        files=tuple(files),
        failed=failed,
        replaced=tuple(file for file in before if file in written),
        earlier=tuple(file for file in before if file not in written),
        environment=environment(),
    )
    write_json(out / f"{name}.json", record)
    return record


def facts(name: str, classes: Sequence[str], fit: Fit, network: Deployment) -> Mapping[str, Any]:
    """Return what a file says of itself, in ultralytics' words, and how images become square, of which it has none."""
    return {
        "description": f"{name}, exported by mnv4bench",
        "task": "detect",
        "stride": STRIDE,
        "batch": 1,
        "channels": 3,
        "imgsz": [network.imgsz, network.imgsz],
        "fit": fit,
        "names": dict(enumerate(classes)),
        "end2end": network.read == "nms_free",
        "args": {"nms": network.nms_in_graph},
    }


def _network(deployment: Deployment, images: tuple[Image, ...]) -> tuple[Expected, Call]:
    runtime = Torch()
    runtime.load(replace(deployment, model=copy.deepcopy(deployment.model)))
    outputs = tuple(runtime(image).copy() for image in images)
    return Expected(images, outputs, deployment.read, deployment.thresholds), runtime


def _file(
    name: str,
    form: Format,
    target: Path,
    deployment: Deployment,
    about: Mapping[str, Any],
    expected: Expected,
    split: Split | None,
) -> ExportedFile:
    """Write one format, check it, and put it in its place."""
    inside = deployment.nms_in_graph
    if inside and not form.graph_nms:
        raise Mnv4benchError("suppression cannot be part of this format; leave out --nms, or the format")
    with drafting(target.parent) as draft:
        written = draft / target.name
        call = _opened(form, deployment, about, written)
        off = None
        if form.precision == "float32":
            # Suppression may decide otherwise where the last digit does, so a file with it inside is held against the
            # same format without.
            raw = draft / f"raw{form.ending}"
            bare = _opened(form, replace(deployment, nms_in_graph=False), about, raw) if inside else call
            off = difference(bare, expected)
            if inside:
                check_rows(call, replace(expected, outputs=tuple(bare(image).copy() for image in expected.images)))
        file = ExportedFile(
            format=name,
            file=target.name,
            bytes=_size(written),
            detections_kept=kept(call, expected, inside),
            difference=off,
            AP=score(call, expected.read, inside, split),
            ms=median_ms(call, expected.images),
        )
        _replace(written, target)
    return file


def _opened(form: Format, deployment: Deployment, about: Mapping[str, Any], path: Path) -> Call:
    """Write a file and load it again."""
    form.write(replace(deployment, model=copy.deepcopy(deployment.model)), about, path)
    return form.open(path, deployment.threads)


def _replace(written: Path, target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    written.replace(target)


def _size(path: Path) -> int:
    return sum(part.stat().st_size for part in ([path] if path.is_file() else path.rglob("*")) if part.is_file())


def _squares(paths: Sequence[Path], side: int, fit: Fit) -> tuple[Image, ...]:
    return tuple(into_square(path, side, fit).pixels for path in paths)


def _material(
    model: Named, classes: Sequence[str], side: int, fit: Fit, images: Path | None, data: Path | None, out: Path
) -> Material:
    if images is not None:
        files = images_in(images, CALIBRATION)
        return Material(files[:COMPARED], files)
    found = labelled(model, data, out, side, IMAGES)
    split = found.split(side, found.settings(classes), fit)
    return Material(found.images(COMPARED), found.calibration(CALIBRATION), split, found.dataset.val.count)
