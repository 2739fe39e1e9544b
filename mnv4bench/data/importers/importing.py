"""`mnv4bench import`: a folder in another tool's layout becomes one in COCO 2017's layout."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from mnv4bench.data.classes import counted, describe, objects_of
from mnv4bench.data.equal import equal_images
from mnv4bench.data.importers import coco, voc, yolo
from mnv4bench.data.importers.folder import IMAGES, OTHERS, Folder, list_folder, plain
from mnv4bench.data.importers.records import (
    ImportedImage,
    ImportedSet,
    document,
    with_file_names,
    without_repeats,
)
from mnv4bench.data.problems import refuse
from mnv4bench.io.errors import DataError
from mnv4bench.io.files import drafting, write_json
from mnv4bench.io.words import count

Layout = Literal["voc", "yolo", "coco"]
LAYOUTS: tuple[Layout, ...] = ("voc", "yolo", "coco")
CONFIGS = {".yaml", ".yml", ".data", ".txt", ".names", ".labels"}
"""Suffixes of files that a YOLO set may be named by."""
UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("bytes", 1))
LABELS = {
    "annotation",
    "annotations",
    "annots",
    "label",
    "labels",
    "xml",
    "xmls",
    "data.yaml",
    "obj.data",
    "classes.txt",
}
"""Files and folders that tell a data set's folder from one of its images'."""
REMEDY = (
    "import reads Pascal VOC (.xml beside the images or in a folder), YOLO (data.yaml, obj.data or classes.txt, and "
    ".txt labels) and COCO (.json with images, annotations and categories)"
)


def import_dataset(
    source: Path, target: Path, layout: Layout | None = None, background: bool = False, link: bool = False
) -> str:
    """Write the set in `source` as a new folder `target` in COCO 2017's layout.

    A source without a validation split is divided about 80 to 20 by each image's content, so that equal images stay
    together and none changes sides as a set grows. In a source with splits, a training image that is also in validation
    is left out. An object that appears twice in an image is taken once; a box of zero area is dropped.

    Args:
        source: a folder, or a YOLO set's YAML file.
        layout: which one to read where the folder holds several.
        background: take images without a VOC file as images without objects.
        link: hard-link the images where the file system can; a change to either file then changes both.

    Returns:
        What was written, left out and decided on the way, a sentence a line; the new annotations carry the same notes.

    Raises:
        DataError: no known layout or several, `target` is in use, or all faulty files and lines.
    """
    source, target = Path(source), Path(target)
    if not source.exists():
        raise DataError(f"{source}: no such folder")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target}: is not empty; name a new folder or delete this one")
    if source.is_file() and source.suffix.lower() not in CONFIGS:
        what = "an image" if source.suffix.lower() in IMAGES else "a file"
        raise DataError(f"{source}: is {what}; name the folder of the data set, or a YOLO set's .yaml file")
    config = plain(source.parent) / source.name if source.is_file() else None
    folder = list_folder(source.parent if config else source)
    result = _read(folder, config, layout, background)
    refuse(result.problems, f"{result.kind} in {source}")
    result.images, repeats = without_repeats(result.images)
    result.note("Images with repeated objects, each taken once", repeats)
    result.note("Dropped, boxes of zero area", result.empty)
    splits = _splits(result)
    result.note("Passed over, hidden files and folders", folder.hidden)
    unknown = [path for path in folder.files if path.suffix.lower() not in IMAGES | OTHERS]
    result.note("Left out, files of an unknown kind", unknown)
    splits = {split: with_file_names(images, folder.root) for split, images in splits.items()}
    size = _write(splits, result, target, link)
    counts = " and ".join(f"{len(images)} images to {split}2017" for split, images in splits.items())
    crowds = [item.crowd for images in splits.values() for image in images for item in image.objects]
    objects = counted(len(crowds), sum(crowds))
    written = f"Wrote {counts} in {target}: {objects} of {len(result.classes)} classes, {_readable(size)}."
    documents = {split: document(images, result.classes, ()) for split, images in splits.items()}
    sums = {split: {image.file_name: image.sha256 for image in images} for split, images in splits.items()}
    equal = (line for split, content in documents.items() for line in equal_images(split, content, sums[split]))
    of_classes = (objects_of(documents[split]) for split in ("train", "val"))
    return "\n".join([written, *result.notes, *equal, *describe(*of_classes)])


def _read(folder: Folder, config: Path | None, layout: Layout | None, background: bool) -> ImportedSet:
    kinds: list[Layout] = ["yolo"] if config else [layout] if layout else _recognised(folder)
    if not kinds:
        raise DataError(f"{folder.root}: {_unknown(folder)}")
    if len(kinds) > 1:
        sets = _sets_in(folder)
        if len(sets) > 1:
            raise DataError(f"{folder.root}: holds several data sets; name one of them: {', '.join(sets)}")
        raise DataError(f"{folder.root}: {' and '.join(kinds)} are both possible; choose one with --layout")
    if background and kinds[0] != "voc":
        raise DataError(f"--background is for Pascal VOC; in {kinds[0]} an image without labels is background as it is")
    if kinds[0] == "voc":
        return voc.read(folder, background)
    return yolo.read(folder, config) if kinds[0] == "yolo" else coco.read(folder)


def _recognised(folder: Folder) -> list[Layout]:
    tests = {"voc": voc.recognise, "yolo": yolo.recognise, "coco": coco.recognise}
    return [layout for layout in LAYOUTS if tests[layout](folder)]


def _unknown(folder: Folder) -> str:
    """Return what is in a folder of no known layout, and where a set may be."""
    suffixes = Counter(path.suffix.lower() or path.name for path in folder.files)
    there = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(6)) or "nothing"
    above = next((parent for parent in folder.root.parents[:2] if _has_labels(parent)), None)
    if folder.images and above is not None:
        return f"holds {there} and no labels; did you mean {above}?"
    return f"holds {there}, which is no layout that is known; {REMEDY}"


def _has_labels(folder: Path) -> bool:
    """Return whether labels seem to lie in a folder, which is not searched: it may be anyone's."""
    try:
        return any(path.name.lower() in LABELS for path in folder.iterdir())
    except OSError:
        return False


