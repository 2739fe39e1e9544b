"""ablations/nms_free.py: the two readings of one network beside each other."""

from __future__ import annotations

import csv
from pathlib import Path

import fake_results as fake
import pytest

from mnv4bench.results.metrics import read_metrics
from mnv4bench.spec.extensions import load_module

ROOT = Path(__file__).parent.parent
nms_free = load_module(ROOT / "ablations" / "nms_free.py")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    root = tmp_path_factory.mktemp("readings")
    plan = fake.make_plan(root)
    fake.write_results(plan, root / "results")
    nms_free.write_readings(plan, root / "results", root)
    with (root / "results/tables/readings.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    dual = plan.arms_of("nms_free")[1]
    readings = [read_metrics(root / "results/runs" / run).readings for run in dual.runs.values()]
    free, nms = (sum(r[read].scores.AP for r in readings) / len(readings) for read in ("nms_free", "nms"))
    (whole,) = [row for row in rows if row["network"] == dual.name and row["part"] == "all"]
    assert float(whole["AP_nms_free"]) == pytest.approx(free)
    assert float(whole["gap"]) == pytest.approx(free - nms)
    page = (root / "results/tables/readings.md").read_text(encoding="utf-8")
    assert "1.0 points of AP above its N size and 0.5 points of AP above its S size" in page
    return rows


def test_trunk_and_dual_arm_have_a_row_for_all_each_slice_and_each_class(rows: list[dict[str, str]]) -> None:
    for network in ("trunk default", "dual_nms_free"):
        parts = [row["part"] for row in rows if row["network"] == network]
        assert {part: parts.count(part) for part in set(parts)} == {
            "all": 1, "slice": len(fake.SLICES), "class": len(fake.CLASSES),
        }  # fmt: skip


def test_a_class_without_objects_has_no_gap() -> None:
    """And one that has none in some seed is averaged over the others."""
    assert nms_free._mean(iter([None, None])) is None
    assert nms_free._mean(iter([0.4, None, 0.6])) == pytest.approx(0.5)
    assert nms_free.Gap("n", "class", "c", None, 0.5).gap is None


def test_one_network_read_twice_stands_once(rows: list[dict[str, str]]) -> None:
    assert list(dict.fromkeys(row["network"] for row in rows)) == ["trunk default", "dual_nms_free"]
