"""What an arm costs where it is deployed: fused, with the one head that is read."""

from __future__ import annotations

from pathlib import Path

import torch

from mnv4bench.counting import activations, deployed, macs, parameters
from mnv4bench.files import write_json
from mnv4bench.models import detector
from mnv4bench.models.yolo import Detector
from mnv4bench.plan import Plan
from mnv4bench.records import Cost, CostRow

__all__ = ["count", "deployed", "parameters", "write_cost"]


def count(model: Detector, imgsz: int) -> CostRow:
    """Count one image of `imgsz` × `imgsz` pixels; FLOPs are 2 × multiply-accumulates, as both papers print them."""
    fused = deployed(model)
    image = torch.zeros(1, 3, imgsz, imgsz)
    whole = macs(fused, image)[""]
    return CostRow(
        params=parameters(fused),
        flops=2 * whole.total,
        conv_flops=2 * whole.conv,
        activations=activations(fused, image),
        train_params=parameters(model),
    )


def write_cost(plan: Plan, classes: int, path: Path) -> None:
    """Count every arm of a plan once and write cost.json."""
    counted: dict[str, CostRow] = {}
    arms: dict[str, CostRow] = {}
    for arm in plan.arms:
        model = detector.build(arm.model, classes, read=arm.read)
        same = arm.model.model_dump_json() + arm.read
        if same not in counted:
            counted[same] = count(model, plan.preset.data.imgsz)
        arms[arm.label] = counted[same]
    write_json(path, Cost(imgsz=plan.preset.data.imgsz, classes=classes, arms=arms))
