"""What is timed and how it is checked, and the real thing once, as small as it gets."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import cv2
import numpy as np
import pytest
import torch

from mnv4bench.data.prepared import digest
from mnv4bench.evaluate import detections as evaluate
from mnv4bench.io.errors import DataError, Mnv4benchError, SpecError
from mnv4bench.io.files import read_json, write_json, write_text
from mnv4bench.latency import arms as latency
from mnv4bench.latency import campaign
from mnv4bench.latency.analyse.analysis import COPY, Judged, analyse
from mnv4bench.latency.measure import agreement, loading, session
from mnv4bench.latency.measure.agreement import unexplained
from mnv4bench.latency.measure.task import Task
from mnv4bench.latency.runtimes import export, outputs
from mnv4bench.latency.runtimes.pytorch import Torch
from mnv4bench.latency.runtimes.registry import GPU_RUNTIMES, RUNTIMES
from mnv4bench.latency.runtimes.runtime import Deployment
from mnv4bench.machine.cores import usable_cores
from mnv4bench.machine.environment import environment
from mnv4bench.models import detector, weights
from mnv4bench.models.yolo import Detector
from mnv4bench.results.blocks import read_blocks
from mnv4bench.results.dataset import Dataset, Split
from mnv4bench.results.detections import read_detections
from mnv4bench.results.latency import Latency
from mnv4bench.results.metrics import Metrics, Reading, Scores
from mnv4bench.results.run import State, Status
from mnv4bench.spec import plan as planning
from mnv4bench.spec.latency import Runtime, latency_spec
from mnv4bench.spec.model import Read
from mnv4bench.spec.plan import Plan

SIDE = 64


def test_settings_of_one_network_share_what_was_exported_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sides: list[int] = []
    monkeypatch.setattr(export, "_kept", OrderedDict())
    monkeypatch.setattr(export, "_traced", lambda _, imgsz: sides.append(imgsz) or export.nothing())
    model = torch.nn.Identity()
    first = export.export(model, 64, key="yolov10n")
    first.graph.name = "suppression behind it"
    assert export.export(model, 64, key="yolov10n") == export.nothing()
    export.export(model, 96, key="yolov10n")
    export.export(model, 64, key="yolov10s")
    export.export(model, 64)
    assert sides == [64, 96, 64, 64]
    for number in range(export.KEPT):
        export.export(model, 32, key=str(number))
    assert len(export._kept) == export.KEPT


def test_a_forward_pass_is_timed_once_for_all_thresholds_behind_it() -> None:
    plan = planning.load("published", "published_heads,published_nms,published_int8,published_resolution")
    shared = set(latency.share(plan, ()).values())
    arms = [arm for arm in plan.arms if arm.label in shared]
    assert len(arms) == 17
    assert latency.forward_of(plan, arms) == {
        "published_heads/nms",
        "published_heads/nms_free",
        "published_int8/onnxruntime_int8",
        "published_int8/openvino_int8",
        "published_resolution/side_320",
    }
    assert latency.choose_reference(plan, latency.share(plan, ())) == "published_heads/nms_free"


# Raw outputs


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


def make_plan(
    root: Path, used: str = "[torch, onnxruntime]", ablations: str = "nms_free", more: str = "sessions: 1"
) -> Plan:
    timing = f"latency: {{images: 3, rounds: 2, blocks: 1, block_ms: 1, runtimes: {used}, {more}}}"
    lines = ["title: tiny", f"data: {{name: scenes, imgsz: {SIDE}}}", "train: {epochs: 1}", "seeds: [3, 4]", timing]
    write_text(root / "config/tiny.yaml", "\n".join([*lines, f"ablations: [{ablations}]"]))
    for name, text in ABLATIONS.items():
        write_text(root / f"ablations/{name}.yaml", f"title: t\nquestion: q\nsmallest_effect: 0.01\n{text}")
    return planning.load("tiny", root=root)


def write_annotations(folder: Path, content: Mapping[str, object]) -> None:
    for half in ("train", "val"):
        write_json(folder / f"annotations/{half}.json", content)


def make_data(folder: Path, count: int = 3) -> Dataset:
    generator = np.random.Generator(np.random.PCG64(0))
    (folder / "images").mkdir(parents=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"images/{number}.png"), generator.integers(0, 255, (40, SIDE, 3), np.uint8))
    # Listed backwards, to be sorted by id.
    records = [{"id": k, "file_name": f"{k}.png", "height": 40, "width": SIDE} for k in reversed(range(count))]
    write_annotations(folder, {"images": records, "annotations": [], "categories": []})
    split = Split(annotations="annotations/val.json", images="images", count=count, objects=count)
    dataset = Dataset(
        name="tiny", digest=digest(folder), classes=("a", "b"), category_ids=(1, 2), train=split, val=split
    )
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
        for name, value in model.head.named_parameters():
            if re.fullmatch(r"(one2one_)?cv3\.\d\.2\.bias", name):
                value.fill_(-1.0)  # some scores above the deployed confidence, some below
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
    assert (absent["nms_free/many"].state, absent["nms_free/many"].error) == ("diverged", "loss")
    assert (absent["nms_free/free"].state, absent["nms_free/free"].error) == (None, None)
    assert all(absence.run and absence.name == label for label, absence in absent.items())


def test_thread_limits_hold_inside_and_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with session.thread_limits(1):
        assert {os.environ[name] for name in session.THREAD_VARIABLES} == {"1"}
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


# Networks


def test_images_come_in_order_of_id(tmp_path: Path) -> None:
    dataset = make_data(tmp_path)
    images = campaign.first_images(dataset, tmp_path, "val", 2)
    assert images == ((0, tmp_path / "images/0.png"), (1, tmp_path / "images/1.png"))
    assert len(campaign.first_images(dataset, tmp_path, "val", 9)) == 3


def test_no_validation_image_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    make_data(tmp_path, 0)
    with pytest.raises(DataError, match=r"val\.json: no image to time"):
        tasks_of(make_plan(tmp_path), tmp_path, tmp_path)


def test_every_thread_count_has_sessions_of_its_own_with_numbers_of_their_own(tmp_path: Path) -> None:
    make_data(tmp_path)
    plan = make_plan(tmp_path, more="sessions: 2, threads: [1, all, 3]")
    sessions = tasks_of(plan, tmp_path, tmp_path)
    cores = usable_cores()
    assert [task.threads for task in sessions] == [count for count in dict.fromkeys((1, cores, 3)) for _ in range(2)]
    assert [task.number for task in sessions] == list(range(len(sessions)))
    assert len({task.seed for task in sessions}) == len(sessions)
    assert [task.score is not None for task in sessions] == [True] + [False] * (len(sessions) - 1)
    assert set(GPU_RUNTIMES) < set(sessions[0].runtimes)


FAIR = Reading(
    scores=Scores(**dict.fromkeys(Scores.model_fields, 0.5)),
    detections_per_image=0,
)
READS: tuple[Read, ...] = get_args(Read)


def tasks_of(plan: Plan, runs: Path, data: Path) -> list[Task]:
    """Return a preset's sessions; arms without a run get one that is done, and has found nothing."""
    for arm in plan.arms:
        folder = runs / arm.runs[plan.preset.seeds[0]]
        if not (folder / "status.json").exists():
            make_run(runs, plan, arm.label)
        if not (folder / "detections.json").exists():
            write_json(folder / "detections.json", {read: [] for read in READS})
        write_json(folder / "metrics.json", Metrics(run=folder.name, state="done", readings=dict.fromkeys(READS, FAIR)))
    return campaign.tasks(latency.campaign(plan, runs, data))


