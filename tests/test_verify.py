"""Results beside a reference: what must be equal, what may be as far apart as its spread, what cannot be compared."""

from __future__ import annotations

import csv
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import stdev
from typing import get_args

import fake_results as fake
import pytest

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import read_json, sha256, write_json, write_text
from mnv4bench.reference.cells import Cell, Reason, cell_of, counts
from mnv4bench.reference.result_set import COSTS, ResultSet
from mnv4bench.reference.verify import closest, verify
from mnv4bench.report.tables.write import write_tables
from mnv4bench.report.verified import TABLE, as_markdown, differing, outcome, reason, write_verified
from mnv4bench.results.environment import Environment
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
    write_tables(plan, root / "results/fake")
    for run in plan.runs:
        write_text(root / "results/fake/runs" / run / "matches.npz", f"records of {run}")
    return plan, root / "results/fake"


@pytest.fixture
def sides(made: tuple[Plan, Path], tmp_path: Path) -> tuple[ResultSet, ResultSet]:
    """Results, which a test may change, and the reference that they are a copy of."""
    shutil.copytree(made[1], tmp_path / "results/fake")
    return ResultSet(tmp_path / "results/fake"), ResultSet(made[1])


def edit(side: ResultSet, change: Edit, file: str = "tables/ablations.csv") -> None:
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


def train_otherwise(side: ResultSet) -> None:
    """Give every run another name, as another training has."""
    for run in (side.folder / "runs").iterdir():
        run.rename(run.with_name(f"x{run.name}"))
    edit(side, lambda row: row.update(runs=" ".join("x" + run for run in row["runs"].split())))


def cell(cells: list[Cell], ablation: str, arm: str, quantity: str) -> Cell:
    return next(row for row in cells if (row.ablation, row.arm, row.quantity) == (ablation, arm, quantity))


def in_torch(cells: list[Cell]) -> Cell:
    """Return how psa's time in torch with one thread was judged."""
    times = [row for row in cells if (row.ablation, row.arm, row.quantity) == ("psa", "psa", "time over baseline")]
    return next(row for row in times if (row.runtime, row.threads) == ("torch", 1))


def test_a_copy_agrees_in_every_cell_to_the_byte(sides: tuple[ResultSet, ResultSet]) -> None:
    cells = verify(*sides)
    assert {row.verdict for row in cells if "openvino" not in (row.runtime or "")} == {"agree"}  # which is unstable
    runs = cell(cells, "psa", "psa", "identical runs")
    assert (runs.here, runs.reference, runs.reason) == (3, 3, "same_bytes")
    assert {row.quantity for row in cells if row.arm == "psa"} >= {"AP", "ΔAP", "params_M", "flops_G"}
    assert ("torch", 2) in {(row.runtime, row.threads) for row in cells}
    text = " ".join(outcome(cells, sides[0].folder, sides[1]))
    assert "0 differ, 6 cannot be compared" in text
    assert "identical, byte for byte." in text


def test_other_bytes_differ_on_the_same_kind_of_machine_only(sides: tuple[ResultSet, ResultSet]) -> None:
    here, reference = sides
    run = here.arms["psa", "psa"].runs[1]
    write_text(here.folder / "runs" / run / "matches.npz", "other records")
    cells = verify(here, reference)
    runs = cell(cells, "psa", "psa", "identical runs")
    assert (runs.verdict, runs.here, runs.reference) == ("differ", 2, 3)
    assert run in reason(runs)
    assert not [line for line in outcome(cells, here.folder, reference) if "identical" in line]
    path = here.folder / "runs" / run / "status.json"
    status = read_json(path)
    status["environment"]["cpu_flags"] = "1" * 12
    write_json(path, status)
    runs = cell(verify(here, reference), "psa", "psa", "identical runs")
    assert (runs.verdict, runs.reason) == ("not comparable", "other_environment")
    assert "flags 111111111111" in reason(runs)


