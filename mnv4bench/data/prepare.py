"""Making a checked data set of a spec, whatever its images come from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mnv4bench.data import check, classes, coco
from mnv4bench.data.equal import equal_images
from mnv4bench.data.parts import SPLITS, Document, Part, Source
from mnv4bench.data.prepared import SOURCE, STATES, FileStates, annotations_path, digest, file_states
from mnv4bench.data.problems import refuse
from mnv4bench.data.sources import source, source_digest
from mnv4bench.io.files import write_json, write_text
from mnv4bench.io.words import count
from mnv4bench.results.dataset import RECORD, Dataset, Split
from mnv4bench.spec.run import DataSpec


def prepare(spec: DataSpec, folder: Path, threads: int | None = None) -> Dataset:
    """Make the checked data set of `spec` in `folder`.

    Drawn images are written below `folder`; photographs stay where they lie. Annotations are rewritten with their keys
    and records in one fixed order, each image record with the SHA-256 of its file. dataset.json is written last, so
    where it exists the rest is complete; data that are refused leave an earlier set as it was.

    Args:
        threads: how many images are decoded at a time; all cores when None.

    Raises:
        DataError: lists every offender by name.
    """
    folder = Path(folder)
    read = source_digest(spec)  # before it is read: what changes meanwhile then differs
    origin = source(spec, folder)
    documents, notes, states = checked(origin, spec, threads)
    (folder / RECORD).unlink(missing_ok=True)
    for name, document in documents.items():
        write_text(annotations_path(folder, name), json.dumps(document, sort_keys=True, separators=(",", ":")) + "\n")
    write_json(folder / STATES, {**states, SOURCE: read})
    categories = documents["val"]["categories"]
    dataset = Dataset(
        name=spec.label,
        digest=digest(folder),
        classes=tuple(category["name"] for category in categories),
        category_ids=tuple(category["id"] for category in categories),
        slices=origin.slices,
        train=_split(folder, "train", origin.train, documents["train"]),
        val=_split(folder, "val", origin.val, documents["val"]),
        notes=notes,
    )
    write_json(folder / RECORD, dataset)
    return dataset


def check_folder(folder: Path) -> str:
    """Check a folder in COCO 2017's layout as `prepare` would, write nothing, and return sentences about it.

    Raises:
        DataError: lists every offender by name.
    """
    spec = coco.typed(folder)
    origin = coco.source(spec)
    documents, notes, _ = checked(origin, spec)
    counts = (f"{_contents(document)} in {name}" for name, document in documents.items())
    earlier = {note for part in origin.halves.values() for note in coco.notes_of(part.document)}
    told = (f"At import: {note}" if note in earlier else note for note in notes)
    of_classes = classes.describe(*(classes.objects_of(documents[name]) for name in SPLITS))
    equal = (line for name, document in documents.items() for line in equal_images(name, document, _sums(document)))
    return "\n".join([f"{folder}: sound; {', '.join(counts)}", *told, *equal, *of_classes])


def _sums(document: Document) -> dict[str, str]:
    return {record["file_name"]: record["sha256"] for record in document["images"]}


def _contents(document: Document) -> str:
    crowds = sum(record["iscrowd"] for record in document["annotations"])
    return f"{count(len(document['images']), 'image')} and {classes.counted(len(document['annotations']), crowds)}"


def checked(
    origin: Source, spec: DataSpec, threads: int | None = None
) -> tuple[dict[str, Document], tuple[str, ...], dict[str, FileStates]]:
    """Return the documents to write, image sums included, the notes, and the images' files, after every check.

    Raises:
        DataError: lists every offender by name.
    """
    parts = origin.halves
    problems = [problem for part in parts.values() for problem in check.structure(part)]
    if origin.train:
        problems += check.same_categories(origin.train, origin.val)
    chosen = {name: _first(part, getattr(spec, name)) for name, part in parts.items()}
    # Before they are read: a file that changes meanwhile then differs from its record.
    states = {name: file_states(part.images, chosen[name]) for name, part in parts.items()}
    sums: dict[str, list[str]] = {}
    for name, records in chosen.items():
        sums[name], faults = check.images(parts[name], records, spec.imgsz, threads)
        problems += [*faults, *check.without_objects(name, parts[name], records)]
    if origin.train:
        files = ([(r["file_name"], s) for r, s in zip(chosen[name], sums[name], strict=True)] for name in parts)
        problems += check.in_both(*files)
    refuse(problems, f"data {spec.location or spec.name}")
    documents = {name: coco.canonical(part, chosen[name], sums[name]) for name, part in parts.items()}
    documents.setdefault("train", {"images": [], "annotations": [], "categories": documents["val"]["categories"]})
    return documents, (*origin.notes, *_clipped(parts, chosen)), states


def _first(part: Part, most: int | None) -> list[dict[str, Any]]:
    """Return the first `most` image records by id."""
    records, _ = check.readable(part)
    return [records[number] for number in sorted(records)][:most]


def _clipped(parts: dict[str, Part], chosen: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    for name, part in parts.items():
        number = check.overhanging(part, chosen[name])
        if number:
            boxes = count(number, "box", "boxes")
            yield f"Clipped {boxes} of {name} that reached over the border by at most {check.OVERHANG:g} px."


def _split(folder: Path, name: str, part: Part | None, document: Document) -> Split:
    path = annotations_path(folder, name).relative_to(folder)
    if part is None:
        return Split(annotations=path.as_posix(), images=".", count=0, objects=0)
    inside = part.images.is_relative_to(folder)
    images = part.images.relative_to(folder) if inside else part.images.resolve()
    slices = Counter(image["slice"] for image in document["images"] if image.get("slice"))
    return Split(
        annotations=path.as_posix(),
        images=images.as_posix(),
        count=len(document["images"]),
        objects=len(document["annotations"]),
        slices=dict(slices),
    )
