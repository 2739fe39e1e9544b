"""Drawing with integers: random streams, textures, masks and layers that are the same on every machine.

Nothing here touches floating point, whose last bits differ between processors and library versions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mnv4bench.spec.run import derive_seed

Item = TypeVar("Item")
Mask = NDArray[np.bool_]
Ints = NDArray[np.int32]
Colour = tuple[int, int, int]

# round(1024 · sin(k · 90° / 16)), k = 0 … 16
_SINES = (0, 100, 200, 297, 392, 483, 569, 650, 724, 792, 851, 903, 946, 980, 1004, 1019, 1024)
TURN = 64
"""Angles are counted in 64ths of a turn."""


class Draws:
    """A named stream of random integers.

    Only the raw output of PCG64 is used: numpy promises (NEP 19) that it never changes, and makes no such promise for
    the distributions built on it.
    """

    def __init__(self, *names: object) -> None:
        self._bits = np.random.PCG64(derive_seed(*names))

    def below(self, limit: int) -> int:
        """Return an integer from 0 up to, not including, `limit`."""
        return int(self._bits.random_raw()) % limit

    def between(self, low: int, high: int) -> int:
        """Return an integer from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def chance(self, percent: int) -> bool:
        return self.below(100) < percent

    def pick(self, items: Sequence[Item]) -> Item:
        return items[self.below(len(items))]

    def noise(self, shape: tuple[int, ...], amplitude: int) -> Ints:
        """Return independent integers from −amplitude to +amplitude."""
        count = int(np.prod(shape))
        raw = self._bits.random_raw((count + 7) // 8).astype("<u8").view(np.uint8)[:count]
        return ((raw.astype(np.int32) * (2 * amplitude + 1)) >> 8).reshape(shape) - amplitude


def clouds(draws: Draws, side: int, cell: int, amplitude: int) -> Ints:
    """Return smooth noise of shape (side, side, 3): random values on a grid of `cell` pixels, joined linearly."""
    knots = side // cell + 2
    grid = draws.noise((knots, knots, 3), amplitude)
    position = np.arange(side, dtype=np.int32)
    index, weight = position // cell, position % cell
    across = weight[None, :, None]
    down = weight[:, None, None]
    rows = grid[:, index] * (cell - across) + grid[:, index + 1] * across
    total = rows[index] * (cell - down) + rows[index + 1] * down
    return np.asarray(total // (cell * cell), np.int32)


def stripes(draws: Draws, side: int, amplitude: int) -> Ints:
    """Return parallel stripes of shape (side, side, 1) in a random direction."""
    y, x = np.mgrid[:side, :side].astype(np.int32)
    sine, cosine = _turn(draws.below(TURN))
    period = draws.between(max(4, side // 20), max(6, side // 6)) * 1024
    return np.where((x * cosine + y * sine) % period * 2 < period, amplitude, -amplitude).astype(np.int32)[..., None]


def shape(name: str, size: int, angle: int = 0) -> Mask:
    """Return the mask of a shape, cropped to it; `size` is its nominal side in pixels, `angle` in 64ths of a turn."""
    side = size if angle % (TURN // 4) == 0 else size * 3 // 2
    step = np.arange(side, dtype=np.int32) * 2 - (side - 1)
    sine, cosine = _turn(angle)
    # u, v: coordinates in which the shape is upright and reaches from -1024 to 1024
    u = (step[None, :] * cosine + step[:, None] * sine) // size
    v = (step[:, None] * cosine - step[None, :] * sine) // size
    return crop(_SHAPES[name](u, v))[0]


def _ring(u: Ints, v: Ints) -> Mask:
    squared = u * u + v * v
    return (squared <= 1024 * 1024) & (squared >= 500 * 500)


def _disc(u: Ints, v: Ints) -> Mask:
    return u * u + v * v <= 1024 * 1024


def _square(u: Ints, v: Ints) -> Mask:
    return np.maximum(abs(u), abs(v)) <= 1024


def _triangle(u: Ints, v: Ints) -> Mask:
    return (v >= -1024) & (v <= 1024) & (2 * abs(u) <= v + 1024)


def _cross(u: Ints, v: Ints) -> Mask:
    return (np.minimum(abs(u), abs(v)) <= 340) & (np.maximum(abs(u), abs(v)) <= 1024)


def _stick(u: Ints, v: Ints) -> Mask:
    return (abs(v) <= 110) & (abs(u) <= 1024)


def _hook(u: Ints, v: Ints) -> Mask:
    return (np.maximum(abs(u), abs(v)) <= 1024) & ((u <= -560) | (v >= 560))


_SHAPES = {
    "ring": _ring,
    "disc": _disc,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
    "stick": _stick,
    "hook": _hook,
}


def _turn(angle: int) -> tuple[int, int]:
    """Return 1024 times sine and cosine of an angle."""
    return _sine(angle), _sine(angle + TURN // 4)


def _sine(angle: int) -> int:
    quarter, rest = divmod(angle % TURN, TURN // 4)
    value = _SINES[16 - rest] if quarter % 2 else _SINES[rest]
    return -value if quarter >= 2 else value


def bounds(mask: Mask) -> tuple[int, int, int, int]:
    """Return x, y, width and height of the smallest box around a mask's true pixels, of which it has some."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    x, y = int(columns[0]), int(rows[0])
    return x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y


def crop(mask: Mask) -> tuple[Mask, int, int]:
    """Return a mask without its empty margins, and what was cut on the left and at the top."""
    x, y, width, height = bounds(mask)
    return mask[y : y + height, x : x + width], x, y


def rim(mask: Mask, width: int) -> Mask:
    """Return the pixels of a mask that lie within `width` pixels of its outside."""
    inner = np.pad(mask, 1)
    for _ in range(width):
        inner[1:-1, 1:-1] &= inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
    return mask & ~inner[1:-1, 1:-1]


@dataclass(frozen=True)
class Layer:
    """One opaque thing in a picture: an object if it has a label, else a distractor."""

    mask: Mask
    x: int
    y: int
    paint: Ints
    """Colours, of shape (height, width, 3)."""
    label: str | None = None
    keep: int = 30
    """Percentage of an object's own pixels that must stay visible for it to be in the picture at all."""

    @property
    def window(self) -> tuple[slice, slice]:
        height, width = self.mask.shape
        return slice(self.y, self.y + height), slice(self.x, self.x + width)


def owners(side: int, layers: Sequence[Layer]) -> Ints:
    """Return, per pixel, the position of the topmost layer that covers it, or −1; later layers lie on top."""
    owner = np.full((side, side), -1, np.int32)
    for position, layer in enumerate(layers):
        owner[layer.window][layer.mask] = position
    return owner


def without_hidden(side: int, layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers less the objects of which too little can be seen.

    The most hidden one goes first, since what it covered may then show enough.
    """
    kept = list(layers)
    while True:
        visible = np.bincount(owners(side, kept).ravel() + 1, minlength=len(kept) + 1)[1:]
        shares = [
            (int(seen) * 100 // int(layer.mask.sum()), position)
            for position, (seen, layer) in enumerate(zip(visible, kept, strict=True))
            if layer.label is not None and int(seen) * 100 < layer.keep * int(layer.mask.sum())
        ]
        if not shares:
            return kept
        del kept[min(shares)[1]]


def render(background: Ints, layers: Sequence[Layer]) -> NDArray[np.uint8]:
    """Return the picture, of the background's shape."""
    picture = background.copy()
    for layer in layers:
        picture[layer.window][layer.mask] = layer.paint[layer.mask]
    return np.clip(picture, 0, 255).astype(np.uint8)
