"""benchmarks/faults, small: damage that a program can do to files and settings, and what the campaign makes of it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.faults import records
from benchmarks.faults.__main__ import main
from benchmarks.faults.damage import MUTATIONS, mutated
from benchmarks.faults.processes import Ended
from mnv4bench.io.files import read_json

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("how", MUTATIONS)
@pytest.mark.parametrize("content", [b"", b"x", b'{"a": 1}\n', bytes(range(256))])
def test_damage_always_damages(how: str, content: bytes) -> None:
    for seed in range(50):
        assert mutated(content, how, content, random.Random(seed)) != content


def test_an_error_is_clear_when_it_names_the_file_and_shows_no_traceback() -> None:
    damaged = "results/smoke/runs/a/status.json"
    assert records._unclear(Ended(1, f"mnv4bench: {damaged}: not JSON; delete it\n"), damaged) is None
    for output in ("mnv4bench: results/smoke/cost.json: not JSON; delete it\n", "ValueError\n", ""):
        assert records._unclear(Ended(1, output), damaged)
    assert records._unclear(Ended(1, f"Traceback (most recent call last)\nmnv4bench: {damaged}: x"), damaged)
    assert records._unclear(Ended(124, ""), damaged) == "hung"


@pytest.mark.slow
def test_a_small_campaign_finds_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["--kills", "0", "--files", "2", "--settings", "12"])
    record = read_json(tmp_path / "results/benchmarks/faults.json")
    assert record["faults"] == []
    assert ended.value.code == 0
    assert sum(record["counts"]["settings"].values()) == 12
    assert sum(record["counts"]["files"].values()) == 2
