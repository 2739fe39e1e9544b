"""benchmarks/faults, small: damage that a program can do to files and settings, and what the campaign makes of it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults import kills, records
from benchmarks.faults.__main__ import main
from benchmarks.faults.damage import MUTATIONS, mutated
from benchmarks.faults.journal import Journal, Trial
from benchmarks.faults.outcome import Outcome
from benchmarks.faults.processes import Ended
from benchmarks.faults.project import Project
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


@pytest.mark.parametrize(
    ("message", "places"),
    [
        ("results/smoke/cost.json: not JSON; delete it and start again", ["results/smoke/cost.json"]),
        (
            "results/smoke/runs/a/status.json: no; delete the folder results/smoke/runs/a and start",
            ["results/smoke/runs/a"],
        ),
        (
            "results/smoke/runs/a/manifest.json: no; delete it and metrics.json beside it, and start again",
            ["results/smoke/runs/a/metrics.json", "results/smoke/runs/a/manifest.json"],
        ),
        (
            "data in results/smoke/data/s: 1 problem (delete results/smoke/data/s/dataset.json to prepare it again)",
            ["results/smoke/data/s/dataset.json"],
        ),
        ("results/smoke/cost.json: missing; start again", []),
    ],
)
def test_what_a_message_asks_for_is_done(message: str, places: list[str]) -> None:
    assert records._to_delete(message) == places


class Refused:
    """A project whose rule complete finds the damage once."""

    def __init__(self, root: Path) -> None:
        self.root, self.asked, self.removed = root, [], []  # type: ignore[var-annotated]

    def run(self, *wanted: str) -> Ended:
        self.asked.append(wanted)
        return Ended(0, "")

    def command(self, *arguments: str) -> Ended:
        path = "results/smoke/cost.json"
        return (
            Ended(0, "")
            if self.removed
            else Ended(2, f"mnv4bench: {path}: its SHA-256 is 1; delete it and start again")
        )

    def remove(self, pattern: str) -> None:
        self.removed.append(pattern)

    def results(self) -> dict[str, str]:
        return {}


def test_after_complete_has_refused_a_file_everything_is_asked_for(tmp_path: Path) -> None:
    project: Any = Refused(tmp_path)
    end, message = records._ending(project, project, "results/smoke/cost.json", ["tables"], {}, look=True)
    assert (end, message) == ("clear error", "results/smoke/cost.json: its SHA-256 is 1; delete it and start again")
    assert (project.asked, project.removed) == ([("tables",), ()], ["complete.txt"])


LOG = """\
localrule all:
rule data:
    output: dataset.json
Finished jobid: 3 (Rule: data)
rule cost:
rule train:
rule train:
Finished jobid: 5 (Rule: train)
"""


def test_a_kill_counts_for_what_ran(tmp_path: Path) -> None:
    project = Project(tmp_path, Path("python"))
    (tmp_path / "workflow.log").write_text(LOG)
    assert kills._running(project) == ["cost", "train"]
    run = project.out / "runs/a"
    run.mkdir(parents=True)
    (run / "status.json").touch()
    assert kills._running(project) == ["cost", "train", "evaluate"]
    (run / "metrics.json").touch()
    assert kills._running(project) == ["cost", "train"]


def test_a_campaign_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    first = Journal(tmp_path / "faults.jsonl", "a", 0)
    found = [Outcome("kills", "data", "0.1 s into data", "right")]
    first.add("kills", 2, found)
    assert first.known("kills") == {2: Trial("a", 2, found)}
    for other in (Journal(first.path, "b", 0), Journal(first.path, "a", 1)):
        assert other.known("kills") == {}
    assert first.known("files") == {}


def test_what_was_a_fault_at_an_earlier_commit_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "faults.jsonl"
    right, fault = Outcome("files", "images", "flip", "right"), Outcome("files", "tables", "flip", "fault")
    before = Journal(path, "a", 0)
    before.add("files", 0, [right])
    before.add("files", 1, [fault])
    assert set(before.known("files")) == {0, 1}
    after = Journal(path, "b", 0, earlier=("a",))
    assert after.known("files") == {0: Trial("a", 0, [right])}
    assert after.mended("files") == [Trial("a", 1, [fault])]
    after.add("files", 1, [fault])
    assert after.known("files")[1] == Trial("b", 1, [fault])
    after.add("files", 1, [right])
    assert after.known("files")[1] == Trial("b", 1, [right])


@pytest.mark.slow
def test_a_small_campaign_finds_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["--kills", "0", "--files", "3", "--settings", "5"])
    record = read_json(tmp_path / "results/benchmarks/faults.json")
    assert record["faults"] == record["mended"] == []
    assert list(record["commits"].values()) == [8]
    assert ended.value.code == 0
    assert sum(record["counts"]["settings"].values()) == 5
    assert sum(record["counts"]["files"].values()) == 3
