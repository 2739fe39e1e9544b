"""benchmarks/**/*.tsv: what Snakemake measured of a job; of its columns, wall and CPU time are used."""

from __future__ import annotations

import csv
from pathlib import Path

from mnv4bench.io.errors import FileError


def wall_seconds(path: Path) -> float:
    """Return the wall time of a job's last start.

    Raises:
        FileError: the file is missing or damaged.
    """
    return _sum(path, "s")


def cpu_seconds(path: Path) -> float:
    """Return the CPU time of a job's last start, all its processes together.

    Raises:
        FileError: the file is missing or damaged.
    """
    return _sum(path, "cpu_time")


def _sum(path: Path, column: str) -> float:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return sum(float(row[column]) for row in csv.DictReader(stream, delimiter="\t"))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise FileError(f"{path}: not one of Snakemake's benchmark files ({error}); delete it") from error
