"""The latency protocol on invented clocks and traces, and the real thing once, as small as it gets."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import json
import os
import signal
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mnv4bench import latency, weights
from mnv4bench import plan as planning
from mnv4bench.environment import environment
from mnv4bench.errors import DataError, Mnv4benchError, SpecError
from mnv4bench.files import read_json, write_json, write_text
from mnv4bench.images import letterbox
from mnv4bench.latency import outputs, runtimes, session, summary
from mnv4bench.latency.protocol import STAGES, Block, Subject, calibrate, orders, run_session, time_block
from mnv4bench.models import detector
from mnv4bench.models.yolo import Detector
from mnv4bench.plan import Plan
from mnv4bench.records import Dataset, Latency, Split, State, Status

SIDE = 64


class FakeClock:
    """A clock that only `work` moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        self.now += seconds


# The schedule


def test_order_is_a_permutation_and_its_reverse_in_turn() -> None:
    found = orders(7, 5, seed=1)
    assert all(sorted(order) == list(range(7)) for order in found)
    assert found[1] == found[0][::-1]
    assert found[3] == found[2][::-1]
    assert found == orders(7, 5, seed=1)
    assert found != orders(7, 5, seed=2)
    assert len({tuple(order) for order in found}) == 5


def test_every_subject_has_the_same_mean_position_over_a_pair_of_rounds() -> None:
    first, second = orders(6, 2, seed=3)
    assert [first.index(k) + second.index(k) for k in range(6)] == [5] * 6


@pytest.mark.parametrize("cost", [1e-6, 1e-4, 3e-3, 0.049, 0.2])
def test_calibrated_block_lasts_long_enough_and_not_twice_as_long_as_needed(cost: float) -> None:
    clock = FakeClock()
    count = calibrate(lambda index: clock.work(cost), 32, 100, clock)
    assert count * cost >= 0.1 * (1 - 1e-9)
    assert count * cost <= max(0.1 * 1.1, cost * 2) + 32 * cost  # up to one more pass over the images


def test_more_images_than_there_are_become_whole_passes() -> None:
    clock = FakeClock()
    assert calibrate(lambda index: clock.work(0.001), 32, 100, clock) % 32 == 0
    assert calibrate(lambda index: clock.work(0.02), 32, 100, clock) < 32


def test_block_runs_over_consecutive_images_and_around_the_end() -> None:
    seen: list[int] = []
    time_block(seen.append, 3, 7, 5)
    assert seen == [3, 4, 0, 1, 2, 3, 4]


def test_garbage_collection_is_off_in_a_block_and_on_after_it_even_after_an_error() -> None:
    inside: list[bool] = []
    assert gc.isenabled()
    time_block(lambda index: inside.append(gc.isenabled()), 0, 1, 1)
    assert inside == [False]
    with pytest.raises(ZeroDivisionError):
        time_block(lambda index: 1 / 0, 0, 1, 1)
    assert gc.isenabled()


def test_session_gives_every_stage_one_block_a_round_over_the_same_images_and_drops_the_warm_up() -> None:
    clock = FakeClock()
    starts: list[tuple[str, int]] = []

    def subject(name: str, cost: float) -> Subject:
        def call(index: int) -> None:
            starts.append((name, index))
            clock.work(cost)

        return Subject("torch", name, dict.fromkeys(STAGES, call))

    blocks = run_session([subject("a", 0.1), subject("b", 0.2)], 5, 4, 90, seed=0, clock=clock)
    turns = [(block.round, block.arm, block.stage) for block in blocks]
    assert sorted(turns) == sorted(itertools.product(range(4), "ab", STAGES))
    assert {block.position for block in blocks} == {0, 1}
    assert all(block.repeats == 1 for block in blocks)
    assert [block.seconds for block in blocks if block.arm == "a"] == pytest.approx([0.1] * 12)
    timed = starts[-len(blocks) :]
    for number in range(4):  # five images in four rounds: two further each time, and around the end
        assert {index for _, index in timed[6 * number : 6 * number + 6]} == {2 * number % 5}
    assert len(starts) > len(blocks)


# The estimate


