"""What a session leaves behind: every timed block, and the file blocks.csv that keeps them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import get_args

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import write_text
from mnv4bench.results.latency import Stage

STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass(frozen=True)
class Block:
    """One timed run over consecutive images; a line of blocks.csv."""

    session: int
    """A process, numbered over all thread counts; times are compared inside one only."""
    threads: int
    round: int
    position: int
    """The turn's place in the round's order."""
    runtime: str
    arm: str
    """Label under which the network was measured, or one of the names that `analysis` knows."""
    stage: Stage
    block: int
    """Number of the block within the turn."""
    repeats: int
    """Images processed."""
    seconds: float

    @property
    def ms(self) -> float:
        """Milliseconds per image."""
        return self.seconds / self.repeats * 1000


COLUMNS = tuple(field.name for field in fields(Block))
COUNTS = ("session", "threads", "round", "position", "block", "repeats")


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
        Mnv4benchError: a missing file or column, or a value that is not a time or a count; names file and line.
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
        numbers = {name: int(row[name] or "") for name in COUNTS}
        seconds = float(row["seconds"] or "")
    except ValueError as error:
        raise ValueError(f"line {line}: {error}") from error
    stage = next((stage for stage in STAGES if stage == row["stage"]), None)
    if stage is None:
        raise ValueError(f"line {line}: stage is {row['stage']!r}, allowed: {', '.join(STAGES)}")
    if not row["runtime"] or not row["arm"]:
        raise ValueError(f"line {line}: runtime and arm must have a name")
    if min(numbers["threads"], numbers["repeats"]) < 1 or not 0 < seconds < math.inf:
        raise ValueError(f"line {line}: threads, repeats and seconds must be positive")
    return Block(**numbers, runtime=row["runtime"], arm=row["arm"], stage=stage, seconds=seconds)
