"""cost.json: what each arm costs, by arithmetic."""

from __future__ import annotations

from mnv4bench.results.record import Record


class PartCost(Record):
    """A part's share of what is deployed; FLOPs are 2 × multiply-accumulates."""

    params: int
    flops: int


class CostRow(Record):
    """What is deployed: fused, with the one head that is read."""

    params: int
    flops: int
    """2 × multiply-accumulates of all convolutions and matrix products, one image, at the preset's image side."""
    conv_flops: int
    """The share of convolutions alone: the papers' convention."""
    activations: int
    """Output elements of all convolutions and matrix products."""
    train_params: int
    """Of the training form, with every head and unfused."""
    parts: dict[str, PartCost] = {}
    """Every part with weights (model_spec.PartName), or a peer's backbone, neck and head. Empty in older files."""


class Cost(Record):
    """cost.json: cost per arm, keyed "<ablation>/<arm>"."""

    imgsz: int
    classes: int
    arms: dict[str, CostRow]
