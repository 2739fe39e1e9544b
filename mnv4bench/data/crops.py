"""Classification data: single objects cut from Scenes, or from a data set in COCO 2017's layout, as small squares.

Three splits that share no image: `train` teaches weights, `search` scores choices while they are made, `test` scores
what was chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from mnv4bench.data import coco
from mnv4bench.data.decode import Pixels, read_image
from mnv4bench.data.parts import Document
from mnv4bench.data.prepare import checked
from mnv4bench.data.scenes import Box, scene, slice_of
from mnv4bench.data.slices import SHAPES
from mnv4bench.io.errors import DataError
from mnv4bench.spec.run import DataSpec, derive_seed

Split = Literal["train", "search", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

SIDE = 64
"""Of a crop, in pixels."""
SCENE = 160
"""Side of the pictures that Scenes' objects are cut from."""
CUT_FROM = ("plain", "small", "context")
"""Slices with objects that stand alone."""
AROUND = 2
"""Side of the square that is cut out, in longest sides of the object: its surroundings are the reason to look twice."""
SMALLEST = 4
"""Pixels below which a side of a box is not worth cutting out."""
HELD_OUT = 4
"""One in so many training images of a COCO folder belongs to the split `search`."""


@dataclass(frozen=True)
class Crops:
    """One split."""

    images: NDArray[np.uint8]
    """(n, 3, side, side), RGB."""
    labels: NDArray[np.int64]
    """(n,), indices of `classes`."""
    classes: tuple[str, ...]


def from_scenes(split: Split | Literal["unlabelled"], count: int, seed: int = 0) -> Crops:
    """Cut the first `count` shapes out of Scenes that stand alone in a square twice as wide as they are, resized to 64
    pixels.

    A larger split begins with a smaller one's crops. Lamps and frames are left out: what they are is decided outside
    the window. `unlabelled` is a fourth split, for whoever does not look at its labels.
    """
    crops = list(islice(_windows(split, seed), count))
    images = np.stack([pixels for pixels, _ in crops]).transpose(0, 3, 1, 2)
    return Crops(np.ascontiguousarray(images), np.array([SHAPES.index(name) for _, name in crops]), SHAPES)


def _windows(split: str, seed: int) -> Iterator[tuple[Pixels, str]]:
    index = 0
    while True:
        if slice_of(index) in CUT_FROM:
            pixels, boxes = scene(seed, f"crops/{split}", index, SCENE)
            for number, (name, x, y, width, height) in enumerate(boxes):
                window = AROUND * max(width, height)
                left, top = (
                    min(max(start + length // 2 - window // 2, 0), SCENE - window)
                    for start, length in ((x, width), (y, height))
                )
                others = boxes[:number] + boxes[number + 1 :]
                alone = not any(_inside(other, left, top, window) for other in others)
                if name in SHAPES and window <= SCENE and alone:
                    yield resized(pixels[top : top + window, left : left + window], SIDE), name
        index += 1


def _inside(box: Box, left: int, top: int, side: int) -> bool:
    _, x, y, width, height = box
    return x < left + side and left < x + width and y < top + side and top < y + height


def from_folder(folder: Path, most: int, side: int = SIDE) -> dict[Split, Crops]:
    """Cut objects out of a folder in COCO 2017's layout: a square around each box, resized to `side` pixels.

    `test` is its val split; every fourth image of its train split, by a hash of its bytes, goes to `search`, so that
    equal files never lie on both sides. Where there are more than `most` objects, they are chosen by a hash.

    Raises:
        DataError: lists what is wrong with the folder, or names a split that is empty or has one class.
    """
    spec = DataSpec(name="folder", path=str(folder))
    origin = coco.source(spec)
    documents, _, _ = checked(origin, spec)
    categories = documents["train"]["categories"]
    order = {record["id"]: place for place, record in enumerate(categories)}
    classes = tuple(record["name"] for record in categories)
    crops = {}
    for split in SPLITS:
        half = "val" if split == "test" else "train"
        objects = _objects(documents[half], split)
        if not objects:
            raise DataError(f"{folder}: no objects of {SMALLEST} pixels or more in split {split}; add labelled images")
        if len(found := {record["category_id"] for _, record in objects}) < 2:
            name = classes[order[found.pop()]]
            raise DataError(f"{folder}: all objects in split {split} are of class {name}; a classifier needs two")
        objects = objects[:most]
        labels = np.array([order[record["category_id"]] for _, record in objects])
        images = np.stack(list(_cut(origin.halves[half].images, objects, side))).transpose(0, 3, 1, 2)
        crops[split] = Crops(np.ascontiguousarray(images), labels, classes)
    return crops


def _objects(document: Document, split: Split) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return (image, annotation) of every usable object of a split, in an order that a hash draws."""
    images = {record["id"]: record for record in document["images"]}
    usable = [
        (images[record["image_id"]], record)
        for record in document["annotations"]
        if min(record["bbox"][2:]) >= SMALLEST and not record["iscrowd"]
    ]
    if split != "test":
        usable = [pair for pair in usable if _held_out(pair[0]) == (split == "search")]
    return sorted(usable, key=lambda pair: (derive_seed("crop", pair[1]["id"]), pair[1]["id"]))


def _held_out(image: dict[str, Any]) -> bool:
    return derive_seed("held out", image["sha256"]) % HELD_OUT == 0


def _cut(folder: Path, objects: list[tuple[dict[str, Any], dict[str, Any]]], side: int) -> Iterator[Pixels]:
    """Yield crops in the order of `objects`; every image is decoded once."""
    crops: dict[int, Pixels] = {}
    by_image: dict[str, list[int]] = {}
    for place, (image, _) in enumerate(objects):
        by_image.setdefault(image["file_name"], []).append(place)
    for name, places in by_image.items():
        pixels = read_image(folder / name)
        for place in places:
            crops[place] = square(pixels, objects[place][1]["bbox"], side)
    yield from (crops[place] for place in range(len(objects)))


def square(pixels: Pixels, box: list[float], side: int) -> Pixels:
    """Return the square around a box (x, y, width, height), moved into the image and cut where it is larger."""
    height, width = pixels.shape[:2]
    longest = max(round(max(box[2:])), 1)
    left, top = (
        min(max(round(start + length / 2 - longest / 2), 0), max(limit - longest, 0))
        for start, length, limit in ((box[0], box[2], width), (box[1], box[3], height))
    )
    return resized(pixels[top : top + longest, left : left + longest], side)


def resized(cut: Pixels, side: int) -> Pixels:
    """Return a cut as a square of `side` pixels."""
    method = cv2.INTER_AREA if max(cut.shape[:2]) > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(cut, (side, side), interpolation=method), np.uint8)
