"""Claims on time: which networks would show them here, and what timing those gave.

The papers' times are of other devices, so nothing here is a verdict on a claim; a reader sees both with their devices.
"""

from __future__ import annotations

from collections.abc import Iterator
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


def in_words(timed: Timed, record: Latency) -> tuple[float | None, str]:
    """Return what was timed for a claim: its value in the first runtime, in the claim's form, and a sentence."""
    runtimes = dict.fromkeys(row.runtime for row in record.rows)
    values = [(runtime, _value(timed, record, runtime)) for runtime in runtimes]
    known = [(runtime, value, detail) for runtime, (value, detail) in values if value is not None]
    if not known:
        return None, "The claim's networks could not be timed here."
    told = "; ".join(f"{runtime} {value:.{timed.decimals}f}{timed.unit} ({detail})" for runtime, value, detail in known)
    threads = "1 thread" if record.threads == 1 else f"{record.threads} threads"
    how = f"forward pass alone with fresh weights, on {record.environment.cpu} with {threads}"
    return known[0][1], f"The claim's networks here, {how}: {told}."


def _value(timed: Timed, record: Latency, runtime: str) -> tuple[float | None, str]:
    row = _row(record, runtime, timed.model)
    if row is None or row.ratio is None:
        return None, ""
    if timed.beyond is not None:
        other = _row(record, runtime, timed.over)
        if other is None or other.ratio is None or other.ratio <= 1:
            return None, ""
        return 100 * (1 - (row.ratio - 1) / (other.ratio - 1)), (
            f"{timed.beyond} × {row.ratio:.3f}, {row.verdict}, and × {other.ratio:.3f}, {other.verdict}"
        )
    value = {"ratio": row.ratio, "speedup": 1 / row.ratio, "less_percent": 100 * (1 - row.ratio)}[timed.form]
    return value, f"ratio {row.ratio:.3f} [{row.ratio_low:.3f}, {row.ratio_high:.3f}], {row.verdict}"


def _row(record: Latency, runtime: str, name: str) -> LatencyRow | None:
    return next((r for r in record.rows if (r.runtime, r.arm, r.threads) == (runtime, name, record.threads)), None)
