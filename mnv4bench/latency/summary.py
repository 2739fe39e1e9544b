"""From timed blocks to the numbers of latency.json: a pure function of what blocks.csv holds."""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from mnv4bench.errors import Mnv4benchError
from mnv4bench.files import write_text
from mnv4bench.latency.protocol import STAGES, Block
from mnv4bench.records import LatencyRow

COLUMNS = tuple(field.name for field in fields(Block))
LEVEL = 0.95

Round = tuple[int, int]
"""Session and round."""


def write_blocks(path: Path, blocks: Iterable[Block]) -> None:
    """Write blocks.csv; seconds keep all their digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(block) for block in blocks)
    write_text(path, text.getvalue())


def read_blocks(path: Path) -> list[Block]:
    """Read what `write_blocks` wrote.

    Raises:
        Mnv4benchError: a missing file or column, or a value that is not a time or a count.
    """
    blocks = []
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise ValueError(f"columns are {reader.fieldnames}, expected {', '.join(COLUMNS)}")
            for row in reader:
                blocks.append(_block(row, reader.line_num))
    except (OSError, ValueError) as error:
        raise Mnv4benchError(f"{path}: not readable as timed blocks ({error}); delete it to measure again") from error
    return blocks


def _block(row: Mapping[str, str | None], line: int) -> Block:
    try:
        numbers = {name: int(row[name] or "") for name in ("session", "round", "position", "block", "repeats")}
        seconds = float(row["seconds"] or "")
    except ValueError as error:
        raise ValueError(f"line {line}: {error}") from error
    stage = next((stage for stage in STAGES if stage == row["stage"]), None)
    if stage is None:
        raise ValueError(f"line {line}: stage is {row['stage']!r}, allowed: {', '.join(STAGES)}")
    if not (numbers["repeats"] > 0 and 0 < seconds < math.inf):
        raise ValueError(f"line {line}: repeats and seconds must be positive")
    return Block(**numbers, runtime=row["runtime"] or "", arm=row["arm"] or "", stage=stage, seconds=seconds)


def summarise(blocks: Iterable[Block], reference: str, shared: Mapping[str, str]) -> tuple[LatencyRow, ...]:
    """Return a row per runtime, arm and stage that has blocks.

    Percentiles are over the blocks' times per image. A round's time is the fastest of its blocks, since disturbance
    only adds; ratios are taken within a round.

    Args:
        reference: label of the arm that ratios are over; they are None where it was not measured.
        shared: every arm's label → the label under which its network was measured.
    """
    times: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    rounds: dict[tuple[str, str, str], dict[Round, float]] = defaultdict(dict)
    for block in blocks:
        key, turn = (block.runtime, block.arm, block.stage), (block.session, block.round)
        times[key].append(block.ms)
        rounds[key][turn] = min(block.ms, rounds[key].get(turn, math.inf))

    rows = []
    for runtime in sorted({runtime for runtime, _, _ in times}):
        for label, measured in shared.items():
            for stage in STAGES:
                key = (runtime, measured, stage)
                if key not in times:
                    continue
                base = rounds.get((runtime, shared.get(reference, reference), stage), {})
                ratios = [rounds[key][turn] / base[turn] for turn in rounds[key] if turn in base]
                low, high = median_interval(ratios) if ratios else (None, None)
                rows.append(
                    LatencyRow(
                        runtime=runtime,
                        arm=label,
                        stage=stage,
                        p50_ms=float(np.median(times[key])),
                        min_ms=min(times[key]),
                        p90_ms=float(np.quantile(times[key], 0.9)),
                        ratio=float(np.median(ratios)) if ratios else None,
                        ratio_low=low,
                        ratio_high=high,
                    )
                )
    return tuple(rows)


def median_interval(values: ArrayLike, level: float = LEVEL) -> tuple[float, float]:
    """Return the distribution-free interval of a median: the k-th smallest and the k-th largest value.

    k is the largest for which the interval covers the median with probability `level`, whatever the continuous
    distribution (David and Nagaraja, Order Statistics, section 7.1): 1 − 2 P(Binomial(n, 1/2) < k). Fewer than six
    values cannot reach 95 %; they give the smallest and the largest.
    """
    ordered = np.sort(np.asarray(values, float))
    n = len(ordered)
    k = 1
    while 2 * (k + 1) <= n + 1 and coverage(n, k + 1) >= level:
        k += 1
    return float(ordered[k - 1]), float(ordered[n - k])


def coverage(n: int, k: int) -> float:
    """Return the probability that the k-th smallest and k-th largest of n values enclose the median."""
    outside: int = 2 * sum(math.comb(n, i) for i in range(k))
    return 1 - outside / (1 << n)
