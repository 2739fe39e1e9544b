"""Data sets in COCO 2017's layout (https://cocodataset.org/#format-data).

Annotations are in annotations/instances_{train,val}2017.json, images in {train,val}2017/, images/{train,val}2017/ or
images/{train,val}/.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnv4bench.data.coco_classes import COCO
from mnv4bench.data.parts import SPLITS, Document, Part, Source
from mnv4bench.io.errors import DataError
from mnv4bench.io.places import DATA_VARIABLE
from mnv4bench.io.words import count
from mnv4bench.spec.run import DataSpec
from mnv4bench.spec.yamlfile import YamlFile

COMPLETENESS = "annotations"
"""Key of an image record that says how fully its objects are annotated, in sets that were joined from several sources;
each word is scored as a slice of its own."""

EMPTY_BOXES = frozenset({200365, 550395})
"""Images of train2017 that are published with one box of zero height each (cocodataset/cocoapi, issue 355)."""


MOVED = (
    "leave a link to the images there, and finished runs stay as they are; or write where they lie now, and every run "
    "is trained anew, since the path is part of its name"
)
LARGEST_AREA = 1e18
"""In pixels; JSON's whole numbers may be too large for any arithmetic."""


def source(spec: DataSpec) -> Source:
    """Return both splits of the spec's folder, unchanged.

    Raises:
        DataError: no folder named or found, an annotation file that is missing, empty or not JSON, or classes that are
            not COCO 2017's although the spec says that it is.
    """
    folder = locate(spec.location)
    halves = {split: _read(folder, split) for split in splits(spec)}
    if spec.name == "coco":
        _refuse_other_classes(halves["val"][0])
    notes = [note for _, found in halves.values() for note in found]
    val = halves["val"][0]
    for part, _ in halves.values():
        for record in _records(part, "images"):
            if record.get("slice") is not None and not isinstance(record["slice"], str):
                del record["slice"]  # another thing of that name, such as a scanner's number
    for record in _records(val, "images"):
        if isinstance(record.get(COMPLETENESS), str):
            record.setdefault("slice", record[COMPLETENESS])
    slices = sorted({record["slice"] for record in _records(val, "images") if record.get("slice")})
    return Source(halves["train"][0] if "train" in halves else None, val, tuple(slices), tuple(notes))


def splits(spec: DataSpec) -> tuple[str, ...]:
    """Return the halves that are read."""
    return ("val",) if spec.train == 0 else SPLITS


def locate(folder: str) -> Path:
    """Return the folder's path: inside $MNV4BENCH_DATA if it is there, else as given."""
    base = os.environ.get(DATA_VARIABLE)
    places = [*([Path(base) / folder] if base else []), Path(folder)]
    for place in places:
        if place.is_dir():
            return place.resolve()
    if Path(folder).is_absolute():
        raise DataError(f"{folder}: no such folder")
    tried = f" (tried {', '.join(map(str, places))})" if base else ""
    raise DataError(f"data folder {folder!r} not found{tried}; set ${DATA_VARIABLE} to its parent or give its path")


def typed(folder: Path) -> DataSpec:
    """Return the spec of a folder that a user has typed.

    Raises:
        DataError: there is none.
    """
    try:
        locate(str(folder))
    except DataError as error:
        raise DataError(f"{folder}: no such folder") from error
    return DataSpec(name="folder", path=str(folder))


def absent(spec: DataSpec, preset: Path) -> str | None:
    """Return what is wrong where a preset's images are the user's own and do not lie where its file says."""
    if spec.name != "folder":
        return None
    try:
        locate(spec.location)
    except DataError as error:
        moved = f"{spec.path} does not exist; {MOVED}"
        return str(YamlFile(preset).error(("data", "path"), moved if Path(spec.location).is_absolute() else str(error)))
    return None


def _read(folder: Path, split: str) -> tuple[Part, list[str]]:
    path = annotation_file(folder, split)
    document = load_document(path)
    part = Part(document, image_folder(folder, split), str(path), folder)
    notes = notes_of(document)
    dropped = [record for record in _records(part, "annotations") if _known_empty(record)]
    if dropped:
        document["annotations"] = [record for record in document["annotations"] if record not in dropped]
        names = ", ".join(f"annotation {record['id']} of image {record['image_id']}" for record in dropped)
        boxes = count(len(dropped), "box", "boxes")
        notes.append(f"Dropped {boxes} of zero size known in {path.name}: {names}.")
    return part, notes


