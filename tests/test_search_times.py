"""The table of times, without timing anything."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from mnv4bench.io.errors import FileError
from mnv4bench.latency.measure.protocol import Schedule
from mnv4bench.search.cost import Piece
from mnv4bench.search.times import Times, measured, relative_error

PIECE = Piece("uib 3 3 16 /1 x2", 16, 8)


def test_a_piece_is_measured_once_and_its_price_survives_a_kill(tmp_path: Path) -> None:
    asked: list[Piece] = []

    def stub(piece: Piece) -> float:
        asked.append(piece)
        return float(len(asked))

    path = tmp_path / "times.json"
    first = Times(path, stub)
    assert [first(PIECE), first(PIECE), first(Piece("conv 1x1 8 /1", 16, 8))] == [1.0, 1.0, 2.0]
    assert Times(path, stub)(PIECE) == 1.0
    assert len(asked) == 2


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    path.write_text("{")
    with pytest.raises(FileError, match=r"times\.json"):
        Times(path)


def test_every_piece_runs_in_the_runtime() -> None:
    """A clock that counts its own ticks: both networks seem equally fast, so the piece seems free."""
    ticks = count()
    for piece in (
        PIECE,
        Piece("conv 3x3 8 /2", 3, 32),
        Piece("uib 0 5 24 /2 x4", 16, 8),
        Piece("classifier 5", 960, 2),
    ):
        assert measured(piece, Schedule(1, 1, 0.5), clock=lambda: float(next(ticks))) == 0.0


def test_the_error_of_a_table_is_a_median() -> None:
    assert relative_error([1.0, 1.1, 3.0], [1.0, 1.0, 1.0]) == pytest.approx(0.1)
