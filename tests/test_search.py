"""The whole search on a tiny skeleton: its files, its exact resume, and what its networks share."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mnv4bench.cli import main
from mnv4bench.data.crops import SPLITS, Crops, Split, from_scenes
from mnv4bench.io.errors import Diverged, SpecError
from mnv4bench.models import detector
from mnv4bench.models.mobilenetv4.network import Classifier
from mnv4bench.search import progress, run, stage, training
from mnv4bench.search import space as spaces
from mnv4bench.search.cost import Costs, macs_of
from mnv4bench.spec.model import ModelSpec
from mnv4bench.spec.search import SearchSpec

BUDGET = 2.0e6
SPEC = SearchSpec(skeleton="tiny", budget=BUDGET, steps=24, batch=8, reward_batch=16, final_steps=4, lr=4e-3, seed=0)


@pytest.fixture(scope="module")
def crops() -> Mapping[Split, Crops]:
    return {split: from_scenes(split, 24) for split in SPLITS}


@pytest.mark.parametrize("method", ["two_stage", "one_stage"])
def test_a_search_ends_in_a_backbone_and_what_it_came_to(
    method: str, crops: Mapping[Split, Crops], tmp_path: Path
) -> None:
    result = run.search(SPEC.model_copy(update={"method": method}), crops, tmp_path)
    assert [s.name for s in result.stages] == {"two_stage": ["coarse", "fine"], "one_stage": ["joint"]}[method]
    assert result.expected_cost == result.macs, "the sum of the prices is the whole network's count"
    assert 0 <= result.accuracy <= 1
    written = json.loads((tmp_path / "backbone.json").read_text())
    assert tuple(written["rows"]) == result.rows
    assert written["accuracy"] == result.accuracy


@pytest.mark.parametrize(("method", "budget"), [("two_stage", 15.0), ("one_stage", 1e9)])
def test_a_budget_that_no_network_costs_is_refused_before_the_first_step(
    method: str, budget: float, crops: Mapping[Split, Crops], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage.StageSearch, "run_step", lambda job: pytest.fail("a step was made"))
    with pytest.raises(SpecError, match=r"budget .*: networks of this space cost .* to .*; choose one between"):
        run.search(SPEC.model_copy(update={"method": method, "budget": budget}), crops, tmp_path)


def test_a_loss_that_is_not_finite_is_told_with_its_step_and_what_to_lower(
    crops: Mapping[Split, Crops], tmp_path: Path
) -> None:
    with pytest.raises(Diverged, match=r"coarse, step \d+ of 12: loss is nan; lower lr \(.*--lr"):
        run.search(SPEC.model_copy(update={"lr": 1e30}), crops, tmp_path)


def test_killed_at_any_step_and_started_again_it_ends_with_the_same_bytes(
    crops: Mapping[Split, Crops], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SAVED_EVERY", 2)
    run.search(SPEC, crops, tmp_path / "whole")
    deaths = {("coarse", 5), ("coarse", 10), ("fine", 1), ("fine", 7), ("training", 1), ("training", 3)}
    for kind in (stage.StageSearch, training.Training):
        monkeypatch.setattr(kind, "run_step", dying_at(deaths, kind.run_step))
    for _ in range(6):
        with pytest.raises(KeyboardInterrupt):
            run.search(SPEC, crops, tmp_path / "killed")
    run.search(SPEC, crops, tmp_path / "killed")
    assert deaths == set()
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def dying_at(deaths: set[tuple[str, int]], run_step: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return `run_step` of a job that is interrupted once before each of these steps."""

    def dying(job: Any) -> None:
        if (job.name, job.step) in deaths:
            deaths.remove((job.name, job.step))
            raise KeyboardInterrupt
        run_step(job)

    return dying


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_finished_search_is_read_and_another_one_is_refused(crops: Mapping[Split, Crops], tmp_path: Path) -> None:
    result = run.search(SPEC, crops, tmp_path)
    before = contents(tmp_path)
    assert run.search(SPEC, crops, tmp_path) == result
    assert contents(tmp_path) == before
    with pytest.raises(SpecError, match="name another folder"):
        run.search(SPEC.model_copy(update={"seed": 1}), crops, tmp_path)
    other = {**crops, "test": dataclasses.replace(crops["test"], images=crops["test"].images ^ 1)}
    with pytest.raises(SpecError, match="other images"):
        run.search(SPEC, other, tmp_path)