def test_match_records_that_were_cut_for_a_reference_are_those_that_were_scored(
    sides: tuple[ResultSet, ResultSet], tmp_path: Path
) -> None:
    here, scored = sides
    shutil.copytree(scored.folder, tmp_path / "reference")
    cut = ResultSet(tmp_path / "reference", {run: sha256(path) for run, path in match_files(scored).items()})
    for path in match_files(cut).values():
        write_text(path, "cut")
    for results in (here, ResultSet(cut.folder)):  # what was published, and what was rebuilt from it
        assert cell(verify(results, cut), "psa", "psa", "identical runs").verdict == "agree"


def match_files(results: ResultSet) -> dict[str, Path]:
    return {path.parent.name: path for path in results.folder.glob("runs/*/matches.npz")}


def test_scores_may_be_as_far_apart_as_two_trainings(sides: tuple[ResultSet, ResultSet]) -> None:
    here, reference = sides
    cells = verify(here, reference)
    family = sum(row.tolerance is not None and row.quantity not in COSTS for row in cells)
    judged = cell(cells, "psa", "psa", "AP")
    spread = stdev(reference.arms["psa", "psa"].scores.values())
    by_hand = stats.student_t_quantile(1 - 0.05 / (2 * family), 2) * spread * math.sqrt(2 / 3)
    assert judged.tolerance == pytest.approx(by_hand, rel=1e-9)

    def move(by: float) -> Edit:
        def change(row: dict[str, str]) -> None:
            if (row["ablation"], row["arm"]) == ("psa", "psa"):
                row.update({f"AP_seed{seed}": repr(float(row[f"AP_seed{seed}"]) + by) for seed in range(3)})

        return change

    edit(here, move(0.99 * by_hand))
    assert cell(verify(ResultSet(here.folder), reference), "psa", "psa", "AP").verdict == "agree"
    edit(here, move(0.02 * by_hand))
    moved = verify(ResultSet(here.folder), reference)
    assert cell(moved, "psa", "psa", "AP").verdict == "differ"
    assert cell(moved, "psa", "none", "AP").verdict == "agree"


def test_fewer_seeds_are_held_against_the_same_ones(sides: tuple[ResultSet, ResultSet]) -> None:
    here, reference = sides

    def drop(row: dict[str, str]) -> None:
        row["runs"] = " ".join(run for run in row["runs"].split() if not run.endswith("-s2"))

    edit(here, drop)
    judged = cell(verify(ResultSet(here.folder), reference), "psa", "psa", "AP")
    assert (judged.verdict, judged.here, judged.reason) == ("agree", judged.reference, "common_seeds")
    assert judged.details == {"seeds": [0, 1]}
    assert reason(judged) == "seeds 0 and 1"


def test_costs_are_equal_or_differ(sides: tuple[ResultSet, ResultSet]) -> None:
    here, reference = sides
    edit(here, lambda row: row.update(params_M=repr(float(row["params_M"]) + 1e-6)))
    cells = verify(ResultSet(here.folder), reference)
    assert cell(cells, "psa", "psa", "params_M").verdict == "differ"
    assert cell(cells, "psa", "psa", "flops_G").verdict == "agree"


def retime(side: ResultSet, **fields: object) -> ResultSet:
    """Return a side on whose disk psa was timed otherwise in torch."""
    path = side.folder / "latency/latency.json"
    record = read_json(path)
    for row in record["rows"]:
        if row["arm"] == "psa/psa" and row["runtime"] == "torch" and row["ratio"]:
            row.update(fields)
    write_json(path, record)
    return ResultSet(side.folder)


def test_times_are_judged_on_the_same_processor_only(sides: tuple[ResultSet, ResultSet]) -> None:
    here, reference = sides
    here = retime(here, ratio=1.5, ratio_low=1.49, ratio_high=1.51)
    assert in_torch(verify(here, reference)).verdict == "differ"
    record = read_json(here.folder / "latency/latency.json")
    record["environment"]["cpu"] = "another machine"
    write_json(here.folder / "latency/latency.json", record)
    judged = in_torch(verify(ResultSet(here.folder), reference))
    assert (judged.verdict, judged.here) == ("not comparable", 1.5)
    assert "another machine" in reason(judged)


