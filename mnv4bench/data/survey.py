"""What a preset has to know of a folder of images: how many there are, of which classes, and how small the objects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnv4bench.data import check, coco
from mnv4bench.data.parts import Part
from mnv4bench.data.problems import refuse
from mnv4bench.io.errors import DataError

SMALL = 10
"""Percentile of the objects' sizes that a preset is made for: nine of ten are larger."""


@dataclass(frozen=True)
class Survey:
    """A data set in numbers."""

    train: int
    val: int
    objects: int
    """Of the training images, crowds left out."""
    classes: tuple[str, ...]
    small: float
    """Side of a small object, the square root of its area, relative to the longer side of its image."""
    side: int
    """Median longer side of the training images in pixels."""


def survey(folder: Path) -> Survey:
    """Return the numbers of a folder in COCO 2017's layout, from its annotation files alone.

    Raises:
        DataError: lists what is wrong with the annotations, or there is nothing to learn.
    """
    origin = coco.source(coco.typed(folder))
    train, val = origin.train, origin.val
    assert train is not None, "without train: 0 both halves are read"
    problems = [problem for part in (train, val) for problem in check.structure(part)]
    refuse(problems + check.same_categories(train, val), f"data {folder}")
    sizes = list(_sizes(train))
    if not sizes:
        raise DataError(f"{train.origin}: no object; nothing can be learned")
    records = train.document["images"]
    return Survey(
        train=len(records),
        val=len(val.document["images"]),
        objects=len(sizes),
        classes=tuple(record["name"] for record in sorted(train.document["categories"], key=lambda item: item["id"])),
        small=float(np.percentile(sizes, SMALL)),
        side=int(np.median([max(record["width"], record["height"]) for record in records])),
    )


def _sizes(part: Part) -> Iterator[float]:
    longer = {record["id"]: max(record["width"], record["height"]) for record in part.document["images"]}
    for record in part.document["annotations"]:
        if not record.get("iscrowd"):
            yield float(np.sqrt(record["bbox"][2] * record["bbox"][3])) / longer[record["image_id"]]
