"""Detections: the same validation images as every arm sees them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mnv4bench.data.decode import read_image
from mnv4bench.data.prepared import unchanged
from mnv4bench.report import formatting as fmt
from mnv4bench.report.figures.style import COLOURS, figure
from mnv4bench.report.rendering import render
from mnv4bench.report.results import ArmResult, DataFacts, Results, distinct
from mnv4bench.results import matches
from mnv4bench.results.detections import read_detections

THRESHOLD = 0.25
"""Boxes below this score are not drawn."""
COLUMNS = 8
"""Columns in a row of pictures, ground truth included; more arms continue below."""
SHOWN = 2 * (COLUMNS - 1)
"""Most arms that a page holds."""
SIDE, GAP, MARGIN, HEAD, FOOT, ENTRY = 1.24, 0.06, 0.2, 0.34, 0.16, 0.94
"""Inches: a picture's width, the space after it, left margin, column titles, a line of the class legend, its entry."""

ACROSS = 24
"""Letters of a title in a line."""

Box = tuple[int, list[float], float | None]
"""Category id, [x, y, width, height] in pixels, score (None for ground truth)."""


@dataclass(frozen=True)
class _Column:
    title: str
    boxes: dict[int, list[Box]]
    """By image id."""
    state: str | None = None
    """How the run ended, where it has no detections to show."""


