"""Data sets: whatever the images come from, COCO JSON is what the rest of the package sees."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mnv4bench.data import bccd, check, coco, scenes
from mnv4bench.data.importers import import_dataset
from mnv4bench.data.parts import Document, Part, Source
from mnv4bench.io.errors import DataError
from mnv4bench.io.files import read_json, sha256, write_json, write_text
from mnv4bench.results.dataset import Dataset, Split
from mnv4bench.spec.run import DataSpec

__all__ = ["RECORD", "check_folder", "import_dataset", "key", "load", "prepare", "verify"]

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


def prepare(spec: DataSpec, folder: Path, threads: int | None = None) -> Dataset:
    """Make the checked data set of `spec` in `folder`.

    Drawn images are written below `folder`; photographs stay where they lie. Annotations are rewritten with their keys
    and records in one fixed order, each image record with the SHA-256 of its file. dataset.json is written last, so
    where it exists the rest is complete.

    Args:
        threads: how many images are decoded at a time; all cores when None.

    Raises:
        DataError: lists every offender by name.
    """
    folder = Path(folder)
    (folder / RECORD).unlink(missing_ok=True)
    source = _source(spec, folder)
    documents, notes = _checked(source, spec, threads)
    for name, document in documents.items():
        write_text(_annotations(folder, name), json.dumps(document, sort_keys=True, separators=(",", ":")) + "\n")
    categories = documents["train"]["categories"]
    dataset = Dataset(
        name=spec.name,
        digest=_digest(folder),
        classes=tuple(category["name"] for category in categories),
        category_ids=tuple(category["id"] for category in categories),
        slices=source.slices,
        train=_split(folder, "train", source.train, documents["train"]),
        val=_split(folder, "val", source.val, documents["val"]),
        notes=notes,
    )
    write_json(folder / RECORD, dataset)
    return dataset


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
    problems = [f"{_annotations(folder, n)}: missing" for n in splits if not _annotations(folder, n).is_file()]
    if not problems and _digest(folder) != dataset.digest:
        problems.append(
            f"{folder}: annotations changed since the set was prepared; delete the folder and prepare it again"
        )
    if not problems:
        problems = [str(path) + ": missing image file" for path in _paths(folder, dataset) if not path.is_file()]
    check.refuse(problems, f"data in {folder}")
    return dataset


def check_folder(folder: Path) -> str:
    """Check a folder in COCO 2017's layout as `prepare` would, write nothing, and return a sentence about it.

    Raises:
        DataError: lists every offender by name.
    """
    spec = DataSpec(name="coco", folder=str(folder))
    documents, notes = _checked(coco.source(spec), spec, None)
    counts = (f"{len(d['images'])} images and {len(d['annotations'])} objects in {n}" for n, d in documents.items())
    return "\n".join([f"{folder}: sound; {', '.join(counts)}", *notes])


def _source(spec: DataSpec, folder: Path) -> Source:
    if spec.name == "scenes":
        return scenes.source(spec, folder)
    return bccd.source() if spec.name == "bccd" else coco.source(spec)


def _checked(source: Source, spec: DataSpec, threads: int | None) -> tuple[dict[str, Document], tuple[str, ...]]:
    """Return the documents to write, image sums included, and the notes, after every check has passed."""
    parts = {"train": source.train, "val": source.val}
    problems = [problem for part in parts.values() for problem in check.structure(part)]
    problems += check.same_categories(*parts.values())
    chosen = {name: _first(part, getattr(spec, name)) for name, part in parts.items()}
    sums: dict[str, list[str]] = {}
    for name, records in chosen.items():
        sums[name], faults = check.images(records, parts[name].images, threads)
        problems += faults
    files = ([(r["file_name"], s) for r, s in zip(chosen[name], sums[name], strict=True)] for name in parts)
    problems += check.in_both(*files)
    check.refuse(problems, f"data {key(spec)}")
    documents = {name: coco.canonical(part, chosen[name], sums[name]) for name, part in parts.items()}
    return documents, (*source.notes, *_clipped(parts))


def _first(part: Part, count: int | None) -> list[dict[str, Any]]:
    """Return the first `count` image records by id."""
    records, _ = check.readable(part)
    return [records[number] for number in sorted(records)][:count]


def _clipped(parts: dict[str, Part]) -> Iterator[str]:
    for name, part in parts.items():
        count = check.overhanging(part)
        if count:
            yield f"Clipped {count} boxes of {name} that reached over the border by at most {check.OVERHANG:g} px."


def _annotations(folder: Path, split: str) -> Path:
    return folder / "annotations" / f"{split}.json"


def _digest(folder: Path) -> str:
    # The annotations name every image's sum, so their own two sums cover all bytes, in order and wherever they lie.
    sums = "".join(f"{split} {sha256(_annotations(folder, split))}\n" for split in ("train", "val"))
    return hashlib.sha256(sums.encode()).hexdigest()


def _split(folder: Path, name: str, part: Part, document: Document) -> Split:
    inside = part.images.is_relative_to(folder)
    images = part.images.relative_to(folder) if inside else part.images.resolve()
    path = _annotations(folder, name).relative_to(folder)
    slices = Counter(image["slice"] for image in document["images"] if image.get("slice"))
    return Split(
        annotations=path.as_posix(),
        images=images.as_posix(),
        count=len(document["images"]),
        objects=len(document["annotations"]),
        slices=dict(slices),
    )


def _paths(folder: Path, dataset: Dataset) -> Iterator[Path]:
    for split in (dataset.train, dataset.val):
        images = dataset.path(folder, split.images)
        for record in read_json(dataset.path(folder, split.annotations))["images"]:
            yield images / record["file_name"]
