"""Pascal VOC's XML, one file an image, wherever the files lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnv4bench.data.importers.folder import ByName, Folder, lines_of, own_parts, split_in
from mnv4bench.data.importers.pictures import ROTATED, Picture, is_turned, measure, turned
from mnv4bench.data.importers.records import ImportedImage, ImportedObject, ImportedSet
from mnv4bench.data.voc_xml import VocImage, read_voc, sound_objects
from mnv4bench.io.errors import DataError

KIND = "Pascal VOC"
LISTS = (("trainval", "test"), ("train", "val"))


@dataclass(frozen=True)
class Annotation:
    """An XML file and the image that belongs to it."""

    path: Path
    record: VocImage
    image: Path


def recognise(folder: Folder) -> bool:
    """Return whether an XML file holds a VOC annotation."""
    return any(read_voc(path) != (None, []) for path in folder.of(".xml"))


def read(folder: Folder, background: bool = False) -> ImportedSet:
    """Return the set in a folder with XML files beside the images or in a folder of their own, at any depth.

    Lists trainval and test below ImageSets/Main are used when both are there and annotated, else train and val; without
    such a pair a folder's name (train, valid, …) tells the split. Objects marked difficult become crowds: not trained
    on, and neither hit nor miss when scored, which is how VOC treats them.

    Args:
        background: take images without an XML file as images without objects.
    """
    result = ImportedSet(KIND, folder)
    annotations = _annotations(folder, result)
    if not annotations and not result.problems:
        what = "no .xml is an annotation of VOC" if folder.of(".xml") else "no .xml found"
        raise DataError(f"{folder.root}: {what}; name the folder that holds them, or leave out --layout voc")
    used = {annotation.image for annotation in annotations}
    others = [path for path in folder.images if path not in used]
    if background:
        result.note("Images without an XML file, taken as background", others)
    else:
        result.note("Left out, images without an XML file", others, "--background takes them as images without objects")
        others = []
    splits = _listed(folder, annotations, others, result)
    pictures, problems = measure([*used, *others])
    result.problems += problems
    for annotation in annotations:
        picture = pictures.get(annotation.image)
        split = splits.get(annotation.image)
        if picture and split != "unlisted":
            objects = _objects(annotation, picture, result)
            result.images.append(_image(annotation.image, picture, objects, split))
    result.images += [_image(path, pictures[path], [], splits.get(path)) for path in others if path in pictures]
    result.classes = sorted({item.label for image in result.images for item in image.objects})
    _tell(annotations, pictures, result)
    return result


def _image(path: Path, picture: Picture, objects: list[ImportedObject], split: str | None) -> ImportedImage:
    return ImportedImage(path, picture.width, picture.height, picture.sha256, objects, split)


def _annotations(folder: Folder, result: ImportedSet) -> list[Annotation]:
    images = ByName(folder.images, folder.root)
    annotations, foreign, owners = [], list[Path](), dict[Path, Path]()
    for path in folder.of(".xml"):
        record, problems = read_voc(path)
        result.problems += problems
        if record is None:
            foreign += [] if problems else [path]
            continue
        # By its own name first, since <filename> is often stale.
        image = images.beside(path) or (images.written(record.file_name, path) if record.file_name else None)
        if image is None:
            result.problems.append(f"{path}: {images.lost(record.file_name, path)}")
        elif image in owners:
            result.problems.append(f"{path}: {image.name} belongs to {folder.named(owners[image])} too; remove one")
        else:
            owners[image] = path
            annotations.append(Annotation(path, record, image))
    result.note("Left out, XML files of another kind", foreign)
    return annotations


def _listed(
    folder: Folder, annotations: list[Annotation], background: list[Path], result: ImportedSet
) -> dict[Path, str | None]:
    """Return the split of every image: of the first usable pair of lists, else of the folder's name."""
    pairs = [*((item.path, item.image) for item in annotations), *((path, path) for path in background)]
    by_name = _by_name(pairs, folder.root)
    faulty = {path.stem for path in folder.of(".xml")} - {item.path.stem for item in annotations}
    texts = _lists(folder)
    for pair in LISTS:
        if not all(name in texts for name in pair):
            continue
        names = [[_stem(line, by_name) for line in lines_of(texts[name])] for name in pair]
        if pair == LISTS[0] and not all(name in by_name for name in names[1]):
            continue  # VOC 2012 publishes the test images' names and not their objects
        result.notes.append(f"Trained on the set's list {pair[0]}, validated on its list {pair[1]}.")
        listed = [name for half in names for name in half]
        for name in listed:
            if name not in by_name and name.split("/")[-1] not in faulty:  # faulty ones are reported already
                result.problems.append(f"{name}.xml: missing annotation file, which the split's list names")
        splits: dict[Path, str | None] = {image: "unlisted" for _, image in pairs}
        for split, half in zip(("train", "val"), names, strict=True):
            splits.update({by_name[name]: split for name in half if name in by_name})
        unlisted = sorted(path for path, split in splits.items() if split == "unlisted")
        result.note(f"Left out, images in neither {pair[0]}.txt nor {pair[1]}.txt", unlisted)
        return splits
    if lists := [f"{name}.txt" for pair in LISTS for name in pair if name in texts]:
        result.notes.append(
            f"Not used, the split's {', '.join(lists)}: neither trainval and test nor train and val are both there and "
            "annotated."
        )
    return {image: split_in(image.relative_to(folder.root).parent.parts) for _, image in pairs}