def chosen(data: DataFacts, spread: Mapping[int, int] | None = None) -> list[tuple[str, dict[str, Any]]]:
    """Return (label, COCO image record); images without objects are skipped.

    The number of objects is the median of each slice's images; without slices it is that of the images at one sixth,
    one half and five sixths, sorted by it. Of the images with that number it is the one with the largest `spread`, and
    of several the one with the lowest id.

    Args:
        spread: image id → by how much the arms differ (`spread`).
    """
    objects: dict[int, int] = defaultdict(int)
    for annotation in data.annotations["annotations"]:
        objects[annotation["image_id"]] += 1
    images = sorted(
        (image for image in data.annotations["images"] if objects[image["id"]]),
        key=lambda image: (objects[image["id"]], image["id"]),
    )

    def pick(among: list[dict[str, Any]], place: int) -> dict[str, Any]:
        like = [image for image in among if objects[image["id"]] == objects[among[place]["id"]]]
        return min(like, key=lambda image: (-(spread or {}).get(image["id"], 0), image["id"]))

    if not data.slices:
        places = {label: len(images) * k // 6 for label, k in (("few", 1), ("middling", 3), ("many", 5))}
        return [(f"{label} objects", pick(images, place)) for label, place in places.items()] if images else []
    by_slice = {name: [image for image in images if image.get("slice") == name] for name in data.slices}
    return [(name, pick(among, (len(among) - 1) // 2)) for name, among in by_slice.items() if among]


def spread(results: Results, groups: list[list[ArmResult]]) -> dict[int, int]:
    """Return image id → by how many the arms differ in what they find and in what they detect wrongly above THRESHOLD.

    Raises:
        Mnv4benchError: match records are missing or damaged.
    """
    counts: list[np.ndarray] = []
    ids: list[int] = []
    for group in groups:
        first, read = group[0].seeds[0], group[0].arm.read
        if first.state == "done":
            records = matches.load(results.folder / "runs" / first.run / "matches.npz", [read])[read]
            counts.append(_right_and_wrong(records))
            ids = records.image_ids.tolist()
    if not counts:
        return {}
    return dict(zip(ids, np.ptp(np.stack(counts), axis=0).sum(axis=0).tolist(), strict=True))


def _right_and_wrong(records: matches.MatchRecords) -> np.ndarray:
    """Return (2, images) detections that are right and wrong at IoU 0.5."""
    seen = (records.score >= THRESHOLD) & ~records.ignored[0, :, 0]
    right = records.tp[0, :, 0]
    return np.stack(
        [np.bincount(records.image[seen & part], minlength=len(records.image_ids)) for part in (right, ~right)]
    )


def shown(groups: list[list[ArmResult]]) -> list[list[ArmResult]]:
    """Return the groups of equal arms that a page holds, in their order; baselines and peers before others."""
    first = [any(arm.is_baseline for arm in g) or g[0].arm.model.peer is not None for g in groups]
    ranked = sorted(range(len(groups)), key=lambda place: not first[place])
    return [groups[place] for place in sorted(ranked[:SHOWN])]


def detections(results: Results, images: bool = True) -> Figure:
    """Return the chosen images in rows; ground truth and the arms that fit (first seed) in columns.

    Args:
        images: False draws boxes on white.
    """
    groups = shown(distinct(results.arms))
    rows = chosen(results.data, spread(results, groups))
    ids = {image["id"] for _, image in rows}
    columns = [_Column(_title(group), *_detections(results, group[0], ids)) for group in groups]
    per_block = COLUMNS - 1
    blocks = [columns[i : i + per_block] for i in range(0, len(columns), per_block)]
    truth = _Column("ground truth", {image: boxes for image, boxes in _truth(results.data).items() if image in ids})
    palette = _palette(results.data, [truth, *columns])
    tall = max((image["height"] / image["width"] for _, image in rows), default=1.0) * SIDE
    width = MARGIN + (SIDE + GAP) * (1 + min(per_block, len(columns)))
    handles = _legend(results.data, palette)
    across = max(1, int(width / ENTRY))
    height = len(blocks) * (len(rows) * (tall + GAP) + HEAD) + FOOT * (0.6 + ceil(len(handles) / across))
    made = figure(width, height)
    # Places are computed: a layout solver needs seconds for so many panels.
    made.set_layout_engine("none")
    pictures = {image["id"]: _picture(results.data, image) if images else _blank(image) for _, image in rows}
    top = height
    for block in blocks:
        top -= HEAD
        for r, (label, image) in enumerate(rows):
            bottom = top - tall - r * (tall + GAP)
            for c, column in enumerate([truth, *block]):
                left = MARGIN + c * (SIDE + GAP)
                axis = _axes(made, left, bottom, SIDE, tall)
                _show(axis, pictures[image["id"]], column, image["id"], results.data, palette)
                if r == 0:
                    axis.set_title(column.title, fontsize=6.5, pad=3)
                if c == 0:
                    axis.set_ylabel(label, fontsize=7)
        top -= len(rows) * (tall + GAP)
    if handles:
        made.legend(handles=handles, loc="lower center", ncols=across, borderaxespad=0.1, handlelength=1)
    return made


def _axes(made: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    wide, tall = made.get_size_inches()
    return made.add_axes((left / wide, bottom / tall, width / wide, height / tall))


def _title(group: list[ArmResult]) -> str:
    more = f" (+{len(group) - 1} same)" if len(group) > 1 else ""
    return fmt.wrapped(f"{group[0].arm.full_title}{more}", ACROSS)


def _truth(data: DataFacts) -> dict[int, list[Box]]:
    boxes: dict[int, list[Box]] = defaultdict(list)
    for annotation in data.annotations["annotations"]:
        boxes[annotation["image_id"]].append((annotation["category_id"], annotation["bbox"], None))
    return boxes


def _detections(results: Results, arm: ArmResult, ids: set[int]) -> tuple[dict[int, list[Box]], str | None]:
    """Return image id → boxes of the arm's first seed, and the state of a run that did not end well."""
    first = arm.seeds[0]
    if first.state != "done":
        return {}, fmt.state(first.state)
    path = results.folder / "runs" / first.run / "detections.json"
    detections = read_detections(path, [arm.arm.read])[arm.arm.read]
    boxes: dict[int, list[Box]] = defaultdict(list)
    for detection in sorted(detections, key=lambda d: d["score"]):
        if detection["image_id"] in ids and detection["score"] >= THRESHOLD:
            boxes[detection["image_id"]].append((detection["category_id"], detection["bbox"], detection["score"]))
    return boxes, None


def _picture(data: DataFacts, image: dict[str, Any]) -> np.ndarray:
    path = data.record.path(data.folder, data.record.val.images) / Path(image["file_name"])
    return read_image(unchanged(path, image, data.folder))


def _blank(image: dict[str, Any]) -> np.ndarray:
    return np.full((image["height"], image["width"], 3), 255, np.uint8)


def _palette(data: DataFacts, columns: Sequence[_Column]) -> dict[int, str]:
    """Return category → colour: of every class where the colours suffice, else of those that have a box."""
    categories = data.record.category_ids
    if len(categories) > len(COLOURS):
        drawn = {category for column in columns for boxes in column.boxes.values() for category, _, _ in boxes}
        categories = tuple(category for category in categories if category in drawn)
    return {category: COLOURS[place % len(COLOURS)] for place, category in enumerate(categories)}


def _show(
    axis: Axes, picture: np.ndarray, column: _Column, image: int, data: DataFacts, palette: Mapping[int, str]
) -> None:
    axis.imshow(picture, interpolation="nearest", alpha=0.25 if column.state else 1.0)
    if column.state:
        axis.text(0.5, 0.5, column.state, ha="center", va="center", fontsize=7, transform=axis.transAxes)
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)
    if not column.state and not column.boxes.get(image):
        _say(axis, render("text/nothing_above.j2", threshold=THRESHOLD))
    for category, (x, y, w, h), score in column.boxes.get(image, []):
        _box(axis, (x, y, w, h), palette[category], _name(data, category, score))


def _say(axis: Axes, said: str) -> None:
    """Print words at the lower edge of a picture."""
    box = {"facecolor": "black", "edgecolor": "none", "alpha": 0.7, "pad": 1.5}
    axis.text(0.5, 0.04, said, ha="center", va="bottom", color="white", fontsize=6, transform=axis.transAxes, bbox=box)


def _name(data: DataFacts, category: int, score: float | None) -> str:
    number = str(data.record.category_ids.index(category) + 1)
    return number if score is None else f"{number} {score:.2f}".replace(" 0.", " .")


def _box(axis: Axes, box: tuple[float, float, float, float], colour: str, label: str) -> None:
    x, y, w, h = box
    top = min(axis.get_ylim())
    height = abs(axis.get_ylim()[1] - axis.get_ylim()[0])
    # At the upper edge a label above the box would be cut off.
    inside = y - top < 0.06 * height
    axis.add_patch(Rectangle((x, y), w, h, fill=False, edgecolor=colour, linewidth=0.8))
    axis.text(
        x,
        y,
        label,
        fontsize=4,
        color="white",
        va="top" if inside else "bottom",
        ha="left",
        clip_on=True,
        bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.4},
    )


def _legend(data: DataFacts, palette: Mapping[int, str]) -> list[Rectangle]:
    """Return a patch with colour, number and name of every class that has a colour."""
    numbers = {category: data.record.category_ids.index(category) for category in palette}
    return [
        Rectangle((0, 0), 1, 1, color=palette[category], label=f"{number + 1} {data.record.classes[number]}")
        for category, number in numbers.items()
    ]