@pytest.mark.parametrize(
    ("n", "low", "high"),
    [(1, 1, 1), (5, 1, 5), (6, 1, 6), (8, 1, 8), (9, 2, 8), (10, 2, 9), (12, 3, 10), (16, 4, 13), (20, 6, 15)],
)
def test_median_interval_takes_the_tabulated_ranks(n: int, low: int, high: int) -> None:
    shuffled = np.random.Generator(np.random.PCG64(0)).permutation(n) + 1
    assert summary.median_interval(shuffled) == (low, high)


@pytest.mark.parametrize(("n", "k"), [(6, 1), (9, 2), (10, 2), (12, 3)])
def test_coverage_equals_counting_all_ways_to_lie_about_the_median(n: int, k: int) -> None:
    below = [sum(signs) for signs in itertools.product((0, 1), repeat=n)]
    assert summary.coverage(n, k) == pytest.approx(np.mean([k <= count <= n - k for count in below]))
    assert summary.coverage(n, k) >= 0.95


def blocks(arm: str, seconds: Iterable[float], runtime: str = "torch", number: int = 0) -> list[Block]:
    """A trace: one block of ten images a round, the same for every stage."""
    return [
        Block(number, turn, 0, runtime, arm, stage, 0, 10, value)
        for turn, value in enumerate(seconds)
        for stage in STAGES
    ]


SHARED = {"x/a": "x/a", "x/b": "x/b"}


def test_summary_of_a_hand_worked_trace() -> None:
    trace = blocks("x/a", [0.10, 0.20, 0.40]) + blocks("x/b", [0.20, 0.30, 0.40])
    row = summary.summarise(trace, "x/a", SHARED)[5]
    assert (row.runtime, row.arm, row.stage) == ("torch", "x/b", "end_to_end")
    assert (row.p50_ms, row.min_ms, row.p90_ms) == pytest.approx((30, 20, 38))
    assert (row.ratio, row.ratio_low, row.ratio_high) == pytest.approx((1.5, 1.0, 2.0))


def test_drift_that_both_arms_see_leaves_the_ratio_alone() -> None:
    drift = np.linspace(1, 3, 9)
    rows = summary.summarise(blocks("x/a", 0.1 * drift) + blocks("x/b", 0.12 * drift), "x/a", SHARED)
    assert (rows[3].ratio, rows[3].ratio_low, rows[3].ratio_high) == pytest.approx((1.2, 1.2, 1.2))


def test_one_disturbed_round_of_nine_stays_outside_the_interval() -> None:
    rows = summary.summarise(blocks("x/a", [0.1] * 9) + blocks("x/b", [0.1] * 8 + [5.0]), "x/a", SHARED)
    assert (rows[3].ratio, rows[3].ratio_high) == pytest.approx((1, 1))


def test_a_round_counts_by_its_fastest_block_and_sessions_are_kept_apart() -> None:
    slow = [dataclasses.replace(block, block=1, seconds=9.0) for block in blocks("x/b", [0.2])]
    trace = blocks("x/a", [0.1]) + blocks("x/b", [0.2]) + slow
    trace += blocks("x/a", [0.2], number=1) + blocks("x/b", [0.2], number=1)
    row = summary.summarise(trace, "x/a", SHARED)[3]
    assert (row.ratio_low, row.ratio_high) == pytest.approx((1.0, 2.0))


def test_arms_that_share_a_network_get_equal_rows() -> None:
    rows = summary.summarise(blocks("x/a", [0.1, 0.2]), "y/same", {"x/a": "x/a", "y/same": "x/a"})
    assert [row.arm for row in rows] == ["x/a"] * 3 + ["y/same"] * 3
    assert {row.ratio for row in rows} == {1.0}
    assert rows[0].model_copy(update={"arm": "y/same"}) == rows[3]


def test_without_the_reference_in_a_runtime_there_is_no_ratio() -> None:
    trace = blocks("x/a", [0.1]) + blocks("x/b", [0.1]) + blocks("x/b", [0.1], "onnxruntime")
    rows = summary.summarise(trace, "x/a", SHARED)
    assert {row.runtime: row.ratio for row in rows if row.arm == "x/b"} == {"torch": 1.0, "onnxruntime": None}


