"""Scenes: the embedded diagnostic data set, drawn rather than photographed.

Every picture belongs to one slice, in turn, and each slice stresses one mechanism (in the spirit of CLEVR, arXiv
1612.06890). The same seed gives the same bytes on every machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnv4bench.data.drawing import Draws, bounds, owners, render, without_hidden
from mnv4bench.data.parts import Part, Source
from mnv4bench.data.png import encode_png
from mnv4bench.data.slices import CLASSES, COMPOSE, SHARES, start
from mnv4bench.io.files import replacing
from mnv4bench.io.locks import exclusive
from mnv4bench.spec.run import DataSpec

SLICES = tuple(COMPOSE)
TRAIN, VAL = 4000, 1000
"""Pictures made when the spec leaves their number open."""

Box = tuple[str, int, int, int, int]
"""Class, then x, y, width and height in pixels."""


def scene(seed: int, split: str, index: int, side: int) -> tuple[NDArray[np.uint8], list[Box]]:
    """Return picture `index` of a split, of shape (side, side, 3), and the boxes around what is visible of its objects.

    A picture depends on these four arguments alone, so a larger set begins with the pictures of a smaller one.
    """
    sketch = start(Draws("scenes", seed, split, index), side)
    COMPOSE[slice_of(index)](sketch)
    layers = without_hidden(side, sketch.layers)
    owner = owners(side, layers)
    boxes = [
        (layer.label, *bounds(owner == position)) for position, layer in enumerate(layers) if layer.label is not None
    ]
    return render(sketch.background, layers), boxes


def _turns(shares: Mapping[str, int]) -> tuple[str, ...]:
    """Return a round in which each slice has its share of turns, spread evenly."""
    turns = [((turn + 0.5) / share, name) for name, share in shares.items() for turn in range(share)]
    return tuple(name for _, name in sorted(turns, key=lambda item: (item[0], SLICES.index(item[1]))))


_ROUND = _turns(SHARES)


def slice_of(index: int) -> str:
    return _ROUND[index % len(_ROUND)]


def source(spec: DataSpec, folder: Path) -> Source:
    """Draw both splits into `folder`/images/{train,val}/ and return them."""
    train, val = (
        _draw(spec, split, count, folder / "images" / split)
        for split, count in (("train", spec.train or TRAIN), ("val", spec.val or VAL))
    )
    return Source(train, val, slices=SLICES)


def unlabelled(spec: DataSpec, count: int, folder: Path) -> list[Path]:
    """Return `count` pictures of a third split, without their boxes.

    Those that are not in `folder`/images/unlabelled/ yet are drawn. They are no part of the prepared data set, whose
    record and name stay the same.
    """
    place = folder / "images" / "unlabelled"
    with exclusive(place / ".lock"):
        _write(spec, "unlabelled", [index for index in range(count) if not (place / _file(index)).exists()], place)
    return [place / _file(index) for index in range(count)]


def _file(index: int) -> str:
    return f"{index:06d}.png"


def _write(spec: DataSpec, split: str, indices: Iterable[int], folder: Path) -> list[tuple[str, list[Box]]]:
    def write(index: int) -> tuple[str, list[Box]]:
        pixels, boxes = scene(spec.seed, split, index, spec.imgsz)
        name = _file(index)
        with replacing(folder / name) as temporary:
            temporary.write_bytes(encode_png(pixels))
        return name, boxes

    # Drawing is quick; threads wait together for the disk to confirm each file.
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(write, indices))


def _draw(spec: DataSpec, split: str, count: int, folder: Path) -> Part:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index, (name, boxes) in enumerate(_write(spec, split, range(count), folder)):
        record = {"id": index + 1, "file_name": name, "width": spec.imgsz, "height": spec.imgsz}
        images.append({**record, "slice": slice_of(index)})
        for label, *box in boxes:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index + 1,
                    "category_id": 1 + CLASSES.index(label),
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": position + 1, "name": name} for position, name in enumerate(CLASSES)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    return Part(document, folder, f"scenes/{split}")
