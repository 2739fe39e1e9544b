"""Distillation terms: a student's raw predictions against its teacher's, anchor by anchor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own idiom
from torch import Tensor

from mnv4bench.models.yolo import Detector
from mnv4bench.spec import DistillSpec


class Distillation:
    """Adds a frozen teacher's terms to a loss.

    Class probabilities: binary cross-entropy to the teacher's probabilities, summed over anchors and classes and
    divided by the teacher's total probability. Boxes: Kullback-Leibler divergence between the distance distributions of
    each side (localization distillation, arXiv 2102.12252), each anchor weighted by the teacher's highest class
    probability. Both are taken in every branch that student and teacher have in common, and scaled like the loss they
    stand beside.
    """

    def __init__(
        self,
        teacher: Detector,
        gains: DistillSpec,
        class_gain: float,
        distance_gain: float,
        assignment: str = "dual",
    ) -> None:
        """Freeze the teacher.

        Args:
            assignment: the student's head; a single branch learns from the teacher's branch of its kind.
        """
        self.teacher = teacher.eval().requires_grad_(False)
        self.branch = "one2one" if assignment == "one_to_one" else "one2many"
        self.logits = gains.logits * class_gain
        self.boxes = gains.boxes * distance_gain

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
        terms = [self._branch(mine, theirs) for mine, theirs in pairs]
        return torch.stack(terms).sum() * images.shape[0]

    def _branch(self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> Tensor:
        wanted = teacher["scores"].sigmoid()
        confidence = wanted.amax(dim=1)  # (B, anchors)
        classes = F.binary_cross_entropy_with_logits(student["scores"], wanted, reduction="sum") / wanted.sum().clamp(
            min=1
        )
        mine, theirs = (
            predictions["boxes"].unflatten(1, (4, -1)).log_softmax(dim=2)  # (B, 4 sides, bins, anchors)
            for predictions in (student, teacher)
        )
        divergence = F.kl_div(mine, theirs, reduction="none", log_target=True).sum(dim=2).mean(dim=1)
        boxes = (divergence * confidence).sum() / confidence.sum().clamp(min=1)
        return self.logits * classes + self.boxes * boxes
