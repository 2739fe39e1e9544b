"""Classifiers beside a reference: what must be equal, what may be as far apart as its spread, and what is left out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.reference.cells import Cell
from mnv4bench.reference.result_set import ResultSet, reference_set
from mnv4bench.reference.verify import closest, verify
from mnv4bench.report.verified import outcome

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "results/reference"
REFERENCE = "search"
ARM = ("nas", "conv_s")


@pytest.fixture
def here(tmp_path: Path) -> ResultSet:
    """A copy of the committed reference, as the workflow would leave it."""
    folder = tmp_path / "results/search"
    shutil.copytree(FOLDER / REFERENCE, folder)
    (folder / "reference.json").unlink()
    return ResultSet(folder)


def change(side: ResultSet, run: str, edit: Callable[[dict[str, Any]], None]) -> ResultSet:
    """Edit a classifier's record on disk and return the folder read anew."""
    path = side.folder / "classifiers" / run / "result.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    return ResultSet(side.folder)


def renamed(side: ResultSet) -> None:
    """Give the arm's runs other names, as another training or protocol has."""
    table = side.folder / "tables/classifiers.csv"
    for run in runs_of(side):
        (side.folder / "classifiers" / run).rename(side.folder / "classifiers" / f"x{run}")
        table.write_text(table.read_text().replace(run, f"x{run}"))


def runs_of(side: ResultSet) -> list[str]:
    return list(side.classifiers[ARM].runs.values())


def cell(cells: list[Cell], quantity: str) -> Cell:
    return next(row for row in cells if (row.ablation, row.arm, row.quantity) == (*ARM, quantity))


def test_a_copy_agrees_in_every_cell(here: ResultSet) -> None:
    reference = closest(here, FOLDER)
    assert reference.folder.name == REFERENCE
    cells = verify(here, reference)
    assert {row.verdict for row in cells} == {"agree"}
    assert len(cells) == sum(2 + (not arm.is_baseline) for arm in here.classifiers.values())
    assert cell(cells, "identical runs").reason == "same_answers"
    said = " ".join(outcome(cells, here.folder, reference))
    assert "identical: the same networks, and each object classified alike." in said
    assert "byte for byte" not in said  # their weights are in no reference
    assert cell(cells, "top-1").here == pytest.approx(sum(here.classifiers[ARM].scores.values()) / 3)


def test_one_object_classified_otherwise_on_the_same_machine_differs(here: ResultSet) -> None:
    def miss(content: dict[str, Any]) -> None:
        place = content["hits"].index("1")
        content["hits"] = content["hits"][:place] + "0" + content["hits"][place + 1 :]

    first = runs_of(here)[0]
    found = cell(verify(change(here, first, miss), reference_set(FOLDER / REFERENCE)), "identical runs")
    assert (found.verdict, found.reason, found.details) == ("differ", "other_bytes", {"run": first})
    assert (found.here, found.reference) == (2, 3)


def test_another_processor_is_told_and_scores_are_judged_by_the_references_spread(here: ResultSet) -> None:
    for run in runs_of(here):
        here = change(here, run, lambda content: content["environment"].update(cpu="another"))
        here = change(here, run, lambda content: content.update(accuracy=content["accuracy"] - 0.0005))
    cells = verify(here, reference_set(FOLDER / REFERENCE))
    assert (cell(cells, "identical runs").verdict, cell(cells, "identical runs").reason) == (
        "not comparable",
        "other_environment",
    )
    assert cell(cells, "top-1").verdict == "agree"
    for run in runs_of(here):
        here = change(here, run, lambda content: content.update(accuracy=content["accuracy"] - 0.5))
    cells = verify(here, reference_set(FOLDER / REFERENCE))
    assert [cell(cells, quantity).verdict for quantity in ("top-1", "Δtop-1")] == ["differ", "differ"]
    tolerance = cell(cells, "Δtop-1").tolerance
    assert tolerance is not None
    assert 0 < tolerance < 0.5


def test_other_settings_are_named(here: ResultSet) -> None:
    for run in runs_of(here):
        change(here, run, lambda content: content["run"]["settings"].update(final_steps=3))
    renamed(here)
    found = [row for row in verify(ResultSet(here.folder), reference_set(FOLDER / REFERENCE)) if row.arm == ARM[1]]
    assert [(row.quantity, row.reason) for row in found] == [("top-1", "other_training")]
    assert found[0].details["fields"] == {"settings.final_steps": (3, 800)}


def test_other_seeds_of_the_same_training_are_compared_where_one_is_shared(here: ResultSet) -> None:
    table = here.folder / "tables/classifiers.csv"
    first, *others = runs_of(here)
    table.write_text(table.read_text().replace(f"{first} ", ""))
    found = verify(ResultSet(here.folder), reference_set(FOLDER / REFERENCE))
    assert cell(found, "identical runs").here == len(others)
    assert cell(found, "top-1").details["seeds"] == [1, 2]


def test_runs_of_another_version_of_the_protocol_are_not_taken_for_the_same(here: ResultSet) -> None:
    renamed(here)
    found = [row for row in verify(ResultSet(here.folder), reference_set(FOLDER / REFERENCE)) if row.arm == ARM[1]]
    assert [(row.quantity, row.reason) for row in found] == [("top-1", "other_protocol")]


def test_an_arm_that_the_reference_lacks_is_told(here: ResultSet) -> None:
    table = here.folder / "tables/classifiers.csv"
    table.write_text(table.read_text().replace("nas,conv_s,", "nas,mine,"))
    found = [row for row in verify(here, reference_set(FOLDER / REFERENCE)) if row.arm == "mine"]
    assert [(row.quantity, row.verdict, row.reason) for row in found] == [("all", "not comparable", "no_such_arm")]


def test_a_damaged_table_is_one_error(here: ResultSet) -> None:
    (here.folder / "tables/classifiers.csv").write_text("ablation,arm\nnas,conv_s\n")
    with pytest.raises(Mnv4benchError, match=r"classifiers\.csv: not this version's table"):
        verify(here, reference_set(FOLDER / REFERENCE))


def test_the_command_writes_the_table_and_fails_where_something_differs(here: ResultSet) -> None:
    def verified() -> subprocess.CompletedProcess[str]:
        whole = [sys.executable, "-m", "mnv4bench", "verify", str(here.folder)]
        return subprocess.run(whole, cwd=ROOT, text=True, capture_output=True)

    same = verified()
    assert same.returncode == 0, same.stderr
    assert "All runs that both have in common are identical" in same.stdout
    assert "same networks, and each object classified alike" in (here.folder / "tables/verify.md").read_text()
    change(here, runs_of(here)[0], lambda content: content.update(accuracy=0.5))
    other = verified()
    assert other.returncode == 1
    assert "nas/conv_s, identical runs: 2 here, 3 in the reference" in other.stdout
