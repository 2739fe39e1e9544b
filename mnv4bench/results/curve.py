"""runs/<run>/curve.csv: learning rate, losses and accuracy on a few validation images, a line an epoch."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import write_text
from mnv4bench.results import manifest

LOSSES = ("box_loss", "cls_loss", "dfl_loss")
"""The detector's own; YOLO26 has no distance distribution, and logs the L1 distance of the sides as `dfl_loss`."""
VALIDATION = {"nms_free": "val_AP_nms_free", "nms": "val_AP_nms"}
"""Reading → column of the averaged weights' AP on the first validation images; empty where a head cannot be read so."""
VALIDATED = 200
"""How many images that is."""
COLUMNS = ("epoch", "step", "lr", *LOSSES, "distill_loss", *VALIDATION.values())
"""Epochs and steps counted from 1, the learning rate of the epoch's last step, mean losses per image, AP (0–1)."""


def write_curve(path: Path, rows: Iterable[Mapping[str, float]]) -> None:
    """Write curve.csv; numbers keep all their digits."""
    lines = [",".join(COLUMNS), *(",".join(_text(row, column) for column in COLUMNS) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")


def _text(row: Mapping[str, float], column: str) -> str:
    return repr(row[column]) if column in row or column not in VALIDATION.values() else ""


def read_curve(path: Path, epochs: int) -> list[dict[str, float]]:
    """Return the rows of a curve.csv of so many epochs.

    Raises:
        Mnv4benchError: the file is missing or damaged; names the file and the line.
    """
    try:
        rows = [_row(line, number) for number, line in enumerate(_lines(path), start=1)]
        if len(rows) != epochs:
            raise ValueError(f"{len(rows)} epochs, but the run's status counts {epochs}")
        manifest.check(path)
        return rows
    except (OSError, ValueError) as error:
        raise Mnv4benchError(
            f"{path}: not readable as a training curve ({error}); delete the folder {path.parent} and start again"
        ) from error


def _lines(path: Path) -> list[list[str]]:
    text = path.read_text(encoding="utf-8")
    header, *lines = csv.reader(text.splitlines() or [""])
    if tuple(header) != COLUMNS:
        raise ValueError(f"columns are {', '.join(header) or 'missing'}, expected {', '.join(COLUMNS)}")
    if not text.endswith("\n"):
        raise ValueError("its last line is cut off")
    return lines


def _row(values: list[str], epoch: int) -> dict[str, float]:
    try:
        cells = dict(zip(COLUMNS, values, strict=True))
        row = {name: float(text) for name, text in cells.items() if text or name not in VALIDATION.values()}
    except ValueError as error:
        raise ValueError(f"epoch {epoch}: {error}") from error
    if row["epoch"] != epoch or not all(map(math.isfinite, row.values())):
        raise ValueError(f"epoch {epoch}: a value is not finite, or a line is missing before it")
    return row
