"""Names beside points: each where it touches neither a point nor another name, or nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Spot = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, bottom, right, top."""
Boxes = NDArray[np.float64]
"""(boxes, 4)"""
DISTANCES = (5.0, 9.0, 14.0, 20.0)
"""How far from its point a name may stand, nearest first, in the unit of the places. A name further off is hard to
follow back, and among many points hides what the picture shows."""
LATER = 5
"""So many distances are tried at a point before the next best one."""
DIRECTIONS = 24
LEADER = 9.0
"""From so far on a line joins a name to its point."""
STEP = 2.0
"""Distance of the places on such a line that are kept free of names."""


@dataclass(frozen=True)
class Placed:
    """A name's point, its lower left corner, and the end of the line from the point; None where it stands close by."""

    anchor: Spot
    left: float
    bottom: float
    joint: Spot | None


def place(
    anchors: Sequence[Sequence[Spot]],
    sizes: Sequence[Spot],
    points: Sequence[Spot],
    radius: float,
    lines: Sequence[tuple[Spot, Spot]],
    inside: Box,
) -> list[Placed | None]:
    """Return where each name stands, the first ones first; None for one that fits nowhere.

    Args:
        anchors: for each name the points that it may stand at, the best first.
        sizes: width and height of each name.
        points: all points, of which none may be covered, each with `radius` around it.
        lines: what names keep off where they can.
        inside: what no name may leave.
    """
    taken = np.array([(x - radius, y - radius, x + radius, y + radius) for x, y in points]).reshape(-1, 4)
    names, leaders = np.empty((0, 4)), np.empty((0, 4))
    better = np.vstack([np.empty((0, 4)), *(_line(*ends) for ends in lines)])
    found: list[Placed | None] = []
    for places, size in zip(anchors, sizes, strict=True):
        chosen = None
        for avoided in (np.vstack([taken, names, leaders, better]), np.vstack([taken, names, leaders])):
            chosen = chosen or _first_free(places, size, avoided, names, inside)
        found.append(chosen)
        if chosen is None:
            continue
        names = np.vstack([names, (chosen.left, chosen.bottom, chosen.left + size[0], chosen.bottom + size[1])])
        if chosen.joint is not None:
            leaders = np.vstack([leaders, _line(chosen.anchor, chosen.joint)])
    return found


def _first_free(places: Sequence[Spot], size: Spot, avoided: Boxes, names: Boxes, inside: Box) -> Placed | None:
    for anchor, distance in _order(places):
        for turn in np.arange(DIRECTIONS) * (2 * np.pi / DIRECTIONS):
            across, up = float(np.cos(turn)), float(np.sin(turn))
            joint = anchor[0] + distance * across, anchor[1] + distance * up
            left, bottom = joint[0] - size[0] * (1 - across) / 2, joint[1] - size[1] * (1 - up) / 2
            box = (left, bottom, left + size[0], bottom + size[1])
            outside = box[0] < inside[0] or box[1] < inside[1] or box[2] > inside[2] or box[3] > inside[3]
            if outside or _touches(box, avoided):
                continue
            if distance < LEADER:
                return Placed(anchor, left, bottom, None)
            if not any(_touches(tuple(spot), names) for spot in _line(anchor, joint)):
                return Placed(anchor, left, bottom, joint)
    return None


def _order(places: Sequence[Spot]) -> Iterator[tuple[Spot, float]]:
    """Yield points and distances, near ones first; the next best point comes LATER."""
    for step in range(len(DISTANCES) + LATER * len(places)):
        for rank, anchor in enumerate(places):
            if 0 <= (nearness := step - LATER * rank) < len(DISTANCES):
                yield anchor, DISTANCES[nearness]


def _touches(box: Box, others: Boxes) -> bool:
    left, bottom, right, top = others.T
    return bool(((left < box[2]) & (right > box[0]) & (bottom < box[3]) & (top > box[1])).any())


def _line(start: Spot, end: Spot) -> Boxes:
    """Return a line as the boxes of places on it."""
    count = max(2, int(np.hypot(end[0] - start[0], end[1] - start[1]) / STEP))
    spots = np.linspace(start, end, count)
    return np.hstack([spots - 0.5, spots + 0.5])
