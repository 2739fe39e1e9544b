"""Result files are read whole or refused: with the file's name, what is wrong, and what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from mnv4bench.io.errors import FileError, Mnv4benchError
from mnv4bench.machine.environment import environment
from mnv4bench.results.curve import COLUMNS, read_curve, write_curve
from mnv4bench.results.metrics import Metrics, read_metrics
from mnv4bench.results.record import read_record
from mnv4bench.results.run import State, Status, read_spec, read_status

ROOT = Path(__file__).parent.parent
ROWS = [
    dict(zip(COLUMNS, (epoch, 2 * epoch, 1e-3 / 3, 1.5, 2.5, 0.5, 0.0, 0.1 / 3, 0.2 / 3), strict=True))
    for epoch in (1, 2)
]


def test_a_curve_comes_back_with_all_its_digits(tmp_path: Path) -> None:
    write_curve(tmp_path / "curve.csv", ROWS)
    assert read_curve(tmp_path / "curve.csv", epochs=2) == ROWS
    write_curve(tmp_path / "curve.csv", [])
    assert read_curve(tmp_path / "curve.csv", epochs=0) == []


@pytest.mark.parametrize("missing", [{"val_AP_nms_free"}, {"val_AP_nms"}, {"val_AP_nms_free", "val_AP_nms"}])
def test_a_reading_that_a_head_does_not_have_is_an_empty_cell(missing: set[str], tmp_path: Path) -> None:
    rows = [{name: value for name, value in row.items() if name not in missing} for row in ROWS]
    write_curve(tmp_path / "curve.csv", rows)
    header, *lines = (tmp_path / "curve.csv").read_text().splitlines()
    assert header.split(",") == list(COLUMNS)
    assert [{name for name, cell in zip(COLUMNS, line.split(","), strict=True) if not cell} for line in lines] == [
        missing,
        missing,
    ]
    assert read_curve(tmp_path / "curve.csv", epochs=2) == rows


def test_a_row_without_a_loss_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="cls_loss"):
        write_curve(tmp_path / "curve.csv", [{name: value for name, value in ROWS[0].items() if name != "cls_loss"}])


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


@pytest.mark.parametrize("value", ["nan", "one", "inf"])
def test_a_damaged_ap_is_not_taken_for_an_empty_one(value: str, tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    write_curve(path, ROWS)
    path.write_text(path.read_text().replace(repr(0.2 / 3), value))
    with pytest.raises(Mnv4benchError, match="epoch 1"):
        read_curve(path, epochs=2)


DAMAGED = {
    b"": "not JSON",
    b'{"run": "r': "not JSON",
    b'{"seconds": NaN}': "not JSON",
    b"[" * 100_000: "not JSON",
    b'"\xff"': "not UTF-8",
    b"{}": "not a Status of this version .run: Field required",
    b"[]": "not a Status of this version",
    b'{"surprise": 1}': "not a Status of this version",
}


@pytest.mark.parametrize(("content", "wrong"), DAMAGED.items(), ids=range(len(DAMAGED)))
def test_a_damaged_record_is_one_error_with_file_fault_and_remedy(content: bytes, wrong: str, tmp_path: Path) -> None:
    path = tmp_path / "run" / "status.json"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(FileError, match=rf"{path}: {wrong}.*; delete the folder {path.parent} and start again"):
        read_record(path, Status)


def test_missing_records_are_named(tmp_path: Path) -> None:
    for name, read in {"status.json": read_status, "metrics.json": read_metrics, "spec.json": read_spec}.items():
        with pytest.raises(FileError, match=rf"{name}: missing; start again"):
            read(tmp_path)  # type: ignore[operator]
    with pytest.raises(FileError, match="cannot be read"):
        read_record(tmp_path, Status)


def test_another_runs_records_are_refused(tmp_path: Path) -> None:
    status = Status(run="a", state="done", epochs=1, steps=1, seconds=1.0, environment=environment())
    (tmp_path / "status.json").write_text(status.model_dump_json())
    (tmp_path / "metrics.json").write_text(Metrics(run="a", state="done").model_dump_json())
    for read in (read_status, read_metrics):
        with pytest.raises(FileError, match=rf"json: the run inside is called a; rename the folder {tmp_path} to a$"):
            read(tmp_path)  # type: ignore[operator]
        assert read(tmp_path, renamed=True).run == "a"  # type: ignore[operator]


def test_every_state_of_a_run_is_documented() -> None:
    (line,) = [line for line in (ROOT / "docs/files.md").read_text().splitlines() if "/status.json` | `train`" in line]
    assert all(re.search(rf"\b{state}\b", line) for state in get_args(State))