def load(plan: Plan, root: Path, *labels: str) -> loading.Loaded:
    """Load what a session would, by the arms' labels; detections.json says what torch finds."""
    task = tasks_of(plan, root, root)[0]
    chosen = tuple(candidate for candidate in task.candidates if candidate.label in labels)
    return loading.load_all(
        dataclasses.replace(task, candidates=chosen, runtimes=plan.preset.latency.runtimes, score=None)
    )


def score(plan: Plan, root: Path, label: str, shift: float = 0.0, runs: Path | None = None) -> None:
    """Write what evaluation would have found, every box moved by `shift` pixels; runs lie in `root` by default."""
    arm = next(arm for arm in plan.arms if arm.label == label)
    folder = (runs or root) / arm.runs[plan.preset.seeds[0]]
    model = detector.build(arm.model, 2)
    weights.load(model, folder / "weights.safetensors")
    records = read_json(root / "annotations/val.json")["images"]
    found = evaluate.detect(model.eval(), records, root / "images", SIDE, (1, 2))
    for row in found[arm.read]:
        row["bbox"][0] += shift
    write_json(folder / "detections.json", found)


def test_detections_of_a_run_are_read_once_for_all_arms_and_sessions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_data(tmp_path)
    plan = make_plan(tmp_path, more="sessions: 3")
    paths: list[Path] = []
    monkeypatch.setattr(
        agreement, "read_detections", lambda path, reads: paths.append(path) or read_detections(path, reads)
    )
    sessions = tasks_of(plan, tmp_path, tmp_path)
    runs = {arm.runs[plan.preset.seeds[0]] for arm in plan.arms}
    assert (len(sessions), len(runs), len(plan.arms)) == (3, 2, 3)
    assert sorted(path.parent.name for path in paths) == sorted(runs)