@pytest.mark.parametrize(("sessions", "verdict"), [(4, "agree"), (8, "differ")])
def test_an_interval_of_few_sessions_is_no_narrower_than_the_resolution(
    sessions: int, verdict: str, sides: tuple[ResultSet, ResultSet], tmp_path: Path
) -> None:
    here, reference = sides
    shutil.copytree(reference.folder, tmp_path / "reference")
    timed = [
        retime(side, ratio=ratio, ratio_low=ratio - 0.005, ratio_high=ratio + 0.005, resolution=0.1)
        for side, ratio in ((here, 1.06), (ResultSet(tmp_path / "reference"), 0.94))
    ]
    both = [retime(side, ratio_sessions=[1.0] * sessions) for side in timed]
    assert in_torch(verify(both[0], both[1])).verdict == verdict


@pytest.mark.parametrize("verdict", ["unstable", "suppressed"])
def test_a_ratio_that_cannot_be_summed_up_is_not_compared(verdict: str, sides: tuple[ResultSet, ResultSet]) -> None:
    here = retime(sides[0], verdict=verdict, ratio=1.5, ratio_sessions=[])
    judged = in_torch(verify(here, sides[1]))
    assert (judged.verdict, judged.reason) == ("not comparable", verdict)


def test_another_training_is_named_by_its_fields(sides: tuple[ResultSet, ResultSet]) -> None:
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
    cells = verify(ResultSet(here.folder), reference)
    judged = cell(cells, "psa", "psa", "AP")
    assert (judged.verdict, judged.details) == ("not comparable", {"fields": {"train.epochs": (9, 4)}})
    assert "train.epochs 9 here, 4 in the reference" in reason(judged)
    assert cell(cells, "psa", "psa", "params_M").verdict == "agree"
    assert not [row for row in cells if row.quantity == "identical runs"]


def test_an_arm_that_the_reference_lacks_and_one_that_was_not_run(sides: tuple[ResultSet, ResultSet]) -> None:
    here, reference = sides
    edit(here, lambda row: row.update(arm="new") if row["arm"] == "outputs" else None)
    cells = verify(ResultSet(here.folder), reference)
    assert cell(cells, "distillation", "new", "all").reason == "no_such_arm"
    assert "1 arm of the reference was not run." in outcome(cells, here.folder, reference)


def test_the_files_say_what_differs_first(sides: tuple[ResultSet, ResultSet]) -> None:
    here, reference = sides
    edit(here, lambda row: row.update(params_M=repr(float(row["params_M"]) + 1)))
    cells = verify(ResultSet(here.folder), reference)
    write_verified(cells, here.folder, reference)
    text = as_markdown(cells, here.folder, reference)
    assert (here.folder / TABLE.with_suffix(".md")).read_text() == text
    assert text.index("## What differs") < text.index("## What agrees")
    lines = differing(here.folder)
    assert len(lines) == counts(cells)["differ"] == len(here.arms)
    assert lines[0].startswith("psa/none, params_M: ")
    assert differing(here.folder / "elsewhere") == []


@pytest.mark.parametrize("name", get_args(Reason))
def test_every_reason_has_its_clause(name: Reason) -> None:
    machine = Environment(
        cpu="a CPU",
        cpu_flags="0" * 12,
        gpu="a GPU",
        cores=2,
        platform="x",
        python="3.11",
        packages={},
        threads=2,
        commit=None,
    )
    details = {"fields": {"train.epochs": (9, None)}, "run": "a-run", "seeds": [1], "machines": (machine, machine)}
    clause = reason(cell_of(("psa", "none"), "AP", name, **details))
    assert clause
    assert "\n" not in clause


