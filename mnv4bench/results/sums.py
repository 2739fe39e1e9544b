"""sums/<step>.json: the SHA-256 of what a step made, so that no later step passes on a file that was changed since.

A run's files have a manifest of their own, and a published reference its record.
"""

from __future__ import annotations

from pathlib import Path

from mnv4bench.io.errors import FileError
from mnv4bench.io.files import sha256, write_json
from mnv4bench.results.record import Sealed, read_record

FOLDER = "sums"
MADE: dict[str, tuple[str, ...]] = {
    "data": ("data/*/*.json",),
    "cost": ("cost.json",),
    "latency": ("latency/latency.json", "latency/blocks.csv"),
    "claims": ("latency/claims.*",),
    "restore": ("latency/*", "figures/detections.png", "tables/confusion.csv"),
    "compare": ("compare.json",),
    "classifiers": ("top1.json", "tables/classifiers.*"),
    "ledger": ("tables/ledger.*",),
    "tables": tuple(
        f"tables/{name}.*"
        for name in (
            *("ablations", "classes", "slices", "latency", "errors"),
            *("operating", "precision_recall", "f1_confidence", "confusion"),
        )
    ),
    "figures": ("figures/*", "figures/*/*"),
    "verify": ("tables/verify.*",),
    "paper": ("paper/*",),
    "page": ("index.html",),
}
"""Step → what it makes, below the results folder."""
MEASURED = ("data", "cost", "latency", "claims", "restore", "compare")
SHOWN = (*MEASURED, "classifiers", "ledger", "tables", "figures")
READ: dict[str, tuple[str, ...]] = {
    "train": ("data",),
    "cost": ("data",),
    "latency": ("data",),
    "compare": ("data",),
    "ledger": MEASURED,
    "tables": MEASURED,
    "figures": (*MEASURED, "tables"),
    "verify": (*MEASURED, "tables"),
    "paper": SHOWN,
    "page": (*MEASURED, "tables", "figures"),
    "complete": (*SHOWN, "verify", "paper", "page"),
}
"""Step → the steps whose files it reads. report.html holds them too, and is made before `complete` looks."""


class Sums(Sealed):
    """sums/<step>.json."""

    step: str
    files: dict[str, str]
    """File of the results folder → SHA-256."""


def record(results: Path, step: str) -> None:
    """Write the sums of what a step has made; nothing for a step that makes nothing to be read later."""
    if step not in MADE:
        return
    paths = sorted({path for pattern in MADE[step] for path in results.glob(pattern) if path.is_file()})
    files = {path.relative_to(results).as_posix(): sha256(path) for path in paths}
    write_json(results / FOLDER / f"{step}.json", Sums(step=step, files=files).sealed())


def check(results: Path, step: str) -> None:
    """Refuse files that a step reads and that are not what was computed; files of older versions have no sums.

    Raises:
        FileError: names each of them and the remedy.
    """
    changed = [line for source in READ.get(step, ()) for line in _changed(results, source)]
    if changed:
        raise FileError("\n  ".join(dict.fromkeys(changed)))


def _changed(results: Path, step: str) -> list[str]:
    path = results / FOLDER / f"{step}.json"
    if not path.exists():
        return []
    sums = read_record(path, Sums)
    if sums.step != step:
        return [f"{path}: is that of step {sums.step}; delete it and start again"]
    return [
        f"{results / name}: its SHA-256 is {now}, not {sum_} as {path} says; delete it and start again"
        for name, sum_ in sums.files.items()
        if (results / name).is_file() and (now := sha256(results / name)) != sum_
    ]
