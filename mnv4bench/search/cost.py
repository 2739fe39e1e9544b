"""What an architecture costs: the sum of its rows' prices, so that every choice has a price of its own.

A price is a function of a piece, a row together with the map that arrives there: its multiply-accumulates (`macs_of`),
or its milliseconds on this machine (times.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from torch import nn

from mnv4bench.cost import counting
from mnv4bench.io.errors import SpecError
from mnv4bench.models.mobilenetv4.blocks import EmptyRow, Row, Style, UIBRow, make_divisible
from mnv4bench.models.mobilenetv4.network import FEATURES, HEAD_CHANNELS
from mnv4bench.models.mobilenetv4.variants import as_line, parse
from mnv4bench.models.yolo import Conv
from mnv4bench.search.space import Architecture, Skeleton, Space, rows
from mnv4bench.spec.run import derive_seed

CLASSIFIER = "classifier"
NEAR = 0.02
"""Relative distance from the target at which a random network costs the same."""
TRIES = 100_000
DRAWS = 5_000
"""Networks that a finished controller is asked for at a time, to find one at the budget."""
TEMPERATURES = tuple(2.0**power for power in range(11))


@dataclass(frozen=True)
class Piece:
    """A row, in the notation of models/mobilenetv4/tables.py, or "classifier N", and the map that it takes in."""

    line: str
    channels: int
    side: int


Price = Callable[[Piece], float]


def pieces(network: Sequence[Row], side: int, classes: int) -> list[Piece]:
    """Return what a classifier of these rows is made of, for square images of `side` pixels."""
    result, channels = [], 3
    for row in network:
        if not isinstance(row, EmptyRow):
            result.append(Piece(as_line(row), channels, side))
            channels, side = row.channels, math.ceil(side / row.stride)
    return [*result, Piece(f"{CLASSIFIER} {classes}", channels, side)]


def built(piece: Piece) -> nn.Module:
    """Return a piece as a module of maps (B, channels, side, side); it knows no more of the network."""
    name, *rest = piece.line.split()
    if name == CLASSIFIER:
        head = Conv(FEATURES, HEAD_CHANNELS, act=nn.ReLU())
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), head, nn.Flatten(), nn.Linear(HEAD_CHANNELS, int(rest[0])))
    (row,) = parse(piece.line)
    return row.build(piece.channels, Style())


@cache
def macs_of(piece: Piece) -> float:
    """Return a piece's multiply-accumulates for one image.

    Of a bottleneck by formula, since a search meets thousands of them; of others by counting.
    """
    if piece.line.startswith("uib"):
        (row,) = parse(piece.line)
        assert isinstance(row, UIBRow)
        return _macs_of_uib(row, piece.channels, piece.side)
    module = built(piece).eval()
    counted = counting.macs(module, torch.zeros(1, piece.channels, piece.side, piece.side))
    return counted[""].total


def _macs_of_uib(row: UIBRow, channels: int, side: int) -> int:
    expanded, after = make_divisible(channels * row.expansion), math.ceil(side / row.stride)
    between = side if row.dw_middle else after  # a stride is the middle convolution's, where there is one
    start = row.dw_start**2 * channels * between**2
    middle = row.dw_middle**2 * expanded * after**2
    return start + channels * expanded * between**2 + middle + expanded * row.channels * after**2


@dataclass(frozen=True)
class Costs:
    """What architectures of one skeleton cost at one image side."""

    skeleton: Skeleton
    side: int
    classes: int
    price: Price

    def of(self, architecture: Architecture) -> float:
        return self.of_rows(rows(self.skeleton, architecture))

    def of_rows(self, network: Sequence[Row]) -> float:
        return sum(self.price(piece) for piece in pieces(network, self.side, self.classes))


def near(cost: float, target: float) -> bool:
    """Whether a network costs the target within 2 %."""
    return abs(cost / target - 1) <= NEAR


def check_budget(space: Space, costs: Costs, target: float) -> None:
    """Refuse a target that no network of the space can cost within 2 %.

    Raises:
        SpecError: names the budget, and what the smallest and the largest network cost.
    """
    ends = ([choice.smallest for choice in space.choices], [choice.largest for choice in space.choices])
    lowest, highest = (costs.of(space.architecture(picks)) for picks in ends)
    if not lowest * (1 - NEAR) <= target <= highest * (1 + NEAR):
        raise SpecError(_beyond(target, lowest, highest))


def _beyond(target: float, lowest: float, highest: float) -> str:
    return f"budget {target:g}: networks of this space cost {lowest:g} to {highest:g}; choose one between"


def random_architecture(space: Space, costs: Costs, target: float, seed: int) -> Architecture:
    """Return a uniformly drawn architecture that costs the target within 2 %: the baseline that a search has to beat.

    Raises:
        SpecError: none is found, so the target is not in the space.
    """
    generator = np.random.Generator(np.random.PCG64(derive_seed("random architecture", seed)))
    lowest, highest = math.inf, 0.0
    for _ in range(TRIES):
        picks = [int(generator.integers(len(choice.options))) for choice in space.choices]
        architecture = space.architecture(picks)
        cost = costs.of(architecture)
        lowest, highest = min(lowest, cost), max(highest, cost)
        if near(cost, target):
            return architecture
    raise SpecError(_beyond(target, lowest, highest))


def likeliest(
    space: Space, costs: Costs, target: float, logits: Sequence[NDArray[np.float64]], *names: object
) -> list[int] | None:
    """Return the most probable picks among draws that cost the target within 2 %; None if no draw does.

    A controller that is sure of everything draws one network alone, so where no draw is near the target it is asked
    again with its logits divided by 2, 4 and so on.

    Args:
        logits: of each choice's options.
        names: of the random stream.
    """
    generator = np.random.Generator(np.random.PCG64(derive_seed(*names)))
    logarithms = [log_softmax(options) for options in logits]
    for temperature in TEMPERATURES:
        columns = [generator.choice(len(options), DRAWS, p=softmax(options / temperature)) for options in logits]
        best: list[int] | None = None
        highest = -math.inf
        for picks in np.unique(np.stack(columns, axis=1), axis=0).tolist():
            active = space.active(picks)
            terms = zip(logarithms, picks, active, strict=True)
            probable = sum(float(options[pick]) for options, pick, counts in terms if counts)
            if probable > highest and near(costs.of(space.architecture(picks)), target):
                best, highest = picks, probable
        if best is not None:
            return best
    return None