def test_blocks_survive_the_file_to_the_last_digit(tmp_path: Path) -> None:
    trace = blocks("x/a", [1 / 3, 0.1 + 0.2, 1e-7])
    summary.write_blocks(tmp_path / "blocks.csv", trace)
    assert summary.read_blocks(tmp_path / "blocks.csv") == trace


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("0,0,0,torch,a,forward,0,1,fast", "line 2: could not convert"),
        ("0,0,0,torch,a,forward,0,0,1.0", "line 2: repeats and seconds must be positive"),
        ("0,0,0,torch,a,forward,0,1,nan", "line 2: repeats and seconds must be positive"),
        ("0,0,0,torch,a,foreward,0,1,1.0", "line 2: stage is 'foreward', allowed: forward, post, end_to_end"),
        ("0,0,0,torch,a,forward", "line 2: invalid literal"),
    ],
)
def test_damaged_blocks_are_refused_with_file_and_line(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "blocks.csv"
    write_text(path, ",".join(summary.COLUMNS) + f"\n{line}\n")
    with pytest.raises(Mnv4benchError) as error:
        summary.read_blocks(path)
    assert f"{path}: not readable as timed blocks ({told}" in str(error.value)


# Outputs


def test_nms_output_becomes_corner_boxes_without_the_overlapping_one() -> None:
    # Columns: an object, the same one a pixel further, another class there, and one below the confidence.
    output = np.array(
        [[10, 11, 10, 40], [10, 10, 10, 40], [8, 8, 8, 6], [4, 4, 4, 6], [0.9, 0.8, 0, 0.2], [0, 0, 0.7, 0]], np.float32
    )
    expected = [[6, 8, 14, 12, 0.9, 0], [6, 8, 14, 12, 0.7, 1]]
    assert outputs.detections(output, "nms") == pytest.approx(np.array(expected))


def test_nms_free_output_is_cut_at_the_confidence() -> None:
    output = np.array([[0, 0, 9, 9, 0.9, 1], [0, 0, 9, 9, 0.25, 1], [0, 0, 9, 9, 0.1, 0]], np.float32)
    assert outputs.detections(output, "nms_free") == pytest.approx(output[:1])


def nms_free_output() -> np.ndarray:
    generator = np.random.Generator(np.random.PCG64(0))
    rows = generator.uniform(0, SIDE, (20, 6)).astype(np.float32)
    rows[:, 4], rows[:, 5] = np.linspace(0.9, 0.1, 20), np.arange(20) % 3
    return rows


def test_rows_that_change_places_still_agree() -> None:
    rows = nms_free_output()
    assert outputs.disagreement(rows[::-1].copy(), rows, "nms_free", SIDE) == 0


def test_rows_cut_off_among_equal_scores_still_agree() -> None:
    rows = nms_free_output()
    rows[-2:, 4] = 0.1
    other = rows.copy()
    other[-1, :4] += 30
    assert outputs.disagreement(other, rows, "nms_free", SIDE) == 0


@pytest.mark.parametrize("column", range(6))
def test_any_changed_column_is_a_disagreement(column: int) -> None:
    rows = nms_free_output()
    other = rows.copy()
    other[0, column] += 1
    assert outputs.disagreement(other, rows, "nms_free", SIDE) > 0.01
    assert outputs.disagreement(rows, other, "nms_free", SIDE) > 0.01


def test_dense_outputs_are_compared_in_scores_and_relative_coordinates() -> None:
    dense = np.zeros((6, 8), np.float32)
    moved, scored = dense.copy(), dense.copy()
    moved[2, 3], scored[4, 3] = 0.64, 0.02
    assert outputs.disagreement(moved, dense, "nms", SIDE) == pytest.approx(0.01)
    assert outputs.disagreement(scored, dense, "nms", SIDE) == pytest.approx(0.02)


def test_other_shapes_and_not_a_number_are_never_agreement() -> None:
    dense = np.zeros((6, 8), np.float32)
    broken = dense.copy()
    broken[0, 0] = np.nan
    assert outputs.disagreement(dense[:, :7], dense, "nms", SIDE) == np.inf
    assert outputs.disagreement(broken, broken, "nms", SIDE) == np.inf


# Plans


ABLATIONS = {
    "nms_free": "baseline: many\narms: {many: {model.head: one_to_many}, free: {}, both: {read: nms}}",
    "distillation": "baseline: none\narms: {none: {}, distilled: {distill.logits: 1.0}}",
    "other": "baseline: bare\narms: {wide: {model.scale: s}, bare: {model.attention: none}}",
}


def make_plan(root: Path, used: str = "[torch, onnxruntime]", ablations: str = "nms_free") -> Plan:
    timing = f"latency: {{images: 3, rounds: 2, block_ms: 1, runtimes: {used}}}"
    lines = ["title: tiny", f"data: {{name: scenes, imgsz: {SIDE}}}", "train: {epochs: 1}", "seeds: [3, 4]", timing]
    write_text(root / "config/tiny.yaml", "\n".join([*lines, f"ablations: [{ablations}]"]))
    for name, text in ABLATIONS.items():
        write_text(root / f"ablations/{name}.yaml", f"title: t\nquestion: q\nsmallest_effect: 0.01\n{text}")
    return planning.load("tiny", root=root)


def make_data(folder: Path, count: int = 3) -> Dataset:
    generator = np.random.Generator(np.random.PCG64(0))
    (folder / "images").mkdir(parents=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"images/{number}.png"), generator.integers(0, 255, (40, SIDE, 3), np.uint8))
    # Listed backwards, to be sorted by id.
    records = [{"id": k, "file_name": f"{k}.png", "height": 40, "width": SIDE} for k in reversed(range(count))]
    write_json(folder / "val.json", {"images": records, "annotations": [], "categories": []})
    split = Split(annotations="val.json", images="images", count=count)
    dataset = Dataset(name="tiny", digest="0", classes=("a", "b"), category_ids=(1, 2), train=split, val=split)
    write_json(folder / "dataset.json", dataset)
    return dataset


