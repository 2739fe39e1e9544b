"""Distillation by hand: its three terms, what is zero when student equals teacher, and whom its gradient reaches."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import batch_of, images, spread, tiny_dataset, tiny_run
from torch import Tensor, nn
from ultralytics.nn.distill_model import DistillationModel

from mnv4bench.models import detector
from mnv4bench.models.yolo import Detector
from mnv4bench.spec.model import ModelSpec
from mnv4bench.spec.run import DistillSpec, TrainSpec
from mnv4bench.train.checkpoint import FILE as CHECKPOINT
from mnv4bench.train.distillation import Distillation, make_projectors
from mnv4bench.train.loop import Trainer
from mnv4bench.train.run import train

BOTH = DistillSpec(logits=1.0, boxes=1.0)


class Fixed(nn.Module):
    """A teacher that always says the same."""

    def __init__(self, predictions: dict[str, Any]) -> None:
        super().__init__()
        self.predictions = predictions

    def forward(self, x: Tensor) -> tuple[None, dict[str, Any]]:
        return None, self.predictions


def predictions(scores: list[list[float]], sides: list[list[float]]) -> dict[str, Tensor]:
    """Return raw predictions of one image: logits by class and anchor, and every side's bins by anchor."""
    bins = torch.tensor(sides)
    return {"scores": torch.tensor(scores)[None], "boxes": bins.repeat(4, 1)[None]}


def term(
    student: dict[str, Any], teacher: dict[str, Any], gains: DistillSpec, head: str = "dual", batch: int = 1
) -> float:
    distillation = Distillation(Fixed(teacher), gains, 0.5, 1.5, head)  # type: ignore[arg-type]
    return float(distillation(student, torch.zeros(batch, 3, 32, 32)))


def entropy(p: float) -> float:
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


def test_class_term_is_the_cross_entropy_per_teachers_probability() -> None:
    # Two classes, two anchors. Teacher's probabilities 3/4 and 1/2 at the first, 1/4 and 1/2 at the second: 2 in all.
    teacher = predictions([[math.log(3), -math.log(3)], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]])
    student = predictions([[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]])
    wanted = 4 * math.log(2) / 2
    assert term(student, teacher, DistillSpec(logits=2.0)) == pytest.approx(2.0 * 0.5 * wanted)
    assert term(student, teacher, DistillSpec(logits=2.0), batch=3) == pytest.approx(3 * 2.0 * 0.5 * wanted)


def test_box_term_is_the_divergence_weighted_by_the_teachers_confidence() -> None:
    # Two bins. The student's halves against the teacher's (3/4, 1/4) at the first anchor, equal at the second.
    teacher = predictions([[math.log(3), 0.0], [0.0, math.log(3)]], [[math.log(3), 0.0], [0.0, 0.0]])
    student = predictions([[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]])
    divergence = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert term(student, teacher, DistillSpec(boxes=2.0)) == pytest.approx(2.0 * 1.5 * divergence * 0.75 / 1.5)


def test_terms_of_equals_are_the_teachers_entropy_and_zero() -> None:
    one = predictions([[math.log(3), 0.0]], [[1.0, 0.0], [0.3, 2.0]])
    assert term(one, one, DistillSpec(boxes=1.0)) == pytest.approx(0.0, abs=1e-7)
    assert term(one, one, DistillSpec(logits=1.0)) == pytest.approx(0.5 * (entropy(0.75) + entropy(0.5)) / 1.25)


def test_a_dual_student_learns_branch_by_branch_and_a_single_one_from_the_branch_of_its_kind() -> None:
    many = predictions([[0.0]], [[0.0], [0.0]])
    one = predictions([[4.0]], [[2.0], [0.0]])
    teacher = {"one2many": many, "one2one": one}
    floor = term(many, many, BOTH) + term(one, one, BOTH)
    assert term(teacher, teacher, BOTH) == pytest.approx(floor)
    assert term({"one2many": one, "one2one": many}, teacher, BOTH) > floor + 0.1
    assert term(many, teacher, BOTH) == pytest.approx(term(many, many, BOTH))
    assert term(one, teacher, BOTH, "one_to_one") == pytest.approx(term(one, one, BOTH))
    assert term({"one2many": many, "one2one": many}, many, BOTH) == pytest.approx(2 * term(many, many, BOTH))


def network(seed: int, **fields: Any) -> Detector:
    model = detector.build(ModelSpec(**fields), 2, seed=seed)
    spread(model, seed)
    return model


def test_a_student_that_equals_its_teacher_gets_no_gradient() -> None:
    student, teacher = network(0).eval(), network(0)
    distillation = Distillation(teacher, BOTH, 0.5, 1.5)

    def largest_gradient() -> float:
        student.zero_grad()
        distillation(student(images(1))[1], images(1)).backward()
        return max(float(p.grad.abs().max()) for p in student.parameters() if p.grad is not None)

    at_rest = largest_gradient()
    with torch.no_grad():
        next(student.head.cv3[0][2].parameters()).add_(0.1)
    assert at_rest < 1e-4 * largest_gradient()


