"""runs/<run>/status.json and spec.json: what was trained, and how that ended."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from mnv4bench.io.errors import DataError
from mnv4bench.results import manifest
from mnv4bench.results.environment import Environment
from mnv4bench.results.record import Record, read_record
from mnv4bench.spec.run import RunSpec

State = Literal["done", "diverged", "out_of_memory", "failed", "missing"]
"""failed: never trained, because a run that it starts from or learns from did not end well. missing: published weights
that are not on this machine."""
REMEDY = "delete the folder {folder} and start again"
"""Of a damaged file that only training the run writes."""


class Status(Record):
    """runs/<run>/status.json: how training ended. Written last; while it is missing the run is unfinished."""

    remedy: ClassVar[str] = REMEDY

    run: str
    state: State
    reason: str | None = None
    epochs: int
    steps: int
    images_per_second: float | None = None
    seconds: float
    """Training time over all of the run's starts."""
    peak_memory_mib: float | None = None
    data_digest: str | None = None
    """Of the prepared data that the run was trained on (`Dataset.digest`); None in older files."""
    weights_digest: str | None = None
    """SHA-256 over names, shapes and bytes of the final EMA tensors."""
    code: dict[str, str] = {}
    """Class or table entry that built the network → digest of its source (models/code.py); empty in older files."""
    classes: tuple[str, ...] = ()
    """Names of the network's classes by index; empty in older files, and where there are no weights."""
    checkpoint: str | None = None
    """File that published weights came from; None where the run was trained."""
    checkpoint_sha256: str | None = None
    shipped: bool = False
    """Whether the run was taken from results/reference/trunks instead of being trained here."""
    environment: Environment


def read_status(folder: Path, renamed: bool = False) -> Status:
    """Return the status in a run's folder.

    Args:
        renamed: take the run under whatever name its folder has.

    Raises:
        FileError: it is missing or damaged, or another run's.
    """
    path = folder / "status.json"
    status = read_record(path, Status)
    manifest.check(path)  # which tells a file that was exchanged from a folder that was renamed
    if not renamed:
        manifest.check_name(path, status.run)
    return status


def read_spec(folder: Path) -> RunSpec:
    """Return the spec in a run's folder.

    Raises:
        FileError: it is missing or damaged.
    """
    spec = read_record(folder / "spec.json", RunSpec, REMEDY)
    manifest.check(folder / "spec.json")
    return spec


def check_data(folder: Path, status: Status, data: str) -> None:
    """Refuse a run that was trained on other data.

    Raises:
        DataError: names both digests.
    """
    if status.data_digest != data:
        raise DataError(
            f"{folder / 'status.json'}: data_digest: the run was trained on data {status.data_digest or 'unknown'}, "
            f"but the prepared data are {data}; delete {folder / 'metrics.json'} and start again to train it on these"
        )
