"""Finding a Pascal VOC folder's splits, images and objects."""

from __future__ import annotations

from pathlib import Path

from mnv4bench.data.importers.imported import ImportedImage, ImportedObject, ImportedSet, divide, named, size_of
from mnv4bench.data.voc_xml import VocImage, read_voc
from mnv4bench.io.errors import DataError

PAIRS = (("trainval", "test"), ("train", "val"))


def folder_of(src: Path) -> Path | None:
    """Return the folder that holds Annotations/ and JPEGImages/: `src`, or the only one such directly inside it."""
    places = [src, *sorted(path for path in src.iterdir() if path.is_dir())] if src.is_dir() else []
    found = [place for place in places if (place / "Annotations").is_dir() and (place / "JPEGImages").is_dir()]
    return found[0] if len(found) == 1 or src in found else None


def find(src: Path) -> ImportedSet:
    """Return the set in `src`.

    Raises:
        DataError: no such folder, or no annotation in it.
    """
    base = folder_of(src)
    if base is None:
        raise DataError(f"{src}: no one folder with Annotations/ and JPEGImages/ here or directly inside")
    stems = sorted(path.stem for path in (base / "Annotations").glob("*.xml"))
    if not stems:
        raise DataError(f"{base / 'Annotations'}: holds no .xml file")
    lists, note = _lists(base, set(stems))
    if lists is None:
        lists = dict(zip(("train", "val"), divide(stems), strict=True))
    found = ImportedSet([], {}, [note])
    for split, names in lists.items():
        images = [image for stem in names if (image := _image(base, stem, found.problems)) is not None]
        found.splits[split] = named(images, base)
    found.classes = sorted(
        {item.label for images in found.splits.values() for image in images for item in image.objects}
    )
    difficult = sum(item.crowd for images in found.splits.values() for image in images for item in image.objects)
    if difficult:
        found.notes.append(
            f"Made crowds of {difficult} objects marked difficult: not trained on, passed over in scoring."
        )
    return found


def _lists(base: Path, stems: set[str]) -> tuple[dict[str, list[str]] | None, str]:
    """Return the stems of the first usable pair of lists, if there is one, and a sentence about the choice."""
    for train, val in PAIRS:
        paths = [base / "ImageSets" / "Main" / f"{name}.txt" for name in (train, val)]
        if not all(path.is_file() for path in paths):
            continue
        first, second = ([line.split()[0] for line in _lines(path)] for path in paths)
        if (train, val) == PAIRS[0] and not stems.issuperset(second):
            continue  # VOC 2012 publishes the test images' names and not their objects
        return {"train": first, "val": second}, f"Trained on the set's list {train}, validated on its list {val}."
    return None, "Divided 80 to 20 by a hash of the file names, since the set has no pair of lists."


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _image(base: Path, stem: str, problems: list[str]) -> ImportedImage | None:
    path = base / "Annotations" / f"{stem}.xml"
    if not path.is_file():
        problems.append(f"{path}: missing annotation file, which the split's list names")
        return None
    record, faults = read_voc(path)
    problems += faults
    if record is None:
        return None
    photograph = _photograph(base, stem, record)
    size, fault = size_of(photograph)
    if fault is None and size != (record.width, record.height):
        fault = f"{path}:1: says {record.width}×{record.height}, {photograph.name} is {size[0]}×{size[1]}"
    if fault is not None:
        problems.append(fault)
        return None
    objects = [ImportedObject(item.name, item.box, item.difficult) for item in record.objects]
    return ImportedImage(photograph, record.width, record.height, objects)


def _photograph(base: Path, stem: str, record: VocImage) -> Path:
    """Return the image that belongs to an annotation: by its own name first, since <filename> is often stale."""
    folder = base / "JPEGImages"
    wanted = [folder / f"{stem}{suffix}" for suffix in (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")]
    named_inside = [folder / Path(record.file_name.strip()).name] if record.file_name.strip() else []
    return next((path for path in [*wanted, *named_inside] if path.is_file()), wanted[0])
