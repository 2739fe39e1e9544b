"""Turning Pascal VOC and YOLO folders into COCO 2017's layout, which `DataSpec(name="coco", folder=...)` then reads."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from mnv4bench.data.importers import voc, yolo
from mnv4bench.data.importers.imported import ImportedSet
from mnv4bench.data.problems import refuse
from mnv4bench.io.errors import DataError
from mnv4bench.io.files import write_json, write_with

__all__ = ["import_dataset", "import_voc", "import_yolo"]


def import_dataset(src: Path, dst: Path) -> str:
    """Import whichever of the two kinds lies in `src`; see `import_voc` and `import_yolo`.

    Raises:
        DataError: neither kind, both kinds, or what the importer itself raises.
    """
    kinds: dict[str, Callable[[Path, Path], str]] = {}
    if voc.folder_of(Path(src)):
        kinds["Pascal VOC"] = import_voc
    if yolo.config_of(Path(src)):
        kinds["YOLO"] = import_yolo
    if len(kinds) != 1:
        found = "both kinds lie there" if kinds else "neither lies there"
        raise DataError(
            f"{src}: expected Annotations/ and JPEGImages/ (Pascal VOC) or a data.yaml with names (YOLO); {found}"
        )
    return next(iter(kinds.values()))(Path(src), Path(dst))


def import_voc(src: Path, dst: Path) -> str:
    """Import a folder with Annotations/*.xml, JPEGImages/ and perhaps ImageSets/Main/*.txt, or one that holds it.

    Lists trainval and test are used when both are there and annotated, else train and val; without such a pair every
    image goes to one side by a hash of its name (80 % to training). Objects marked difficult become crowds: not
    trained on, and neither hit nor miss when scored, which is how VOC treats them.

    Returns:
        What was written and decided on the way, a sentence a line; the new annotations carry the same notes.

    Raises:
        DataError: `dst` is in use, or all faulty files and lines.
    """
    return _write(voc.find(Path(src)), Path(src), Path(dst), "Pascal VOC")


def import_yolo(src: Path, dst: Path) -> str:
    """Import a folder with a data.yaml in one of ultralytics' forms, or that file.

    Labels lie beside the images with images/ turned into labels/; no label file means no objects. Polygons become
    their boxes. Without a `val` of its own the set is divided by a hash of the file names (80 % to training).

    Returns:
        What was written and decided on the way, a sentence a line; the new annotations carry the same notes.

    Raises:
        DataError: `dst` is in use, or all faulty files and lines.
    """
    return _write(yolo.find(Path(src)), Path(src), Path(dst), "YOLO")


def _write(found: ImportedSet, src: Path, dst: Path, kind: str) -> str:
    """Write a found set, annotations last."""
    if dst.exists() and any(dst.iterdir()):
        raise DataError(f"{dst}: is not empty; name a new folder or delete this one")
    refuse(found.problems, f"{kind} in {src}")
    for split in ("train", "val"):
        for image in found.splits[split]:
            place(image.path, dst / f"{split}2017" / image.file_name)
    for split in ("train", "val"):
        write_json(dst / "annotations" / f"instances_{split}2017.json", found.document(split))
    counts = " and ".join(f"{len(found.splits[split])} images to {split}2017" for split in ("train", "val"))
    return "\n".join([f"Wrote {counts} in {dst}.", *found.notes])


def place(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it where the file system cannot link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source.resolve())
    except OSError:
        write_with(target, lambda temporary: shutil.copyfile(source, temporary))
