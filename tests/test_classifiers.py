"""Ablations of classifiers: specs, stored labels, `nas` in the smoke preset, and what its tables are made of."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mnv4bench.data.crops import from_scenes
from mnv4bench.io.errors import FileError, Mnv4benchError, SpecError
from mnv4bench.io.files import write_json, write_text
from mnv4bench.models.mobilenetv4.variants import CONV_SMALL, as_line
from mnv4bench.reference import contents
from mnv4bench.reference.plans import chosen, plan_of
from mnv4bench.reference.publish import publish
from mnv4bench.reference.rebuild import changed
from mnv4bench.reference.result_set import ResultSet
from mnv4bench.reference.verify import closest
from mnv4bench.report.docs.generated import refreshed
from mnv4bench.report.docs.measured import measured_top1, references, references_of_classifiers
from mnv4bench.results.classifier import RESULT, TEACHER, TeacherRecord
from mnv4bench.results.reference import FOLDER, REBUILT, RECORD, read_reference
from mnv4bench.search import labels, progress, training
from mnv4bench.search import space as spaces
from mnv4bench.search.classifiers import budget_of, conv_small, costs_of, scaled_conv_small
from mnv4bench.search.cost import NEAR, Piece, built, likeliest, macs_of, near
from mnv4bench.search.training import Lesson, Mixture
from mnv4bench.spec.classifier import ClassifiersSpec
from mnv4bench.spec.classifiers import Classifiers
from mnv4bench.spec.extensions import load_module
from mnv4bench.spec.plan import load
from mnv4bench.statistics.top1 import compare_top1
from mnv4bench.steps import Context, run_step

ROOT = Path(__file__).parent.parent
nas = load_module(ROOT / "ablations" / "nas.py")


# Specs


def test_arms_are_runs_of_classifiers_and_no_detectors() -> None:
    plan = load("smoke", "nas,stored_labels,psa", root=ROOT)
    assert list(plan.ablations) == ["psa"]
    assert plan.names == ("psa", "nas", "stored_labels")
    arms = plan.classifiers.arms
    assert list(arms["nas"]) == ["one_stage", "two_stage", "one_stage_ground_truth", "random", "conv_s"]
    assert arms["nas"]["conv_s"] == arms["stored_labels"]["D1_D2_D3"], "equal arms are one run"
    assert len(plan.classifiers.runs) == 5 + 7 - 1
    untaught = [run.arm.slug for run in plan.classifiers.runs.values() if not run.taught]
    assert untaught == ["conv_s+ground_truth"]


ARMS = """\
title: t
question: q
start: classifiers
baseline: a
arms:
  a: {network: conv_s}
  b: {network: random}
smallest_effect: 0.005
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("network: random", "network: randm", r"x\.yaml:7: arms\.b\.network: .*'random'"),
        ("network: random", "netwrk: random", r"x\.yaml:7: .*netwrk.*unknown field; did you mean 'network'"),
        ("network: random", "network: conv_s", r"x\.yaml:7: .*resolves to the same run as arm 'a'"),
        ("network: random", "labels: [D1, D1]", r"x\.yaml:7: .*each set may stand once"),
        ("network: random", "search_labels: [D1]", r"x\.yaml:7: .*only a search has shared weights"),
    ],
)
def test_a_mistake_in_an_arm_is_named_with_its_line(old: str, new: str, message: str, tmp_path: Path) -> None:
    for folder in ("config", "ablations"):
        (tmp_path / folder).mkdir()
    (tmp_path / "config/smoke.yaml").write_bytes((ROOT / "config/smoke.yaml").read_bytes())
    (tmp_path / "ablations/x.yaml").write_text(ARMS.replace(old, new))
    with pytest.raises(SpecError, match=message):
        load("smoke", "x", root=tmp_path)


def test_what_no_run_depends_on_changes_no_name() -> None:
    plan = load("smoke", "nas", root=ROOT)
    (name, run), *_ = plan.classifiers.runs.items()
    assert name == run.name
    assert run.settings.ranking == ClassifiersSpec().ranking
    assert run.model_copy(update={"seed": 1}).name != name
    settings = plan.preset.classifiers
    assert settings.labels_name() == settings.model_copy(update={"steps": 99}).labels_name()
    assert settings.labels_name() != settings.model_copy(update={"train": 99}).labels_name()