def _lists(folder: Folder) -> dict[str, Path]:
    """Return the lists of ImageSets/Main by name.

    Raises:
        DataError: several sets with lists of their own.
    """
    paths = [path for path in folder.of(".txt") if path.parent.name == "Main"]
    places = sorted({folder.named(path.parent) for path in paths})
    if len(places) > 1:
        raise DataError(f"{folder.root}: several sets with lists of their own ({', '.join(places)}); import one")
    return {path.stem: path for path in paths}


def _by_name(pairs: Sequence[tuple[Path, Path]], root: Path) -> dict[str, Path]:
    """Return the images by every end of their annotation's path that only one has: a, cam1/a, VOC2007/cam1/a."""
    ends = [
        ("/".join((*parts[start:], path.stem)), image)
        for path, image in pairs
        for parts in [own_parts(path, root)]
        for start in range(len(parts) + 1)
    ]
    counts = Counter(end for end, _ in ends)
    return {end: image for end, image in ends if counts[end] == 1}


def _stem(line: str, by_name: dict[str, Path]) -> str:
    """Return the name in a list's line; a blank may be part of it, or part it from VOC's 1 or -1."""
    line = line.replace("\\", "/")
    for name in (line, line.rpartition(" ")[0].rstrip(), line.rpartition(".")[0]):
        if name in by_name:
            return name
    return line


def _objects(annotation: Annotation, picture: Picture, result: ImportedSet) -> list[ImportedObject]:
    path, record = annotation.path, annotation.record
    turn = is_turned((record.width, record.height), picture) if min(record.width, record.height) > 0 else False
    if turn is None:
        sizes = f"{record.width}×{record.height}, {annotation.image.name} is {picture.width}×{picture.height}"
        result.problems.append(f"{path}:1: says {sizes}")
        return []
    result.empty += [f"{result.folder.named(path)}:{item.line}" for item in record.objects if item.is_empty]
    size = picture.stored if turn else (picture.width, picture.height)
    objects, problems = sound_objects(path, [item for item in record.objects if not item.is_empty], *size)
    result.problems += problems
    boxes = [turned(item.box, picture) if turn else item.box for item in objects]
    return [ImportedObject(item.name, box, item.difficult) for item, box in zip(objects, boxes, strict=True)]


def _tell(annotations: list[Annotation], pictures: dict[Path, Picture], result: ImportedSet) -> None:
    known = [item for item in annotations if item.image in pictures]
    empty = [item.path for item in known if min(item.record.width, item.record.height) <= 0]
    result.note("Files without a <size>, for which the image's own is taken", empty)
    rotated = [item.image for item in known if is_turned((item.record.width, item.record.height), pictures[item.image])]
    result.note(ROTATED, rotated)
    difficult = sum(item.crowd for image in result.images for item in image.objects)
    if difficult:
        result.notes.append(
            f"Made crowds of {difficult} objects marked difficult: not trained on, passed over in scoring."
        )
