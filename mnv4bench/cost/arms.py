"""What an arm costs where it is deployed: fused, with the one head that is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from mnv4bench.cost.counting import Macs, activations, deployed, macs, parameters
from mnv4bench.data.coco_classes import COCO
from mnv4bench.data.weights import Missing
from mnv4bench.io.files import write_json
from mnv4bench.models import detector, peers
from mnv4bench.models.peers import PeerDetector
from mnv4bench.models.published import rtdetr
from mnv4bench.models.published.stored import RTDETR
from mnv4bench.models.yolo import Detector
from mnv4bench.results.cost import Cost, CostRow, PartCost
from mnv4bench.spec.arms import Arm
from mnv4bench.spec.plan import Plan

__all__ = ["count", "deployed", "parameters", "write_cost"]


def count(model: Detector, imgsz: int) -> CostRow:
    """Count one image of `imgsz` × `imgsz` pixels; FLOPs are 2 × multiply-accumulates, as both papers print them."""
    fused = deployed(model)
    image = torch.zeros(1, 3, imgsz, imgsz)
    counted = macs(fused, image)
    whole = counted[""]
    return CostRow(
        params=parameters(fused),
        flops=2 * whole.total,
        conv_flops=2 * whole.conv,
        activations=activations(fused, image),
        train_params=parameters(model),
        parts=_parts(fused, counted),
    )


def _parts(fused: Detector, counted: Mapping[str, Macs]) -> dict[str, PartCost]:
    """Return the cost of every part that has weights; nothing for a network that is one part."""
    if len(fused.parts) == 1:
        return {}
    costs: dict[str, PartCost] = {}
    for index, (name, layer) in enumerate(zip(_names(fused), fused.model, strict=True)):
        layer_macs, cost = counted[f"model.{index}"], costs.get(name, PartCost(params=0, flops=0))
        costs[name] = PartCost(params=cost.params + parameters(layer), flops=cost.flops + 2 * layer_macs.total)
    return {name: cost for name, cost in costs.items() if cost.params}


def _names(model: Detector) -> list[str]:
    """Return the part that each layer counts to: our detector's own, or a peer's backbone, neck or head by place."""
    if not isinstance(model, PeerDetector):
        return list(model.parts)
    backbone = len(model.yaml["backbone"])
    return ["backbone"] * backbone + ["neck"] * (len(model.parts) - backbone - 1) + ["head"]


def _network(arm: Arm, classes: int) -> Detector:
    """Return an arm's network; a published one's by its definition, which costs the same and needs no file.

    Raises:
        Missing: a package that it is built from is not installed.
    """
    if arm.model.weights == RTDETR:
        return rtdetr.build(len(COCO))
    if arm.model.weights:
        return peers.build(arm.model.weights, len(COCO), read=arm.read)
    return detector.build(arm.model, classes, read=arm.read)


def write_cost(plan: Plan, classes: int, path: Path) -> None:
    """Count every arm of a plan once and write cost.json; one whose network cannot be built here is left out."""
    counted: dict[str, CostRow] = {}
    arms: dict[str, CostRow] = {}
    for arm in plan.arms:
        try:
            model = _network(arm, classes)
        except Missing:
            continue
        imgsz = plan.spec(arm).data.imgsz
        same = f"{arm.model.model_dump_json()} {arm.read} {imgsz}"
        if same not in counted:
            counted[same] = count(model, imgsz)
        arms[arm.label] = counted[same]
    write_json(path, Cost(imgsz=plan.preset.data.imgsz, classes=classes, arms=arms))
