"""The neck's stages: C2f, and C2f around another block (YOLOv10, section 3.2, Tables 8, 11 and 12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from torch import nn

from mnv4bench.models.alternatives import InvertedResidual, set_middle_kernel
from mnv4bench.models.mobilenetv4.blocks import UIB, Style, UIBRow
from mnv4bench.models.yolo import C2f, C2fCIB
from mnv4bench.spec.model import Block


def build(
    block: Block, in_channels: int, channels: int, repeats: int, kernel: int = 3, reparameterised: bool = True
) -> nn.Module:
    """Return a stage from (B, in_channels, H, W) to (B, channels, H, W) with `repeats` blocks.

    Args:
        kernel: side of CIB's middle depthwise kernel; 3 is the plain block's.
        reparameterised: whether a larger kernel has a 3×3 branch beside it while training.
    """
    if block == "c2fcib":
        return _compact(in_channels, channels, repeats, kernel, reparameterised)
    stage: Any = C2f(in_channels, channels, repeats)
    if block != "c2f":
        stage.m = nn.ModuleList(INNER[block](stage.c) for _ in range(repeats))
    return cast("nn.Module", stage)


RELEASED = (7, True)
"""The side of CIB's large kernel in ultralytics' code, and whether a 3×3 branch stands beside it."""


def _compact(in_channels: int, channels: int, repeats: int, kernel: int, reparameterised: bool) -> nn.Module:
    stage: Any = C2fCIB(in_channels, channels, repeats, shortcut=True, lk=kernel > 3)
    if kernel > 3 and (kernel, reparameterised) != RELEASED:
        for cib in stage.m:
            set_middle_kernel(cib, kernel, reparameterised)
    return cast("nn.Module", stage)


def _universal(channels: int) -> nn.Module:
    """Return MobileNetV4's universal inverted bottleneck in its ExtraDW form with 3×3 kernels, at CIB's expansion of 2.

    It has the neck's SiLU in the place of ReLU, so that it differs from CIB by its structure alone (our reading; no
    paper joins the two).
    """
    return UIB(channels, UIBRow(3, 3, channels, 1, 2.0), Style(activation=nn.SiLU))


INNER: dict[str, Callable[[int], nn.Module]] = {
    "c2firb": lambda channels: InvertedResidual(channels, append_depthwise=False),
    "c2firb_dw": lambda channels: InvertedResidual(channels, append_depthwise=True),
    "c2fuib": _universal,
}
"""Block → what stands in the place of C2f's bottleneck, for a number of channels that it keeps."""
