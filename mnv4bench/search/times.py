"""What each piece of a network takes on this machine: milliseconds in ONNX Runtime with one thread, on one image.

A piece is timed behind a 1×1 convolution that makes its input, in turns with that convolution alone; the difference is
the piece's price, free of what a call costs. Prices are kept in a file, so that a search that was killed goes on with
the same ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from mnv4bench.io.files import read_json, write_json
from mnv4bench.latency.measure.protocol import Clock, Schedule, Subject, run_session
from mnv4bench.latency.runtimes.onnxruntime import OnnxRuntime
from mnv4bench.latency.runtimes.runtime import Deployment
from mnv4bench.models.mobilenetv4.network import Classifier
from mnv4bench.models.mobilenetv4.variants import CONV_SMALL
from mnv4bench.search.cost import Piece, built

SCHEDULE = Schedule(rounds=8, blocks=1, block_ms=5)
"""Of each piece; the median over its rounds counts."""
WHOLE = Schedule(rounds=16, blocks=1, block_ms=50)
"""Of whole networks."""
REFERENCE = "reference"


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


class Stopwatch:
    """Times networks in turns with a fixed one, MobileNetV4-Conv-S; what this gains or loses from one time to the next
    is the machine's drift, and is taken out."""

    def __init__(self, side: int, clock: Clock = time.perf_counter) -> None:
        self.side, self.clock = side, clock

    @cached_property
    def reference(self) -> Subject:
        return subject(Whole(Classifier(CONV_SMALL, 10)), self.side, REFERENCE)

    def usual(self) -> float:
        """Return the milliseconds of the fixed network; what is timed later is told as if it still took so long."""
        blocks = run_session([self.reference], 1, WHOLE, seed=0, clock=self.clock)
        return 1000 * median(block.seconds / block.repeats for block in blocks)

    def ratios(self, networks: Sequence[nn.Module], side: int, schedule: Schedule) -> list[float]:
        """Return each network's time over the fixed one's: medians of the rounds' ratios.

        Args:
            side: of the networks' images, which the fixed one's does not follow.
        """
        subjects = [subject(network, side, str(number)) for number, network in enumerate(networks)]
        blocks = run_session([*subjects, self.reference], 1, schedule, seed=0, clock=self.clock)
        took = {(block.arm, block.round): block.seconds / block.repeats for block in blocks}
        return [
            median(took[one.arm, turn] / took[REFERENCE, turn] for turn in range(schedule.rounds)) for one in subjects
        ]


class Times:
    """Milliseconds by piece; what the file does not hold is measured, and written there at once."""

    def __init__(self, path: Path, stopwatch: Stopwatch) -> None:
        """Read the file if there is one.

        Raises:
            FileError: it is damaged.
        """
        self.path, self.stopwatch = path, stopwatch
        remedy = "delete the search's folder and start again"
        self.prices: dict[str, float] = read_json(path, remedy) if path.exists() else {}

    def __call__(self, piece: Piece) -> float:
        """Return a piece's milliseconds; never below zero."""

        def difference() -> float:
            networks = [Behind(piece.channels, module) for module in (built(piece), None)]
            both = self.of(networks, piece.side, SCHEDULE)
            return max(both[0] - both[1], 0.0)

        return self._kept(f"{piece.line} @ {piece.channels}x{piece.side}x{piece.side}", difference)

    def of(self, networks: Sequence[nn.Module], side: int, schedule: Schedule = WHOLE) -> list[float]:
        """Return the milliseconds of networks on images of `side` pixels, which are not kept."""
        usual = self._kept(REFERENCE, self.stopwatch.usual)
        return [usual * ratio for ratio in self.stopwatch.ratios(networks, side, schedule)]

    def _kept(self, name: str, measure: Callable[[], float]) -> float:
        if name not in self.prices:
            self.prices[name] = measure()
            write_json(self.path, self.prices)
        return self.prices[name]


def milliseconds(
    networks: Sequence[nn.Module], side: int, schedule: Schedule = SCHEDULE, clock: Clock = time.perf_counter
) -> list[float]:
    """Return the median time of one image in each network, timed in turns."""
    subjects = [subject(network, side, str(number)) for number, network in enumerate(networks)]
    blocks = run_session(subjects, 1, schedule, seed=0, clock=clock)
    return [
        1000 * median(block.seconds / block.repeats for block in blocks if block.arm == one.arm) for one in subjects
    ]


def subject(network: nn.Module, side: int, name: str) -> Subject:
    """Return a network, exported, as a session times it."""
    image, runtime = np.zeros((3, side, side), np.float32), OnnxRuntime()
    with torch.no_grad():
        runtime.load(Deployment(model=network.eval(), imgsz=side, threads=1, read="nms_free"))
    return Subject("onnxruntime", name, {"forward": lambda index: runtime(image)})


def relative_error(predicted: Sequence[float], observed: Sequence[float]) -> float:
    """Return the median of |predicted / observed − 1| over networks: how far the table's sums are off."""
    return median(abs(ours / theirs - 1) for ours, theirs in zip(predicted, observed, strict=True))
