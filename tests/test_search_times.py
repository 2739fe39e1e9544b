"""Prices in milliseconds, without timing anything: the table of pieces, and the fit to whole networks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from mnv4bench.io.errors import FileError
from mnv4bench.latency.measure.protocol import Schedule
from mnv4bench.search import calibration
from mnv4bench.search import space as spaces
from mnv4bench.search.cost import Costs, Piece, macs_of
from mnv4bench.search.times import Behind, Stopwatch, Times, relative_error

PIECE = Piece("uib 3 3 16 /1 x2", 16, 8)


class Stub(Stopwatch):
    """Says that whole pieces take three times as long as the fixed network, and what lies before them once."""

    def __init__(self) -> None:
        super().__init__(64)
        self.sides: list[int] = []

    def usual(self) -> float:
        return 2.0

    def ratios(self, networks: Sequence[nn.Module], side: int, schedule: Schedule) -> list[float]:
        self.sides.append(side)
        return [3.0, 1.0][: len(networks)]


def test_a_piece_is_measured_once_and_its_price_survives_a_kill(tmp_path: Path) -> None:
    path, stub = tmp_path / "times.json", Stub()
    first = Times(path, stub)
    assert [first(PIECE), first(PIECE), first(Piece("conv 1x1 8 /1", 16, 32))] == [4.0, 4.0, 4.0]
    assert Times(path, stub)(PIECE) == 4.0
    assert stub.sides == [8, 32], "each once, on a map of its own size"


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    path.write_text("{")
    with pytest.raises(FileError, match=r"times\.json"):
        Times(path, Stub())


def test_every_piece_runs_in_the_runtime_beside_the_fixed_network(tmp_path: Path) -> None:
    """A clock that counts its own ticks: all networks seem equally fast, so a piece seems free."""
    ticks = count()
    stopwatch = Stopwatch(64, clock=lambda: float(next(ticks)))
    for piece in (
        PIECE,
        Piece("conv 3x3 8 /2", 3, 32),
        Piece("uib 0 5 24 /2 x4", 16, 8),
        Piece("classifier 5", 960, 2),
    ):
        assert Times(tmp_path / f"{piece.channels}{piece.side}.json", stopwatch)(piece) == 0.0
    assert stopwatch.ratios([Behind(3, None)], 32, Schedule(2, 1, 0.5)) == [1.0]


def test_the_error_of_a_table_is_a_median() -> None:
    assert relative_error([1.0, 1.1, 3.0], [1.0, 1.0, 1.0]) == pytest.approx(0.1)


def test_the_fit_finds_what_a_sum_leaves_out(tmp_path: Path) -> None:
    """A made-up machine: networks take 1.2 times their pieces, half a unit for a million weights, and 3 for a call."""
    costs = Costs(spaces.tiny(), 64, 4, macs_of)

    def clocked(architecture: spaces.Architecture) -> float:
        total, millions = calibration.parts_of(costs, architecture)
        return 1.2 * total + 0.5 * millions + 3

    fitted = calibration.calibrated(costs, clocked, tmp_path / "calibration.json")
    for architecture in islice(calibration.random_networks(costs.skeleton, "others"), 5):
        assert fitted.of(architecture) == pytest.approx(clocked(architecture), rel=1e-6)

    def never(architecture: spaces.Architecture) -> float:
        raise AssertionError("it was measured before")

    again = calibration.calibrated(costs, never, tmp_path / "calibration.json")
    network = next(calibration.random_networks(costs.skeleton, "others"))
    assert again.of(network) == fitted.of(network)


def test_the_error_of_a_fit_is_of_networks_that_it_has_not_seen() -> None:
    """Times without any relation to the parts: a fit of all would look better than it is."""
    generator = np.random.default_rng(0)
    parts = [(float(a), float(b)) for a, b in generator.uniform(1, 2, (6, 2))]
    observed = generator.uniform(1, 2, 6).tolist()
    fit = calibration.fitted(parts, observed)
    terms = np.array([fit.scale, fit.fetch, fit.call])
    seen = [float(terms @ (*part, 1)) for part in parts]
    assert fit.error > relative_error(seen, observed)


def test_weights_are_counted_without_making_them() -> None:
    assert calibration.weights(Piece("conv 1x1 8 /1", 16, 8)) == 16 * 8 + 2 * 8
