"""What may be chosen: MobileNetV4's space of universal inverted bottlenecks (arXiv 2404.10518, section 6.1).

A space is a list of choices, each with its options; one with a single option is fixed. The coarse stage chooses filters
and depth, the fine stage depthwise kernels, the one-stage search everything at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

from mnv4bench.models.mobilenetv4.blocks import EmptyRow, Row, UIBRow, make_divisible
from mnv4bench.models.mobilenetv4.network import FEATURES
from mnv4bench.models.mobilenetv4.variants import CONV_SMALL, Variant, as_line, parse

Kernels = tuple[int, int]
"""First and middle depthwise kernel of a block; 0 leaves that convolution out."""
Option = bool | int | Kernels
Aspect = Literal["channels", "present", "kernels", "expansion"]

MULTIPLES = (0.5, 0.625, 0.75, 1.0, 1.25, 1.5, 2.0)
"""Of a stage's base filters (TuNAS, Bender et al. 2020, section 3)."""
KERNELS: tuple[Kernels, ...] = tuple(product((0, 3, 5), (0, 3, 5)))
INVERTED_BOTTLENECK: Kernels = (0, 3)
EXPANSION = 4
"""Of every block in the two-stage search, as the paper says."""
EXPANSIONS = (2, 3, 4, 6)


@dataclass(frozen=True)
class Block:
    """One place of a stage, filled or left empty."""

    present: bool
    kernels: Kernels
    expansion: int


@dataclass(frozen=True)
class Stage:
    """Blocks of one resolution; the first halves it."""

    channels: int
    blocks: tuple[Block, ...]


Architecture = tuple[Stage, ...]


@dataclass(frozen=True)
class Skeleton:
    """What all networks of a space share."""

    head: tuple[Row, ...]
    """Rows before the first stage."""
    stages: tuple[tuple[int, int], ...]
    """Base filters and places of each stage."""
    tail: tuple[Row, ...]
    """Rows after the last stage."""


@dataclass(frozen=True)
class Choice:
    """One decision, in the order in which a controller makes them."""

    stage: int
    block: int | None
    """None for the filters of a stage."""
    aspect: Aspect
    options: tuple[Option, ...]

    @property
    def name(self) -> str:
        place = f"stage {self.stage + 1}"
        return f"{place} {self.aspect}" if self.block is None else f"{place} block {self.block + 1} {self.aspect}"

    @property
    def largest(self) -> int:
        """Return the index of the largest size; of `present`, that of True."""
        return self._sizes.index(max(self._sizes))

    @property
    def smallest(self) -> int:
        return self._sizes.index(min(self._sizes))

    @property
    def _sizes(self) -> list[int]:
        """Filters, expansion, presence, or weights of both kernels for each channel."""
        return [option if isinstance(option, int) else sum(k * k for k in option) for option in self.options]


@dataclass(frozen=True)
class Space:
    skeleton: Skeleton
    choices: tuple[Choice, ...]

    def architecture(self, picks: Sequence[int]) -> Architecture:
        """Return the architecture that takes option `picks[i]` of choice i."""
        values: dict[tuple[int, int | None, Aspect], Any] = {
            (choice.stage, choice.block, choice.aspect): choice.options[pick]
            for choice, pick in zip(self.choices, picks, strict=True)
        }
        return tuple(
            Stage(
                values[stage, None, "channels"],
                tuple(
                    Block(
                        values[stage, block, "present"],
                        values[stage, block, "kernels"],
                        values[stage, block, "expansion"],
                    )
                    for block in range(places)
                ),
            )
            for stage, (_, places) in enumerate(self.skeleton.stages)
        )

    def active(self, picks: Sequence[int]) -> list[bool]:
        """Return which choices matter: those about a block that is left out do not."""
        architecture = self.architecture(picks)
        return [
            choice.block is None
            or choice.aspect == "present"
            or architecture[choice.stage].blocks[choice.block].present
            for choice in self.choices
        ]

    def options(self, stage: int, block: int | None, aspect: Aspect) -> tuple[Any, ...]:
        return next(c.options for c in self.choices if (c.stage, c.block, c.aspect) == (stage, block, aspect))

    @property
    def size(self) -> int:
        """Number of ways to pick, those that differ only in blocks that are left out included."""
        return math.prod(len(choice.options) for choice in self.choices)


