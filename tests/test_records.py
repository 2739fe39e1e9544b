"""Result files are read whole or refused: with the file's name, what is wrong, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.results.curve import COLUMNS, read_curve, write_curve

ROWS = [dict(zip(COLUMNS, (epoch, 2 * epoch, 1e-3 / 3, 1.5, 2.5, 0.5, 0.0), strict=True)) for epoch in (1, 2)]


def test_a_curve_comes_back_with_all_its_digits(tmp_path: Path) -> None:
    write_curve(tmp_path / "curve.csv", ROWS)
    assert read_curve(tmp_path / "curve.csv", epochs=2) == ROWS
    write_curve(tmp_path / "curve.csv", [])
    assert read_curve(tmp_path / "curve.csv", epochs=0) == []


@pytest.mark.parametrize("cut", [1, 3, 30, 55, 10_000])
def test_a_truncated_curve_is_refused_wherever_it_was_cut(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    write_curve(path, ROWS)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(Mnv4benchError, match=rf"curve\.csv: not readable .* delete the folder {tmp_path}"):
        read_curve(path, epochs=2)


@pytest.mark.parametrize("value", ["nan", "", "one", "1,1"])
def test_a_curve_with_a_damaged_value_names_its_epoch(value: str, tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    write_curve(path, ROWS)
    path.write_text(path.read_text().replace("2.5", value))
    with pytest.raises(Mnv4benchError, match="epoch 1"):
        read_curve(path, epochs=2)