def test_every_runtime_finds_what_was_scored_and_the_reference_is_loaded_twice(tmp_path: Path) -> None:
    make_data(tmp_path)
    plan = make_plan(tmp_path)
    for arm in plan.arms[:2]:
        make_run(tmp_path, plan, arm.label)
        score(plan, tmp_path, arm.label)
    loaded = load(plan, tmp_path, "nms_free/many", "nms_free/free")
    assert (loaded.absent, loaded.failed) == ({}, {})
    found = {(subject.runtime, subject.arm): subject.stages for subject in loaded.subjects}
    names = ["nms_free/many", "nms_free/free", COPY]
    assert set(found) == set(itertools.product(["torch", "onnxruntime"], names))
    assert "in_graph" in found["onnxruntime", names[0]]
    assert "in_graph" not in found["torch", names[0]]
    for arm in plan.arms[:2]:
        for name in ("torch", "onnxruntime"):
            stages = found[name, arm.label]
            expected = outputs.detections(stages["forward"](0), arm.read)
            assert len(expected) > 0  # so that agreement means something
            assert np.array_equal(stages["post"](0), expected)
            assert np.array_equal(stages["end_to_end"](0), expected)
            if "in_graph" in stages:
                assert unexplained(stages["in_graph"](0), expected, SIDE) == 0


def test_a_network_that_finds_something_else_than_was_scored_is_not_timed(tmp_path: Path) -> None:
    make_data(tmp_path)
    plan = make_plan(tmp_path, used="[torch]")
    make_run(tmp_path, plan, "nms_free/free")
    score(plan, tmp_path, "nms_free/free", shift=1.0)
    loaded = load(plan, tmp_path, "nms_free/free")
    assert loaded.subjects == []
    reason = loaded.failed["nms_free/free", "torch"]
    assert reason.startswith("its detections are not what evaluation found")
    assert reason.endswith("first in 0.png")


def test_runtimes_that_fail_or_compute_something_else_are_absent_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(Torch):
        def __call__(self, image: outputs.Image) -> outputs.Output:
            return super().__call__(image) + np.float32(0.01)

    class Broken(Torch):
        def load(self, network: Deployment) -> None:
            raise RuntimeError("operator\n unknown")

    class Missing(Torch):
        def __init__(self) -> None:
            raise ImportError("No module named 'missing'")

    make_data(tmp_path)
    plan = make_plan(tmp_path)
    timing = plan.preset.latency.model_copy(update={"runtimes": ("torch", "wrong", "broken", "missing")})
    plan = dataclasses.replace(plan, preset=plan.preset.model_copy(update={"latency": timing}))
    make_run(tmp_path, plan, "nms_free/free")
    score(plan, tmp_path, "nms_free/free")
    for name, runtime in (("wrong", Wrong), ("broken", Broken), ("missing", Missing)):
        monkeypatch.setitem(RUNTIMES, name, runtime)
    loaded = load(plan, tmp_path, "nms_free/free")
    assert {subject.runtime for subject in loaded.subjects} == {"torch"}
    assert loaded.absent == {"missing": "No module named 'missing'"}
    assert set(loaded.failed) == {("nms_free/free", "wrong"), ("nms_free/free", "broken")}
    assert loaded.failed["nms_free/free", "broken"] == "operator unknown"
    assert "differs from the scored model's by" in loaded.failed["nms_free/free", "wrong"]


def test_arms_that_share_a_failed_network_are_all_reported() -> None:
    arms = [
        Judged(label, measured, "nms", None) for label, measured in (("x/a", "x/a"), ("x/b", "x/b"), ("y/c", "x/a"))
    ]
    session: Any = SimpleNamespace(absent={"openvino": "missing"}, failed={("x/a", "onnxruntime"): "why"})
    absent = {absence.name: absence.error for absence in campaign.absences([session, session], arms)}
    assert absent == {"openvino": "missing", "x/a in onnxruntime": "why", "y/c in onnxruntime": "why"}