# Networks at one cost


def test_conv_small_is_a_network_of_the_joint_space_and_can_be_scaled() -> None:
    costs = costs_of(4)
    own = conv_small()
    assert spaces.as_table(spaces.rows(costs.skeleton, own)) == [as_line(row) for row in CONV_SMALL.rows]
    budget = budget_of(ClassifiersSpec(), costs)
    assert scaled_conv_small(costs, budget) == own
    wider = scaled_conv_small(costs, 1.5 * budget)
    assert near(costs.of(wider), 1.5 * budget)
    assert [stage.blocks for stage in wider] == [stage.blocks for stage in own]
    first, second = (stage.channels for stage in wider)
    assert first / second == pytest.approx(96 / 128, rel=0.1)


@pytest.mark.parametrize("line", ["uib 0 3 24 /1 x4", "uib 5 0 32 /2 x3", "uib 3 5 24 /2 x6", "uib 0 0 24 /1 x2"])
def test_a_bottlenecks_formula_is_its_count(line: str) -> None:
    from mnv4bench.cost import counting

    piece = Piece(line, 24, 7)
    assert macs_of(piece) == counting.macs(built(piece).eval(), torch.zeros(1, 24, 7, 7))[""].total


@pytest.mark.parametrize("certainty", [0.0, 2.0, 60.0])
def test_the_likeliest_network_at_the_budget_is_chosen(certainty: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The controller leans towards the smallest filters, or is sure of them; the budget is half as much again."""
    monkeypatch.setattr("mnv4bench.search.cost.DRAWS", 500)
    costs = costs_of(4)
    space = spaces.coarse(costs.skeleton)
    smallest = [0] * len(space.choices)
    budget = costs.of(space.architecture(smallest)) * 1.5
    logits = [np.eye(len(choice.options))[0] * certainty for choice in space.choices]
    found = likeliest(space, costs, budget, logits, "test")
    assert found is not None
    assert abs(costs.of(space.architecture(found)) / budget - 1) <= NEAR
    assert found == likeliest(space, costs, budget, logits, "test")
    if not certainty:
        monkeypatch.setattr("mnv4bench.search.cost.TEMPERATURES", (1.0,))
        assert likeliest(space, costs, 1.0, logits, "test") is None


# Labels


def test_d3_has_as_many_images_of_each_class_and_only_relevant_ones() -> None:
    probable = np.array([[0.9, 0.1, 0.0], [0.35, 0.65, 0.0], [0.2, 0.8, 0.0], [0.31, 0.3, 0.29]], np.float32)
    chosen, relevant = labels.balanced(probable, 9)
    assert relevant == [3, 2, 0]
    assert chosen.tolist() == [0, 1, 3, 1, 2, 1]
    assert labels.balanced(np.zeros((4, 2), np.float32), 4)[0].tolist() == []


def test_augmented_images_are_drawn_by_their_place_alone() -> None:
    images = from_scenes("train", 6).images
    whole, again, part = (labels.augmented(part, "D1") for part in (images, images, images[:3]))
    assert whole.shape == images.shape
    assert whole.dtype == torch.uint8
    assert torch.equal(whole, again)
    assert torch.equal(whole[:3], part)
    assert not np.array_equal(whole.numpy(), images)
    mixed = labels.mixed_up(images)
    assert torch.equal(mixed, labels.mixed_up(images))
    low, high = images.min(0), images.max(0)
    assert ((low <= mixed.numpy()) & (mixed.numpy() <= high)).all(), "a mixture lies between its images"


def test_a_mixture_draws_each_image_from_one_of_its_sets() -> None:
    def constant(value: int) -> Lesson:
        return Lesson(torch.full((4, 3, 8, 8), value, dtype=torch.uint8), torch.full((4, 2), float(value)))

    mixture = Mixture((constant(10), constant(20), constant(30)), labels.SHARES[3])
    images, targets = mixture.batch(4000, "a")
    assert torch.equal((images[:, 0, 0, 0] * 255).round(), targets[:, 0]), "images keep their labels"
    shares = [float((targets[:, 0] == value).float().mean()) for value in (10, 20, 30)]
    assert shares == pytest.approx([0.25, 0.25, 0.5], abs=0.03)
    assert torch.equal(images, mixture.batch(4000, "a")[0])


# The smoke preset


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """`nas` in the smoke preset, by its rules' steps in their order."""
    context = Context(load("smoke", "nas", root=ROOT), tmp_path_factory.mktemp("nas"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        run_step("labels", context)
        for run in context.plan.classifiers.runs:
            run_step("classifier", Context(context.plan, context.results, run))
        for step in ("classifiers", "nas_ranking", "nas_times", "nas"):
            run_step(step, context)
    return context


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_all_arms_are_scored_at_one_cost(finished: Context) -> None:
    found = rows(finished.results / "tables/classifiers.csv")
    assert [row["arm"] for row in found] == list(finished.plan.classifiers.arms["nas"])
    budget = budget_of(finished.plan.preset.classifiers, costs_of(4)) / 1e6
    for row in found:
        assert abs(float(row["macs_M"]) / budget - 1) <= NEAR
        assert 0 <= float(row["top1"]) <= 1
    assert [row["baseline"] for row in found] == ["1", "0", "0", "0", "0"]
    text = (finished.results / "tables/classifiers.md").read_text()
    for arm in finished.plan.classifiers.arms["nas"]:
        assert f"| {finished.plan.classifiers.ablations['nas'].title_of(arm)}" in text
    assert "4 comparisons" in text


def test_what_was_searched_is_told_and_drawn(finished: Context) -> None:
    found = rows(finished.results / "tables/nas.csv")
    own = next(row for row in found if row["arm"] == "conv_s")
    assert (own["filters"], own["blocks"], own["reward_mean"]) == ("96 128", "12", "")
    assert all(float(row["onnxruntime_ms"]) > 0 for row in found)
    text = (finished.results / "tables/nas.md").read_text()
    assert "has 96 and 128 filters, 12 blocks" in text
    assert "| top-1 (points) |" in text
    for arm in finished.plan.classifiers.arms["nas"]:
        assert f"| {finished.plan.classifiers.ablations['nas'].title_of(arm)} |" in text
    assert f"| {100 * float(own['top1']):.1f} |" in text
    ranking = json.loads((finished.results / "ranking.json").read_text())
    assert set(ranking["rewards"]) == {"0"}
    assert set(ranking["rewards"]["0"]) == set(ranking["alone"])
    with Image.open(finished.results / "figures/nas.png") as image:
        assert len(image.convert("RGB").getcolors(1 << 24) or []) > 20


def test_no_file_of_labels_holds_ground_truth_and_a_changed_one_is_refused(finished: Context, tmp_path: Path) -> None:
    settings = finished.plan.preset.classifiers
    folder = finished.classifiers / settings.labels_name()
    train = from_scenes("train", settings.train)
    lesson = labels.lesson_of(("D1",), folder, train)
    assert isinstance(lesson, Lesson)
    assert lesson.targets.dtype == torch.float32
    assert torch.allclose(lesson.targets.sum(1), torch.ones(len(lesson.targets)), atol=1e-5)
    record = json.loads((folder / TEACHER).read_text())
    record["digests"]["D1"] = "0" * 64
    write_json(tmp_path / TEACHER, TeacherRecord.model_validate(record))
    (tmp_path / "D1.safetensors").write_bytes((folder / "D1.safetensors").read_bytes())
    with pytest.raises(FileError, match=r"D1\.safetensors: changed since .*delete"):
        labels.lesson_of(("D1",), tmp_path, train)
    with pytest.raises(FileError, match=r"D2\.safetensors: cannot be read .*delete"):
        labels.lesson_of(("D2",), tmp_path, train)


def test_stored_objects_are_those_that_were_cut_and_changed_ones_are_refused(finished: Context, tmp_path: Path) -> None:
    settings = finished.plan.preset.classifiers
    stored = labels.objects(settings, finished.classifiers / settings.labels_name())
    for split, cut in labels.objects(settings, tmp_path).items():
        assert np.array_equal(stored[split].images, cut.images)
        assert np.array_equal(stored[split].labels, cut.labels)
        assert stored[split].classes == cut.classes
    content = bytearray((finished.classifiers / settings.labels_name() / labels.OBJECTS).read_bytes())
    content[-1] ^= 1  # of a pixel
    (tmp_path / labels.OBJECTS).write_bytes(content)
    with pytest.raises(FileError, match=r"objects\.safetensors: changed since .*delete"):
        labels.objects(settings, tmp_path)


def test_killed_teacher_and_classifier_end_with_the_same_bytes(
    finished: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SAVED_EVERY", 2)
    deaths = {("teacher", 3), ("training", 3)}
    monkeypatch.setattr(training.Training, "run_step", dying_at(deaths, training.Training.run_step))
    run = finished.plan.classifiers.arms["nas"]["conv_s"][0]
    again = Context(finished.plan, tmp_path, run)
    for step in ("labels", "classifier"):
        with pytest.raises(KeyboardInterrupt):
            run_step(step, again)
        run_step(step, again)
    assert deaths == set()
    name = finished.plan.preset.classifiers.labels_name()
    for part in (*(f"{name}/{file}" for file in ("teacher.json", "D2.safetensors", "D3.safetensors")), run):
        path = Path(part) / RESULT if part == run else Path(part)
        assert (again.classifiers / path).read_bytes() == (finished.classifiers / path).read_bytes()


def dying_at(deaths: set[tuple[str, int]], run_step: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return `run_step` of a job that is interrupted once before each of these steps."""

    def dying(job: Any) -> None:
        if (job.name, job.step) in deaths:
            deaths.remove((job.name, job.step))
            raise KeyboardInterrupt
        run_step(job)

    return dying


def test_the_workflow_knows_the_rules_in_their_order(tmp_path: Path) -> None:
    counted = planned(linked(tmp_path), "preset=smoke", "only=nas,stored_labels")
    expected = {"labels": "1", "classifier": "11", "classifiers": "1", "nas_ranking": "1", "nas": "1"}
    assert expected.items() <= counted.items()
    assert not {"train", "data"} & set(counted)


def linked(project: Path) -> Path:
    """Give a project what `snakemake` reads of this one."""
    for name in ("Snakefile", "ablations", "config", "paper"):
        (project / name).symlink_to(ROOT / name)
    return project


def snakemake(project: Path, *options: str) -> str:
    """Return what a workflow prints that does not fail."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=project, text=True, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def planned(project: Path, *config: str) -> dict[str, str]:
    """Return rule → jobs that a dry run counts."""
    lines = (line.split() for line in snakemake(project, "--dry-run", "--config", *config).splitlines())
    return {words[0]: words[1] for words in lines if len(words) == 2 and words[1].isdigit() and words[0].isidentifier()}


# As a reference


@pytest.fixture(scope="module")
def published(finished: Context, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which the finished preset is reference `search`, with what is rendered."""
    project = linked(tmp_path_factory.mktemp("published"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        publish(finished.plan, finished.results, "search", rendered=True)
    return project


COMPUTED = {"top1.json", "tables/classifiers.csv", *(f"tables/nas{part}.csv" for part in ("", "_signs", "_ranking"))}


def test_a_reference_of_classifiers_holds_their_records_and_nothing_large(finished: Context, published: Path) -> None:
    folder = published / FOLDER / "search"
    record = read_reference("search", folder.parent)
    settings, runs = finished.plan.preset.classifiers, finished.plan.classifiers.runs
    measured = {"ranking.json", "latency/nas.json", f"classifiers/{settings.labels_name()}/{TEACHER}"}
    measured |= {f"classifiers/{run}/{RESULT}" for run in runs}
    assert (set(record.files), set(record.computed), record.matches) == (measured, COMPUTED, {})
    rendered = {"tables/classifiers.md", "tables/nas.md", "figures/nas.png", "reference.json"}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == measured | COMPUTED | rendered


def test_a_reference_of_detectors_and_classifiers_holds_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    plan = load("smoke", "psa,nas")
    tables = (f"tables/{name}.csv" for name in ("ablations", "classes", "slices", "latency", "errors"))
    computed = {*COMPUTED, "compare.json", "cost.json", *tables}
    measured = {"latency/latency.json", "figures/detections.png", "ranking.json", *contents.classifier_files(plan)}
    measured |= {f"latency/{name}" for name in ("nas.json", "claims.json", "claims.csv")} | {"tables/readings.csv"}
    rendered = ["figures/nas.png", "tables/nas.md"]
    for file in (*computed, *measured, *rendered):
        write_text(tmp_path / file, "")
    assert set(contents.measured_files(plan, tmp_path)) == measured
    assert set(contents.computed_files(plan, tmp_path)) == computed
    assert contents.rendered_files(plan, tmp_path) == rendered
    assert contents.timed_files(tmp_path) == ["latency/claims.json", "latency/latency.json"]


def test_classifiers_that_are_not_finished_are_no_reference(
    finished: Context, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(published)
    run = next(iter(finished.plan.classifiers.runs))
    for file in ("ranking.json", "tables/nas_ranking.csv", "top1.json", f"classifiers/{run}/{RESULT}"):
        path = finished.results / file
        path.rename(path.with_suffix(".away"))
        with pytest.raises(Mnv4benchError, match=rf"{re.escape(file)}: is missing; finish the preset first"):
            publish(finished.plan, finished.results, "search")
        path.with_suffix(".away").rename(path)
    assert read_reference("search").rendered


def test_a_reference_of_classifiers_comes_out_again_or_names_what_does_not(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(published)
    plan, results = chosen({"reference": "search"})
    context = Context(plan, results, reference="search")
    folder = FOLDER / "search"
    for step in ("restore", "classifiers", "nas", "complete"):
        run_step(step, context)
    for file in (*COMPUTED, "tables/classifiers.md", "tables/nas.md", "figures/nas.png"):
        assert (results / file).read_bytes() == (folder / file).read_bytes(), file
    said = (results / "complete.txt").read_text()
    assert "Two-stage architecture search  two stages − one stage" in said
    assert said.endswith("every number and verdict came out again.\n")
    table = results / "tables/classifiers.csv"
    first, text = rows(table)[0]["top1"], table.read_text()
    table.write_text(text.replace(f",{first},", ",0.12345,", 1))
    (results / "sums/classifiers.json").unlink()  # which would notice the edit first
    message = rf"tables/classifiers\.csv, row 1 \(nas, one_stage.*\), top1: {first} published, 0\.12345 recomputed"
    with pytest.raises(Mnv4benchError, match=message):
        run_step("complete", context)
    table.write_text(text)
    assert changed(plan, folder, results) == []


def test_a_classifier_that_a_reference_lacks_is_named(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(published)
    path = FOLDER / "search" / RECORD
    written = path.read_text()
    record = read_reference("search")
    files = {file: digest for file, digest in record.files.items() if "/random+" not in file}
    write_json(path, record.model_copy(update={"files": files}).sealed())
    with pytest.raises(Mnv4benchError, match=r"search: has no run random\+.* of preset smoke; the preset"):
        plan_of("search")
    path.write_text(written)


def test_a_reference_of_classifiers_is_told_in_the_documents_and_no_detectors_are_sought_there(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(published)
    assert references(published) == {}
    said = refreshed("<!-- generated: search -->\n<!-- end -->", FOLDER, "x.md")
    assert "| Two-stage architecture search | two stages − one stage |" in said
    assert "Kendall's τ between the reward" in said
    table = measured_top1("nas", references_of_classifiers(published))
    assert table is not None
    assert [row[0].text for row in table.rows] == ["search, 1 seed"] * 4
    assert measured_top1("stored_labels", references_of_classifiers(published)) is None
    with pytest.raises(Mnv4benchError, match=r"ablations\.csv: cannot be read .*; finish the preset first"):
        closest(ResultSet(published), FOLDER)


def test_the_workflow_restores_classifiers_and_trains_none(published: Path) -> None:
    shutil.rmtree(published / REBUILT, ignore_errors=True)
    counted = planned(published, "reference=search")
    assert set(counted) == {"restore", "classifiers", "nas", "complete", "all", "total"}
    said = snakemake(published, "--config", "reference=search")
    assert said.rstrip().endswith("every number and verdict came out again.")
    assert "Nothing to be done" in snakemake(published, "--dry-run", "--config", "reference=search")


def test_the_preset_of_classifiers_trains_no_detector_and_prepares_no_data(tmp_path: Path) -> None:
    counted = planned(linked(tmp_path), "preset=search")
    measured = {"labels", "classifier", "nas_ranking", "nas_times"}
    assert set(counted) == {*measured, "classifiers", "nas", "verify", "complete", "all", "total"}
    assert counted["classifier"] == str(3 * (5 + 7 - 1))


# What the tables are made of


def test_top1_is_judged_as_ap_is() -> None:
    plan = load("full", "nas", root=ROOT)
    seeds, objects = range(8), 2000
    draws = np.random.Generator(np.random.PCG64(0))
    hits, arms = {}, {}
    for arm, rate in {"one_stage": 0.6, "two_stage": 0.7, "random": 0.6}.items():
        arms[arm] = {seed: f"{arm}-{seed}" for seed in seeds}
        hits |= {run: draws.random(objects) < rate for run in arms[arm].values()}
    comparison = compare_top1(Classifiers(plan.classifiers.ablations, {"nas": arms}), hits, 200)
    better, same = comparison.differences
    assert comparison.family == 2
    assert (better.arm, better.verdict) == ("two_stage", "better")
    expected = np.mean([hits[f"two_stage-{s}"].mean() - hits[f"one_stage-{s}"].mean() for s in seeds])
    assert better.mean == pytest.approx(expected)
    assert same.verdict in ("equivalent", "inconclusive", "tiny")


def test_damaged_times_are_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nas, "records_of", lambda plan, results: {})
    (tmp_path / "latency").mkdir()
    (tmp_path / "latency/nas.json").write_text("{}")
    with pytest.raises(FileError, match=r"latency/nas\.json: not a Times .*milliseconds.*; delete it and start again"):
        nas.write_networks(load("smoke", "nas", root=ROOT), tmp_path, tmp_path)


def test_kendalls_tau_is_that_of_rewards_and_accuracies() -> None:
    alone = {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4}
    same, turned = dict(alone), {seed: -value for seed, value in alone.items()}
    swapped = {1: 0.1, 2: 0.3, 3: 0.2, 4: 0.4}
    ranking = nas.Ranking(alone=alone, rewards={0: same, 1: turned, 2: swapped})
    assert [nas.tau(ranking, search)[0] for search in range(3)] == pytest.approx([1, -1, 4 / 6])
    assert nas.tau(ranking, 0)[1] == pytest.approx(2 / 24), "one order of 4! and its mirror image"


def test_sizes_are_counted_on_both_sides_of_the_middle() -> None:
    even = ["uib 0 3 96 /2 x4", "uib 0 3 96 /2 x4", "uib 0 3 96 /1 x4"]
    assert nas.network(even).filters == (96, 96), "two stages, though as wide"
    network = ["conv 3x3 32 /2", "uib 5 5 72 /2 x3", "uib 0 3 72 /1 x2", "uib 3 0 160 /2 x4", "uib 3 3 160 /1 x6"]
    assert nas._sides([network], "filters", (96, 128)) == (1, 1)
    assert nas._sides([network, network], "expansion", (96, 128)) == (4, 2)
    found = nas.network(network)
    assert (found.filters, found.blocks, found.expansion, found.extra) == ((72, 160), 4, 3.75, (1, 4))
    test = nas.SignTest("one_stage", "expansion", below=9, above=1, chance=0.5)
    assert test.p == pytest.approx(2 * 11 / 1024)
    assert nas.SignTest("one_stage", "filters", 0, 0, 0.5).p == 1


def test_the_plan_command_lists_classifiers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mnv4bench.cli import main

    monkeypatch.chdir(ROOT)
    main(["plan", "--preset", "smoke", "--only", "nas"])
    out = capsys.readouterr().out
    assert "nas/two_stage" in out
    assert "5 classifiers for 5 arms of 1 ablation; " in out
    assert "all runs are finished" not in out
