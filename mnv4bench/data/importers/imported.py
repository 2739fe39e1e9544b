"""A data set found in another layout, on its way into COCO's."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from mnv4bench.data.decode import decode, file_content
from mnv4bench.io.errors import DataError

Item = TypeVar("Item")


@dataclass(frozen=True)
class ImportedObject:
    label: str
    box: list[float]
    """COCO's [x, y, width, height] in pixels."""
    crowd: bool = False


@dataclass(frozen=True)
class ImportedImage:
    path: Path
    width: int
    height: int
    objects: list[ImportedObject]
    file_name: str = ""


@dataclass
class ImportedSet:
    """What an importer made of a folder; `problems` name file and line, and nothing is written while there are any."""

    classes: list[str]
    splits: dict[str, list[ImportedImage]]
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def document(self, split: str) -> dict[str, Any]:
        """Return a split as a COCO document."""
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for image in self.splits[split]:
            record = {"file_name": image.file_name, "width": image.width, "height": image.height}
            images.append({"id": len(images) + 1, **record})
            for item in image.objects:
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": len(images),
                        "category_id": 1 + self.classes.index(item.label),
                        "bbox": item.box,
                        "area": item.box[2] * item.box[3],
                        "iscrowd": int(item.crowd),
                    }
                )
        categories = [{"id": position + 1, "name": name} for position, name in enumerate(self.classes)]
        info = {"notes": self.notes if split == "train" else []}
        return {"info": info, "images": images, "annotations": annotations, "categories": categories}


def divide(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the names divided into training and validation, about 80 to 20, neither empty if there are two.

    Each name's side depends on its SHA-256 alone, so that a set of more than a few never moves an image as it grows.
    """
    ranked = sorted(names, key=_rank)
    cut = sum(_rank(name)[0] * 5 < 1 << 32 for name in names)
    cut = min(max(cut, 1), max(len(names) - 1, 0))
    val = set(ranked[:cut])
    return [name for name in names if name not in val], [name for name in names if name in val]


def _rank(name: str) -> tuple[int, str]:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big"), name


def named(images: Sequence[ImportedImage], root: Path) -> list[ImportedImage]:
    """Return the images with file names of their own: the last part, or where it repeats, all parts below `root`."""
    counts = Counter(image.path.name for image in images)
    return [
        replace(image, file_name=image.path.name if counts[image.path.name] == 1 else _long(image.path, root))
        for image in images
    ]


def _long(path: Path, root: Path) -> str:
    parts = path.relative_to(root).parts if path.is_relative_to(root) else path.parts[1:]
    return "__".join(parts)


def size_of(path: Path) -> tuple[tuple[int, int], str | None]:
    """Return an image's width and height after decoding it in full, and what is wrong with it, if anything."""
    try:
        height, width = decode(file_content(path), path, whole=True).shape[:2]
        return (width, height), None
    except DataError as error:
        return (0, 0), str(error)
