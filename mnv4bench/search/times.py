"""What each piece of a network takes on this machine: milliseconds in ONNX Runtime with one thread, on one image.

A piece is timed behind a 1×1 convolution that makes its input, in turns with that convolution alone; the difference is
the piece's price, free of what a call costs. Prices are kept in a file, so that a search that was killed goes on with
the same ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from mnv4bench.io.files import read_json, write_json
from mnv4bench.latency.measure.protocol import Clock, Schedule, Subject, run_session
from mnv4bench.latency.runtimes.onnxruntime import OnnxRuntime
from mnv4bench.latency.runtimes.runtime import Deployment
from mnv4bench.search.cost import Piece, built

SCHEDULE = Schedule(rounds=8, blocks=1, block_ms=5)
"""Of each piece; the median over its rounds counts."""

Measure = Callable[[Piece], float]


class Behind(nn.Module):
    """A piece behind a convolution that makes its input, or that convolution alone; a tuple, as runtimes expect."""

    def __init__(self, channels: int, piece: nn.Module | None) -> None:
        super().__init__()
        self.before = nn.Conv2d(3, channels, 1)
        self.piece = piece or nn.Identity()

    def forward(self, image: Tensor) -> tuple[Tensor]:
        y = self.piece(self.before(image))
        return (y.mean((2, 3)) if y.dim() == 4 else y,)


class Whole(nn.Module):
    """A classifier as runtimes expect it: its output is a tuple."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (self.network(image),)


class Times:
    """Prices by piece; what the file does not hold is measured, and written there at once."""

    def __init__(self, path: Path, measure: Measure | None = None) -> None:
        """Read the file if there is one.

        Raises:
            FileError: it is damaged.
        """
        self.path, self.measure = path, measure or measured
        remedy = "delete the search's folder and start again"
        self.prices: dict[str, float] = read_json(path, remedy) if path.exists() else {}

    def __call__(self, piece: Piece) -> float:
        name = f"{piece.line} @ {piece.channels}x{piece.side}x{piece.side}"
        if name not in self.prices:
            self.prices[name] = self.measure(piece)
            write_json(self.path, self.prices)
        return self.prices[name]


def measured(piece: Piece, schedule: Schedule = SCHEDULE, clock: Clock = time.perf_counter) -> float:
    """Return a piece's milliseconds; never below zero."""
    whole, without = (Behind(piece.channels, module) for module in (built(piece), None))
    both = milliseconds([whole, without], piece.side, schedule, clock)
    return max(both[0] - both[1], 0.0)


def milliseconds(
    networks: Sequence[nn.Module], side: int, schedule: Schedule = SCHEDULE, clock: Clock = time.perf_counter
) -> list[float]:
    """Return the median time of one image in each network, timed in turns."""
    image = np.zeros((3, side, side), np.float32)
    subjects = []
    for number, network in enumerate(networks):
        runtime = OnnxRuntime()
        with torch.no_grad():
            runtime.load(Deployment(model=network.eval(), imgsz=side, threads=1, read="nms_free"))
        subjects.append(Subject("onnxruntime", str(number), {"forward": lambda index, run=runtime: run(image)}))  # type: ignore[misc]
    blocks = run_session(subjects, 1, schedule, seed=0, clock=clock)
    return [
        1000 * median(block.seconds / block.repeats for block in blocks if block.arm == str(number))
        for number in range(len(networks))
    ]


def relative_error(predicted: Sequence[float], observed: Sequence[float]) -> float:
    """Return the median of |predicted / observed − 1| over networks: how far the table's sums are off."""
    return median(abs(ours / theirs - 1) for ours, theirs in zip(predicted, observed, strict=True))
