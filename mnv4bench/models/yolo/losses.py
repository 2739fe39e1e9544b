"""What a detector is trained with: YOLOv10's loss over one branch or two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils.loss import v8DetectionLoss

from mnv4bench.spec.run import LossSpec

Total = Callable[[Tensor], Tensor]
"""A value → its sum over all processes of a training."""


class Criterion(Protocol):
    """The loss that a detector is trained with."""

    epoch: int
    """Epochs that are over; whoever trains keeps it up to date."""

    def normalise_over(self, total: Total) -> None:
        """Return from now on this process's share of the loss of a batch that several processes share."""

    def __call__(self, preds: Any, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return three terms (box, class, distance) times the batch size, and three detached values in that order."""


class Term(v8DetectionLoss):
    """ultralytics' loss of one branch: sums over the anchors, divided by the sum of the scores that were assigned."""

    total: Total | None = None
    fixed: Term | None = None
    """What computes a padded batch in its place."""

    def normalise_over(self, total: Total) -> None:
        """See Criterion."""
        self.total = total
        self.assigner.register_forward_hook(self._note)

    def _note(self, module: Any, inputs: Any, assigned: tuple[Tensor, ...]) -> None:
        self._scores = assigned[2]

    def loss(self, preds: dict[str, Tensor], batch: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        if self.fixed is not None and "padded" in batch:
            return self.fixed.loss(preds, batch)
        terms: Tensor
        items: dict[str, Tensor]
        if self.total is None:
            terms, items = super().loss(preds, batch)
            return terms, items
        terms, items = self.get_assigned_targets_and_loss(preds, batch)[1:]
        own = self._scores.sum().clamp(min=1).to(terms.dtype)  # what the terms were divided by
        sums = torch.stack([self._scores.sum(dtype=terms.dtype), terms.new_tensor(len(preds["boxes"]))])
        scores, images = self.total(sums)
        share = own / scores.clamp(min=1)
        return terms * share * images, {name: value * share for name, value in items.items()}


class DetectionLoss:
    """The loss of a head: one term per branch, by default added with equal weight (YOLOv10, section 3.1).

    A one-to-many branch is assigned the 10 best anchors of each object, ranked by score^0.5 × IoU^6, a one-to-one
    branch one of the best by the exponents of `spec`. Called with predictions and a batch, it returns the terms (box,
    class, distance) times the batch size, and the same as a mapping of detached values.
    """

    def __init__(self, model: DetectionModel, spec: LossSpec, epochs: int) -> None:
        """Make the terms.

        Args:
            model: a Detector, whose `assignment` says which branches it holds.
            epochs: of the whole training, over which decaying weights change.
        """
        self.spec, self.epochs = spec, epochs
        self.epoch = 0
        assignment = model.assignment
        self.terms: dict[str | None, Term] = {}
        if assignment != "one_to_one":
            self.terms["one2many" if assignment == "dual" else None] = Term(model, tal_topk=10)
        if assignment != "one_to_many":
            one_to_one = Term(model, tal_topk=spec.candidates, tal_topk2=1)
            one_to_one.assigner.alpha, one_to_one.assigner.beta = spec.alpha, spec.beta
            self.terms["one2one" if assignment == "dual" else None] = one_to_one
        if not spec.enlarge_small:
            for term in self.terms.values():
                term.assigner.stride_val = 0  # no side is below it

    def __call__(self, preds: Any, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        preds = preds[1] if isinstance(preds, tuple) else preds  # eval mode returns detections first
        results = [
            (self.weight(branch), *term(preds[branch] if branch else preds, batch))
            for branch, term in self.terms.items()
        ]
        total = sum(weight * loss for weight, loss, _ in results)
        items = {name: sum(weight * values[name] for weight, _, values in results) for name in results[0][2]}
        return total, items

    def normalise_over(self, total: Total) -> None:
        """See Criterion."""
        for term in self.terms.values():
            term.normalise_over(total)

    def weight(self, branch: str | None) -> float:
        """Return a branch's weight in this epoch."""
        if branch is None or self.spec.weights == "sum":
            return 1.0
        one_to_many = 0.8 - 0.7 * min(self.epoch / max(self.epochs - 1, 1), 1.0)
        return one_to_many if branch == "one2many" else 1.0 - one_to_many

    def update(self) -> None:
        """Move on to the next epoch; ultralytics' trainer calls this after each one."""
        self.epoch += 1
