"""From a reference's records to a preset's folder in which everything that takes training or timing is done."""

from __future__ import annotations

import lzma
import shutil
from pathlib import Path

from mnv4bench.io.files import replacing, write_json, write_text
from mnv4bench.latency import arms, forward
from mnv4bench.reference.contents import BLOCKS, LATENCY, PACKED, computed_files, rendered_files, timed_files
from mnv4bench.reference.values import Change, changes
from mnv4bench.results.reference import check_files, read_reference
from mnv4bench.spec.plan import Plan


def restore(plan: Plan, folder: Path, results: Path) -> None:
    """Copy a reference's records to `results`, and compute what follows from timed blocks.

    Raises:
        Mnv4benchError: a file is missing or is not the one that was published.
    """
    folder = Path(folder)
    record = read_reference(folder.name, folder.parent)
    check_files(record, folder)
    for file in record.files:
        if file != PACKED:
            with replacing(results / file) as temporary:
                shutil.copyfile(folder / file, temporary)
    if PACKED in record.files:
        write_text(results / BLOCKS, lzma.decompress((folder / PACKED).read_bytes()).decode("utf-8"))
    for file in timed_files(folder):
        path = results / file
        write_json(path, arms.recomputed(plan, results) if file == LATENCY else forward.recomputed(path))


def changed(plan: Plan, folder: Path, results: Path) -> list[Change]:
    """Return the published numbers, verdicts and names that did not come out again in `results`, those in the tables of
    its pages included.

    Raises:
        Mnv4benchError: a computed file is missing or damaged, on either side.
    """
    check_files(read_reference(folder.name, folder.parent), folder)
    pages = [file for file in rendered_files(plan, folder) if file.endswith(".md") and (results / file).exists()]
    files = [*computed_files(plan, folder), *timed_files(folder), *pages]
    return [change for file in files for change in changes(folder, results, file)]