def make_run(runs: Path, plan: Plan, label: str, state: State = "done") -> None:
    """Write a first-seed run whose weights give every anchor scores of its own."""
    arm = next(arm for arm in plan.arms if arm.label == label)
    run = arm.runs[plan.preset.seeds[0]]
    ended = Status(run=run, state=state, reason="loss", epochs=1, steps=1, seconds=1, environment=environment())
    write_json(runs / run / "status.json", ended)
    if state == "done":
        weights.save(lively(detector.build(arm.model, 2, read=arm.read)), runs / run / "weights.safetensors")


def lively(model: Detector) -> Detector:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith("bn.weight"):
                value.copy_(1.5 + torch.rand(value.shape, generator=generator))  # batch norms amplify what untrained
        for value in model.head.parameters():  # convolutions damp
            value.add_(0.2 * torch.randn(value.shape, generator=generator))
    return model


def test_arms_with_the_same_network_share_a_measurement(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, ablations="nms_free, distillation")
    shared = latency.share(plan, {})
    assert shared["distillation/none"] == shared["distillation/distilled"] == "nms_free/free"
    assert shared["nms_free/both"] == "nms_free/both"
    assert len(set(shared.values())) == 3
    without = latency.share(plan, {"nms_free/free": "diverged"})
    assert "nms_free/free" not in without
    assert without["distillation/distilled"] == "distillation/none"


def test_reference_is_the_presets_model_else_the_first_measured_baseline(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, ablations="nms_free, distillation")
    shared = latency.share(plan, {})
    assert latency.choose_reference(plan, shared) == "nms_free/free"
    assert latency.choose_reference(plan, {"nms_free/many": "nms_free/many"}) == "nms_free/many"
    other = make_plan(tmp_path, ablations="other")
    assert latency.choose_reference(other, latency.share(other, {})) == "other/bare"
    assert latency.choose_reference(other, latency.share(other, {"other/bare": "diverged"})) == "other/wide"


