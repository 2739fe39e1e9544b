"""PASCAL VOC's own layout: Annotations/*.xml, ImageSets/Main/*.txt, JPEGImages/*.jpg.

Everingham et al., The PASCAL Visual Object Classes Challenge 2007 (VOC2007) Development Kit.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnv4bench.data.coco import locate
from mnv4bench.data.parts import Part, Source
from mnv4bench.data.voc_xml import read_voc, sound_objects
from mnv4bench.io.errors import DataError
from mnv4bench.spec.run import DataSpec

ANNOTATIONS, LISTS, IMAGES = "Annotations", "ImageSets/Main", "JPEGImages"

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip


def source(spec: DataSpec) -> Source:
    """Return the set's list `test`, for scoring. Objects marked difficult are crowds: neither hit nor miss, as in VOC.

    Raises:
        DataError: no such folder, list or annotation, or an object of a class that VOC does not have.
    """
    part, notes = read(locate(spec.location), "test", CLASSES, difficult_as_crowd=True)
    return Source(None, part, notes=tuple(notes))


def read(base: Path, name: str, classes: Sequence[str], difficult_as_crowd: bool = False) -> tuple[Part, list[str]]:
    """Return the images of a list, and a sentence for every object left out because its box has no area.

    Raises:
        DataError: the list or an annotation is missing or damaged, or names a class that is not one of `classes`.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    notes = []
    for stem in sorted(_stems(base / LISTS / f"{name}.txt")):
        path = base / ANNOTATIONS / f"{stem}.xml"
        annotation, problems = read_voc(path)
        if annotation is None:
            raise DataError(
                problems[0] if problems else f"{path}: is no annotation of VOC's; remove it from {name}.txt"
            )
        width, height = annotation.width, annotation.height
        objects, faults = sound_objects(path, annotation.objects, width, height)
        notes += [f"Dropped an object: {fault.replace(str(path), path.name)}." for fault in [*problems, *faults]]
        images.append({"id": len(images) + 1, "file_name": f"{stem}.jpg", "width": width, "height": height})
        for item in objects:
            if item.name not in classes:
                raise DataError(f"{path}:{item.line}: unknown class {item.name!r}; allowed: {', '.join(classes)}")
            crowd = int(difficult_as_crowd and item.difficult)
            record = {"id": len(annotations) + 1, "image_id": len(images), "bbox": item.box, "iscrowd": crowd}
            annotations.append({**record, "category_id": 1 + classes.index(item.name)})
    categories = [{"id": position + 1, "name": name} for position, name in enumerate(classes)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    return Part(document, base / IMAGES, f"{base.name}/{name}"), notes


def _stems(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: list of images cannot be read ({error}); is the layout PASCAL VOC's?") from error
