"""Distillation terms: a student's raw predictions and features against its teacher's, anchor by anchor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own idiom
from torch import Tensor, nn

from mnv4bench.models.yolo import Detector, Total
from mnv4bench.spec.run import DistillSpec, derive_seed


class Distillation:
    """Adds a frozen teacher's terms to a loss.

    Class probabilities: binary cross-entropy to the teacher's probabilities, summed over anchors and classes and
    divided by the teacher's total probability. Boxes: Kullback-Leibler divergence between the distance distributions of
    each side (localization distillation, arXiv 2102.12252), each anchor weighted by the teacher's highest class
    probability. Both are taken in every branch that student and teacher have in common, and scaled like the loss they
    stand beside. Features: squared difference of what the heads read, after the student's went through `projectors`,
    averaged over channels and weighted like the boxes, with the mean of the branches' logits as the teacher's; the sum
    of the levels is scaled by its gain alone (as ultralytics distils).
    """

    def __init__(
        self,
        teacher: Detector,
        gains: DistillSpec,
        class_gain: float,
        distance_gain: float,
        assignment: str = "dual",
        projectors: nn.ModuleList | None = None,
        total: Total = lambda value: value,
    ) -> None:
        """Freeze the teacher.

        Args:
            assignment: the student's head; a single branch learns from the teacher's branch of its kind.
            projectors: from the student's features to the teacher's, needed where these are compared. They are trained
                with the student and then left behind.
            total: adds up over the processes that share a batch, of which each gets its share of the terms.
        """
        self.total = total
        self.teacher = teacher.eval().requires_grad_(False)
        self.branch = "one2one" if assignment == "one_to_one" else "one2many"
        self.logits = gains.logits * class_gain
        self.boxes = gains.boxes * distance_gain
        self.features = gains.features
        self.projectors = projectors or nn.ModuleList()

    def __call__(self, student: Mapping[str, Any], images: Tensor) -> Tensor:
        """Return the sum of the terms times the batch size, as ultralytics' losses are.

        Args:
            student: the model's training-mode output for `images`.
            images: (B, 3, H, W) in 0–1.
        """
        with torch.no_grad():
            _, teacher = self.teacher(images)
        if "one2many" not in student:
            pairs = [(student, teacher.get(self.branch, teacher))]
        else:
            pairs = [(student[branch], teacher.get(branch, teacher)) for branch in ("one2many", "one2one")]
        terms = [self._branch(mine, theirs) for mine, theirs in pairs] if self.logits or self.boxes else []
        if self.features:
            terms.append(self.features * self._features(student, teacher))
        return torch.stack(terms).sum() * self.total(images.new_tensor(images.shape[0]))

    def _branch(self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> Tensor:
        wanted = teacher["scores"].sigmoid()
        confidence = wanted.amax(dim=1)  # (B, anchors)
        differences = F.binary_cross_entropy_with_logits(student["scores"], wanted, reduction="sum")
        classes = differences / self.total(wanted.sum()).clamp(min=1)
        mine, theirs = (
            predictions["boxes"].unflatten(1, (4, -1)).log_softmax(dim=2)  # (B, 4 sides, bins, anchors)
            for predictions in (student, teacher)
        )
        divergence = F.kl_div(mine, theirs, reduction="none", log_target=True).sum(dim=2).mean(dim=1)
        boxes = (divergence * confidence).sum() / self.total(confidence.sum()).clamp(min=1)
        return self.logits * classes + self.boxes * boxes

    def _features(self, student: Mapping[str, Any], teacher: Mapping[str, Any]) -> Tensor:
        mine, theirs = (_features_read(predictions) for predictions in (student, teacher))
        confidences = _confidence(teacher).split([level[0, 0].numel() for level in theirs], dim=1)
        levels = zip(self.projectors, mine, theirs, confidences, strict=True)
        terms = [
            self._weighted_difference(projector(ours), wanted, confidence)
            for projector, ours, wanted, confidence in levels
        ]
        return torch.stack(terms).sum()

    def _weighted_difference(self, mine: Tensor, theirs: Tensor, confidence: Tensor) -> Tensor:
        """Return the squared difference of two maps (B, C, H, W), weighted by `confidence` (B, H × W), per channel."""
        difference = (mine - theirs).square().flatten(2).mean(dim=1)
        return (difference * confidence).sum() / self.total(confidence.sum()).clamp(min=1e-9)


def _features_read(predictions: Mapping[str, Any]) -> list[Tensor]:
    """Return the head's inputs by level; the one-to-one branch of a dual head has copies without gradient."""
    features: list[Tensor] = predictions.get("one2many", predictions)["feats"]
    return features


def _confidence(teacher: Mapping[str, Any]) -> Tensor:
    """Return the highest class probability at every anchor, (B, anchors), by the mean logits of all branches."""
    branches = [teacher["one2many"], teacher["one2one"]] if "one2many" in teacher else [teacher]
    scores = torch.stack([branch["scores"] for branch in branches])
    return scores.mean(dim=0).sigmoid().amax(dim=1)


def make_projectors(student: Sequence[int], teacher: Sequence[int], seed: int) -> nn.ModuleList:
    """Return a perceptron per level that takes the student's channels to the teacher's at every position.

    Initial values come from a stream of their own, named by the run's seed; the caller's random state is left as it
    was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("projectors", seed))
        return nn.ModuleList(
            nn.Sequential(nn.Conv2d(mine, theirs, 1), nn.ReLU(), nn.Conv2d(theirs, theirs, 1))
            for mine, theirs in zip(student, teacher, strict=True)
        )
