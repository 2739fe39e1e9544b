"""Results beside a reference: what must be equal, what may be as far apart as its spread, what cannot be compared."""

from __future__ import annotations

import csv
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import stdev

import fake_results as fake
import pytest

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import read_json, write_json, write_text
from mnv4bench.reference.sides import Side
from mnv4bench.reference.verify import COSTS, Cell, closest, counts, verify
from mnv4bench.report.tables.tables import write_tables
from mnv4bench.report.verified import TABLE, as_markdown, differing, sentences, write_verified
from mnv4bench.results.reference import RECORD, Reference
from mnv4bench.spec.plan import Plan
from mnv4bench.statistics import small_samples as stats

Edit = Callable[[dict[str, str]], None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    """Fake results with their tables."""
    root = tmp_path_factory.mktemp("verify")
    plan = fake.make_plan(root)
    fake.write_results(plan, root / "results/fake")
    for run in plan.runs:
        write_text(root / "results/fake/runs" / run / "matches.npz", f"records of {run}")
    write_tables(plan, root / "results/fake")
    return plan, root / "results/fake"


@pytest.fixture
def sides(made: tuple[Plan, Path], tmp_path: Path) -> tuple[Side, Side]:
    """Results, which a test may change, and the reference that they are a copy of."""
    shutil.copytree(made[1], tmp_path / "results/fake")
    return Side(tmp_path / "results/fake"), Side(made[1])


def edit(side: Side, change: Edit, file: str = "tables/ablations.csv") -> None:
    """Change rows of a table on disk."""
    path = side.folder / file
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        change(row)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def train_otherwise(side: Side) -> None:
    """Give every run another name, as another training has."""
    for run in (side.folder / "runs").iterdir():
        run.rename(run.with_name(f"x{run.name}"))
    edit(side, lambda row: row.update(runs=" ".join("x" + run for run in row["runs"].split())))


def cell(cells: list[Cell], ablation: str, arm: str, quantity: str) -> Cell:
    return next(one for one in cells if (one.ablation, one.arm, one.quantity) == (ablation, arm, quantity))


def test_a_copy_agrees_in_every_cell_to_the_byte(sides: tuple[Side, Side]) -> None:
    cells = verify(*sides)
    assert {one.verdict for one in cells if "openvino" not in one.quantity} == {"agree"}  # which is unstable
    assert cell(cells, "psa", "psa", "bytes").here == "3 of 3 runs the same to the byte"
    assert {one.quantity for one in cells if one.arm == "psa"} >= {"AP", "ΔAP", "params_M", "flops_G"}
    assert any(one.quantity.startswith("time over baseline, torch, 2 threads") for one in cells)
    said = " ".join(sentences(cells, sides[0].folder, sides[1]))
    assert "0 differ, 6 cannot be compared. Every run that both have is the same to the byte." in said


def test_other_bytes_differ_on_the_same_kind_of_machine_only(sides: tuple[Side, Side]) -> None:
    here, reference = sides
    run = here.arms["psa", "psa"].runs[1]
    write_text(here.folder / "runs" / run / "matches.npz", "other records")
    found = cell(verify(here, reference), "psa", "psa", "bytes")
    assert (found.verdict, found.here) == ("differ", "2 of 3 runs the same to the byte")
    assert run in found.reason
    path = here.folder / "runs" / run / "status.json"
    status = read_json(path)
    status["environment"]["cpu_flags"] = "1" * 12
    write_json(path, status)
    found = cell(verify(here, reference), "psa", "psa", "bytes")
    assert found.verdict == "not comparable"
    assert "flags 111111111111" in found.reason


def test_scores_may_be_as_far_apart_as_two_trainings(sides: tuple[Side, Side]) -> None:
    here, reference = sides
    cells = verify(here, reference)
    family = sum(one.tolerance is not None and one.quantity not in COSTS for one in cells)
    found = cell(cells, "psa", "psa", "AP")
    spread = stdev(reference.arms["psa", "psa"].scores.values())
    by_hand = stats.student_t_quantile(1 - 0.05 / (2 * family), 2) * spread * math.sqrt(2 / 3)
    assert found.tolerance == pytest.approx(by_hand, rel=1e-9)

    def move(by: float) -> Edit:
        def change(row: dict[str, str]) -> None:
            if (row["ablation"], row["arm"]) == ("psa", "psa"):
                row.update({f"AP_seed{seed}": repr(float(row[f"AP_seed{seed}"]) + by) for seed in range(3)})

        return change

    edit(here, move(0.99 * by_hand))
    assert cell(verify(Side(here.folder), reference), "psa", "psa", "AP").verdict == "agree"
    edit(here, move(0.02 * by_hand))
    moved = verify(Side(here.folder), reference)
    assert cell(moved, "psa", "psa", "AP").verdict == "differ"
    assert cell(moved, "psa", "none", "AP").verdict == "agree"


def test_fewer_seeds_are_held_against_the_same_ones(sides: tuple[Side, Side]) -> None:
    here, reference = sides

    def drop(row: dict[str, str]) -> None:
        row["runs"] = " ".join(run for run in row["runs"].split() if not run.endswith("-s2"))

    edit(here, drop)
    found = cell(verify(Side(here.folder), reference), "psa", "psa", "AP")
    assert (found.verdict, found.here, found.reason) == ("agree", found.reference, "seeds 0, 1")


def test_costs_are_equal_or_differ(sides: tuple[Side, Side]) -> None:
    here, reference = sides
    edit(here, lambda row: row.update(params_M=repr(float(row["params_M"]) + 1e-6)))
    cells = verify(Side(here.folder), reference)
    assert cell(cells, "psa", "psa", "params_M").verdict == "differ"
    assert cell(cells, "psa", "psa", "flops_G").verdict == "agree"


def retime(side: Side, **fields: object) -> Side:
    """Return a side on whose disk psa was timed otherwise in torch."""
    path = side.folder / "latency/latency.json"
    record = read_json(path)
    for row in record["rows"]:
        if row["arm"] == "psa/psa" and row["runtime"] == "torch" and row["ratio"]:
            row.update(fields)
    write_json(path, record)
    return Side(side.folder)


IN_TORCH = "time over baseline, torch, 1 thread"


def test_times_are_judged_on_the_same_processor_only(sides: tuple[Side, Side]) -> None:
    here, reference = sides
    here = retime(here, ratio=1.5, ratio_low=1.49, ratio_high=1.51)
    assert cell(verify(here, reference), "psa", "psa", IN_TORCH).verdict == "differ"
    record = read_json(here.folder / "latency/latency.json")
    record["environment"]["cpu"] = "another machine"
    write_json(here.folder / "latency/latency.json", record)
    found = cell(verify(Side(here.folder), reference), "psa", "psa", IN_TORCH)
    assert found.verdict == "not comparable"
    assert "another machine" in found.reason
    assert found.here == 1.5


@pytest.mark.parametrize(("sessions", "verdict"), [(4, "agree"), (8, "differ")])
def test_an_interval_of_few_sessions_is_no_narrower_than_the_resolution(
    sessions: int, verdict: str, sides: tuple[Side, Side], tmp_path: Path
) -> None:
    here, reference = sides
    shutil.copytree(reference.folder, tmp_path / "reference")
    timed = [
        retime(side, ratio=ratio, ratio_low=ratio - 0.005, ratio_high=ratio + 0.005, resolution=0.1)
        for side, ratio in ((here, 1.06), (Side(tmp_path / "reference"), 0.94))
    ]
    both = [retime(side, ratio_sessions=[1.0] * sessions) for side in timed]
    assert cell(verify(both[0], both[1]), "psa", "psa", IN_TORCH).verdict == verdict


@pytest.mark.parametrize("verdict", ["unstable", "suppressed"])
def test_a_ratio_that_cannot_be_summed_up_is_not_compared(verdict: str, sides: tuple[Side, Side]) -> None:
    here = retime(sides[0], verdict=verdict, ratio=1.5, ratio_sessions=[])
    found = cell(verify(here, sides[1]), "psa", "psa", IN_TORCH)
    assert (found.verdict, found.reason) == ("not comparable", f"{verdict} on one side")


def test_another_training_is_named_by_its_fields(sides: tuple[Side, Side]) -> None:
    here, reference = sides
    for row in here.arms.values():
        for run in row.runs.values():
            renamed = run.replace("-", "-ff", 1)
            shutil.copytree(here.folder / "runs" / run, here.folder / "runs" / renamed, dirs_exist_ok=True)
            path = here.folder / "runs" / renamed / "spec.json"
            spec = read_json(path)
            spec["train"]["epochs"] = 9
            write_json(path, spec)
    edit(here, lambda row: row.update(runs=" ".join(run.replace("-", "-ff", 1) for run in row["runs"].split())))
    cells = verify(Side(here.folder), reference)
    found = cell(cells, "psa", "psa", "AP")
    assert (found.verdict, found.reason) == ("not comparable", "other training: train.epochs 9 here, 4 there")
    assert cell(cells, "psa", "psa", "params_M").verdict == "agree"
    assert not [one for one in cells if one.quantity == "bytes"]


def test_an_arm_that_the_reference_lacks_and_one_that_was_not_run(sides: tuple[Side, Side]) -> None:
    here, reference = sides
    edit(here, lambda row: row.update(arm="new") if row["arm"] == "outputs" else None)
    cells = verify(Side(here.folder), reference)
    assert cell(cells, "distillation", "new", "all").reason == "the reference has no such arm"
    assert "1 arm of the reference was not run." in sentences(cells, here.folder, reference)


def test_the_files_say_what_differs_first(sides: tuple[Side, Side]) -> None:
    here, reference = sides
    edit(here, lambda row: row.update(params_M=repr(float(row["params_M"]) + 1)))
    cells = verify(Side(here.folder), reference)
    write_verified(cells, here.folder, reference)
    text = as_markdown(cells, here.folder, reference)
    assert (here.folder / TABLE.with_suffix(".md")).read_text() == text
    assert text.index("## What differs") < text.index("## What agrees")
    found = differing(here.folder)
    assert len(found) == counts(cells)["differ"] == len(here.arms)
    assert found[0].startswith("psa/none, params_M: ")
    assert differing(here.folder / "elsewhere") == []


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(Mnv4benchError, match=r"ablations\.csv: cannot be read .* finish the preset first"):
        verify(Side(tmp_path), Side(tmp_path))


def test_a_run_that_is_gone_is_named(sides: tuple[Side, Side]) -> None:
    here, reference = sides
    run = here.arms["psa", "none"].runs[0]
    shutil.rmtree(here.folder / "runs" / run)
    with pytest.raises(Mnv4benchError, match=rf"{run}.spec\.json: cannot be read .* train the run again"):
        verify(here, reference)


def test_the_closest_reference_shares_most_trainings(sides: tuple[Side, Side], tmp_path: Path) -> None:
    with pytest.raises(Mnv4benchError, match="no reference to hold results against"):
        closest(sides[0], tmp_path / "references")
    for name in ("same", "other"):
        shutil.copytree(sides[1].folder, tmp_path / "references" / name)
        record = Reference(preset="fake", only=None, seeds=None, title="fake", trunk=True, files={}, matches={})
        write_json(tmp_path / "references" / name / RECORD, record)
    train_otherwise(Side(tmp_path / "references/other"))
    assert closest(sides[0], tmp_path / "references").folder.name == "same"


def test_of_references_that_share_no_training_one_on_the_same_data_is_closest(
    sides: tuple[Side, Side], tmp_path: Path
) -> None:
    here, reference = sides
    for name in ("cells", "drawn"):
        shutil.copytree(reference.folder, tmp_path / "references" / name)
        record = Reference(preset=name, only=None, seeds=None, title=name, trunk=True, files={}, matches={})
        write_json(tmp_path / "references" / name / RECORD, record)
    for path in (tmp_path / "references/cells/runs").glob("*/spec.json"):
        spec = read_json(path)
        write_json(path, {**spec, "data": {**spec["data"], "name": "bccd"}})
    train_otherwise(here)
    assert closest(here, tmp_path / "references").folder.name == "drawn"
