"""An exported file held against its network: the same detections, how fast, how good."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from statistics import median

import numpy as np

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.latency.measure.accuracy import Split, average_precision
from mnv4bench.latency.measure.agreement import unexplained
from mnv4bench.latency.runtimes.outputs import TOLERANCE, Image, Output, Thresholds, detections, disagreement
from mnv4bench.spec.model import Read

Call = Callable[[Image], Output]

OVERLAP = 0.5
"""Of two boxes that are taken for the same detection."""
WARM_UP, LEAST_CALLS, LEAST_SECONDS = 3, 20, 0.5


@dataclass(frozen=True)
class Expected:
    """What a network says of some images."""

    images: tuple[Image, ...]
    outputs: tuple[Output, ...]
    read: Read
    thresholds: Thresholds

    @property
    def rows(self) -> list[Output]:
        """(k, 6) detections of each image, as `outputs.detections` returns them."""
        return [detections(output, self.read, self.thresholds) for output in self.outputs]

    @property
    def side(self) -> int:
        return int(self.images[0].shape[-1])


def difference(call: Call, expected: Expected) -> float:
    """Return the largest difference of a score, or of a coordinate relative to the image's side.

    Raises:
        Mnv4benchError: it is larger than runtimes differ in float32.
    """
    pairs = zip(expected.images, expected.outputs, strict=True)
    largest = max(disagreement(call(image), output, expected.read, expected.side) for image, output in pairs)
    if not largest <= TOLERANCE:
        raise Mnv4benchError(
            f"what it computes differs from the network's by {largest:.1e}, and {TOLERANCE:.0e} is allowed"
        )
    return largest


def check_rows(call: Call, expected: Expected) -> None:
    """Check a file with suppression inside.

    Raises:
        Mnv4benchError: its detections are not those of the outputs with suppression behind them.
    """
    wrong = sum(
        unexplained(call(image), rows, expected.side, expected.thresholds)
        for image, rows in zip(expected.images, expected.rows, strict=True)
    )
    if wrong:
        raise Mnv4benchError(f"{wrong} of {sum(map(len, expected.rows))} detections differ from the network's")


def kept(call: Call, expected: Expected, inside: bool) -> float | None:
    """Return the share of the network's detections that a file finds too; None where there are none to find.

    Args:
        inside: whether suppression is part of the file.
    """
    found, wanted = 0, 0
    for image, rows in zip(expected.images, expected.rows, strict=True):
        output = call(image)
        own = output if inside else detections(output, expected.read, expected.thresholds)
        found += sum(_has_twin(row, own) for row in rows)
        wanted += len(rows)
    return found / wanted if wanted else None


def _has_twin(row: np.ndarray, others: np.ndarray) -> bool:
    same = others[others[:, 5] == row[5]]
    common = np.maximum(np.minimum(row[2:4], same[:, 2:4]) - np.maximum(row[:2], same[:, :2]), 0).prod(axis=1)
    areas = (same[:, 2:4] - same[:, :2]).prod(axis=1) + (row[2:4] - row[:2]).prod() - common
    return bool((common >= OVERLAP * areas).any())


def median_ms(call: Call, images: Sequence[Image]) -> float:
    """Return the median time of a call in milliseconds, one image after the other."""
    for turn in range(WARM_UP):
        call(images[turn % len(images)])
    times: list[float] = []
    for turn in count():
        if turn >= LEAST_CALLS and sum(times) >= LEAST_SECONDS:
            break
        start = time.perf_counter()
        call(images[turn % len(images)])
        times.append(time.perf_counter() - start)
    return median(times) * 1e3


def score(call: Call, read: Read, inside: bool, split: Split | None) -> float | None:
    """Return AP on labelled images; with suppression inside, of the detections that are left."""
    if split is None:
        return None
    return average_precision(call, "nms_free" if inside else read, split)
