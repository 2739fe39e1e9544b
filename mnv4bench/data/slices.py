"""The five compositions of Scenes: what is put into a picture so that it stresses one mechanism.

Lengths are given in pixels of a picture of 160 and scale with its side. Classes differ by shape or by a mark far from
the object's middle, never by the object's own colour, size or place; none changes when the picture is mirrored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mnv4bench.data.drawing import TURN, Colour, Draws, Ints, Layer, Mask, clouds, rim, shape, stripes

SHAPES = ("ring", "square", "triangle", "cross")
LAMPS = ("lamp_off", "lamp_on")
FRAMES = ("frame_dark", "frame_light")
CLASSES = SHAPES + LAMPS + FRAMES

_SMALLEST = 5
"""Pixels below which the four shapes cannot be told apart, whatever the picture's side."""
_STEPS = {"ring": (8, 26), "square": (16, 40), "triangle": (34, 50), "cross": (8, 26)}
"""Percent of its size by which each member of a chain lies beside the one before it."""
_BLACK, _WHITE, _ORANGE, _BLUE = (16, 16, 16), (240, 240, 240), (235, 140, 20), (40, 90, 235)


@dataclass
class Sketch:
    """A picture in the making."""

    draws: Draws
    side: int
    contrast: int
    background: Ints
    canvas: Ints
    """The picture so far, which colours are chosen against."""
    layers: list[Layer] = field(default_factory=list)

    def px(self, length: int) -> int:
        return max(1, length * self.side // 160)

    def size(self, low: int, high: int) -> int:
        return max(_SMALLEST, self.px(self.draws.between(low * 4, high * 4)) // 4)

    def anywhere(self, mask: Mask) -> tuple[int, int]:
        """Return a random place at which the mask lies wholly inside."""
        height, width = mask.shape
        return self.draws.below(self.side - width + 1), self.draws.below(self.side - height + 1)

    def colour_on(self, mask: Mask, x: int, y: int) -> Colour:
        """Return a colour that stands out from what is under the mask by the picture's contrast."""
        height, width = mask.shape
        under = self.canvas[y : y + height, x : x + width][mask]
        red, green, blue = (int(total) // len(under) for total in under.sum(0))
        return self.away(red), self.away(green), self.away(blue)

    def away(self, level: int) -> int:
        step = self.draws.between(self.contrast * 2 // 3, self.contrast)
        up = self.draws.chance(50)
        if level + step > 255 or (level - step >= 0 and not up):
            return level - step
        return level + step

    def put(self, mask: Mask, x: int, y: int, label: str | None = None, keep: int = 30, edge: int = 0) -> None:
        """Add a filled shape with a darker or lighter edge of `edge` pixels; near another layer there always is one."""
        covers = any(_meet(mask, x, y, layer) for layer in self.layers)
        # An edge would eat up the smallest shapes.
        edge = max(edge, self.px(1)) if covers and min(mask.shape) > 12 else edge
        colour = self.colour_on(mask, x, y)
        paint = np.array(colour, np.int32) + self.draws.noise((*mask.shape, 1), self.draws.between(0, 10))
        if edge:
            paint[rim(mask, edge)] += 70 if sum(colour) < 300 else -70
        self.add(Layer(mask, x, y, paint, label, keep))

    def add(self, layer: Layer) -> None:
        self.layers.append(layer)
        self.canvas[layer.window][layer.mask] = layer.paint[layer.mask]


def _meet(mask: Mask, x: int, y: int, layer: Layer) -> bool:
    (height, width), (other_height, other_width) = mask.shape, layer.mask.shape
    across = x < layer.x + other_width and layer.x < x + width
    return bool(across and y < layer.y + other_height and layer.y < y + height)


def start(draws: Draws, side: int) -> Sketch:
    """Return an empty picture: clouds, stripes and grain over a plain colour."""
    base = np.array([draws.between(50, 205) for _ in range(3)], np.int32)
    background = base + clouds(draws, side, side // 3, draws.between(10, 50))
    background += clouds(draws, side, side // 12, draws.between(4, 24))
    if draws.chance(40):
        background += stripes(draws, side, draws.between(3, 14))
    background += draws.noise((side, side, 3), draws.between(3, 14))
    background = np.clip(background, 0, 255)
    return Sketch(draws, side, draws.between(45, 120), background, background.copy())


def _distract(sketch: Sketch, most: int) -> None:
    for _ in range(sketch.draws.below(most + 1)):
        kind = sketch.draws.pick(("stick", "hook", "disc"))
        mask = shape(kind, max(10, sketch.size(14, 44)), sketch.draws.below(TURN))
        sketch.put(mask, *sketch.anywhere(mask))


def _shapes(sketch: Sketch, count: int, low: int, high: int) -> None:
    for _ in range(count):
        label = sketch.draws.pick(SHAPES)
        mask = shape(label, sketch.size(low, high), sketch.draws.below(TURN))
        edge = sketch.px(1) if sketch.draws.chance(50) else 0
        sketch.put(mask, *sketch.anywhere(mask), label, keep=50, edge=edge)


def plain(sketch: Sketch) -> None:
    """Put one to five shapes of middling size, or, once in ten pictures, distractors alone."""
    _distract(sketch, 2)
    if not sketch.draws.chance(10):
        _shapes(sketch, sketch.draws.between(1, 5), 18, 72)
    _distract(sketch, 1)


def crowd(sketch: Sketch) -> None:
    """Put chains of overlapping objects of one class: their boxes overlap so far that suppression may take some."""
    draws = sketch.draws
    _distract(sketch, 1)
    label = draws.pick(SHAPES)
    size = sketch.size(18, 34)
    for _ in range(draws.between(2, 4)):
        angle, heading = draws.below(TURN), draws.below(8)
        mask = shape(label, size, angle)
        x, y = sketch.anywhere(mask)
        for _ in range(draws.between(2, 6)):
            sketch.put(mask, x, y, label, keep=30, edge=max(1, sketch.px(3) // 2))
            # What lies behind a hollow shape shows through, so such boxes may overlap further.
            step = size * draws.between(*_STEPS[label]) // 100
            right, down = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))[heading]
            x = min(max(x + right * step, 0), sketch.side - mask.shape[1])
            y = min(max(y + down * step, 0), sketch.side - mask.shape[0])


def small(sketch: Sketch) -> None:
    """Put many shapes of 8 to 15 pixels."""
    draws = sketch.draws
    sketch.contrast = draws.between(70, 130)
    for _ in range(draws.below(3)):
        stick = shape("stick", sketch.px(draws.between(30, 90)), draws.below(TURN))
        sketch.put(stick, *sketch.anywhere(stick))
    for _ in range(draws.between(5, 12)):
        label = draws.pick(SHAPES)
        # Any other angle would blur a shape of a few pixels beyond recognition.
        mask = shape(label, sketch.size(8, 15), TURN // 4 * draws.below(4))
        sketch.put(mask, *sketch.anywhere(mask), label, keep=80)


def context(sketch: Sketch) -> None:
    """Put lamps that are on or off as a switch in the opposite corner is white or black."""
    draws, side = sketch.draws, sketch.side
    _distract(sketch, 1)
    _shapes(sketch, draws.below(2), 18, 40)
    lit, right, low = draws.chance(50), draws.chance(50), draws.chance(50)
    for _ in range(draws.between(1, 3)):
        mask, cross = _lamp(sketch)
        height, width = mask.shape
        x = draws.between(side // 2, side - width) if not right else draws.between(0, side // 2 - width)
        y = draws.between(side // 2, side - height) if not low else draws.between(0, side // 2 - height)
        sketch.put(mask, x, y, LAMPS[lit], keep=60, edge=sketch.px(1))
        paint = sketch.layers[-1].paint
        paint[cross] += 90 if int(paint[cross].sum()) < 390 * int(cross.sum()) else -90
    plate = np.ones((sketch.px(46), sketch.px(46)), np.bool_)
    margin = draws.between(0, sketch.px(8))
    far = side - margin - len(plate)
    x, y = far if right else margin, far if low else margin
    sketch.add(Layer(plate, x, y, _sign(plate, _WHITE if lit else _BLACK, _ORANGE, sketch.px(5))))


def _lamp(sketch: Sketch) -> tuple[Mask, Mask]:
    """Return a disc, and the diagonal cross on it."""
    size = sketch.size(24, 42)
    disc, cross = shape("disc", size), shape("cross", size * 9 // 16, TURN // 8)
    inside = np.zeros_like(disc)
    top, left = (disc.shape[0] - cross.shape[0]) // 2, (disc.shape[1] - cross.shape[1]) // 2
    inside[top : top + cross.shape[0], left : left + cross.shape[1]] = cross
    return disc, inside


def _sign(mask: Mask, colour: Colour, border: Colour, edge: int) -> Ints:
    paint = np.empty((*mask.shape, 3), np.int32)
    paint[:] = colour
    paint[rim(mask, edge)] = border
    return paint


def large(sketch: Sketch) -> None:
    """Put one to three frames over one another; their class is the colour of the seals at two corners of each."""
    draws = sketch.draws
    _distract(sketch, 1)
    _shapes(sketch, draws.below(2), 18, 40)
    light = draws.chance(50)
    for _ in range(draws.between(1, 3)):
        _frame(sketch, light)


def _frame(sketch: Sketch, light: bool) -> None:
    draws, side = sketch.draws, sketch.side
    width, height = (side * draws.between(46, 96) // 100 for _ in range(2))
    bar, seal = sketch.px(draws.between(4, 8)), sketch.px(draws.between(26, 34))
    mask = rim(np.ones((height, width), np.bool_), bar)
    falling = draws.chance(50)
    left = (slice(0, seal) if falling else slice(height - seal, height)), slice(0, seal)
    right = (slice(height - seal, height) if falling else slice(0, seal)), slice(width - seal, width)
    for place in (left, right):
        mask[place] = True
    # Of the lower frame, seals of the upper one may cover as much as they like: their colour is the same.
    sketch.put(mask, *sketch.anywhere(mask), FRAMES[light], keep=50, edge=sketch.px(1))
    patch = np.ones((seal, seal), np.bool_)
    for place in (left, right):
        sketch.layers[-1].paint[place] = _sign(patch, _WHITE if light else _BLACK, _BLUE, sketch.px(3))


COMPOSE: dict[str, Callable[[Sketch], None]] = {
    "plain": plain,
    "crowd": crowd,
    "small": small,
    "context": context,
    "large": large,
}

SHARES = {"plain": 3, "crowd": 4, "small": 4, "context": 6, "large": 5}
"""How often each composition is drawn. Classes that depend on something far away need more images than shapes."""
