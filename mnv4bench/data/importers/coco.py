"""COCO's JSON, one file a split or one for all images, wherever it and the images lie."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any, TypeGuard

from mnv4bench.data import check
from mnv4bench.data.coco import load_document
from mnv4bench.data.importers.folder import ByName, Folder, split_in
from mnv4bench.data.importers.pictures import ROTATED, Picture, is_turned, measure, turned
from mnv4bench.data.importers.records import ImportedImage, ImportedObject, ImportedSet
from mnv4bench.io.errors import DataError

KIND = "COCO"
Json = dict[str, Any]
LISTS = ('"images"', '"annotations"', '"categories"')


def recognise(folder: Folder) -> bool:
    """Return whether a JSON file has COCO's three lists."""
    return bool(_documents(folder))


def _documents(folder: Folder) -> list[Path]:
    return [path for path in folder.of(".json") if _has_lists(path)]


def _has_lists(path: Path) -> bool:
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
    except (OSError, UnicodeError):
        return False
    return all(name in text for name in LISTS)


def read(folder: Folder) -> ImportedSet:
    """Return the set of all JSON files; the file's or its folder's name (train, valid, …) tells the split.

    Raises:
        DataError: no usable JSON file, or two for one split.
    """
    result = ImportedSet(KIND, folder)
    images = ByName(folder.images, folder.root)
    documents = {path: _with_whole_ids(load_document(path)) for path in _chosen(folder, result)}
    categories = {path: _by_id(path, document, "categories", result) for path, document in documents.items()}
    result.classes = _classes(documents, categories, result)
    owners: dict[str | None, dict[Path, Path]] = {}
    for path, document in documents.items():
        split = _split(folder, path)
        _read(path, document, categories[path], split, images, owners.setdefault(split, {}), result)
    used = {file for given in owners.values() for file in given}
    others = [path for path in folder.images if path not in used]
    result.note("Left out, images that no JSON file names", others)
    empty = [image.path for image in result.images if not image.objects]
    result.note("Images without objects, taken as background", empty)
    return result


def _split(folder: Folder, path: Path) -> str | None:
    return split_in((*path.relative_to(folder.root).parent.parts, path.stem))


def _chosen(folder: Folder, result: ImportedSet) -> list[Path]:
    paths = _documents(folder)
    if not paths:
        raise DataError(f"{folder.root}: no JSON file with images, annotations and categories")
    instances = [path for path in paths if path.stem.startswith("instances")]
    result.note(
        "Left out, JSON files other than instances",
        [path for path in paths if instances and path not in instances],
    )
    chosen: dict[tuple[str | None, Path], Path] = {}
    for path in instances or paths:
        split = _split(folder, path)
        other = chosen.setdefault((split, path.parent if split is None else folder.root), path)
        if other != path:
            raise DataError(f"{folder.root}: {folder.named(other)} and {folder.named(path)} hold one split; keep one")
    return list(chosen.values())


def _with_whole_ids(document: Json) -> Json:
    """Return a document whose ids and sides are whole numbers, also where a tool wrote them as text or as 1.0."""
    for key, names in (
        ("images", ("id",)),
        ("categories", ("id",)),
        ("annotations", ("id", "image_id", "category_id")),
    ):
        for record in document[key]:
            for name in names if isinstance(record, dict) else ():
                value = record.get(name)
                text = isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,18}\s*", value)
                if text or (isinstance(value, float) and value.is_integer()):
                    record[name] = int(value)
    return document


def _classes(documents: dict[Path, Json], categories: dict[Path, dict[int, Json]], result: ImportedSet) -> list[str]:
    """Return all class names by id; the files may number them differently, but each name appears once in a file."""
    names: dict[str, None] = {}
    for path, records in categories.items():
        annotated = [row.get("category_id") for row in documents[path]["annotations"] if isinstance(row, dict)]
        above = [record.get("supercategory") for record in records.values()]
        repeated = Counter(str(record.get("name")) for record in records.values())
        result.problems += [f"{path}: two categories are named {name!r}" for name in repeated if repeated[name] > 1]
        for _, record in sorted(records.items()):
            name = record.get("name")
            if not isinstance(name, str) or not name.strip():
                result.problems.append(f"{path}: category {record.get('id')}: needs a name")
            elif name in above and record.get("id") not in annotated and len(records) > 1:
                result.note("Left out, a category above the others, without objects", [name])
            else:
                names[name] = None
    return list(names)


