"""BCCD: 364 photographs of blood cells under a microscope (github.com/Shenggan/BCCD_Dataset, MIT licence).

Training uses the set's own list `trainval` (292 images) and validation its list `test` (72 images), as in
Pascal VOC.
The set also cuts `trainval` into `train` and `val`; nothing here is chosen by looking at validation results, so there
is no need to hold back a third part of so few images.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.request
import zipfile
from http.client import HTTPException
from importlib.resources import files
from pathlib import Path

from mnv4bench.data import voc
from mnv4bench.data.parts import Part, Source
from mnv4bench.data.problems import refuse
from mnv4bench.io.errors import DataError
from mnv4bench.io.files import replacing, sha256
from mnv4bench.io.places import DATA_VARIABLE, cache

COMMIT = "d272fb14cdff6e473fafeeeba32aba5f560e9e43"
ARCHIVE = f"https://codeload.github.com/Shenggan/BCCD_Dataset/zip/{COMMIT}"
LISTS = {"train": "trainval", "val": "test"}
CLASSES = ("RBC", "WBC", "Platelets")


def source() -> Source:
    """Return both splits, fetched if need be and checked file by file.

    Raises:
        DataError: not there and not to be fetched, or a file differs from the manifest.
    """
    sums = manifest()
    root = find(sums)
    compare(root, sums)
    (train, train_notes), (val, val_notes) = (read(root, split) for split in ("train", "val"))
    return Source(train, val, notes=(*train_notes, *val_notes))


def manifest() -> dict[str, str]:
    """Return the SHA-256 of every file in use, by its path in the repository at COMMIT."""
    lines = (files("mnv4bench.data") / "bccd_sha256.txt").read_text(encoding="utf-8").splitlines()
    return {path: digest for digest, path in (line.split("  ", 1) for line in lines)}


def find(sums: dict[str, str]) -> Path:
    """Return the folder of the set: $MNV4BENCH_DATA/BCCD_Dataset, else the cache, which is filled once."""
    base = os.environ.get(DATA_VARIABLE)
    if base and (Path(base) / "BCCD_Dataset").is_dir():
        return Path(base) / "BCCD_Dataset"
    cached = cache() / f"BCCD_Dataset-{COMMIT[:12]}"
    if not all((cached / path).is_file() for path in sums):
        fetch(cached, sums, ARCHIVE)
    return cached


def fetch(folder: Path, sums: dict[str, str], url: str) -> None:
    """Fetch the zip archive at `url` and write the manifest's files into `folder`, each checked before it is written.

    Raises:
        DataError: no connection, or an archive of other content.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile() as stream:
        try:
            with urllib.request.urlopen(url, timeout=60) as response:
                while block := response.read(1 << 20):
                    stream.write(block)
        except (OSError, HTTPException) as error:
            raise DataError(
                f"BCCD is not on this machine and {url} cannot be fetched ({error}); connect once and start again, "
                f"or clone github.com/Shenggan/BCCD_Dataset at {COMMIT[:12]} and set ${DATA_VARIABLE} to the folder "
                "around it"
            ) from error
        try:
            _unpack(zipfile.ZipFile(stream), folder, sums)
        except zipfile.BadZipFile as error:
            raise DataError(f"{url}: not a whole zip archive ({error}); start again") from error


def _unpack(archive: zipfile.ZipFile, folder: Path, sums: dict[str, str]) -> None:
    members = {name.partition("/")[2]: name for name in archive.namelist()}
    missing = [f"{path}: not in the archive" for path in sums if path not in members]
    refuse(missing, "BCCD archive")
    for path, digest in sums.items():
        content = archive.read(members[path])
        refuse([f"{path}: other content than at {COMMIT[:12]}"] * (_sum(content) != digest), "BCCD archive")
        with replacing(folder / path) as temporary:
            temporary.write_bytes(content)


def compare(root: Path, sums: dict[str, str]) -> None:
    """Compare every file in use with the manifest.

    Raises:
        DataError: lists the files that are missing or differ.
    """
    problems = []
    for path, digest in sums.items():
        if not (root / path).is_file():
            problems.append(f"{path}: missing")
        elif sha256(root / path) != digest:
            problems.append(f"{path}: differs from the manifest (BCCD at {COMMIT[:12]})")
    refuse(problems, f"BCCD in {root}")


def read(root: Path, split: str) -> tuple[Part, list[str]]:
    """Return a split, and a sentence for every object left out because its box has no area."""
    return voc.read(root / "BCCD", LISTS[split], CLASSES)


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
