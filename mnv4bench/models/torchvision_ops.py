"""torchvision where its compiled library cannot load.

The package index serves torchvision for Linux in CUDA builds alone, and their library does not load beside a CPU build
of torch: then `import torchvision` itself fails, and with it ultralytics' predictor, validator and exporter, which need
one of its operators, non-maximum suppression. `declare` defines that operator, so that the import succeeds; `provide`
makes `torchvision.ops.nms` use it. Both do nothing where torchvision works or is not installed.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from mnv4bench.models.nms import nms

OPERATORS = ("nms", "qnms")
"""What torchvision's Python files expect to exist when they are imported; qnms (quantised boxes) has no code here."""


@cache
def declare() -> bool:
    """Define the missing operators, unless torchvision's library loads; return whether they are ours.

    torchvision is not imported, which would take a second or two.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or hasattr(torch.ops.torchvision, "nms") or _loads(spec.submodule_search_locations or ()):
        return False
    for name in OPERATORS:
        torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    torch.library.impl("torchvision::nms", "cpu", _nms)
    return True


def provide() -> None:
    """Make `torchvision.ops.nms` work, at the price of importing torchvision where its library does not load."""
    if not declare():
        return
    from torchvision import ops

    # The original refuses to run without the compiled library before it looks for the operator.
    def operator(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
        kept: Tensor = torch.ops.torchvision.nms(boxes, scores, iou_threshold)
        return kept

    ops.nms = ops.boxes.nms = operator


def _loads(folders: object) -> bool:
    assert isinstance(folders, list | tuple)
    for library in (path for folder in folders for path in Path(folder).glob("_C.*") if path.suffix in (".so", ".pyd")):
        try:
            torch.ops.load_library(library)
        except OSError:
            continue
        return True
    return False


def _nms(dets: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    return torch.from_numpy(nms(dets.detach().numpy(), scores.detach().numpy(), iou_threshold))
