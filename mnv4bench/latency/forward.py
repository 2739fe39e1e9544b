"""The forward pass of the catalogue's networks on this machine, for which weights need not be trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from mnv4bench.io.files import write_json
from mnv4bench.latency.analyse.analysis import Judged
from mnv4bench.latency.campaign import check_runtimes, summarise, thread_counts
from mnv4bench.latency.measure.candidates import Candidate, Catalogued
from mnv4bench.latency.measure.protocol import Schedule
from mnv4bench.latency.measure.session import Task, in_new_process
from mnv4bench.results.blocks import read_blocks, write_blocks
from mnv4bench.results.latency import Latency
from mnv4bench.spec.latency import LatencySpec
from mnv4bench.spec.run import derive_seed


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
        baselines: catalogue name → the name that it is set against; None where it is a baseline alone.
        images: id and file of each image to run on.
        imgsz: side in pixels that they are letterboxed to.

    Raises:
        Mnv4benchError: an unknown runtime or name, an unreadable image, or a session that was killed.
    """
    from mnv4bench.models.published import catalog

    check_runtimes(spec.runtimes, "runtimes")
    reads = {name: catalog.read_of(name) for name in baselines}
    reference = most_leaned_on(baselines)
    sessions = [
        in_new_process(
            Task(
                number=number,
                threads=threads,
                candidates=tuple(Candidate(name, reads[name], Catalogued(name, classes)) for name in baselines),
                reference=reference,
                runtimes=spec.runtimes,
                images=images,
                imgsz=imgsz,
                calibration=(),
                category_ids=(),
                schedule=Schedule(spec.rounds, spec.blocks, spec.block_ms),
                seed=derive_seed("latency order", "forward", number),
            )
        )
        for number, threads in enumerate(thread_counts(spec))
    ]
    blocks = out.with_suffix(".csv")
    write_blocks(blocks, [block for session in sessions for block in session.blocks])
    judged = [Judged(name, name, reads[name], baseline) for name, baseline in baselines.items()]
    record = summarise(read_blocks(blocks), judged, reference, sessions, spec, {name: name for name in baselines})
    write_json(out, record)
    return record


def most_leaned_on(baselines: Mapping[str, str | None]) -> str:
    """Return the network that most others are set against, the first among equals.

    It is the one that is timed twice, and without its copy nothing gets a verdict: a network that may fail in a
    runtime, or takes long, is a poor choice.
    """
    counts = Counter(over for over in baselines.values() if over)
    return max(baselines, key=lambda name: counts[name])
