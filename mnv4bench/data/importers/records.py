"""What an importer makes of a folder in another layout, on its way into COCO's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mnv4bench.data.importers.folder import Folder
from mnv4bench.io.words import listed


@dataclass(frozen=True)
class ImportedObject:
    label: str
    box: list[float]
    """COCO's [x, y, width, height] in pixels of the upright image."""
    crowd: bool = False
    area: float | None = None
    """Of the segmented shape, where the source tells."""


@dataclass(frozen=True)
class ImportedImage:
    path: Path
    width: int
    height: int
    sha256: str
    objects: list[ImportedObject]
    split: str | None = None
    """"train", "val" or "test" where the source tells."""
    file_name: str = ""


@dataclass
class ImportedSet:
    """What was read; `problems` name file and line, and nothing is written while there are any."""

    kind: str
    folder: Folder
    classes: list[str] = field(default_factory=list)
    images: list[ImportedImage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was taken, left out or changed."""
    problems: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    """Where boxes of zero area stand, which are dropped."""

    def note(self, what: str, found: Sequence[str | Path], remedy: str = "") -> None:
        """Add "what: count (names)" and what the user may do about it, or nothing where nothing was found."""
        names = [item if isinstance(item, str) else self.folder.named(item) for item in found]
        if names:
            self.notes.append(listed(what, names, remedy))


def document(images: Sequence[ImportedImage], classes: Sequence[str], notes: Sequence[str]) -> dict[str, Any]:
    """Return a split as a COCO document."""
    numbers = {name: position for position, name in enumerate(classes, 1)}
    records: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image in images:
        record = {"file_name": image.file_name, "width": image.width, "height": image.height}
        records.append({"id": len(records) + 1, **record})
        for item in image.objects:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": len(records),
                    "category_id": numbers[item.label],
                    "bbox": item.box,
                    "area": item.box[2] * item.box[3] if item.area is None else item.area,
                    "iscrowd": int(item.crowd),
                }
            )
    categories = [{"id": number, "name": name} for name, number in numbers.items()]
    return {"info": {"notes": list(notes)}, "images": records, "annotations": annotations, "categories": categories}


def with_file_names(images: Sequence[ImportedImage], root: Path) -> list[ImportedImage]:
    """Return the images with file names of their own: the last part, or where it repeats, all parts below `root`."""
    counts = Counter(image.path.name.lower() for image in images)
    names = [image.path.name if counts[image.path.name.lower()] == 1 else _long(image.path, root) for image in images]
    again = Counter(name.lower() for name in names)
    return [
        replace(image, file_name=name if again[name.lower()] == 1 else f"{image.sha256[:16]}_{position}_{name}")
        for position, (image, name) in enumerate(zip(images, names, strict=True))
    ]


def _long(path: Path, root: Path) -> str:
    parts = path.relative_to(root).parts if path.is_relative_to(root) else path.parts[1:]
    return "__".join(parts)


def without_repeats(images: Sequence[ImportedImage]) -> tuple[list[ImportedImage], list[Path]]:
    """Return the images with each object once, and the paths of those that held one twice."""
    result, repeats = [], list[Path]()
    for image in images:
        objects: list[ImportedObject] = []
        for item in image.objects:
            if all((item.label, item.box, item.crowd) != (other.label, other.box, other.crowd) for other in objects):
                objects.append(item)
        repeats += [image.path] * (len(objects) < len(image.objects))
        result.append(replace(image, objects=objects))
    return result, repeats