def material(crops: Mapping[Split, Crops]) -> stage.Material:
    return stage.Material(training.hard(crops["train"]), training.hard(crops["search"]), 4)


def test_the_controller_rests_in_the_first_quarter_and_choices_warm_up(crops: Mapping[Split, Crops]) -> None:
    skeleton = spaces.tiny()
    space = spaces.joint(skeleton)
    search = stage.StageSearch("joint", space, Costs(skeleton, 64, 4, macs_of), material(crops), SPEC, steps=16)
    picks, averaged = search._warmed_up([0] * len(space.choices), torch.Generator().manual_seed(0))
    chosen = space.architecture(picks)
    assert [s.channels for s in chosen] == [32, 48], "at the first step every size is the largest"
    assert all(block.present and block.expansion == 6 for s in chosen for block in s.blocks)
    assert averaged == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for _ in range(4):
        search.run_step()
    assert search.rewards == []
    assert search.controller.step == 0
    search.run_step()
    assert len(search.rewards) == 1
    assert search.controller.step == 1
    assert search._warmed_up([0] * len(space.choices), torch.Generator().manual_seed(0)) == (
        [0] * len(space.choices),
        [],
    )


def test_networks_of_a_seed_are_paired() -> None:
    skeleton = spaces.tiny()
    space = spaces.coarse(skeleton)
    states = []
    for pick in (0, 6):
        picks = [min(pick, len(choice.options) - 1) for choice in space.choices]
        network = Classifier(spaces.variant(skeleton, space.architecture(picks)), 4)
        training.initialise(network, seed=3)
        states.append(network.state_dict())
    ours, theirs = states
    same = [name for name in ours.keys() & theirs.keys() if ours[name].shape == theirs[name].shape]
    assert any(name.startswith("head.conv") for name in same)
    assert all(torch.equal(ours[name], theirs[name]) for name in same)
    assert len(same) < len(ours), "the networks do differ"


def test_batches_depend_on_their_names_alone(crops: Mapping[Split, Crops]) -> None:
    lesson = training.hard(crops["train"])
    first, again, other = (lesson.batch(6, "train", 0, number) for number in (5, 5, 6))
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])
    assert first[0].dtype == torch.float32
    assert float(first[0].max()) <= 1


def test_training_learns(tmp_path: Path) -> None:
    """Class 0 is bright at the top and class 1 at the bottom, which a few steps suffice for."""
    images = np.random.default_rng(0).integers(0, 100, (32, 3, 64, 64), np.uint8)
    images[:16, :, :32] += 150
    images[16:, :, 32:] += 150
    easy = Crops(images, np.repeat(np.arange(2), 16), ("top", "bottom"))
    skeleton = spaces.tiny()
    space = spaces.coarse(skeleton)
    variant = spaces.variant(skeleton, space.architecture([0] * len(space.choices)))
    job = training.Training(variant, training.hard(easy), 2, training.recipe(60, 2e-3, 16), seed=0)
    network = training.trained(job, {}, tmp_path)
    assert training.accuracy(network, easy) > 0.9


def test_soft_labels_are_taken_as_they_are() -> None:
    logits = torch.tensor([[2.0, 0.0]])
    soft = training.loss(logits, logits.softmax(1))
    entropy = -(logits.softmax(1) * logits.log_softmax(1)).sum()
    assert float(soft) == pytest.approx(float(entropy))
    assert float(training.loss(logits, torch.tensor([0]))) > float(-logits.log_softmax(1)[0, 0])


def test_the_command_writes_a_backbone_that_a_detector_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--objects", "12", "--steps", "8", "--final-steps", "1", "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as nothing:
        main(["search", *options])
    assert nothing.value.code == 2
    with pytest.raises(SystemExit) as wrong:
        main(["search", "--budget-macs", "-3", *options])
    assert wrong.value.code == 2
    assert "--budget: Input should be greater than 0" in capsys.readouterr().err
    main(["search", "--budget-macs", "1.2e7", *options])
    assert str(tmp_path / "backbone.json") in capsys.readouterr().out
    spec = ModelSpec(backbone=str(tmp_path / "backbone.json"))  # type: ignore[arg-type]
    assert detector.build(spec, 3) is not None