def test_a_damaged_table_of_cells_is_named(sides: tuple[ResultSet, ResultSet]) -> None:
    here, reference = sides
    write_verified(verify(here, reference), here.folder, reference)
    path = here.folder / TABLE
    whole = path.read_bytes()
    for damaged in (
        whole.replace(b"verdict", b"word", 1),
        whole.replace(b"agree", b"agre"),
        whole + b'a"',
        b"",
        b"\xff",
    ):
        path.write_bytes(damaged)
        with pytest.raises(Mnv4benchError, match=r"verify\.csv: .*; delete it and start again"):
            differing(here.folder)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(Mnv4benchError, match=r"ablations\.csv: cannot be read .* finish the preset first"):
        verify(ResultSet(tmp_path), ResultSet(tmp_path))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"ablation,", b"x,"),
        (b"0.3", b"0,3x"),
        (b"-s1", b"-sx"),
        (b"\npsa", b"\n\xff"),
        (
            b"\n",
            b'\n"',
        ),
        (b"psa,", b""),
        (b"invented,\n", b"invented\n"),
    ],
)
def test_a_damaged_table_of_arms_is_named(old: bytes, new: bytes, sides: tuple[ResultSet, ResultSet]) -> None:
    here, reference = sides
    path = here.folder / "tables/ablations.csv"
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    with pytest.raises(Mnv4benchError, match=r"ablations\.csv: not this version's table .*; delete it and start again"):
        verify(here, reference)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff", b'{"data": 1}'])
def test_a_damaged_spec_is_named(content: bytes, sides: tuple[ResultSet, ResultSet]) -> None:
    here, reference = sides
    run = here.arms["psa", "none"].runs[0]
    (here.folder / "runs" / run / "spec.json").write_bytes(content)
    with pytest.raises(Mnv4benchError, match=r"spec\.json: .*; delete the folder"):
        verify(here, reference)


def test_a_run_that_is_gone_is_named(sides: tuple[ResultSet, ResultSet]) -> None:
    here, reference = sides
    run = here.arms["psa", "none"].runs[0]
    shutil.rmtree(here.folder / "runs" / run)
    with pytest.raises(Mnv4benchError, match=rf"{run}.spec\.json: missing; start again"):
        verify(here, reference)


def test_the_closest_reference_shares_most_trainings(sides: tuple[ResultSet, ResultSet], tmp_path: Path) -> None:
    with pytest.raises(Mnv4benchError, match="no reference to compare with"):
        closest(sides[0], tmp_path / "references")
    for name in ("same", "other"):
        shutil.copytree(sides[1].folder, tmp_path / "references" / name)
        record = Reference(preset="fake", only=None, seeds=None, title="fake", trunk=True, files={}, matches={})
        write_json(tmp_path / "references" / name / RECORD, record)
    train_otherwise(ResultSet(tmp_path / "references/other"))
    assert closest(sides[0], tmp_path / "references").folder.name == "same"


def test_of_references_that_share_no_training_one_on_the_same_data_is_closest(
    sides: tuple[ResultSet, ResultSet], tmp_path: Path
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


def test_of_references_on_the_same_data_the_one_with_most_of_the_arms_is_closest(
    sides: tuple[ResultSet, ResultSet], tmp_path: Path
) -> None:
    here, reference = sides
    for name in ("a_part", "whole"):
        shutil.copytree(reference.folder, tmp_path / "references" / name)
        record = Reference(preset=name, only=None, seeds=None, title=name, trunk=True, files={}, matches={})
        write_json(tmp_path / "references" / name / RECORD, record)
    table = tmp_path / "references/a_part/tables/ablations.csv"
    header, *lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    table.write_text(header + "".join(line for line in lines if line.startswith("psa,")), encoding="utf-8")
    train_otherwise(here)
    assert closest(here, tmp_path / "references").folder.name == "whole"