def test_runs_that_did_not_end_well_are_absent_with_their_reason(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    make_run(tmp_path, plan, "nms_free/many", "diverged")
    absent = latency.unfinished(plan, tmp_path)
    assert absent["nms_free/many"].endswith("ended diverged: loss")
    assert absent["nms_free/free"].endswith("is unfinished")


def test_busy_cores_counts_what_others_did_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([{"cpu0": (10, 100), "cpu1": (0, 50)}, {"cpu0": (60, 200), "cpu1": (0, 150)}])
    monkeypatch.setattr(latency, "_core_seconds", lambda: next(readings))
    assert latency.busy_cores(0) == pytest.approx(0.5)  # one of two cores, half of the time


def test_load_average_stands_in_where_core_time_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (1.25, 0, 0))
    monkeypatch.setattr(latency, "_core_seconds", lambda: {"cpu0": (0, 0)})
    assert latency.busy_cores(0) == 1.25
    monkeypatch.setattr(latency, "_core_seconds", dict)
    assert latency.busy_cores(0) == 1.25


def test_thread_limits_hold_inside_and_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with session.one_thread():
        assert {os.environ[name] for name in session.THREAD_VARIABLES} == {"1"}
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


# Networks


@pytest.fixture
def image(tmp_path: Path) -> runtimes.Image:
    make_data(tmp_path / "one", 1)
    return letterbox(tmp_path / "one/images/0.png", SIDE).pixels


@pytest.fixture
def only_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_validation_images_come_letterboxed_in_order_of_id(tmp_path: Path) -> None:
    dataset = make_data(tmp_path)
    images = session.validation_images(dataset, tmp_path, 2, SIDE)
    assert [image.shape for image in images] == [(3, SIDE, SIDE)] * 2
    for number, image in enumerate(images):
        assert np.array_equal(image, letterbox(tmp_path / f"images/{number}.png", SIDE).pixels)


def test_no_validation_image_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    dataset = make_data(tmp_path, 0)
    with pytest.raises(DataError, match=r"val\.json: no image to time"):
        session.validation_images(dataset, tmp_path, 2, SIDE)


@pytest.mark.usefixtures("only_cpu")
def test_every_runtime_computes_what_the_scored_model_does(tmp_path: Path, image: runtimes.Image) -> None:
    plan = make_plan(tmp_path)
    for arm in plan.arms:
        make_run(tmp_path, plan, arm.label)
    subjects, absent, failed = session.load_all(plan, plan.arms[:2], tmp_path, [image], 2)
    assert (absent, failed) == ({}, {})
    found = {(subject.runtime, subject.arm): subject.stages for subject in subjects}
    assert set(found) == set(itertools.product(["torch", "onnxruntime"], ["nms_free/many", "nms_free/free"]))
    for arm in plan.arms[:2]:
        by_torch, by_onnx = (found[name, arm.label] for name in ("torch", "onnxruntime"))
        raw = by_torch["forward"](0)
        assert (
            np.ptp(raw[4:] if arm.read == "nms" else raw[:, 4]) > 0.01
        )  # anchors differ, so agreement means something
        assert outputs.disagreement(by_onnx["forward"](0), raw, arm.read, SIDE) < outputs.TOLERANCE
        for stages in (by_torch, by_onnx):
            assert np.array_equal(stages["post"](0), outputs.detections(stages["forward"](0), arm.read))
            assert np.array_equal(stages["end_to_end"](0), stages["post"](0))


