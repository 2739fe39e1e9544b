"""Any models on this machine: `mnv4bench latency MODEL... --images DIR`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mnv4bench.cost.arms import deployed
from mnv4bench.data.importers.folder import IMAGES, is_hidden
from mnv4bench.data.letterbox import fit_of
from mnv4bench.io.errors import DataError, Mnv4benchError, SpecError
from mnv4bench.io.files import check_folder, write_json
from mnv4bench.latency.analyse.analysis import Judged
from mnv4bench.latency.campaign import Campaign, measure, schedule, thread_counts
from mnv4bench.latency.labelled import Labelled, labelled
from mnv4bench.latency.measure.accuracy import average_precision
from mnv4bench.latency.measure.candidates import Candidate
from mnv4bench.latency.measure.task import Task
from mnv4bench.latency.named import Named, named
from mnv4bench.latency.runtimes.pytorch import Torch
from mnv4bench.latency.runtimes.runtime import Deployment
from mnv4bench.machine.cores import usable_cores
from mnv4bench.machine.load import BUSY, busy_cores
from mnv4bench.results.latency import Latency
from mnv4bench.spec.latency import LatencySpec
from mnv4bench.spec.model import Read
from mnv4bench.spec.problems import check_option
from mnv4bench.spec.run import Side

SIDE = 640
"""Side in pixels where no run says another."""
SCORE = "name labelled images with --score DIR, a folder in COCO 2017's layout, as `mnv4bench import` writes it"

UNTRAINED = "none of these models is trained, and a catalogue name has fresh weights; name a run's folder or a .pt file"


def time_models(
    models: Sequence[str],
    images: Path | None,
    out: Path,
    spec: LatencySpec,
    imgsz: int | None = None,
    allow_busy: bool = False,
    trust: bool = False,
    score: bool = False,
    data: Path | None = None,
) -> Latency:
    """Time models against the first of them; write blocks.csv and latency.json into `out`.

    Args:
        models: run folders, ultralytics checkpoints, or names of the catalogue, which have fresh weights and are timed
            in their forward pass alone; ":nms" or ":nms_free" behind a name chooses the reading.
        images: folder of images to run on; None takes the labelled ones, or those of the first run that has some.
        imgsz: side in pixels; by default the one that the runs were trained at, else 640.
        allow_busy: measure although the machine is at work for others.
        trust: read checkpoints as Python does, which runs whatever code they hold.
        score: also score the trained models, in float32 and in every int8 runtime.
        data: labelled images in COCO 2017's layout; by default those that the first run was trained on.

    Raises:
        Mnv4benchError: a model cannot be read, there are no images, or the machine is busy.
    """
    check_option("--imgsz", Side | None, imgsz)
    if len(set(models)) != len(models):
        raise SpecError("each model may be named once; a second copy of the first one is timed anyway")
    chosen = [named(model, trust) for model in models]
    side = _side(chosen, imgsz)
    check_folder("--out", out)
    if score and not any(model.candidate.source.trained for model in chosen):
        raise SpecError(f"--score: {UNTRAINED}")
    first = next((model for model in chosen if model.data), chosen[0])
    labels = labelled(first, data, out, side, SCORE) if score or (images is None and first.data) else None
    if score and labels:
        chosen = [replace(model, candidate=_scored(model, labels)) for model in chosen]
    elif images is None and labels is None:
        raise SpecError("--images: missing; name a folder of images to run on, or labelled ones with --score")
    campaign = _campaign(chosen, images, labels, spec, side, score)
    busy = busy_cores()
    if busy > BUSY * usable_cores() and not allow_busy:
        raise Mnv4benchError(
            f"{busy:.1f} cores are at work for others, and times would say more about them: wait until they are done, "
            "or measure all the same with --allow-busy, which marks the result as not comparable"
        )
    if score and labels:
        campaign = replace(campaign, float_ap=_float_ap(campaign, labels))
    record = measure(campaign, out / "latency.json", out / "blocks.csv")
    if score:
        record = record.model_copy(update={"scores": dict(campaign.float_ap)})
        write_json(out / "latency.json", record)
    return record


def _scored(model: Named, labels: Labelled) -> Candidate:
    trained = model.candidate.source.trained
    return replace(model.candidate, settings=labels.settings(model.classes)) if trained else model.candidate


def _float_ap(campaign: Campaign, labels: Labelled) -> dict[str, float | None]:
    """Return every trained model's AP in float32; runtimes that compute so are held against it while they are timed."""
    found: dict[str, float | None] = {}
    for candidate in campaign.task.candidates:
        if candidate.source.trained:
            runtime, side = Torch(), candidate.imgsz or campaign.task.imgsz
            threads = next(iter(thread_counts(campaign.spec)))
            network = deployed(candidate.source.load())
            runtime.load(Deployment(network, side, threads, candidate.read))
            split = labels.split(side, candidate.settings, fit_of(network))
            found[candidate.label] = average_precision(runtime, candidate.read, split)
    return {arm.label: found[arm.measured] for arm in campaign.arms if arm.measured in found}


def _campaign(
    models: Sequence[Named], images: Path | None, labels: Labelled | None, spec: LatencySpec, side: int, score: bool
) -> Campaign:
    files = images_in(images, spec.images) if images else labels.images(spec.images) if labels else ()
    calibration = labels.calibration(spec.calibration) if labels else files[: spec.calibration]
    first: dict[tuple[str, Read], str] = {}
    arms = tuple(
        Judged(
            label=model.candidate.label,
            measured=first.setdefault((model.network, model.candidate.read), model.candidate.label),
            read=model.candidate.read,
            baseline=None if model is models[0] else models[0].candidate.label,
        )
        for model in models
    )
    task = Task(
        candidates=tuple(model.candidate for model in models if model.candidate.label in first.values()),
        reference=models[0].candidate.label,
        runtimes=tuple(spec.runtimes),
        images=tuple(enumerate(files)),
        imgsz=side,
        schedule=schedule(spec),
        calibration=calibration,
        score=labels.split(side) if score and labels else None,
    )
    return Campaign("direct", task, arms, spec)


def images_in(folder: Path, count: int) -> tuple[Path, ...]:
    """Return the first images of a folder by name.

    Raises:
        DataError: there is none.
    """
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in IMAGES and not is_hidden(path.name))
    files = [path for path in files if path.is_file()][:count]
    if not files:
        raise DataError(f"{folder}: no image ({', '.join(sorted(IMAGES))}); name a folder of images with --images")
    return tuple(files)


def _side(models: Sequence[Named], wanted: int | None) -> int:
    trained = {model.imgsz for model in models if model.imgsz}
    if wanted is None and len(trained) > 1:
        sides = " and ".join(map(str, sorted(trained)))
        raise SpecError(f"these runs were trained at {sides} pixels: choose one side with --imgsz")
    return wanted or next(iter(trained), SIDE)