def load_document(path: Path) -> dict[str, Any]:
    """Return an annotation file's content.

    Raises:
        DataError: missing, empty, not JSON, or without one of COCO's three lists.
    """
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: annotation file cannot be read (not a regular file)")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(
            f"{path}: annotation file cannot be read ({error.strerror}); `mnv4bench import` makes COCO 2017's layout"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: annotation file is not UTF-8 text: {error}") from error
    if not text.strip():
        raise DataError(f"{path}: annotation file is empty; fetch or export it again")
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: annotation file is not valid JSON: {error.msg}") from error
    except ValueError as error:  # a number of thousands of digits
        raise DataError(f"{path}: annotation file is not valid JSON: {error}") from error
    except RecursionError as error:
        raise DataError(f"{path}: annotation file is not COCO's: lists inside lists without end") from error
    lists = ("images", "annotations", "categories")
    if not isinstance(document, dict) or not all(isinstance(document.get(key), list) for key in lists):
        raise DataError(f"{path}: needs the lists {', '.join(lists)}, as COCO's instances files have")
    return document


def annotation_file(folder: Path, split: str) -> Path:
    """Return the path of a split's annotations."""
    return folder / "annotations" / f"instances_{split}2017.json"


def image_folder(folder: Path, split: str) -> Path:
    """Return the folder that a split's file names are relative to.

    Raises:
        DataError: none of the usual places exists.
    """
    places = [folder / f"{split}2017", folder / "images" / f"{split}2017", folder / "images" / split]
    for place in places:
        if place.is_dir():
            return place
    raise DataError(f"{folder}: no images of {split}; looked for {', '.join(str(place) for place in places)}")


def _refuse_other_classes(part: Part) -> None:
    """Refuse what would be printed as COCO 2017 and is not."""
    other = [str(record.get("name")) for record in _records(part, "categories") if record.get("name") not in COCO]
    if other:
        raise DataError(
            f"{part.origin}: the class {other[0]!r} is not one of COCO 2017's; for a set of your own write "
            f"`data: {{name: folder, path: …}}` in place of `name: coco`"
        )


def notes_of(document: dict[str, Any]) -> list[str]:
    """Return what `mnv4bench import` wrote of how it made an annotation file."""
    notes = _info(document).get("notes", [])
    return [note for note in notes if isinstance(note, str)] if isinstance(notes, list) else []


def _info(document: dict[str, Any]) -> dict[str, Any]:
    info = document.get("info")
    return info if isinstance(info, dict) else {}


def _records(part: Part, key: str) -> list[dict[str, Any]]:
    return [record for record in part.document[key] if isinstance(record, dict)]


def _known_empty(record: dict[str, Any]) -> bool:
    box = record.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or "id" not in record:
        return False
    image = record.get("image_id")
    return isinstance(image, int) and image in EMPTY_BOXES and bool(box[3] == 0)


_IMAGE_KEYS = ("id", "file_name", "width", "height", "slice")


def canonical(part: Part, images: Sequence[dict[str, Any]], sums: Sequence[str]) -> Document:
    """Return what training and scoring need of `images`, in one fixed order; `sums` are their SHA-256.

    Annotations are numbered from 1, since pycocotools takes an id of 0 for no match. Boxes are clipped to their image.
    A box's own area is kept where the set gives one, because COCO sorts objects into small, medium and large by their
    segmented area. The part must have passed `mnv4bench.data.check.structure`.
    """
    sizes = {record["id"]: (record["width"], record["height"]) for record in images}
    annotations = [record for record in part.document["annotations"] if record["image_id"] in sizes]
    return {
        "images": [
            {**{key: record[key] for key in _IMAGE_KEYS if key in record}, "sha256": digest}
            for record, digest in zip(images, sums, strict=True)
        ],
        "annotations": [
            {"id": position, **_annotation(record, *sizes[record["image_id"]])}
            for position, record in enumerate(sorted(annotations, key=lambda record: record["id"]), 1)
        ],
        "categories": [
            {"id": record["id"], "name": record["name"]}
            for record in sorted(part.document["categories"], key=lambda record: record["id"])
        ],
    }


def _annotation(record: dict[str, Any], width: int, height: int) -> dict[str, Any]:
    box = _clip(record["bbox"], width, height)
    area = record.get("area")
    has_area = isinstance(area, int | float) and 0 < area < LARGEST_AREA
    return {
        "image_id": record["image_id"],
        "category_id": record["category_id"],
        "bbox": box,
        "area": area if has_area else box[2] * box[3],
        "iscrowd": int(record.get("iscrowd", 0)),
    }


def _clip(box: list[float], width: int, height: int) -> list[float]:
    x, y, w, h = box
    if x >= 0 and y >= 0 and x + w <= width and y + h <= height:
        return box  # as the set wrote it, without the rounding of another subtraction
    left, top = max(x, 0), max(y, 0)
    return [left, top, min(x + w, width) - left, min(y + h, height) - top]
