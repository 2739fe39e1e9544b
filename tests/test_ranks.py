"""Numerical ranks by hand, the order that they give, and where Algorithm 1 stops."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from fake_results import make_plan, write_results
from safetensors.numpy import save_file

from mnv4bench.cost.ranks import numerical_rank, stage_ranks
from mnv4bench.io.errors import DataError
from mnv4bench.io.files import write_json
from mnv4bench.machine.environment import environment
from mnv4bench.models import detector
from mnv4bench.results.run import Status
from mnv4bench.spec.extensions import load_module
from mnv4bench.spec.plan import load

ROOT = Path(__file__).parent.parent
rank_guided = load_module(ROOT / "ablations" / "rank_guided.py")


@pytest.mark.parametrize(
    ("values", "rank"), [([4, 3, 2.1, 1], 3), ([4, 1.9, 1.9, 1.9], 1), ([1, 1, 1, 1], 4), ([8, 0, 0, 0], 1)]
)
def test_rank_counts_singular_values_above_half_of_the_largest(values: list[float], rank: int) -> None:
    generator = np.random.default_rng(0)
    left, _ = np.linalg.qr(generator.standard_normal((4, 4)))
    right, _ = np.linalg.qr(generator.standard_normal((18, 18)))
    weight = left @ np.diag(values) @ right[:4]
    assert numerical_rank(weight.reshape(4, 2, 3, 3)) == rank


def weights(**rank: int) -> dict[str, np.ndarray]:
    """The last convolution of each stage, with so many equal singular values and the others zero."""
    made = {}
    for stage, count in rank.items():
        weight = np.zeros((4, 36), np.float32)
        weight[range(count), range(count)] = 1
        made[f"{stage}.m.1.cv2.conv.weight"] = weight.reshape(4, 4, 3, 3)
        made[f"{stage}.m.0.cv2.conv.weight"] = np.zeros((4, 4, 3, 3), np.float32)  # not the last block
    return made


def test_a_stage_is_ranked_by_the_last_convolution_of_its_last_block() -> None:
    found = stage_ranks(weights(p4_mid=1, p3_out=2, p4_out=3, p5_out=4), "x")
    assert found == {"p4_mid": 0.25, "p3_out": 0.5, "p4_out": 0.75, "p5_out": 1.0}


def test_a_baseline_without_c2f_everywhere_is_refused() -> None:
    with pytest.raises(DataError, match="p5_out has no C2f bottleneck"):
        stage_ranks(weights(p4_mid=1, p3_out=2, p4_out=3), "x")


def test_the_order_of_the_arms_is_compared_with_the_ranks() -> None:
    rows = [{"stage": "p4_out", "rank": 0.25}, {"stage": "p5_out", "rank": 0.5}]
    assert rank_guided.agreement(rows, ["p4_out", "p5_out"]) == "followed"
    assert rank_guided.agreement(rows, ["p4_out"]) == "followed"
    assert rank_guided.agreement(rows, ["p5_out", "p4_out"]) == "other"
    assert rank_guided.agreement([row | {"rank": 1.0} for row in rows], ["p4_out", "p5_out"]) == "equal"
    assert rank_guided.agreement([], ["p4_out"]) == "unknown"


def test_the_ranks_before_training_are_those_of_the_initial_values() -> None:
    arm = load("full", "rank_guided", root=ROOT).baseline("rank_guided")
    state = detector.build(arm.model, 6, seed=1).part_state()
    expected = stage_ranks({name: value.numpy(force=True) for name, value in state.items()}, "x")
    assert rank_guided.untrained(arm, (1,)) == expected
    assert min(expected.values()) > 0.5  # uniform values: all singular values are of one size


def test_stages_of_equal_rank_stand_as_the_arms_take_them() -> None:
    declared = ("p5_out", "p4_out", "p4_mid", "p3_out")
    ranks_of = {"p4_mid": 0.5, "p3_out": 0.5, "p4_out": 0.25, "p5_out": 0.25}
    start = dict.fromkeys(ranks_of, 1.0)
    rows = rank_guided.rank_rows({0: ranks_of}, declared, start)  # type: ignore[dict-item, arg-type]
    assert [(row["stage"], row["place"], row["declared_place"]) for row in rows] == [
        (stage, place, place) for place, stage in enumerate(declared, 1)
    ]
    rows = rank_guided.rank_rows({0: ranks_of | {"p3_out": 0.125}}, declared, start)  # type: ignore[dict-item, arg-type]
    assert [row["stage"] for row in rows] == ["p3_out", "p5_out", "p4_out", "p4_mid"]


def test_the_walk_stops_before_the_first_arm_that_fell() -> None:
    walk = rank_guided.stopping_point
    assert walk([("one", False), ("two", True), ("three", False)]) == ("one", None, False)
    assert walk([("one", True), ("two", False)]) == (None, None, False)
    assert walk([("one", False), ("two", False)]) == ("two", None, True)


def test_the_walk_cannot_pass_an_arm_that_has_no_runs_to_compare() -> None:
    assert rank_guided.stopping_point([("one", False), ("two", None), ("three", True)]) == ("one", "two", False)


def test_tables_are_written_from_weights_and_comparison(tmp_path: Path) -> None:
    plan = load("full", "rank_guided", root=ROOT, seeds=2)
    for seed, run in plan.baseline("rank_guided").runs.items():
        folder = tmp_path / "runs" / run
        folder.mkdir(parents=True)
        save_file(weights(p4_mid=3, p3_out=4, p4_out=2 - seed, p5_out=1), folder / "weights.safetensors")
        status = Status(run=run, state="done", epochs=1, steps=1, seconds=1.0, environment=environment())
        write_json(folder / "status.json", status)
    other = make_plan(tmp_path / "other")
    write_results(other, tmp_path / "made")
    (tmp_path / "compare.json").write_bytes((tmp_path / "made" / "compare.json").read_bytes())
    rank_guided.write_ranks(plan, tmp_path, tmp_path)
    with (tmp_path / "tables" / "ranks.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["stage"], row["place"], row["declared_place"]) for row in rows][2:] == [
        ("p4_mid", "3", "2"),
        ("p3_out", "4", "4"),
    ]
    assert float(next(row for row in rows if row["stage"] == "p4_out")["rank"]) == pytest.approx(0.375)
    assert "0.375" in (tmp_path / "tables" / "ranks.md").read_text()


def test_without_weights_the_tables_say_so(tmp_path: Path) -> None:
    plan = load("full", "rank_guided", root=ROOT, seeds=1)
    other = make_plan(tmp_path / "other")
    write_results(other, tmp_path)
    rank_guided.write_ranks(plan, tmp_path, tmp_path)
    assert "No seed of the baseline was trained to its end" in (tmp_path / "tables" / "ranks.md").read_text()
    assert (tmp_path / "tables" / "ranks.csv").read_text() == "stage,rank,untrained,place,declared_place\n"
