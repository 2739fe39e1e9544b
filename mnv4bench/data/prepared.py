"""Reading a prepared data set: where it lies, its record, and whether it is still what was prepared."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from mnv4bench.data import scenes
from mnv4bench.data.problems import refuse
from mnv4bench.io.errors import DataError
from mnv4bench.io.files import read_json, sha256
from mnv4bench.results.dataset import Dataset
from mnv4bench.spec.run import DataSpec

RECORD = "dataset.json"


def key(spec: DataSpec) -> str:
    """Return the readable folder name of a prepared data set; equal names are equal data.

    Photographs are letterboxed when they are loaded, so their names do not depend on the image side.
    """
    if spec.name == "scenes":
        train, val = spec.train or scenes.TRAIN, spec.val or scenes.VAL
        return f"scenes-{spec.imgsz}-{train}x{val}-seed{spec.seed}"
    counts = f"{spec.train or 'all'}x{spec.val or 'all'}"
    if spec.name == "bccd":
        return f"bccd-{counts}"
    folder = spec.folder or ""
    word = re.sub(r"[^A-Za-z0-9_.-]+", "_", Path(folder).name) or "folder"
    # Two folders may share a last name.
    mark = "" if word == folder else "-" + hashlib.sha256(folder.encode()).hexdigest()[:8]
    return f"coco-{word}{mark}-{counts}"


def load(folder: Path) -> Dataset:
    """Return the record of a prepared data set.

    Raises:
        DataError: there is none, or it has another schema.
    """
    path = Path(folder) / RECORD
    try:
        return Dataset.model_validate(read_json(path))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no prepared data set here; run the workflow, which makes it") from error
    except (json.JSONDecodeError, ValidationError) as error:
        raise DataError(f"{path}: not a data set's record; delete {folder} and prepare it again ({error})") from error


def verify(folder: Path) -> Dataset:
    """Return the record of a prepared data set whose annotations are unchanged and whose images still exist.

    Images are looked for, not read.

    Raises:
        DataError: lists what changed.
    """
    folder = Path(folder)
    dataset = load(folder)
    splits = {"train": dataset.train, "val": dataset.val}
    problems = [f"{annotations_path(folder, n)}: missing" for n in splits if not annotations_path(folder, n).is_file()]
    if not problems and digest(folder) != dataset.digest:
        problems.append(
            f"{folder}: annotations changed since the set was prepared; delete the folder and prepare it again"
        )
    if not problems:
        problems = [str(path) + ": missing image file" for path in _paths(folder, dataset) if not path.is_file()]
    refuse(problems, f"data in {folder}")
    return dataset


def annotations_path(folder: Path, split: str) -> Path:
    """Return the path of a split's annotation file."""
    return folder / "annotations" / f"{split}.json"


def digest(folder: Path) -> str:
    """Return the SHA-256 of a prepared set's content.

    The annotations name every image's sum, so their own two sums cover all bytes, in order and wherever they lie.
    """
    sums = "".join(f"{split} {sha256(annotations_path(folder, split))}\n" for split in ("train", "val"))
    return hashlib.sha256(sums.encode()).hexdigest()


def _paths(folder: Path, dataset: Dataset) -> Iterator[Path]:
    for split in (dataset.train, dataset.val):
        images = dataset.path(folder, split.images)
        for record in read_json(dataset.path(folder, split.annotations))["images"]:
            yield images / record["file_name"]
