"""Networks of the catalogue, counted as they are deployed: fused, with the one branch of the head that is read."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import nn

from mnv4bench import models
from mnv4bench.cost import counting, tracing
from mnv4bench.cost.counting import deployed, macs, parameters
from mnv4bench.io.errors import SpecError
from mnv4bench.io.files import sha256
from mnv4bench.models.published.networks import build, read_of
from mnv4bench.models.yolo import Detect, DetectionModel
from mnv4bench.spec import run

PACKAGES = ("fvcore", "torch", "transformers", "ultralytics")
"""What defines or counts a network beside our own files."""


@dataclass(frozen=True)
class DetectorCost:
    """Costs of a network; FLOPs are 2 × multiply-accumulates of one image."""

    params: int
    """As deployed."""
    train_params: int
    """With every branch of the head, before fusing."""
    conv_flops: int
    linear_flops: int
    matmul_flops: int
    """Products of two activations, which only attention has."""
    flops: int
    """All three."""
    profiled_flops: int
    """What the YOLO papers print, by a profiler (thop) of layers: convolutions, linear layers, and two operations for
    each element that an upsampling layer puts out; products of two activations are free."""


@dataclass(frozen=True)
class BranchCost:
    """Cost of one branch of a detection head, over all levels, as deployed."""

    params: int
    conv_flops: int


@dataclass(frozen=True)
class HeadCost:
    classification: BranchCost
    regression: BranchCost


@cache
def detector_cost(name: str, imgsz: int = 640, classes: int = 80) -> DetectorCost:
    """Build a network and count one image of `imgsz` × `imgsz` pixels.

    Raises:
        SpecError: the catalogue has no such name.
        Mnv4benchError: it needs a package that is not installed.
    """
    model = build(name, classes)
    fused = deployed(model)
    by_part = macs(fused, torch.zeros(1, 3, imgsz, imgsz))
    whole = by_part[""]
    upsampled = sum(by_part[name].upsampled for name, part in fused.named_modules() if isinstance(part, nn.Upsample))
    return DetectorCost(
        params=parameters(fused),
        train_params=parameters(model),
        conv_flops=2 * whole.conv,
        linear_flops=2 * whole.linear,
        matmul_flops=2 * whole.matmul,
        flops=2 * whole.total,
        profiled_flops=2 * (whole.conv + whole.linear + upsampled),
    )


def head_cost(name: str, imgsz: int = 640, classes: int = 80) -> HeadCost:
    """Count the two branches of a YOLO head apart.

    Raises:
        SpecError: the catalogue has no such name, or its network has no such head.
    """
    fused = deployed(build(name, classes))
    head = fused.model[-1] if isinstance(fused, DetectionModel) else fused
    if not isinstance(head, Detect):
        raise SpecError(f"{name} ends in {type(head).__name__}, which has no two branches; allowed: the YOLO networks")
    by_part = macs(fused, torch.zeros(1, 3, imgsz, imgsz))

    def branch(attribute: str) -> BranchCost:
        attribute = attribute if getattr(head, attribute) is not None else f"one2one_{attribute}"
        flops = 2 * by_part[f"model.{head.i}.{attribute}"].conv
        return BranchCost(parameters(getattr(head, attribute)), flops)

    return HeadCost(classification=branch("cv3"), regression=branch("cv2"))


def classifier_cost(model: nn.Module, imgsz: int) -> dict[str, int]:
    """Return the counts of a classifier for one image of `imgsz` × `imgsz` pixels.

    params: all parameters. params_folded: with every batch norm folded into a convolution, which leaves one bias for
    two factors. params_keras: without the linear layer and with the running statistics, as Keras counts a backbone.
    macs: of convolutions, linear layers and the attention's matrix products; macs_weights: without the last.
    convolutions: how many layers.
    """
    params = parameters(model)
    linear = sum(p.numel() for m in model.modules() if isinstance(m, nn.Linear) for p in m.parameters())
    norms = sum(module.num_features for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    whole = macs(model.eval(), torch.zeros(1, 3, imgsz, imgsz))[""]
    return {
        "params": params,
        "params_folded": params - norms,
        "params_keras": params - linear + 2 * norms,
        "macs": whole.total,
        "macs_weights": whole.conv + whole.linear,
        "convolutions": sum(isinstance(module, nn.Conv2d) for module in model.modules()),
    }


def digest(name: str, imgsz: int = 640, classes: int = 80) -> str:
    """Return a hexadecimal SHA-256 of the arguments, our files and the packages: it changes whenever a cost might.

    Raises:
        SpecError: the catalogue has no such name.
    """
    read_of(name)  # refuses a name that does not exist
    return hashlib.sha256(json.dumps([name, imgsz, classes, *_provenance()]).encode()).hexdigest()


@cache
def _provenance() -> tuple[dict[str, str], dict[str, str | None]]:
    """Return what defines and counts networks: file → digest, package → version."""
    package = Path(str(models.__file__)).parent
    others = (Path(str(module.__file__)) for module in (counting, run, tracing))
    files = [*sorted(package.rglob("*.py")), *others, Path(__file__)]
    versions: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return {str(file.relative_to(package.parent)): sha256(file) for file in files}, versions
