"""What an arm costs where it is deployed: fused, with the one head that is read."""

from __future__ import annotations

import copy
import logging
import warnings
from pathlib import Path

import torch
from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
from torch import nn

from mnv4bench.files import write_json
from mnv4bench.models import detector
from mnv4bench.models.yolo import Detector
from mnv4bench.plan import Plan
from mnv4bench.records import Cost, CostRow

ARITHMETIC = ("conv", "matmul", "linear")
"""fvcore's operator groups that multiply and accumulate; normalisation is folded into them by fusing."""


def deployed(model: Detector) -> Detector:
    """Return a fused copy in eval mode that holds only the branch that `model.read` uses."""
    fused: Detector = copy.deepcopy(model).eval()
    fused.fuse(verbose=False)
    return fused


def parameters(module: nn.Module) -> int:
    """Return the number of elements of all parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def count(model: Detector, imgsz: int) -> CostRow:
    """Count one image of `imgsz` × `imgsz` pixels; FLOPs are 2 × multiply-accumulates, as both papers print them."""
    fused = deployed(model)
    image = torch.zeros(1, 3, imgsz, imgsz)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing warns of shapes that are constants here
        macs = _quiet(FlopCountAnalysis(fused, image)).by_operator()
        activations = _quiet(ActivationCountAnalysis(fused, image)).by_operator()
    return CostRow(
        params=parameters(fused),
        flops=2 * sum(int(macs.get(name, 0)) for name in ARITHMETIC),
        conv_flops=2 * int(macs["conv"]),
        activations=sum(int(activations.get(name, 0)) for name in ARITHMETIC),
        train_params=parameters(model),
    )


def _quiet(analysis: FlopCountAnalysis) -> FlopCountAnalysis:
    """Silence the list of elementwise operators that fvcore counts as free."""
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    return analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)


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
