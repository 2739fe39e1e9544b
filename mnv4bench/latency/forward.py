"""The forward pass of the catalogue's networks on this machine, for which weights need not be trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from mnv4bench.latency.analyse.analysis import Judged
from mnv4bench.latency.campaign import Campaign, analysed, measure, schedule
from mnv4bench.latency.measure.candidates import Candidate, Catalogued
from mnv4bench.latency.measure.task import Task
from mnv4bench.models.published import networks
from mnv4bench.results.blocks import read_blocks
from mnv4bench.results.latency import Latency
from mnv4bench.results.record import read_record
from mnv4bench.spec.latency import LatencySpec


def time_forward(
    baselines: Mapping[str, str | None],
    images: tuple[tuple[int, Path], ...],
    imgsz: int,
    spec: LatencySpec,
    out: Path,
    classes: int = 80,
) -> Latency:
    """Time networks with fresh weights; write `out`, and the blocks beside it as CSV.

    Args:
        baselines: catalogue name → the name that it is compared with; None where it is a baseline alone.
        images: id and file of each image to run on.
        imgsz: side in pixels that they are letterboxed to.

    Raises:
        Mnv4benchError: an unknown name, an unreadable image, or a session that was killed.
    """
    reads = {name: networks.read_of(name) for name in baselines}
    task = Task(
        candidates=tuple(Candidate(name, reads[name], Catalogued(name, classes)) for name in baselines),
        reference=most_common_baseline(baselines),
        runtimes=spec.runtimes,
        images=images,
        imgsz=imgsz,
        schedule=schedule(spec),
    )
    arms = tuple(Judged(name, name, reads[name], baseline) for name, baseline in baselines.items())
    return measure(Campaign("forward", task, arms, spec), out, out.with_suffix(".csv"))


def recomputed(record: Path) -> Latency:
    """Return what `time_forward` wrote with all that follows from the blocks beside it computed anew.

    Raises:
        Mnv4benchError: the record or its blocks are missing or not readable.
    """
    written = read_record(record, Latency)
    baselines = {row.arm: row.baseline for row in written.rows}
    arms = [Judged(name, name, networks.read_of(name), baseline) for name, baseline in baselines.items()]
    return analysed(written, read_blocks(record.with_suffix(".csv")), arms)


def most_common_baseline(baselines: Mapping[str, str | None]) -> str:
    """Return the network that most others are compared with, the first among equals.

    It is the one that is timed twice, and without its copy nothing gets a verdict: a network that may fail in a
    runtime, or takes long, is a poor choice.
    """
    counts = Counter(over for over in baselines.values() if over)
    return max(baselines, key=lambda name: counts[name])
