"""Claims on time: which networks would show them here, and what timing those gave.

The papers' times are of other devices, so nothing here is a verdict on a claim; a reader sees both with their devices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mnv4bench.io.errors import SpecError
from mnv4bench.latency.forward import time_forward
from mnv4bench.ledger.facts import Published, load
from mnv4bench.ledger.schema import Timed
from mnv4bench.results.latency import Latency, LatencyRow
from mnv4bench.spec.latency import LatencySpec

PROTOCOL = LatencySpec(runtimes=("onnxruntime", "openvino"), sessions=3, rounds=12, blocks=2, images=8)
"""A pass at 640 pixels lasts as long as many at the presets' sides, so turns are few; PyTorch would double the time."""

IMGSZ = 640
"""Side in pixels that the papers' times are for."""


def measure(images: tuple[tuple[int, Path], ...], out: Path) -> Latency:
    """Time every network that a claim names, in turns; write `out`, and the blocks beside it as CSV.

    Args:
        images: id and file of images to run on; the first eight are used.
    """
    return time_forward(networks(load()), images[: PROTOCOL.images], IMGSZ, PROTOCOL, out)


def networks(published: Published) -> dict[str, str | None]:
    """Return every network that a claim wants timed → the one that it is compared with; None for those alone.

    Raises:
        SpecError: two claims compare one network with different ones.
    """
    baselines: dict[str, str | None] = {}
    for fact in published.facts.values():
        for name, over in _pairs(fact.timed) if fact.timed else ():
            baselines.setdefault(over, None)
            if baselines.setdefault(name, over) not in (None, over):
                raise SpecError(
                    f"{fact.id}: {name} is timed over {over}, and elsewhere over {baselines[name]}; choose one"
                )
            baselines[name] = over
    return baselines


def _pairs(timed: Timed) -> Iterator[tuple[str, str]]:
    if timed.beyond is None:
        yield timed.model, timed.over
    else:
        yield timed.model, timed.beyond
        yield timed.over, timed.beyond


@dataclass(frozen=True)
class ClaimTime:
    """A claim in one runtime of this machine."""

    runtime: str
    value: float
    """In the claim's own form and unit."""
    rows: tuple[LatencyRow, ...]
    """Whose ratios it follows from: one, or two over a third network."""


@dataclass(frozen=True)
class ClaimTimes:
    """What timing the claim's networks gave; no runtime where they could not be timed."""

    claim: Timed
    runtimes: tuple[ClaimTime, ...]
    cpu: str
    threads: int

    @property
    def value(self) -> float | None:
        """In the first runtime."""
        return self.runtimes[0].value if self.runtimes else None


def claim_times(claim: Timed, record: Latency) -> ClaimTimes:
    """Return what the record of timed networks says of a claim."""
    runtimes = dict.fromkeys(row.runtime for row in record.rows)
    times = (_in_runtime(claim, record, runtime) for runtime in runtimes)
    return ClaimTimes(claim, tuple(filter(None, times)), record.environment.cpu, record.threads)


def _in_runtime(claim: Timed, record: Latency, runtime: str) -> ClaimTime | None:
    row = _row(record, runtime, claim.model)
    if row is None or row.ratio is None:
        return None
    if claim.beyond is not None:
        other = _row(record, runtime, claim.over)
        if other is None or other.ratio is None or other.ratio <= 1:
            return None
        return ClaimTime(runtime, 100 * (1 - (row.ratio - 1) / (other.ratio - 1)), (row, other))
    value = {"ratio": row.ratio, "speedup": 1 / row.ratio, "less_percent": 100 * (1 - row.ratio)}[claim.form]
    return ClaimTime(runtime, value, (row,))


def _row(record: Latency, runtime: str, name: str) -> LatencyRow | None:
    return next((r for r in record.rows if (r.runtime, r.arm, r.threads) == (runtime, name, record.threads)), None)
