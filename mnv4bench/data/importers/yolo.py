"""Finding a YOLO folder's splits, images and objects (the data set format of ultralytics)."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from mnv4bench.data.importers.imported import ImportedImage, ImportedObject, ImportedSet, divide, named, size_of
from mnv4bench.io.errors import DataError
from mnv4bench.spec.yamlfile import YamlFile

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
SLACK = 1e-3
"""Fraction of the image's side by which a coordinate may leave 0–1, for rounding."""


def config_of(src: Path) -> Path | None:
    """Return the data set's YAML file: `src` itself, src/data.yaml, or the only YAML file in `src`."""
    if src.is_file():
        return src if src.suffix in (".yaml", ".yml") else None
    if (src / "data.yaml").is_file():
        return src / "data.yaml"
    files = [*src.glob("*.yaml"), *src.glob("*.yml")]
    return files[0] if len(files) == 1 else None


def find(src: Path) -> ImportedSet:
    """Return the set in `src`.

    Raises:
        DataError: no YAML file, or one that lacks names or train.
        SpecError: a file that is not valid YAML.
    """
    path = config_of(src)
    if path is None:
        raise DataError(f"{src}: no data.yaml and no other single YAML file with `names` and `train`")
    config = YamlFile(path)
    content = config.content if isinstance(config.content, dict) else {}
    names = _names(path, content)
    root = _root(path, content)
    problems: list[str] = []
    paths = {split: _images(root, content.get(split), problems) for split in ("train", "val")}
    if not paths["train"] and not problems:
        raise DataError(f"{path}: `train` names no image (looked below {root})")
    notes: list[str] = []
    if not paths["val"] or paths["val"] == paths["train"]:
        reason = "names the images of train as val" if paths["val"] else "has no val"
        notes.append(f"Divided 80 to 20 by a hash of the file names, since {path.name} {reason}.")
        paths = _divided(paths["train"], root)
    found = ImportedSet(list(names.values()), {}, notes, problems)
    for split, images in paths.items():
        read = [image for image in (_image(path, names, found) for path in images) if image is not None]
        found.splits[split] = named(read, root)
    return found


def _divided(images: list[Path], root: Path) -> dict[str, list[Path]]:
    by_name = {os.path.relpath(image, root).replace(os.sep, "/"): image for image in images}
    sides = zip(("train", "val"), divide(list(by_name)), strict=True)
    return {split: [by_name[name] for name in names] for split, names in sides}


def _names(path: Path, content: dict[str, Any]) -> dict[int, str]:
    """Return class names by index, from a list or from a mapping, in the order of the indices."""
    names = content.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise DataError(f"{path}: needs `names`, a list of class names or a mapping from index to name")
    try:
        result = {int(index): str(name) for index, name in names.items()}
    except ValueError as error:
        raise DataError(f"{path}: names: indices must be whole numbers ({error})") from error
    if sorted(result) != list(range(len(result))):
        raise DataError(f"{path}: names: indices must run from 0 without gaps, not {sorted(result)}")
    if len(set(result.values())) != len(result):
        raise DataError(f"{path}: names: each class name may stand once")
    return dict(sorted(result.items()))


def _root(path: Path, content: dict[str, Any]) -> Path:
    """Return the folder that the splits are relative to; a `path` that is not here means a set that was moved."""
    here = path.parent.resolve()
    root = here / str(content.get("path") or ".")
    return root.resolve() if root.is_dir() else here


def _images(root: Path, value: Any, problems: list[str]) -> list[Path]:
    """Return the images that a split names: a folder, a text file with a path a line, or a list of these."""
    result: list[Path] = []
    for entry in value if isinstance(value, list) else [value] if value else []:
        place = _resolve(root, str(entry))
        if place.is_dir():
            result += sorted(path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES)
        elif place.is_file() and place.suffix == ".txt":
            lines = [line.strip() for line in place.read_text(encoding="utf-8").splitlines()]
            # As ultralytics reads them: a leading ./ is relative to the text file.
            result += [(place.parent if line.startswith("./") else root) / line for line in lines if line]
        else:
            problems.append(f"{place}: neither a folder of images nor a .txt list of them")
    return list(dict.fromkeys(result))


def _resolve(root: Path, entry: str) -> Path:
    place = root / entry
    # Exports often write ../train/images for a folder beside data.yaml.
    if not place.exists() and entry.startswith("../"):
        place = root / entry.removeprefix("../")
    return place.resolve()


def _label_file(image: Path) -> Path:
    """Return an image's label file: the last folder named images becomes labels, the suffix .txt."""
    parts = list(image.with_suffix(".txt").parts)
    for position in range(len(parts) - 2, -1, -1):
        if parts[position] == "images":
            parts[position] = "labels"
            break
    return Path(*parts)


def _image(path: Path, names: dict[int, str], found: ImportedSet) -> ImportedImage | None:
    size, fault = size_of(path)
    if fault is not None:
        found.problems.append(fault)
        return None
    labels = _label_file(path)
    try:
        lines = labels.read_text(encoding="utf-8").splitlines() if labels.is_file() else []
    except UnicodeDecodeError:
        found.problems.append(f"{labels}:1: not UTF-8 text")
        return None
    objects: list[ImportedObject] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        item = _object(line.split(), names, size)
        if isinstance(item, str):
            found.problems.append(f"{labels}:{number}: {item}")
        elif item in objects:
            found.notes.append(f"Dropped a repeated row: {labels.name}:{number}.")
        else:
            objects.append(item)
    return ImportedImage(path, *size, objects)


def _object(fields: list[str], names: dict[int, str], size: tuple[int, int]) -> ImportedObject | str:
    """Return the object of a row, or what is wrong with it."""
    try:
        values = [float(field) for field in fields]
    except ValueError:
        return f"row {' '.join(fields)!r} is not all numbers"
    if len(values) != 5 and (len(values) < 7 or len(values) % 2 == 0):
        return f"needs class, centre x and y, width, height, or class and a polygon; has {len(values)} fields"
    if not all(math.isfinite(value) for value in values):
        return f"row {' '.join(fields)!r} is not finite"
    if values[0] not in names:
        return f"class {fields[0]} is not in names (0 to {len(names) - 1})"
    left, top, right, bottom = _corners(values[1:])
    if right <= left or bottom <= top:
        return f"box {' '.join(fields[1:])} has no area"
    if min(left, top) < -SLACK or max(right, bottom) > 1 + SLACK:
        return f"box {' '.join(fields[1:])} leaves the image (coordinates are fractions of its sides)"
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, 1), min(bottom, 1)
    width, height = size
    box = [left * width, top * height, (right - left) * width, (bottom - top) * height]
    return ImportedObject(names[int(values[0])], [round(value, 3) for value in box])


def _corners(values: list[float]) -> tuple[float, float, float, float]:
    if len(values) == 4:
        x, y, width, height = values
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2
    return min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
