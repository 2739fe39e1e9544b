"""Larger sizes beside the trained ones: counted as the catalogue counts them, marked on the Pareto plot."""

from __future__ import annotations

import csv
from pathlib import Path

import fake_results as fake
import pytest

from mnv4bench.io.files import write_json
from mnv4bench.ledger import costs
from mnv4bench.report import results as results_module
from mnv4bench.report.figures import pareto
from mnv4bench.report.paper.facts import facts
from mnv4bench.report.results import collect
from mnv4bench.results.latency import Absence, Latency, LatencyRow
from mnv4bench.spec.extensions import load_module
from mnv4bench.spec.latency import LatencySpec
from mnv4bench.spec.plan import Plan

peers = load_module(Path(__file__).parent.parent / "ablations" / "peers.py")


def row(name: str, place: int, runtime: str) -> LatencyRow:
    """The n-th network takes n times as long as the first."""
    ratio = None if name == peers.BASELINE else 1.0 + place
    return LatencyRow(
        runtime=runtime,
        threads=1,
        arm=name,
        stage="forward",
        blocks=9,
        p50_ms=2.0 * (1 + place),
        min_ms=2.0,
        p90_ms=None,
        spread=0.01,
        baseline=None if ratio is None else peers.BASELINE,
        ratio=ratio,
        ratio_low=ratio and ratio * 0.99,
        ratio_high=ratio and ratio * 1.01,
        verdict=None if ratio is None else "slower",
    )


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Plan, Path]:
    """Fake results with sizes that were timed as `row` says."""
    plan = fake.make_plan(tmp_path)
    results = tmp_path / "results/fake"
    fake.write_results(plan, results)
    whole = collect(plan, results).latency

    def timed(baselines: dict[str, str | None], *_: object) -> Latency:
        rows = [row(name, k, runtime) for runtime in ("torch", "openvino") for k, name in enumerate(baselines)]
        absent = (Absence(runtime="onnxruntime", error="not installed"),)
        record = whole.model_copy(update={"rows": tuple(rows), "absent": absent})
        write_json(results / peers.RECORD, record)
        return record

    monkeypatch.setattr(peers, "time_forward", timed)
    monkeypatch.setattr(results_module, "extensions", lambda _: {"peers": peers.EXTENSION})
    peers.write_sizes(plan, results, results / "data/fake")
    return plan, results


def test_every_size_is_counted_at_the_presets_side_and_timed_in_every_runtime(made: tuple[Plan, Path]) -> None:
    plan, results = made
    with (results / "tables/sizes.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 * (len(peers.TRAINED) + len(peers.UNTRAINED))
    first = next(row for row in rows if row["model"] == "yolov8s")
    assert int(first["params"]) == costs.detector_cost("yolov8s", plan.preset.data.imgsz, 2).params
    assert {row["model"] for row in rows if row["trained"] == "0"} == set(peers.UNTRAINED)
    text = (results / "tables/sizes.md").read_text()
    assert "| mnv4-yolov10s |" in text
    assert "Not timed: onnxruntime (not installed)." in text


def test_the_pareto_plot_marks_what_is_not_trained_and_says_so(made: tuple[Plan, Path]) -> None:
    found = collect(*made)
    assert set(pareto.untrained(found, "torch")) == set(peers.UNTRAINED)
    assert pareto.untrained(found, "onnxruntime") == {}
    assert facts(found)["figures"]["sizes"] is True
    (axis,) = pareto.pareto(found).axes
    low = axis.get_ylim()[0]
    triangles = [line.get_xdata()[0] for line in axis.lines if line.get_marker() == "^"]  # type: ignore[index]
    times = [ms for runtime in found.timed for ms in pareto.untrained(found, runtime).values()]
    assert sorted(triangles) == sorted(times)
    assert {line.get_ydata()[0] for line in axis.lines if line.get_marker() == "^"} == {low}  # type: ignore[index]
    assert set(peers.UNTRAINED) <= {text.get_text() for text in axis.texts}


def test_int8_runtimes_and_further_thread_counts_are_left_out(tmp_path: Path) -> None:
    plan = fake.make_plan(tmp_path)
    spec = LatencySpec(runtimes=("torch", "openvino_int8"), threads=(1, "all"))
    plan = Plan("x", plan.preset.model_copy(update={"latency": spec}), plan.ablations, plan.arms, plan.runs)
    assert (peers.protocol(plan).runtimes, peers.protocol(plan).threads) == (("torch",), (1,))