def _read(
    path: Path,
    document: Json,
    categories: dict[int, Json],
    split: str | None,
    images: ByName,
    owners: dict[Path, Path],
    result: ImportedSet,
) -> None:
    """Add a JSON file's images to the set.

    Args:
        owners: image files of the split, each with the JSON file that names it; those of this one are added.
    """
    records = _by_id(path, document, "images", result)
    files = _files(path, records, split, images, owners, result)
    pictures, problems = measure(files.values())
    result.problems += problems
    rows = _rows(path, document, records, result)
    names = {number: record.get("name") for number, record in categories.items()}
    rotated = list[Path]()
    for number, record in records.items():
        file = files.get(number)
        picture = pictures.get(file) if file else None
        if file is None or picture is None:
            continue
        turn = _is_turned(path, record, file, picture, result)
        rotated += [file] if turn else []
        objects = [_object(path, row, names, record, picture, turn, result) for row in rows[number]]
        known = [item for item in objects if item is not None]
        result.images.append(ImportedImage(file, picture.width, picture.height, picture.sha256, known, split))
    result.note(ROTATED, rotated)


def _files(
    path: Path,
    records: dict[int, Json],
    split: str | None,
    images: ByName,
    owners: dict[Path, Path],
    result: ImportedSet,
) -> dict[int, Path]:
    """Return the image files by id, and add them to `owners`."""
    files: dict[int, Path] = {}
    for number, record in records.items():
        name = str(record.get("file_name", ""))
        file = images.written_in(split, name, path)
        place = f"{path}: image {number}: {name}"
        if file is None:
            result.problems.append(f"{path}: image {number}: {images.lost(name)}")
        elif file not in owners:
            files[number] = file
            owners[file] = path
        elif owners[file] == path:
            result.problems.append(f"{place} appears more than once")
        else:
            result.problems.append(f"{place} is named by {owners[file]} too; join the two JSON files or keep one")
    return files


def _rows(path: Path, document: Json, records: dict[int, Json], result: ImportedSet) -> dict[int, list[Json]]:
    """Return the annotations by image."""
    rows: dict[int, list[Json]] = {number: [] for number in records}
    for position, row in enumerate(document["annotations"], 1):
        number = row.get("image_id") if isinstance(row, dict) else None
        if _is_whole(number) and number in rows:
            rows[number].append(row)
        else:
            name = row.get("id") if isinstance(row, dict) else f"number {position} of the list"
            result.problems.append(f"{path}: annotation {name}: unknown image_id")
    return rows


def _by_id(path: Path, document: Json, key: str, result: ImportedSet) -> dict[int, Json]:
    """Return the images or categories by id; those without one, or with another's, are problems."""
    records: dict[int, Json] = {}
    for position, record in enumerate(document[key], 1):
        number = record.get("id") if isinstance(record, dict) else None
        if not _is_whole(number):
            result.problems.append(f"{path}: {key}: number {position} of the list needs an integer id")
        elif number in records:
            result.problems.append(f"{path}: {key}: id {number} appears more than once")
        else:
            records[number] = record
    return records


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_turned(path: Path, record: Json, file: Path, picture: Picture, result: ImportedSet) -> bool:
    size = (record.get("width"), record.get("height"))
    turn = is_turned(size, picture) if all(size) else False
    if turn is None:
        sizes = f"says {size[0]}×{size[1]}, {file} is {picture.width}×{picture.height}"
        result.problems.append(f"{path}: image {record.get('id')}: {sizes}")
    return bool(turn)


def _object(
    path: Path, row: Json, names: dict[Any, Any], image: Json, picture: Picture, turn: bool, result: ImportedSet
) -> ImportedObject | None:
    place = f"{path}: annotation {row.get('id')}"
    label = names.get(row["category_id"]) if _is_whole(row.get("category_id")) else None
    if not isinstance(label, str):
        result.problems.append(f"{place}: unknown category_id {row.get('category_id')!r}")
        return None
    box = row.get("bbox") or _around(row.get("segmentation"))
    width, height = picture.stored if turn else (picture.width, picture.height)
    if _is_empty(box):
        result.empty.append(f"{result.folder.named(path)}: annotation {row.get('id')}")
        return None
    faults = check.box_faults(box, {"file_name": image.get("file_name"), "width": width, "height": height})
    if faults or box is None:
        result.problems += [f"{place}: {fault}" for fault in faults]
        return None
    area = row.get("area")
    known = isinstance(area, int | float) and math.isfinite(area) and area > 0
    return ImportedObject(
        label, turned(box, picture) if turn else box, bool(row.get("iscrowd")), area if known else None
    )


def _is_empty(box: Any) -> bool:
    """Return whether a side is zero and neither is negative."""
    sides = box[2:] if isinstance(box, list) and len(box) == 4 else []
    return all(isinstance(side, int | float) for side in sides) and min(sides, default=1) == 0


def _around(polygons: Any) -> list[float] | None:
    """Return the box around COCO's polygons, where there are any."""
    if not isinstance(polygons, list) or not polygons:
        return None
    flat = [polygon for polygon in polygons if isinstance(polygon, list)]
    try:
        x = [float(value) for polygon in flat for value in polygon[::2]]
        y = [float(value) for polygon in flat for value in polygon[1::2]]
        return [min(x), min(y), max(x) - min(x), max(y) - min(y)]
    except (TypeError, ValueError):
        return None