def test_unknown_runtime_is_refused_with_the_file_and_what_is_allowed(tmp_path: Path) -> None:
    """When it is planned, before anything is trained."""
    with pytest.raises(SpecError, match=r"config/tiny\.yaml:5: latency\.runtimes\.1: did you mean 'onnxruntime'"):
        make_plan(tmp_path, used="[torch, onxruntime]")
    with pytest.raises(SpecError, match=r"--runtimes: did you mean 'onnxruntime'"):
        latency_spec({"runtimes": ("onxruntime",)})


def test_a_preset_may_name_every_runtime() -> None:
    assert get_args(Runtime) == tuple(RUNTIMES)


@pytest.mark.slow
def test_measure_times_every_arm_in_processes_of_their_own(tmp_path: Path) -> None:
    used = "[torch, onnxruntime_int8]"
    plan = make_plan(tmp_path, used=used, ablations="nms_free, distillation", more="sessions: 2, calibration: 3")
    make_data(tmp_path)
    runs = tmp_path / "runs"
    make_run(runs, plan, "nms_free/many", "diverged")
    for label in ("nms_free/free", "nms_free/both", "distillation/distilled"):
        make_run(runs, plan, label)
    evaluated(plan, tmp_path)
    threads = torch.get_num_threads()
    latency.time_arms(plan, tmp_path, tmp_path)
    assert torch.get_num_threads() == threads

    record = Latency.model_validate(read_json(tmp_path / "latency/latency.json"))
    assert (record.reference, record.images, record.rounds) == ("nms_free/free", 3, 2)
    assert [(one.number, one.threads) for one in record.sessions] == [(0, 1), (1, 1)]
    assert record.environment.threads == 1
    absent = {absence.name for absence in record.absent}
    assert {"nms_free/many"} <= absent <= {"nms_free/many", *GPU_RUNTIMES}
    labels = [arm.label for arm in plan.arms if arm.label not in absent]
    timed = {(row.runtime, row.arm) for row in record.rows if row.stage == "end_to_end"}
    assert timed >= set(itertools.product(("torch", "onnxruntime_int8"), labels))
    same = next(row for row in record.rows if row.arm == "distillation/distilled" and row.stage == "forward")
    assert (same.verdict, same.baseline) == ("identical", "distillation/none")
    # Arms that share a network share its times; AP in int8 has only the arm whose weights were quantised.
    assert {row.arm for row in record.quantised} == {*labels} - {"distillation/distilled"}
    assert all(row.AP_float is not None for row in record.quantised)

    shared = latency.share(plan, {"nms_free/many": ""})
    replayed = analyse(read_blocks(tmp_path / "latency/blocks.csv"), latency.judged(plan, shared), record.reference)
    written = json.loads((tmp_path / "latency/latency.json").read_text())["rows"]
    assert [row.model_dump(mode="json") for row in replayed.rows] == written


def evaluated(plan: Plan, root: Path) -> None:
    """Give every run that is done the files that evaluation writes."""
    write_annotations(
        root,
        {
            "images": read_json(root / "annotations/val.json")["images"],
            "annotations": [
                {"id": 1, "image_id": 0, "category_id": 1, "bbox": [5, 5, 20, 20], "area": 400, "iscrowd": 0}
            ],
            "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
        },
    )
    dataset = read_json(root / "dataset.json")
    write_json(root / "dataset.json", {**dataset, "digest": digest(root)})
    for arm in plan.arms:
        folder = root / "runs" / arm.runs[plan.preset.seeds[0]]
        if (folder / "weights.safetensors").exists():
            score(plan, root, arm.label, runs=root / "runs")
            write_json(
                folder / "metrics.json", Metrics(run=folder.name, state="done", readings=dict.fromkeys(READS, FAIR))
            )


def killed(*arguments: object) -> None:
    """Stands in for a session that the system ends."""
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_killed_session_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_data(tmp_path)
    monkeypatch.setattr(session, "run", killed)
    with pytest.raises(Mnv4benchError, match="process was killed"):
        session.in_new_process(tasks_of(make_plan(tmp_path), tmp_path, tmp_path)[0])


ORPHAN = """
import os, time, types
from mnv4bench.latency.measure import session

def run(task):
    print("started", flush=True)
    time.sleep(60)
    print("outlived its parent", flush=True)
    os._exit(1)

if __name__ == "__main__":
    session.run = run
    session.in_new_process(types.SimpleNamespace(threads=1))
"""


@pytest.mark.slow
def test_a_session_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    write_text(tmp_path / "orphan.py", ORPHAN)
    # The session inherits the output, so its end is seen by the pipe's end, whenever that comes.
    parent = subprocess.Popen([sys.executable, tmp_path / "orphan.py"], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "started\n"
    parent.kill()
    assert parent.stdout.read() == ""
    parent.wait()