def conv_small() -> Skeleton:
    """Return MobileNetV4-Conv-S's skeleton: its rows before and after its two stages, their filters and places."""
    blocks = [row for row in CONV_SMALL.rows if isinstance(row, UIBRow)]
    first = CONV_SMALL.rows.index(blocks[0])
    widths = list(dict.fromkeys(row.channels for row in blocks))
    stages = tuple((width, sum(row.channels == width for row in blocks)) for width in widths)
    return Skeleton(CONV_SMALL.rows[:first], stages, CONV_SMALL.rows[first + len(blocks) :])


def tiny() -> Skeleton:
    """Return a skeleton of two short stages, for tests."""
    head = parse("2 × conv 3x3 8 /2\n conv 3x3 16 /2")
    return Skeleton(head, ((16, 2), (24, 2)), parse(f"conv 1x1 {FEATURES} /1"))


def coarse(skeleton: Skeleton) -> Space:
    """Return the first stage's space: filters and depth of inverted bottlenecks with a 3×3 kernel and expansion 4."""
    return _space(skeleton, kernels=(INVERTED_BOTTLENECK,), expansions=(EXPANSION,))


def fine(skeleton: Skeleton, chosen: Architecture) -> Space:
    """Return the second stage's space: depthwise kernels of what the first stage chose."""
    choices: list[Choice] = []
    for choice in _space(skeleton, kernels=KERNELS, expansions=(EXPANSION,)).choices:
        stage = chosen[choice.stage]
        block = None if choice.block is None else stage.blocks[choice.block]
        if block is None:
            choices.append(replace(choice, options=(stage.channels,)))
        elif choice.aspect == "present":
            choices.append(replace(choice, options=(block.present,)))
        elif choice.aspect == "kernels" and not block.present:
            choices.append(replace(choice, options=(INVERTED_BOTTLENECK,)))
        else:
            choices.append(choice)
    return Space(skeleton, tuple(choices))


def joint(skeleton: Skeleton) -> Space:
    """Return the one-stage space: filters, depth, kernels and expansions at once."""
    return _space(skeleton, kernels=KERNELS, expansions=EXPANSIONS)


def rows(skeleton: Skeleton, architecture: Architecture) -> tuple[Row, ...]:
    """Return an architecture as rows; places that are left empty keep their row, so the others keep their names."""
    middle: list[Row] = []
    for stage in architecture:
        for place, block in enumerate(stage.blocks):
            start, center = block.kernels
            stride = 1 if place else 2
            filled = UIBRow(start, center, stage.channels, stride, block.expansion)
            middle.append(filled if block.present else EmptyRow(stage.channels))
    return (*skeleton.head, *middle, *skeleton.tail)


def variant(skeleton: Skeleton, architecture: Architecture) -> Variant:
    return Variant(rows(skeleton, architecture), input_side=0)


def as_table(network: Sequence[Row]) -> list[str]:
    """Return rows in the notation of models/mobilenetv4/tables.py, empty places left out."""
    return [as_line(row) for row in network if not isinstance(row, EmptyRow)]


def _space(skeleton: Skeleton, kernels: tuple[Kernels, ...], expansions: tuple[int, ...]) -> Space:
    def choices() -> Iterator[Choice]:
        for stage, (base, places) in enumerate(skeleton.stages):
            yield Choice(stage, None, "channels", tuple(dict.fromkeys(make_divisible(base * m) for m in MULTIPLES)))
            for block in range(places):
                strided = block == 0
                yield Choice(stage, block, "present", (True,) if strided else (True, False))
                yield Choice(stage, block, "kernels", tuple(k for k in kernels if any(k) or not strided))
                yield Choice(stage, block, "expansion", expansions)

    return Space(skeleton, tuple(choices()))