@pytest.mark.usefixtures("only_cpu")
def test_runtimes_that_fail_or_compute_something_else_are_absent_with_the_reason(
    tmp_path: Path, image: runtimes.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(runtimes.Torch):
        def __call__(self, image: runtimes.Image) -> runtimes.Output:
            return super().__call__(image) + np.float32(0.01)

    class Broken(runtimes.Torch):
        def load(self, model: Detector, imgsz: int) -> None:
            raise RuntimeError("operator\n unknown")

    def missing() -> runtimes.Runtime:
        raise ImportError("No module named 'missing'")

    plan = make_plan(tmp_path, used="[torch, wrong, broken, missing]")
    make_run(tmp_path, plan, "nms_free/free")
    for name, runtime in (("wrong", Wrong), ("broken", Broken), ("missing", missing)):
        monkeypatch.setitem(runtimes.RUNTIMES, name, runtime)
    subjects, absent, failed = session.load_all(plan, plan.arms[1:2], tmp_path, [image], 2)
    assert [subject.runtime for subject in subjects] == ["torch"]
    assert absent == {"missing": "cannot be imported: No module named 'missing'"}
    assert set(failed) == {("nms_free/free", "wrong"), ("nms_free/free", "broken")}
    assert failed["nms_free/free", "broken"] == "operator unknown"
    assert "differs from the scored model's by" in failed["nms_free/free", "wrong"]


def test_arms_that_share_a_failed_network_are_all_reported() -> None:
    shared = {"x/a": "x/a", "x/b": "x/b", "y/same": "x/a"}
    found = latency.failures({("x/a", "onnxruntime"): "why"}, shared)
    assert found == {"x/a in onnxruntime": "why", "y/same in onnxruntime": "why"}


def test_unknown_runtime_is_refused_with_the_file_and_what_is_allowed(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, used="[torch, onxruntime]")
    with pytest.raises(SpecError, match=r"config/tiny\.yaml: latency\.runtimes.*did you mean 'onnxruntime'"):
        session.wanted_runtimes(plan)


def test_measure_reports_a_failed_network_for_every_arm_that_shares_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(tmp_path, ablations="nms_free, distillation")
    monkeypatch.setattr(latency, "unfinished", lambda plan, runs: {"nms_free/many": "diverged"})
    monkeypatch.setattr(latency, "busy_cores", lambda: 1.5)
    here = environment().model_copy(update={"cores": 2})
    trace = tuple(blocks("nms_free/free", [0.1, 0.2]) + blocks("nms_free/both", [0.2, 0.2]))
    brought = session.Session(trace, 3, {"missing": "gone"}, {("nms_free/free", "onnxruntime"): "why"}, here)
    monkeypatch.setattr(latency, "in_new_process", lambda *arguments: brought)
    latency.measure(plan, tmp_path, tmp_path)
    record = Latency.model_validate(read_json(tmp_path / "latency/latency.json"))
    assert summary.read_blocks(tmp_path / "latency/blocks.csv") == list(trace)
    assert (record.comparable, record.load_before, record.reference) == (False, 1.5, "nms_free/free")
    assert {row.arm for row in record.rows} == {arm.label for arm in plan.arms} - {"nms_free/many"}
    sharing = ("nms_free/free", "distillation/none", "distillation/distilled")
    expected = {"nms_free/many": "diverged", "missing": "gone"}
    assert record.absent == expected | {f"{label} in onnxruntime": "why" for label in sharing}


@pytest.mark.slow
def test_measure_times_every_arm_in_a_process_of_its_own(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, ablations="nms_free, distillation")
    make_data(tmp_path / "data")
    make_run(tmp_path / "runs", plan, "nms_free/many", "diverged")
    for label in ("nms_free/free", "nms_free/both", "distillation/none", "distillation/distilled"):
        make_run(tmp_path / "runs", plan, label)
    threads = torch.get_num_threads()
    latency.measure(plan, tmp_path, tmp_path / "data")
    assert torch.get_num_threads() == threads

    record = Latency.model_validate(read_json(tmp_path / "latency/latency.json"))
    assert (record.reference, record.images, record.rounds) == ("nms_free/free", 3, 2)
    assert (record.threads, record.environment.threads) == (1, 1)
    assert list(record.absent) == ["nms_free/many"]
    timed = {(row.runtime, row.arm, row.stage) for row in record.rows if row.runtime != "torch_cuda"}
    labels = [arm.label for arm in plan.arms if arm.label not in record.absent]
    assert timed == set(itertools.product(("torch", "onnxruntime"), labels, STAGES))
    assert all(0 < row.min_ms <= row.p50_ms <= row.p90_ms for row in record.rows)

    replayed = summary.summarise(
        summary.read_blocks(tmp_path / "latency/blocks.csv"), record.reference, latency.share(plan, record.absent)
    )
    written = json.loads((tmp_path / "latency/latency.json").read_text())["rows"]
    assert [row.model_dump() for row in replayed] == written


def killed(*arguments: object) -> None:
    """Stands in for a session that the system ends."""
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_killed_session_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "run", killed)
    with pytest.raises(Mnv4benchError, match="process was killed"):
        session.in_new_process(make_plan(tmp_path), (), tmp_path, tmp_path)
