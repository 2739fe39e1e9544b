"""runs/<run>/manifest.json: the sums of a scored run's files, by which a damaged or exchanged one is noticed.

A shipped trunk has one too, results/reference/trunks/<run>/manifest.json.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from mnv4bench.io.errors import FileError
from mnv4bench.io.files import json_text, sha256, write_json, write_text
from mnv4bench.results.record import Record, Sealed, read_record

FILE = "manifest.json"
TRAINED = ("status.json", "spec.json", "pairing.json", "pretrained.json", "curve.csv", "weights.safetensors")
"""Written by training alone."""
METRICS = "metrics.json"
CHECK_OUT = "check it out again"
"""What to do about a damaged file that is shipped."""
COPY_AGAIN = f"copy the folder again from where it came, or train the run again; in results/reference, {CHECK_OUT}"
"""The same, where the folder may be a copy."""
SCORED = ("detections.json", "matches.npz", METRICS)
"""Written anew whenever a run is scored."""


class Manifest(Sealed):
    """runs/<run>/manifest.json."""

    remedy: ClassVar[str] = "delete it and metrics.json beside it, and start again to score the run anew"

    files: dict[str, str]
    """File of the run's folder → SHA-256, of those that the run has."""
    shipped: bool = False
    """Whether the files are committed, not made here."""


def write_metrics(folder: Path, metrics: Record) -> None:
    """Write metrics.json and, before it, the manifest, so that whatever has metrics has a manifest.

    Raises:
        FileError: a file that training wrote is no longer the one that an earlier manifest names.
    """
    check_run(folder, TRAINED)
    text = json_text(metrics)
    sums = {name: sha256(folder / name) for name in (*TRAINED, *SCORED) if (folder / name).is_file()}
    sums[METRICS] = hashlib.sha256(text.encode()).hexdigest()
    write_json(folder / FILE, Manifest(files=sums).sealed())
    write_text(folder / METRICS, text)


def check_run(folder: Path, names: Iterable[str] = (*TRAINED, *SCORED)) -> None:
    """Refuse a run of which a file is missing or is not the one that was written.

    Raises:
        FileError: names the file and the remedy.
    """
    for name in names:
        check(folder / name)


def check(path: Path) -> None:
    """Refuse a file of a run that is not the one its manifest names; a folder without manifest is not scored yet.

    Raises:
        FileError: the file is missing or another, or the manifest is damaged; names it and the remedy.
    """
    if not (path.parent / FILE).exists():
        return
    manifest = read_record(path.parent / FILE, Manifest)
    recorded = manifest.files.get(path.name)
    if recorded is None:
        return
    if manifest.shipped:
        remedy = COPY_AGAIN
    elif path.name in TRAINED:
        remedy = f"delete the folder {path.parent} and start again"
    else:
        remedy = f"delete {path.parent / METRICS} and start again to score the run anew"
    if not path.is_file():
        raise FileError(f"{path}: missing, although {FILE} names it; {remedy}")
    if (now := sha256(path)) != recorded:
        raise FileError(f"{path}: its SHA-256 is {now}, not {recorded} as {FILE} says; {remedy}")


def check_name(path: Path, run: str) -> None:
    """Refuse a file of a run that lies in a folder of another name.

    Raises:
        FileError: names the run, and the folder to rename.
    """
    folder = path.parent
    if run != folder.name:
        raise FileError(f"{path}: the run inside is called {run}; rename the folder {folder} to {run}")


def ship(folder: Path, names: Iterable[str]) -> None:
    """Write the manifest of files that are committed."""
    sums = {name: sha256(folder / name) for name in names}
    write_json(folder / FILE, Manifest(files=sums, shipped=True).sealed())


def check_shipped(folder: Path) -> None:
    """Refuse a shipped folder of which a file is missing or another; one of an earlier version has no manifest.

    Raises:
        FileError: names the file, or the manifest itself.
    """
    if (folder / FILE).exists():
        for name in read_record(folder / FILE, Manifest, CHECK_OUT).files:
            check(folder / name)