def _sets_in(folder: Folder) -> list[str]:
    """Return the folders of a folder that are sets by themselves, images included."""
    inside: dict[str, list[Path]] = {}
    for path in folder.files:
        first, *rest = path.relative_to(folder.root).parts
        if rest:
            inside.setdefault(first, []).append(path)
    parts = [Folder(folder.root / name, files, []) for name, files in sorted(inside.items())]
    return [part.root.name for part in parts if part.images and _recognised(part)]


def _splits(result: ImportedSet) -> dict[str, list[ImportedImage]]:
    """Return the images of train and val, divided here where the source has no validation images."""
    by_split: dict[str | None, list[ImportedImage]] = {}
    for image in result.images:
        by_split.setdefault(image.split, []).append(image)
    if "val" in by_split and "train" not in by_split and None in by_split:
        by_split["train"] = by_split.pop(None)
        beside = [image.path for image in by_split["train"]]
        result.note("Taken as train, images of no split beside a validation split", beside)
    if "train" in by_split and "val" in by_split:
        chosen = {split: by_split.pop(split) for split in ("train", "val")}
        chosen["train"] = _not_scored(chosen["train"], chosen["val"], result)
    else:
        pool = next((split for split in ("train", None, "val", "test") if split in by_split), None)
        images = by_split.pop(pool, [])
        if (different := len({image.sha256 for image in images})) < 2:
            found = count(different, "different image")
            raise DataError(f"{result.folder.root}: {found}; at least 2 are needed, one to train on and one to score")
        sides = divide([image.sha256 for image in images])
        chosen = {split: [image for image in images if sides[image.sha256] == split] for split in ("train", "val")}
        division = " and ".join(f"{len(half)} to {split}" for split, half in chosen.items())
        there = f"only {pool} images" if pool in ("val", "test") else "no validation split"
        result.notes.append(
            f"Divided by a hash of the images' content, {division} (about 80 to 20 in large sets), since the set has "
            f"{there}."
        )
    for split, left in by_split.items():
        result.note(f"Left out, images of {split or 'no split'}", [image.path for image in left])
    return chosen


def _not_scored(train: list[ImportedImage], val: list[ImportedImage], result: ImportedSet) -> list[ImportedImage]:
    """Return the training images that are not the same file as one of validation.

    Raises:
        DataError: none is left.
    """
    scored = {image.sha256: image for image in val}
    kept = [image for image in train if image.sha256 not in scored]
    if not kept:
        raise DataError("every image of train is also in val; remove val, and import divides train")
    also = [image for image in train if image.sha256 in scored]
    result.note("Left out of train, images that are also in val", [image.path for image in also])
    named = result.folder.named
    pairs = [(image, scored[image.sha256]) for image in also]
    differing = [f"{named(one.path)} = {named(other.path)}" for one, other in pairs if _labels(one) != _labels(other)]
    result.note("Of them, labelled differently in val", differing, "val's labels are scored; see that they are right")
    return kept


def _labels(image: ImportedImage) -> list[tuple[str, list[float], bool]]:
    return sorted((item.label, item.box, item.crowd) for item in image.objects)


def divide(sums: Sequence[str]) -> dict[str, str]:
    """Return "train" or "val" for every SHA-256, about 80 to 20, neither empty if there are two.

    Each side depends on the sum alone, so that a set of more than a few never moves an image as it grows.
    """
    ranked = sorted(set(sums), key=lambda digest: hashlib.sha256(digest.encode()).hexdigest())
    cut = sum(int(hashlib.sha256(digest.encode()).hexdigest()[:8], 16) * 5 < 1 << 32 for digest in ranked)
    cut = min(max(cut, 1), max(len(ranked) - 1, 0))
    return {digest: "val" if position < cut else "train" for position, digest in enumerate(ranked)}


def _write(splits: dict[str, list[ImportedImage]], result: ImportedSet, target: Path, link: bool) -> int:
    """Write the whole folder or nothing, and return the bytes of its images."""
    size = 0
    try:
        with drafting(target.absolute().parent) as draft:
            whole = draft / "set"
            for split, images in splits.items():
                (whole / f"{split}2017").mkdir(parents=True)
                for image in images:
                    size += _place(image.path, whole / f"{split}2017" / image.file_name, link)
            for split, images in splits.items():
                notes = result.notes if split == "train" else []
                content = document(images, result.classes, notes)
                write_json(whole / "annotations" / f"instances_{split}2017.json", content)
            if target.is_dir():
                target.rmdir()
            whole.rename(target)
    except OSError as error:
        raise DataError(f"{target}: cannot be written ({error.strerror}); nothing is left there") from error
    return size


def _place(source: Path, target: Path, link: bool) -> int:
    if link:
        try:
            target.hardlink_to(source.resolve())
            return 0
        except OSError:
            pass  # another file system, or one without links
    shutil.copyfile(source, target)
    return target.stat().st_size


def _readable(size: int) -> str:
    unit, factor = next((unit, factor) for unit, factor in UNITS if size >= factor or unit == "bytes")
    return f"{size / factor:.1f} {unit}" if factor > 1 else f"{size} {unit}"
