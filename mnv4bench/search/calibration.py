"""From pieces that were timed alone to whole networks: what the sum of their times leaves out.

A piece that is called again and again keeps its weights in the processor's cache; a whole network has more than fit
and fetches them anew. So a network takes longer than its pieces together, the more the more weights it has. A few
random networks are timed whole, and their times fitted by the sum, the weights and what a call costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls

from mnv4bench.io.files import write_json
from mnv4bench.models.mobilenetv4.network import Classifier
from mnv4bench.results.record import read_record
from mnv4bench.results.search import Calibration
from mnv4bench.search import space as spaces
from mnv4bench.search.cost import CLASSIFIER, Costs, Piece, Price, built, pieces
from mnv4bench.search.space import Architecture, Skeleton
from mnv4bench.search.times import Times, Whole, relative_error
from mnv4bench.spec.run import derive_seed

NETWORKS = 12

Clocked = Callable[[Architecture], float]
"""Milliseconds of a whole network."""


def random_networks(skeleton: Skeleton, name: str) -> Iterator[Architecture]:
    """Yield networks drawn evenly from the joint space, by a named stream."""
    space = spaces.joint(skeleton)
    generator = np.random.Generator(np.random.PCG64(derive_seed("networks to time", name)))
    while True:
        yield space.architecture([int(generator.integers(len(choice.options))) for choice in space.choices])


def whole(costs: Costs, times: Times) -> Clocked:
    """Return the stopwatch of whole networks."""

    def timed(architecture: Architecture) -> float:
        network = Classifier(spaces.variant(costs.skeleton, architecture), costs.classes)
        return times.of([Whole(network)], costs.side)[0]

    return timed


def calibrated(costs: Costs, clocked: Clocked, path: Path, networks: int = NETWORKS) -> Costs:
    """Return costs whose sums are times of whole networks; measured once, and kept in `path`.

    Args:
        costs: whose prices are milliseconds of pieces timed alone.

    Raises:
        FileError: the file is damaged.
    """
    if not path.exists():
        drawn = islice(random_networks(costs.skeleton, "calibration"), networks)
        timed = [(parts_of(costs, network), clocked(network)) for network in drawn]
        write_json(path, fitted(*zip(*timed, strict=True)))
    found = read_record(path, Calibration)
    return Costs(costs.skeleton, costs.side, costs.classes, _priced(costs.price, found))


def parts_of(costs: Costs, architecture: Architecture) -> tuple[float, float]:
    """Return the sum of a network's prices, and its weights in millions."""
    rows = spaces.rows(costs.skeleton, architecture)
    return costs.of(architecture), sum(map(weights, pieces(rows, costs.side, costs.classes))) / 1e6


@cache
def weights(piece: Piece) -> int:
    """Return the number of a piece's parameters."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in built(piece).parameters())


def fitted(parts: Sequence[tuple[float, float]], observed: Sequence[float]) -> Calibration:
    """Return the fit of whole networks' times with the least relative errors, none of its terms below zero.

    Args:
        parts: of each network, as `parts_of` returns them.
        observed: milliseconds of each network as a whole.
    """
    terms = np.array([(total, millions, 1.0) for total, millions in parts])
    times = np.array(observed)
    every = np.arange(len(times))
    others = [_least(terms[every != left], times[every != left]) for left in every]
    predicted = [float(terms[left] @ fit) for left, fit in enumerate(others)]
    scale, fetch, call = map(float, _least(terms, times))
    return Calibration(
        scale=scale,
        fetch=fetch,
        call=call,
        predicted=tuple(predicted),
        observed=tuple(observed),
        error=relative_error(predicted, observed),
    )


def _least(terms: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    solution: NDArray[np.float64] = nnls(terms / times[:, None], np.ones(len(times)))[0]
    return solution


def _priced(price: Price, fit: Calibration) -> Price:
    def corrected(piece: Piece) -> float:
        call = fit.call if piece.line.startswith(CLASSIFIER) else 0.0  # every network has one classifier
        return fit.scale * price(piece) + fit.fetch * weights(piece) / 1e6 + call

    return corrected