def test_training_moves_the_student_and_never_the_teacher() -> None:
    student, teacher = network(0), network(1, scale="n")
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    start = {name: value.clone() for name, value in student.state_dict().items()}
    trainer = Trainer(student, TrainSpec(epochs=1), Distillation(teacher, BOTH, 0.5, 1.5))
    batch = batch_of([[0.5, 0.5, 0.5, 0.5]], [1], side=64)
    for _ in range(2):
        student.train()
        trainer.step_on({**batch, "img": (batch["img"] * 255).to(torch.uint8).repeat(2, 1, 1, 1)})
    assert not teacher.training
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
    optimised = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    assert not optimised & {id(p) for p in teacher.parameters()}
    assert not torch.equal(student.state_dict()["model.0.blocks.0.conv.weight"], start["model.0.blocks.0.conv.weight"])


def test_the_term_alone_reaches_every_part_of_the_student() -> None:
    student = network(0).train()
    distillation = Distillation(network(1), BOTH, 0.5, 1.5)
    distillation(student(images(2)), images(2)).backward()
    reached = {
        student._part_name(name).split(".")[0]
        for name, parameter in student.named_parameters()
        if parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
    }
    assert reached >= {"backbone", "sppf", "attention", "p3_out", "p4_out", "p5_out", "head"}


# Features

FEATURES = DistillSpec(features=6.0)


def projectors(student: Detector, teacher: Detector, seed: int = 0) -> nn.ModuleList:
    return make_projectors(student.head_channels, teacher.head_channels, seed)


def with_features(feats: list[Tensor], scores: Tensor) -> dict[str, Any]:
    return {"feats": feats, "scores": scores, "boxes": torch.zeros(len(scores), 8, scores.shape[2])}


def test_feature_term_is_the_squared_difference_per_channel_weighted_by_the_teachers_confidence() -> None:
    # One level of one row with two positions, and one of a single position; two channels; nothing to project.
    student = with_features([torch.zeros(1, 2, 1, 2), torch.zeros(1, 2, 1, 1)], torch.zeros(1, 2, 3))
    scores = torch.tensor([[[math.log(3), -9.0, 0.0], [0.0, -math.log(3), -1.0]]])  # highest: 3/4, 1/4 and 1/2
    teacher = with_features([torch.tensor([[[[2.0, 1.0]], [[4.0, 3.0]]]]), torch.full((1, 2, 1, 1), 3.0)], scores)
    first = (0.75 * (2**2 + 4**2) / 2 + 0.25 * (1**2 + 3**2) / 2) / (0.75 + 0.25)
    second = (3**2 + 3**2) / 2
    same = nn.ModuleList([nn.Identity(), nn.Identity()])
    distillation = Distillation(Fixed(teacher), FEATURES, 0.5, 1.5, "one_to_many", same)  # type: ignore[arg-type]
    assert float(distillation(student, torch.zeros(3, 3, 32, 32))) == pytest.approx(3 * 6 * (first + second))


def test_feature_term_is_ultralytics_own_with_both_branches_logits_averaged() -> None:
    generator = torch.Generator().manual_seed(0)
    sides, channels = ((4, 6), (2, 3), (1, 2)), (3, 5, 7)
    anchors = sum(high * wide for high, wide in sides)

    def maps() -> list[Tensor]:
        shapes = zip(channels, sides, strict=True)
        return [torch.randn(2, count, *side, generator=generator) for count, side in shapes]

    mine, theirs = maps(), maps()
    many, one = (torch.randn(2, 4, anchors, generator=generator) for _ in range(2))
    teacher = {"one2many": with_features(theirs, many), "one2one": with_features(theirs, one)}
    student = {"one2many": with_features(mine, many), "one2one": with_features(mine, one)}
    sizes = [high * wide for high, wide in sides]
    scores = tuple(part.sigmoid().amax(1, keepdim=True) for part in ((many + one) / 2).split(sizes, dim=-1))
    wanted = sum(
        DistillationModel.loss_sl2(None, ours, other, level, scores)
        for level, (ours, other) in enumerate(zip(mine, theirs, strict=True))
    )
    same = nn.ModuleList([nn.Identity()] * 3)
    found = Distillation(Fixed(teacher), FEATURES, 0.5, 1.5, "dual", same)(  # type: ignore[arg-type]
        student, torch.zeros(2, 3, 32, 32)
    )
    torch.testing.assert_close(found, 2 * 6 * wanted)


