"""YOLOv10's loss in tensors of fixed shapes, which can be compiled as a whole and replayed on a GPU.

ultralytics gathers the pairs and anchors that count, and the host has to wait for their number, three times for each
branch. Here every pair is computed and those that do not count are masked. Sums have another order then, so that what
is not compiled keeps the original.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from ultralytics.utils.loss import BboxLoss
from ultralytics.utils.metrics import bbox_iou
from ultralytics.utils.ops import xywh2xyxy
from ultralytics.utils.tal import TaskAlignedAssigner, bbox2dist

from mnv4bench.models.yolo.losses import DetectionLoss, Term

FEWEST = 8
"""Places for an image's objects at least."""


def padded(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a training batch in which every image has the same number of objects, the last of them empty.

    That number is a power of two, so that few shapes occur. It is for batches on the CPU: of one on a GPU the host
    would have to wait for the number.

    Args:
        batch: img (B, 3, H, W), batch_idx (n,), cls (n, 1) and bboxes (n, 4), image after image.

    Returns:
        The batch with batch_idx (B × N,), cls (B × N, 1) and bboxes (B × N, 4), marked as padded.
    """
    images, index = len(batch["img"]), batch["batch_idx"].long()
    counts = torch.bincount(index, minlength=images)
    places = max(FEWEST, 1 << (int(counts.max()) - 1).bit_length())
    within = torch.arange(len(index)) - (counts.cumsum(0) - counts)[index]

    def rows(values: Tensor) -> Tensor:
        spread = values.new_zeros(images, places, *values.shape[1:])
        spread[index, within] = values
        return spread.flatten(0, 1)

    every = torch.arange(images).repeat_interleave(places).to(batch["batch_idx"].dtype)
    return {**batch, "batch_idx": every, "cls": rows(batch["cls"]), "bboxes": rows(batch["bboxes"]), "padded": True}


def fix_shapes(criterion: DetectionLoss, compiled: Callable[[Any], Any]) -> None:
    """Let a loss compute padded batches in fixed shapes.

    Args:
        compiled: function → what computes the same.
    """
    for term in criterion.terms.values():
        term.fixed = FixedTerm(term, compiled)


class FixedTerm(Term):
    """The loss of one branch on a padded batch, in fixed shapes."""

    def __init__(self, term: Term, compiled: Callable[[Any], Any]) -> None:
        """Take the settings of another one."""
        self.__dict__.update(vars(term))
        self.stride = term.stride.tolist()  # numbers of the graph; each element of a tensor would be waited for
        self.assigner = FixedAssigner(term.assigner)
        self.bbox_loss = FixedBoxLoss(self.reg_max).to(self.device)
        self.get_assigned_targets_and_loss = compiled(super().get_assigned_targets_and_loss)

    def preprocess(self, targets: Tensor, batch_size: int, scale_tensor: Tensor) -> Tensor:
        """Return class and corners in pixels (B, N, 5) of a padded batch's rows; an empty one is zero."""
        rows = targets[:, 1:].view(batch_size, -1, 5)
        return torch.cat([rows[..., :1], xywh2xyxy(rows[..., 1:] * scale_tensor)], dim=-1)


class FixedAssigner(TaskAlignedAssigner):
    """ultralytics' assigner, which compares every object with every anchor."""

    def __init__(self, other: TaskAlignedAssigner) -> None:
        """Take the settings of another one."""
        super().__init__()
        self.__dict__.update({name: value for name, value in vars(other).items() if not name.startswith("_")})

    @torch.no_grad()
    def forward(self, pd_scores: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        """Assign as the original does, without its second try when memory runs out, which cannot be replayed."""
        self.bs, self.n_max_boxes = len(pd_scores), others[3].shape[1]
        assigned: tuple[Tensor, ...] = self._forward(pd_scores, *others)
        return assigned

    def get_box_metrics(
        self, pd_scores: Tensor, pd_bboxes: Tensor, gt_labels: Tensor, gt_bboxes: Tensor, mask_gt: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return metric and overlap (B, N, A) of each object and anchor, zero where the mask is."""
        anchors, away = pd_bboxes.shape[1], ~mask_gt.bool()
        labels = gt_labels.long().transpose(1, 2).expand(-1, anchors, -1)
        scores = pd_scores.gather(2, labels).transpose(1, 2)
        overlaps = self.iou_calculation(gt_bboxes[:, :, None], pd_bboxes[:, None])
        metric = scores.pow(self.alpha) * overlaps.pow(self.beta)
        return metric.masked_fill(away, 0), overlaps.masked_fill(away, 0)


class FixedBoxLoss(BboxLoss):
    """CIoU and distribution focal loss over all anchors, weighed by zero where no object is assigned."""

    def forward(
        self,
        pred_dist: Tensor,
        pred_bboxes: Tensor,
        anchor_points: Tensor,
        target_bboxes: Tensor,
        target_scores: Tensor,
        target_scores_sum: Tensor,
        fg_mask: Tensor,
        imgsz: Tensor,
        stride: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return both, divided by the sum of the assigned scores, as the original does."""
        weight = target_scores.sum(-1)
        # An anchor that counts for nothing gets a plain box: a weight of zero would not undo an infinite gradient.
        plain = torch.cat([anchor_points - 1, anchor_points + 1], dim=-1).to(pred_bboxes.dtype)
        boxes = torch.where(fg_mask[..., None], pred_bboxes, plain)
        targets = torch.where(fg_mask[..., None], target_bboxes, plain)
        overlaps = bbox_iou(boxes, targets, xywh=False, CIoU=True).squeeze(-1)
        box = ((1.0 - overlaps) * weight).sum() / target_scores_sum

        bins = self.dfl_loss.reg_max
        sides = bbox2dist(anchor_points, targets, bins - 1).clamp(0, bins - 1 - 0.01)
        left = sides.long()
        share = left + 1 - sides  # that the left bin should have
        logs = functional.log_softmax(pred_dist.unflatten(-1, (4, bins)), dim=-1)
        at_left, at_right = logs.gather(-1, torch.stack([left, left + 1], dim=-1)).unbind(-1)
        distance = -(at_left * share + at_right * (1 - share)).mean(-1)
        return box, (distance * weight).sum() / target_scores_sum
