"""Reading a prepared data set: where it lies, its record, and whether it is still what was prepared."""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mnv4bench.data import scenes
from mnv4bench.data.content import file_content
from mnv4bench.data.parts import SPLITS
from mnv4bench.data.problems import refuse
from mnv4bench.data.sources import ABSENT, source_digest
from mnv4bench.io.errors import DataError, FileError
from mnv4bench.io.files import read_json, sha256
from mnv4bench.results.dataset import RECORD, Dataset
from mnv4bench.results.record import read_record
from mnv4bench.spec.run import DataSpec

STATES = "files.json"
"""Size and time of modification of every image when it was checked, so that `verify` need not read them all again."""
SOURCE = "source"
"""Beside them, the digest of what was read (mnv4bench.data.sources.source_digest)."""
READ_WHOLE = 1 << 28
"""Bytes of images that are read in a second: so small a set is read whole, whatever the times of its files say."""

FileStates = dict[str, tuple[int, int] | None]
"""By file name: bytes, and nanoseconds of the last modification; None where there is no such file."""


def key(spec: DataSpec) -> str:
    """Return the readable folder name of a prepared data set; equal names are equal data.

    Photographs are letterboxed when they are loaded, so their names do not depend on the image side.
    """
    if spec.name == "scenes":
        train, val = spec.train or scenes.TRAIN, spec.val or scenes.VAL
        return f"scenes-{spec.imgsz}-{train}x{val}-seed{spec.seed}"
    counts = "x".join("all" if count is None else str(count) for count in (spec.train, spec.val))
    if spec.name == "bccd":
        return f"bccd-{counts}"
    folder = spec.location
    word = re.sub(r"[^A-Za-z0-9_.-]+", "_", Path(folder).name) or "folder"
    # Two folders may share a last name.
    mark = "" if word == folder else "-" + hashlib.sha256(folder.encode()).hexdigest()[:8]
    return f"{spec.name}-{word}{mark}-{counts}"


def load(folder: Path) -> Dataset:
    """Return the record of a prepared data set.

    Raises:
        FileError: there is none, or it is damaged.
    """
    return read_record(Path(folder) / RECORD, Dataset)


def intact(folder: Path) -> Dataset:
    """Return the record of a prepared data set whose annotations are those that were prepared; images are not read.

    Raises:
        FileError: there is none, or it is damaged.
        DataError: an annotation file is missing or another.
    """
    folder = Path(folder)
    dataset = load(folder)
    problems = [f"{path}: missing" for split in SPLITS if not (path := annotations_path(folder, split)).is_file()]
    if not problems and (now := digest(folder)) != dataset.digest:
        problems = [f"{folder}: annotations changed since they were prepared (digest {dataset.digest}, now {now})"]
    _refuse(problems, folder)
    return dataset


def verify(folder: Path, read_all: bool = False) -> Dataset:
    """Return the record of a prepared data set that is still what was prepared.

    Of a set that is larger than READ_WHOLE, an image is read only where its size or its time of modification is not the
    recorded one.

    Args:
        read_all: read every image, however many.

    Raises:
        FileError: there is none, or its record is damaged.
        DataError: lists what changed.
    """
    folder = Path(folder)
    dataset = intact(folder)
    known = {} if read_all else _states(folder)
    if sum(state[0] for split in known.values() for state in split.values() if state) <= READ_WHOLE:
        known = {}
    _refuse([line for split in SPLITS for line in _changed(folder, dataset, split, known.get(split, {}))], folder)
    return dataset


def _refuse(problems: list[str], folder: Path) -> None:
    refuse(problems, f"data in {folder} (delete {folder / RECORD} to prepare it again)")


def _changed(folder: Path, dataset: Dataset, split: str, known: FileStates) -> Iterator[str]:
    half = {"train": dataset.train, "val": dataset.val}[split]
    images = dataset.path(folder, half.images)
    records = read_json(dataset.path(folder, half.annotations))["images"]
    now = file_states(images, records)
    for record in records:
        name = record["file_name"]
        path = images / name
        if now[name] is None:
            yield f"{path}: missing image file"
        elif tuple(known.get(name) or ()) != now[name] and (content := sha256(path)) != record["sha256"]:
            yield f"{path}: changed since it was prepared (SHA-256 {record['sha256']}, now {content})"


def unchanged(path: Path, image: Mapping[str, Any], folder: Path) -> Path:
    """Return the path of an image that is still the one that was prepared.

    Args:
        image: its COCO record.
        folder: where dataset.json lies.

    Raises:
        DataError: it is missing or another.
    """
    wanted = image.get("sha256")
    if wanted and hashlib.sha256(file_content(path)).hexdigest() != wanted:
        raise DataError(f"{path}: changed since it was prepared; mend it, delete {folder / RECORD} and start again")
    return path


def outdated(spec: DataSpec, folder: Path) -> bool:
    """Return whether the source of a prepared data set is another than when it was prepared, by what the workflow looks
    at: annotation files by their bytes, images by name, size and time of modification.

    A source that is not there, or of which nothing is recorded, is not.
    """
    recorded = _content(folder).get(SOURCE)
    return isinstance(recorded, str) and source_digest(spec) not in (recorded, ABSENT)


def _content(folder: Path) -> dict[str, Any]:
    try:
        content = read_json(folder / STATES)
    except FileError:
        return {}  # then every image is read
    return content if isinstance(content, dict) else {}


def _states(folder: Path) -> dict[str, FileStates]:
    states = {split: state for split, state in _content(folder).items() if split != SOURCE}
    return states if _is_states(states) else {}


def _is_states(content: dict[str, Any]) -> bool:
    """Whether JSON has the form of FileStates by split."""
    splits = list(content.values())
    states = [state for split in splits for state in (split.values() if isinstance(split, dict) else [0])]
    return all(
        state is None or (isinstance(state, list) and len(state) == 2 and all(isinstance(n, int) for n in state))
        for state in states
    )


def file_states(images: Path, records: Iterable[dict[str, Any]]) -> FileStates:
    """Return the state of each record's image file."""
    return {record["file_name"]: _state(images / record["file_name"]) for record in records}


def _state(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def annotations_path(folder: Path, split: str) -> Path:
    """Return the path of a split's annotation file."""
    return folder / "annotations" / f"{split}.json"


def digest(folder: Path) -> str:
    """Return the SHA-256 of a prepared set's content.

    The annotations name every image's sum, so their own two sums cover all bytes, in order and wherever they lie.
    """
    sums = "".join(f"{split} {sha256(annotations_path(folder, split))}\n" for split in SPLITS)
    return hashlib.sha256(sums.encode()).hexdigest()
