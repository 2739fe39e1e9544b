"""From a reference's records to a preset's folder in which everything that takes training or timing is done."""

from __future__ import annotations

import lzma
import shutil
from pathlib import Path, PurePath

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import replacing, sha256, write_json, write_text
from mnv4bench.latency.campaign import recomputed
from mnv4bench.reference.publish import BLOCKS, REMADE
from mnv4bench.results.reference import RECORD, Reference, read
from mnv4bench.spec.plan import Plan

KEPT = (
    *(f"tables/{name}.{kind}" for name in ("ranks", "sizes") for kind in ("csv", "md")),
    "figures/detections.png",
)
"""Tables and figures that are not made anew: they take weights, images or the machine of the first run."""


def restore(plan: Plan, folder: Path, results: Path) -> None:
    """Copy a reference's records to `results`, and compute latency.json from its timed blocks.

    Raises:
        Mnv4benchError: a file is missing or is not the one that was published.
    """
    folder = Path(folder)
    record = read(folder.name, folder.parent)
    check(record, folder)
    for file in record.files:
        if file in KEPT or not (_remade(file) or file.startswith(BLOCKS)):
            with replacing(results / file) as temporary:
                shutil.copyfile(folder / file, temporary)
    write_text(results / BLOCKS, lzma.decompress((folder / f"{BLOCKS}.xz").read_bytes()).decode("utf-8"))
    write_json(results / "latency" / "latency.json", recomputed(plan, results))


def check(record: Reference, folder: Path) -> None:
    """Refuse a reference whose files are not those that were published.

    Raises:
        Mnv4benchError: lists the files.
    """
    wrong = []
    for file, digest in record.files.items():
        if not (folder / file).is_file():
            wrong.append(f"{folder / file}: is missing; check it out again")
        elif sha256(folder / file) != digest:
            wrong.append(f"{folder / file}: is not what {RECORD} was written for; check it out again")
    if wrong:
        raise Mnv4benchError("\n".join(wrong))


def _remade(file: str) -> bool:
    return any(PurePath(file).match(pattern) for pattern in REMADE)


def unlike(folder: Path, results: Path) -> list[str]:
    """Return the tables, figures and pages of a reference that were rebuilt with other bytes, or not at all."""
    record = read(folder.name, folder.parent)
    made = [file for file in record.files if _remade(file)]
    return [file for file in made if not (results / file).is_file() or sha256(results / file) != record.files[file]]
