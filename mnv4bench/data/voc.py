"""PASCAL VOC's own layout: Annotations/*.xml, ImageSets/Main/*.txt, JPEGImages/*.jpg.

Everingham et al., The PASCAL Visual Object Classes Challenge 2007 (VOC2007) Development Kit.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnv4bench.data.coco import locate
from mnv4bench.data.parts import Part, Source
from mnv4bench.data.problems import refuse
from mnv4bench.data.voc_xml import fault_of, read_voc, sound_objects
from mnv4bench.io.errors import DataError
from mnv4bench.spec.run import DataSpec

ANNOTATIONS, LISTS, IMAGES = "Annotations", "ImageSets/Main", "JPEGImages"

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip


YEARS = ("VOC2007", "VOC2012")
"""Folders of a development kit. Training takes the list `trainval` of both, scoring `test` of the first, the only one
whose annotations are public."""


def source(spec: DataSpec) -> Source:
    """Return the usual halves: trainval of 2007 and 2012 together, and test of 2007; of one year's folder, its test.

    Objects marked difficult are crowds: neither learned nor counted.

    Raises:
        DataError: no such folder, list or annotation, a class that VOC does not have, or a year's folder to train on.
    """
    root = locate(spec.location)
    val, notes = read(_tested(root), "test", CLASSES, difficult_as_crowd=True)
    if spec.train == 0:
        return Source(None, val, notes=tuple(notes))
    if missing := [year for year in YEARS if not (root / year).is_dir()]:
        raise DataError(
            f"{root}: has no {' and no '.join(missing)}; training needs the development kit's folder, which holds "
            f"{' and '.join(YEARS)}, scoring alone (train: 0) takes a year's"
        )
    halves = [read(root / year, "trainval", CLASSES, difficult_as_crowd=True) for year in YEARS]
    train = _together(root, [part for part, _ in halves])
    return Source(train, val, notes=(*notes, *(note for _, found in halves for note in found)))


def folders(spec: DataSpec) -> tuple[Path, ...]:
    """Return the folders whose content `source` reads."""
    root = locate(spec.location)
    years = (_tested(root),) if spec.train == 0 else tuple(root / year for year in YEARS)
    return tuple(year / place for year in years for place in (ANNOTATIONS, LISTS, IMAGES))


def _tested(root: Path) -> Path:
    """Return the folder of the year that is scored: the one given, or 2007's of a development kit."""
    return root / YEARS[0] if (root / YEARS[0]).is_dir() else root


def _together(root: Path, parts: Sequence[Part]) -> Part:
    """Return the images of several years as one half, named from their common folder on."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for part in parts:
        place = part.images.relative_to(root)
        before, known = len(images), len(annotations)
        for record in part.document["images"]:
            name = (place / record["file_name"]).as_posix()
            images.append({**record, "id": before + record["id"], "file_name": name})
        for record in part.document["annotations"]:
            ids = {"id": known + record["id"], "image_id": before + record["image_id"]}
            annotations.append({**record, **ids})
    document = {**parts[0].document, "images": images, "annotations": annotations}
    return Part(document, root, ", ".join(part.origin for part in parts))


def read(base: Path, name: str, classes: Sequence[str], difficult_as_crowd: bool = False) -> tuple[Part, list[str]]:
    """Return the images of a list, and a sentence for every object left out because its box has no area.

    Raises:
        DataError: the list cannot be read; or lists the annotations that are missing or damaged, and the objects whose
            box is not one or whose class is not one of `classes`.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    notes, problems = [], []
    for stem in sorted(_stems(base / LISTS / f"{name}.txt")):
        path = base / ANNOTATIONS / f"{stem}.xml"
        annotation, faults = read_voc(path)
        problems += faults
        if annotation is None:
            problems += [] if faults else [f"{path}: is no annotation of VOC's; remove it from {name}.txt"]
            continue
        size = (annotation.width, annotation.height)
        empty = [item for item in annotation.objects if item.is_empty]
        notes += [f"Dropped an object: {path.name}:{item.line}: {fault_of(item, *size)}." for item in empty]
        objects, faults = sound_objects(path, [item for item in annotation.objects if not item.is_empty], *size)
        problems += faults
        images.append({"id": len(images) + 1, "file_name": f"{stem}.jpg", "width": size[0], "height": size[1]})
        for item in objects:
            if item.name not in classes:
                problems.append(f"{path}:{item.line}: unknown class {item.name!r}; allowed: {', '.join(classes)}")
                continue
            crowd = int(difficult_as_crowd and item.difficult)
            record = {"id": len(annotations) + 1, "image_id": len(images), "bbox": item.box, "iscrowd": crowd}
            annotations.append({**record, "category_id": 1 + classes.index(item.name)})
    refuse(problems, f"annotations of {name} in {base}")
    categories = [{"id": position + 1, "name": name} for position, name in enumerate(classes)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    return Part(document, base / IMAGES, f"{base.name}/{name}"), notes


def _stems(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: list of images cannot be read ({error}); is the layout PASCAL VOC's?") from error
