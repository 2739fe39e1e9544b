"""How long what is left of a preset will take, and how much disk, from what its finished runs took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from mnv4bench.data import scenes
from mnv4bench.data.prepared import key, load, outdated
from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.words import count
from mnv4bench.results.benchmark import wall_seconds
from mnv4bench.results.dataset import RECORD
from mnv4bench.results.record import read_record
from mnv4bench.results.reference import TRUNKS
from mnv4bench.results.run import Status
from mnv4bench.spec.plan import Plan
from mnv4bench.spec.run import RunSpec

GUESSED_RATE, GUESSED_SIDE = 30.0, 160
"""Images per second and thread while training, and their side in pixels, where no run has been timed: the default
detector on one core of a server of 2023. Taken to fall with the number of pixels. Of GPUs there is no guess."""
GUESS = f"a guess from {GUESSED_RATE:g} images/s per thread at {GUESSED_SIDE} pixels, as no run has finished here"
GUESSED_MB = 20.0
"""Disk of a finished run."""
BEFORE = ("data", "cost")
"""The rules that are done by the time that training is; all others come after it."""


@dataclass(frozen=True)
class Expected:
    """What is to do."""

    runs: int
    trains: bool
    """Whether a run that is left is trained; published weights are scored alone."""
    seconds: float | None
    """Of the wall clock; None where nothing tells the rate or the number of images."""
    scoring: bool
    """Whether `seconds` holds what a run takes besides training: its start and its evaluation."""
    megabytes: float
    measured_on: int
    """Finished runs that the rates come from; 0 for a guess."""
    later_seconds: float | None
    """What the rules after training took the last time; None where they have not run."""


@dataclass(frozen=True)
class Finished:
    """What a finished run took."""

    spec: RunSpec
    rate: float
    """Images per second while training."""
    besides: float | None
    """Seconds of its job that were not training; None where no benchmark file tells."""
    megabytes: float


def finished(plan: Plan, results: Path) -> list[str]:
    """Return the runs that need no further training: scored, and trained on the data as they are now."""
    folder = results / "data" / key(plan.preset.data)
    if outdated(plan.preset.data, folder):
        return []
    now = _digest(folder)
    done = [name for name in plan.runs if (results / "runs" / name / "metrics.json").exists()]
    return [name for name in done if _trained_on(results / "runs" / name) in (None, now) or now is None]


def _digest(folder: Path) -> str | None:
    try:
        return load(folder).digest
    except Mnv4benchError:
        return None


def _trained_on(run: Path) -> str | None:
    status = status_or_none(run / "status.json")
    return status.data_digest if status else None


def expected(plan: Plan, results: Path, cores: int, done: Sequence[str] | None = None) -> Expected:
    """Return what finishing a preset takes at least: the core-seconds of the runs that are left over all cores, and no
    less than the longest of them takes.

    Args:
        done: what `finished` returns, where it is known.
    """
    taken = shipped(plan)
    done = finished(plan, results) if done is None else done
    left = [spec for name, spec in plan.runs.items() if name not in taken and name not in done]
    timed = _finished(plan, results)
    besides = [run.besides for run in timed if run.besides is not None]
    return Expected(
        runs=len(left),
        trains=any(spec.train.epochs for spec in left),
        seconds=_seconds(left, timed, _train_images(plan, results), median(besides or [0.0]), cores),
        scoring=bool(besides),
        megabytes=median([run.megabytes for run in timed] or [GUESSED_MB]) * len(left),
        measured_on=len(timed),
        later_seconds=_later(results / "benchmarks"),
    )


def shipped(plan: Plan) -> list[str]:
    """Return the trunks that are copied, not trained."""
    return [trunk.name for trunk in plan.trunks if plan.takes_trunks and (TRUNKS / trunk.name).exists()]


def seconds_of(plan: Plan, results: Path, run: str, cores: int) -> float | None:
    """Return the wall time of one whole run; None where nothing tells the rate or the number of images."""
    finished = _finished(plan, results)
    besides = median([run.besides for run in finished if run.besides is not None] or [0.0])
    return _seconds([plan.run(run)], finished, _train_images(plan, results), besides, cores)


def _seconds(
    left: Sequence[RunSpec], finished: Sequence[Finished], images: int | None, besides: float, cores: int
) -> float | None:
    """Return the wall time of the runs that are left; None where one of them cannot be told."""
    core_seconds = longest = 0.0
    for spec in left:
        rate = _rate(spec, finished, cores)
        if rate is None or images is None or not spec.train.epochs:  # scoring alone has no rate
            return None
        seconds = spec.train.images_of(images) * spec.train.epochs / rate + besides
        core_seconds += seconds * _threads(spec, cores)
        longest = max(longest, seconds)
    return max(core_seconds / cores, longest)


def _threads(spec: RunSpec, cores: int) -> int:
    return min(_all_threads(spec), cores)


def _all_threads(spec: RunSpec) -> int:
    """Return the threads of all processes of a training."""
    return spec.train.devices * spec.train.threads


def _finished(plan: Plan, results: Path) -> list[Finished]:
    finished = []
    for name, spec in plan.runs.items():
        status = status_or_none(results / "runs" / name / "status.json")
        if status and status.state == "done" and status.images_per_second and not status.shipped:
            benchmark = results / "benchmarks" / "train" / f"{name}.tsv"
            # The file is about the last start alone, so it can hold less than all of a resumed run's training.
            besides = max(0.0, wall_seconds(benchmark) - status.seconds) if benchmark.exists() else None
            finished.append(Finished(spec, status.images_per_second, besides, _megabytes(results / "runs" / name)))
    return finished


def status_or_none(path: Path) -> Status | None:
    """Return how a run ended; None for a file that is not there, or of another version, and tells nothing."""
    try:
        return read_record(path, Status)
    except Mnv4benchError:
        return None


def _rate(spec: RunSpec, finished: Sequence[Finished], cores: int) -> float | None:
    """Return the median rate of finished runs, the most similar ones alone, else a guess; None where there is none."""
    alike = [run for run in finished if _all_threads(run.spec) == _all_threads(spec)]
    same = [run for run in alike if (run.spec.model, run.spec.distill.wanted) == (spec.model, spec.distill.wanted)]
    if alike:
        return median(run.rate for run in same or alike)
    if finished:
        return median(run.rate / _all_threads(run.spec) for run in finished) * _threads(spec, cores)
    if spec.train.device != "cpu":
        return None
    return GUESSED_RATE * _threads(spec, cores) * (GUESSED_SIDE / spec.data.imgsz) ** 2


def _train_images(plan: Plan, results: Path) -> int | None:
    """Return the number of training images; None for photographs that nobody has counted yet."""
    folder = results / "data" / key(plan.preset.data)
    if (folder / RECORD).exists():
        try:
            return load(folder).train.count
        except Mnv4benchError:  # damaged: whoever reads it for more than a guess says so
            return None
    return plan.preset.data.train or (scenes.TRAIN if plan.preset.data.name == "scenes" else None)


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _later(benchmarks: Path) -> float | None:
    times = [wall_seconds(path) for path in benchmarks.glob("*.tsv") if path.stem not in BEFORE]
    return sum(times) if times else None


def lines(left: Expected, cores: int) -> list[str]:
    """Return what is left, a line for each thing."""
    if not left.runs:
        return ["to do      nothing: all runs are finished"]
    what = "training and scoring" if left.scoring else "training"
    basis = f"measured on {count(left.measured_on, 'finished run')} here" if left.measured_on else GUESS
    if not left.trains:
        time, basis = "unknown", "nothing is trained, and scoring alone has no rate"
    elif left.seconds is None:
        time, basis = "unknown", "until a run has finished or the data is prepared"
    else:
        time = f"at least {_clock(left.seconds)} of {what} on {count(cores, 'core')}"
    later = f"{_clock(left.later_seconds)} the last time" if left.later_seconds is not None else "not run yet"
    return [
        f"to do      {count(left.runs, 'run')}",
        f"time       {time} ({basis})",
        f"afterwards {later} (latency, tables, figures, paper)",
        f"disk       {left.megabytes:.0f} MB",
    ]


def _clock(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{max(minutes, 1)} min"
