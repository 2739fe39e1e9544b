"""YOLO's labels, one text file an image (the data set format of ultralytics, and Darknet's before it)."""

from __future__ import annotations

from pathlib import Path

from mnv4bench.data.importers.folder import Folder, text_of
from mnv4bench.data.importers.pictures import Picture, measure
from mnv4bench.data.importers.records import ImportedImage, ImportedObject, ImportedSet
from mnv4bench.data.importers.yolo_layout import NAME_LISTS, Layout, configuration, layout
from mnv4bench.data.importers.yolo_rows import RowFormat, row_object
from mnv4bench.io.errors import DataError
from mnv4bench.io.words import first

KIND = "YOLO"


def recognise(folder: Folder, config: Path | None = None) -> bool:
    """Return whether a file says what the classes are."""
    return configuration(folder, config) is not None


def read(folder: Folder, config: Path | None = None) -> ImportedSet:
    """Return the set in a folder with label files in labels/, beside the images, or with images/ turned into labels/.

    No label file means no objects. Polygons become their boxes, and of a row with key points the box is kept.

    Raises:
        DataError: nothing says what the classes are, or no label file belongs to an image.
        SpecError: a data.yaml that is not valid YAML.
    """
    path = configuration(folder, config)
    if path is None:
        raise DataError(f"{folder.root}: no data.yaml with names, obj.data or classes.txt")
    plan = layout(folder, path)
    labels = _label_files(folder, plan)
    result = ImportedSet(KIND, folder, list(plan.form.classes))
    wanted = [image for images in plan.splits.values() for image in images]
    matched = {image: _labels_of(image, labels) for image in dict.fromkeys([*wanted, *folder.images])}
    _refuse_unused(folder, labels, wanted, matched)
    pictures, problems = measure(wanted)
    result.problems += problems
    splits = dict(plan.splits)
    if "val" in splits and set(splits["val"]) == set(splits.get("train", [])):
        del splits["val"]
        result.notes.append(f"{path.name} names the images of train as val, which is no validation.")
    for split, images in splits.items():
        for image in images:
            if image in pictures:
                result.images.append(_image(image, pictures[image], matched[image], split, plan.form, result))
    _tell(folder, wanted, labels, matched, result)
    return result


def _label_files(folder: Folder, plan: Layout) -> set[Path]:
    known = {path for path in plan.lists}
    texts = [path for path in folder.of(".txt") if path not in known and path.name not in NAME_LISTS]
    return {path for path in texts if not path.name.lower().startswith(("readme", "license", "notes"))}


def _labels_of(image: Path, labels: set[Path]) -> Path | None:
    """Return an image's label file: images/ turned into labels/, in a folder labels/ near it, or beside it."""
    return next((place for place in _label_places(image) if place in labels or place.is_file()), None)


def _label_places(image: Path) -> list[Path]:
    name = image.with_suffix(".txt").name
    parts = list(image.parent.parts)
    places = []
    for position in range(len(parts) - 1, -1, -1):
        if parts[position].lower() == "images":
            places.append(Path(*parts[:position], "labels", *parts[position + 1 :], name))
    return [*places, image.parent / "labels" / name, image.parent.parent / "labels" / name, image.parent / name]


def _refuse_unused(folder: Folder, labels: set[Path], wanted: list[Path], matched: dict[Path, Path | None]) -> None:
    if labels and wanted and not any(matched[image] for image in wanted):
        files, images = (first([folder.named(path) for path in paths]) for paths in (sorted(labels), wanted))
        raise DataError(
            f"{folder.root}: {len(labels)} label files and none belongs to any of {len(wanted)} images; give each the "
            f"name of its image\n  label files: {files}\n  images: {images}"
        )


def _image(
    path: Path, picture: Picture, labels: Path | None, split: str, form: RowFormat, result: ImportedSet
) -> ImportedImage:
    objects: list[ImportedObject] = []
    try:
        lines = text_of(labels).splitlines() if labels else []
    except DataError as error:
        result.problems.append(str(error))
        lines = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        item = row_object(line.strip(), form, (picture.width, picture.height))
        if isinstance(item, str):
            result.problems.append(f"{labels}:{number}: {item}")
        elif item is None:
            result.empty.append(f"{result.folder.named(labels or path)}:{number}")
        else:
            objects.append(item)
    known = None if split == "all" else split
    return ImportedImage(path, picture.width, picture.height, picture.sha256, objects, known)


def _tell(
    folder: Folder, wanted: list[Path], labels: set[Path], matched: dict[Path, Path | None], result: ImportedSet
) -> None:
    taken = set(wanted)
    result.note("Left out, images in no split", [path for path in folder.images if path not in taken])
    unlabelled = sorted(path for path in taken if not matched[path])
    result.note("Images without a label file, taken as background", unlabelled)
    unused = sorted(labels - {path for path in matched.values() if path})
    result.note("Left out, text files that belong to no image", unused)
