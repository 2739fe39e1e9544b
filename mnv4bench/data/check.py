"""Every fault of a data set that would spoil a run, found before training starts and reported together."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import Any, TypeVar

from mnv4bench.data.content import file_content
from mnv4bench.data.decode import decode, orientation
from mnv4bench.data.letterbox import too_thin
from mnv4bench.data.parts import Part
from mnv4bench.io.errors import DataError
from mnv4bench.io.words import count

Entry = TypeVar("Entry")

OVERHANG = 1.0
"""Pixels by which a box may reach over its image's border, for rounding; such boxes are clipped."""
LARGEST = 1e9
"""No number of pixels; JSON's whole numbers may be too large for any arithmetic."""


def structure(part: Part) -> list[str]:
    """Return what is wrong with a split's records, a line each; images are not opened."""
    categories, problems = _categories(part)
    images, more = readable(part)
    problems += more
    if not part.document["images"]:
        problems.append(f"{part.origin}: has no images; a split may not be empty")
    seen: Counter[Any] = Counter()
    for position, record in enumerate(part.document["annotations"]):
        place = f"{part.origin}: annotation {_name(record, position)}"
        if not _is_record(record, "id"):
            problems.append(f"{place}: needs an integer id")
            continue
        seen[record["id"]] += 1
        if seen[record["id"]] == 2:
            problems.append(f"{place}: id appears more than once")
        if _lookup(categories, record.get("category_id")) is None:
            problems.append(f"{place}: unknown category_id {record.get('category_id')!r}")
        if record.get("iscrowd", 0) not in (0, 1):
            problems.append(f"{place}: iscrowd must be 0 or 1, not {record['iscrowd']!r}")
        image = _lookup(images, record.get("image_id"))
        if image is None:
            problems.append(f"{place}: unknown image_id {record.get('image_id')!r}")
        problems += [f"{place}: {fault}" for fault in box_faults(record.get("bbox"), image)]
    return problems


def _categories(part: Part) -> tuple[dict[int, str], list[str]]:
    problems, ids, names, names_by_id = [], Counter[int](), Counter[str](), dict[int, str]()
    for position, record in enumerate(part.document["categories"]):
        place = f"{part.origin}: category {_name(record, position)}"
        if not _is_record(record, "id") or not isinstance(record.get("name"), str):
            problems.append(f"{place}: needs an integer id and a name")
            continue
        names_by_id[record["id"]] = record["name"]
        ids[record["id"]] += 1
        names[record["name"]] += 1
        if ids[record["id"]] == 2:
            problems.append(f"{place}: id appears more than once")
        if names[record["name"]] == 2:
            problems.append(f"{place}: name {record['name']!r} appears more than once")
    if not part.document["categories"]:
        problems.append(f"{part.origin}: has no categories")
    return names_by_id, problems


def readable(part: Part) -> tuple[dict[int, dict[str, Any]], list[str]]:
    """Return a split's well-formed image records by id, and what is wrong with the others, a line each."""
    problems, images, files = [], {}, Counter[str]()
    for position, record in enumerate(part.document["images"]):
        place = f"{part.origin}: image {_name(record, position)}"
        if not _is_record(record, "id", "width", "height") or not isinstance(record.get("file_name"), str):
            problems.append(f"{place}: needs integer id, width and height, and a file_name")
            continue
        if not _is_file_name(record["file_name"]):
            problems.append(f"{place}: file_name {record['file_name']!r} is no name of a file")
            continue
        if record["id"] in images:
            problems.append(f"{place}: id appears more than once")
        files[record["file_name"]] += 1
        if files[record["file_name"]] == 2:
            problems.append(f"{place}: file_name {record['file_name']!r} appears more than once")
        images[record["id"]] = record
    return images, problems


def box_faults(box: Any, image: dict[str, Any] | None) -> list[str]:
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(value) for value in box):
        return [f"bbox must be four numbers [x, y, width, height], not {box!r}"]
    if not all(abs(value) < LARGEST for value in box):
        return [f"bbox {box} is not finite"]
    x, y, width, height = box
    if width <= 0 or height <= 0:
        return [f"bbox {box} has no area"]
    if image is None:
        return []
    outside = max(-x, -y, x + width - image["width"], y + height - image["height"])
    if outside > OVERHANG or x >= image["width"] or y >= image["height"] or x + width <= 0 or y + height <= 0:
        return [f"bbox {box} lies outside {image['file_name']} ({image['width']}×{image['height']})"]
    return []


