"""Distillation by hand: its two terms, what is zero when student equals teacher, and whom its gradient reaches."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from helpers import batch_of, images, spread
from torch import Tensor, nn

from mnv4bench.distill import Distillation
from mnv4bench.models import detector
from mnv4bench.models.yolo import Detector
from mnv4bench.spec import DistillSpec, ModelSpec, TrainSpec
from mnv4bench.train import Trainer

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
