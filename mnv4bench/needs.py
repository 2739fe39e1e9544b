"""What one training job asks a scheduler for: GPUs, cores, memory and time."""

from __future__ import annotations

from math import ceil
from pathlib import Path

from mnv4bench.eta import seconds_of, status_or_none
from mnv4bench.spec.plan import Plan
from mnv4bench.spec.run import RunSpec

GUESSED_MIB, GUESSED_MIB_PER_MEGAPIXEL = 1024, 1200
"""Memory of a run's process, of which the second part is for each million pixels of a batch: more than any run of the
published references took. Larger models than theirs may take more."""
WORKER_MIB = 1024
"""Of a loader worker, a guess: its copy of the libraries, and a few batches of large images."""
HEADROOM = 1.1
"""Of memory, over the most that a run of the same kind took."""
TIME_HEADROOM, LEAST_MINUTES, UNKNOWN_MINUTES = 2.0, 30, 24 * 60
"""Of a time limit: over the estimate, at least, and where nothing tells the time."""


def gpus(spec: RunSpec) -> int:
    return spec.train.devices if spec.train.device == "cuda" else 0


def cores(spec: RunSpec) -> int:
    """Return the cores of a job: the threads and loader workers of each training process."""
    return spec.train.devices * (spec.train.threads + spec.train.workers)


def minutes(plan: Plan, results: Path, run: str) -> int:
    """Return the time limit of one start: the preset's, else twice an estimate, else a day."""
    seconds = seconds_of(plan, results, run, cores(plan.run(run)))
    if plan.preset.needs.hours is not None or seconds is None:
        return minutes_unknown(plan)
    return LEAST_MINUTES + ceil(TIME_HEADROOM * seconds / 60)


def minutes_unknown(plan: Plan) -> int:
    """Return the time limit of one start of a job that nothing estimates: the preset's, else a day."""
    hours = plan.preset.needs.hours
    return UNKNOWN_MINUTES if hours is None else ceil(60 * hours)


def memory_mb(plan: Plan, results: Path, run: str) -> int:
    """Return the megabytes to ask for on a node: the preset's, else what finished runs of the kind took at most, else a
    guess.

    What finished runs took does not tell of their loader workers, so these are guessed all the same.
    """
    nodes = plan.preset.needs.nodes
    if plan.preset.needs.mem_gb is not None:
        return ceil(1000 * plan.preset.needs.mem_gb / nodes)
    spec = plan.run(run)
    devices = spec.train.devices
    taken = [
        status.peak_memory_mib
        for name, other in plan.runs.items()
        if _kind(other) == _kind(spec)
        and (status := status_or_none(results / "runs" / name / "status.json"))
        and status.state == "done"
        and status.peak_memory_mib
    ]
    pixels = spec.train.batch * spec.data.imgsz**2 / devices
    mebibytes = HEADROOM * max(taken) if taken else GUESSED_MIB + GUESSED_MIB_PER_MEGAPIXEL * pixels / 1e6
    return ceil(devices / nodes * (mebibytes + WORKER_MIB * spec.train.workers) * 2**20 / 1e6)


def _kind(spec: RunSpec) -> tuple[object, ...]:
    """What decides how much memory a run takes."""
    train = spec.train
    return spec.model, spec.distill.wanted, spec.data.imgsz, train.batch, train.device, train.devices