def overhanging(part: Part, records: Iterable[dict[str, Any]]) -> int:
    """Return how many boxes of these images reach over the border by no more than rounding; they will be clipped."""
    sizes = {record["id"]: (record["width"], record["height"]) for record in records}
    number = 0
    for record in part.document["annotations"]:
        if size := sizes.get(record["image_id"]):
            (width, height), (x, y, w, h) = size, record["bbox"]
            number += x < 0 or y < 0 or x + w > width or y + h > height
    return number


def same_categories(train: Part, val: Part) -> list[str]:
    """Return the categories that the two splits do not share, a line each."""
    sets = [set(_categories(part)[0].items()) for part in (train, val)]
    return [f"category {name!r} (id {number}) is not in both splits" for number, name in sorted(sets[0] ^ sets[1])]


def images(
    part: Part, records: Iterable[dict[str, Any]], side: int, threads: int | None
) -> tuple[list[str], list[str]]:
    """Read and decode every image in full.

    Returns:
        The SHA-256 of each file in order ("" where unreadable), and the problems, a line each.
    """
    # Decoding and hashing release the interpreter's lock, so threads are enough and nothing needs to be forked.
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        results = list(pool.map(lambda record: _image(part, record, side), records))
    return [digest for digest, _ in results], [problem for _, problem in results if problem]


def _image(part: Part, record: dict[str, Any], side: int) -> tuple[str, str | None]:
    path = part.images / record["file_name"]
    if outside(path, part.root or part.images, record["file_name"]):
        return "", f"{path}: file_name {record['file_name']!r} leaves the data folder; move the image into it"
    digest = ""
    try:
        content = file_content(path)
        digest = hashlib.sha256(content).hexdigest()
        height, width = decode(content, path, whole=True).shape[:2]
    except DataError as error:
        return digest, str(error)
    if (width, height) != (record["width"], record["height"]):
        return digest, f"{path}: {_other_size(content, width, height, record)}"
    fault = too_thin(width, height, side)
    return digest, f"{path}: {fault}" if fault else None


def _other_size(content: bytes, width: int, height: int, record: dict[str, Any]) -> str:
    sizes = f"is {width}×{height} pixels, its record says {record['width']}×{record['height']}"
    if (height, width) == (record["width"], record["height"]) and orientation(content) >= 5:
        return f"{sizes}, as before its EXIF orientation is applied; `mnv4bench import` rotates its boxes too"
    return sizes


def outside(path: Path, root: Path, file_name: str) -> bool:
    """Return whether a file name from an annotation file leads out of the data set's folder, also by a link."""
    lexical = PurePath(file_name)
    return lexical.is_absolute() or ".." in lexical.parts or not path.resolve().is_relative_to(root.resolve())


def without_objects(name: str, part: Part, records: Iterable[dict[str, Any]]) -> list[str]:
    """Return what is wrong with a split in whose chosen images nothing can be learned or scored."""
    chosen = {record["id"]: record for record in records}
    rows = (row for row in part.document["annotations"] if isinstance(row, dict))
    of_chosen = [row for row in rows if _lookup(chosen, row.get("image_id"))]
    if any(not row.get("iscrowd") for row in of_chosen):
        return []
    reason = "only crowds" if of_chosen else "no object"
    purpose = {"train": "learned from", "val": "scored"}[name]
    return [f"{part.origin}: {reason} in the {count(len(chosen), 'image')} of {name}; nothing can be {purpose}"]


def in_both(train: Sequence[tuple[str, str]], val: Sequence[tuple[str, str]]) -> list[str]:
    """Return the validation images whose bytes are also trained on, a line each; arguments are (file name, SHA-256)."""
    trained = {digest: name for name, digest in train if digest}
    return [
        f"validation image {name} is the same file as training image {trained[digest]}"
        for name, digest in val
        if digest in trained
    ]


def _is_record(record: Any, *integers: str) -> bool:
    return isinstance(record, dict) and all(
        isinstance(record.get(key), int) and not isinstance(record[key], bool) for key in integers
    )


def _is_file_name(name: str) -> bool:
    try:
        return b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _lookup(table: dict[int, Entry], key: Any) -> Entry | None:
    return table.get(key) if isinstance(key, int) else None


def _name(record: Any, position: int) -> str:
    if isinstance(record, dict) and "id" in record:
        return str(record["id"])
    return f"number {position + 1} of the list"
