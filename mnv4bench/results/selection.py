"""results/<preset>/only/<selection>/: tables, figures and paper of some of a preset's ablations or seeds.

Each selection has a folder of its own, so that one leaves the pages of another as they are. Data, runs and their times
are the preset's, whichever selection asked for them first, and stand in a selection's folder as links.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from mnv4bench.io.errors import FileError

RESULTS = Path("results")
SELECTIONS = "only"
SHARED = ("data", "runs", "classifiers", "benchmarks")
COUNTS = "counts.json"
"""Counts of published networks, which no selection changes."""
LONGEST = 80
"""Characters of a folder's name; a longer one is cut and marked."""


def folder_of(preset: str, only: str | None, seeds: int | None) -> Path:
    """Return the folder of a plan's results.

    Args:
        only, seeds: as for `plan.load`.
    """
    words = [only.replace(",", "+") if only else "", f"seeds{seeds}" if seeds is not None else ""]
    name = "-".join(filter(None, words))
    if len(name) > LONGEST:
        name = f"{name[:LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return RESULTS / preset / SELECTIONS / name if name else RESULTS / preset


def home(folder: Path) -> Path:
    """Return the folder in which the runs of a plan lie: its preset's, where this one is a selection's."""
    return folder.parent.parent if folder.parent.name == SELECTIONS else folder


def connect(folder: Path) -> None:
    """Offer in a selection's folder what it shares with the others of its preset; nothing for a whole preset's.

    Raises:
        FileError: something else is in the way.
    """
    if home(folder) == folder:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*SHARED, COUNTS):
        original, link = home(folder) / name, folder / name
        if name in SHARED:
            original.mkdir(parents=True, exist_ok=True)
        try:
            link.symlink_to(os.path.relpath(original, folder))
        except FileExistsError as error:
            if not link.is_symlink():
                raise FileError(f"{link}: is in the way of a link to {original}; move it elsewhere") from error