@pytest.mark.parametrize("head", ["dual", "one_to_many", "one_to_one"])
def test_the_feature_term_reaches_projectors_and_all_that_the_head_reads_but_not_the_head(head: str) -> None:
    student, teacher = network(0, head=head).train(), network(1, scale="s")
    between = projectors(student, teacher)
    distillation = Distillation(teacher, FEATURES, 0.5, 1.5, head, between)
    distillation(student(images(2)), images(2)).backward()
    reached = {
        student._part_name(name).split(".")[0]
        for name, parameter in student.named_parameters()
        if parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
    }
    assert reached >= {"backbone", "sppf", "attention", "p3_out", "p4_out", "p5_out"}
    assert "head" not in reached
    assert all(bool(parameter.grad.abs().sum() > 0) for parameter in between.parameters())
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_projectors_are_drawn_by_the_runs_seed_and_leave_the_callers_random_state() -> None:
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    one, again, other = (make_projectors((4, 8), (6, 5), seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), wanted)
    assert [tuple(level[0].weight.shape[:2]) for level in one] == [(6, 4), (5, 8)]
    assert [tuple(level[2].weight.shape[:2]) for level in one] == [(6, 6), (5, 5)]
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def feature_trainer(optimizer: str = "adamw") -> Trainer:
    student, teacher = network(0), network(1)
    distillation = Distillation(teacher, FEATURES, 0.5, 1.5, "dual", projectors(student, teacher))
    return Trainer(student, TrainSpec(epochs=1, lr=1e-3, optimizer=optimizer), distillation)  # type: ignore[arg-type]


def one_step(trainer: Trainer) -> None:
    batch = batch_of([[0.5, 0.5, 0.5, 0.5]], [1], side=64)
    trainer.model.train()
    trainer.step_on({**batch, "img": (batch["img"] * 255).to(torch.uint8).repeat(2, 1, 1, 1)})


def test_projectors_are_trained_and_checkpointed_and_no_part_of_the_weights() -> None:
    trainer = feature_trainer()
    start = [parameter.clone() for parameter in trainer.projectors.parameters()]
    one_step(trainer)
    assert not any(torch.equal(a, b) for a, b in zip(start, trainer.projectors.parameters(), strict=True))
    decayed = {id(p) for group in trainer.optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    assert {name for name, p in trainer.projectors.named_parameters() if id(p) in decayed} == {
        f"{level}.{layer}.weight" for level in range(3) for layer in (0, 2)
    }
    assert trainer.model.part_state().keys() == network(0).part_state().keys()
    assert trainer.ema.ema.state_dict().keys() == network(0).state_dict().keys()
    again = feature_trainer()
    again.load_state(trainer.state())
    assert all(
        torch.equal(a, b) for a, b in zip(trainer.projectors.parameters(), again.projectors.parameters(), strict=True)
    )


def test_a_projectors_gradient_does_not_shorten_the_students_step_and_is_clipped_itself() -> None:
    quiet, loud = (feature_trainer("sgd") for _ in range(2))
    start = [parameter.detach().clone() for parameter in loud.projectors.parameters()]
    for parameter in loud.projectors.parameters():
        parameter.register_hook(lambda gradient: gradient * 1e6)
    for trainer in (quiet, loud):
        one_step(trainer)
    assert all(torch.equal(a, b) for a, b in zip(quiet.model.parameters(), loud.model.parameters(), strict=True))
    moved = sum(
        float((after.detach() - before).square().sum())
        for after, before in zip(loud.projectors.parameters(), start, strict=True)
    )
    # Nesterov's first step is (1 + momentum) times rate and gradient; decay adds next to nothing.
    assert math.sqrt(moved) == pytest.approx(1.9 * 1e-3 * 10, rel=0.02)


class Interruption(BaseException):
    """What Ctrl-C is: no Exception, so nothing catches it."""


@pytest.mark.usefixtures("process_settings")
def test_a_run_with_projectors_that_stops_within_an_epoch_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, runs = tiny_dataset(tmp_path / "data"), tmp_path / "runs"
    assert train("teacher", tiny_run(1), data, runs).state == "done"
    spec = tiny_run(2, distill=DistillSpec(logits=1.0, features=6.0), teacher="teacher")
    assert train("undisturbed", spec, data, runs).state == "done"
    step_on = Trainer.step_on

    def dying(self: Trainer, batch: dict[str, Any]) -> Tensor:
        if self.step == 3:
            raise Interruption
        return step_on(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step_on", dying)
        with pytest.raises(Interruption):
            train("stopped", spec, data, runs)
    assert (runs / "stopped" / CHECKPOINT).exists()
    assert train("stopped", spec, data, runs).state == "done"
    for name in ("weights.safetensors", "curve.csv", "pairing.json"):
        assert (runs / "stopped" / name).read_bytes() == (runs / "undisturbed" / name).read_bytes()
