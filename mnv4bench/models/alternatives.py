"""What YOLOv10 compares its parts with (arXiv 2405.14458, Tables 7, 8, 11 and 13).

The released code holds only the winners; these are built after the text, which leaves some widths open. Each docstring
says what is our reading.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mnv4bench.models.mobilenetv4.attention import AttentionBlock, AttentionRow
from mnv4bench.models.mobilenetv4.blocks import Style
from mnv4bench.models.yolo import C2PSA, PSA, SPPF, Conv, PSABlock, RepVGGDW, SCDown, fuse_conv_and_bn


class DepthwiseFirstDown(nn.Module):
    """Down-sampling that reduces the resolution first and changes the channels after (Table 7): SCDown in reverse.

    Each convolution keeps its activation from SCDown: the pointwise one has SiLU, the depthwise one none (our reading).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.depthwise = Conv(in_channels, in_channels, 3, 2, g=in_channels, act=False)
        self.pointwise = Conv(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pointwise(self.depthwise(x))
        return y


class InvertedResidual(nn.Module):
    """The inverted residual block that CIB was grown from (Table 8), at CIB's expansion of 2.

    Pointwise expansion, 3×3 depthwise, pointwise projection; "IRB-DW" appends a 3×3 depthwise convolution, and CIB
    prepends another to that. Every convolution is followed by SiLU, as in CIB (our reading).
    """

    EXPANSION = 2

    def __init__(self, channels: int, append_depthwise: bool) -> None:
        super().__init__()
        wide = self.EXPANSION * channels
        last = [Conv(channels, channels, 3, g=channels)] if append_depthwise else []
        self.layers = nn.Sequential(
            Conv(channels, wide, 1), Conv(wide, wide, 3, g=wide), Conv(wide, channels, 1), *last
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.layers(x)
        return y


class LargeKernel(RepVGGDW):
    """Depthwise convolution of any odd kernel with a 3×3 branch beside it, merged by fusing (Table 11)."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__(channels)
        self.conv = Conv(channels, channels, kernel, 1, kernel // 2, g=channels, act=False)

    @torch.no_grad()
    def fuse(self) -> None:
        """Add the 3×3 branch into the middle of the large kernel; idempotent."""
        if not hasattr(self, "conv1"):
            return
        large, small = (fuse_conv_and_bn(branch.conv, branch.bn) for branch in (self.conv, self.conv1))
        border = (large.kernel_size[0] - small.kernel_size[0]) // 2
        large.weight += nn.functional.pad(small.weight, [border] * 4)
        large.bias += small.bias
        self.conv = large
        del self.conv1


def set_middle_kernel(cib: Any, kernel: int, reparameterised: bool) -> None:
    """Replace the middle depthwise convolution of a CIB that has a large kernel (Tables 11 and 12), in place.

    Args:
        reparameterised: whether a 3×3 branch stands beside the kernel while training.
    """
    channels = cib.cv1[2].dim
    cib.cv1[2] = LargeKernel(channels, kernel) if reparameterised else Conv(channels, channels, kernel, g=channels)


def transformer(channels: int) -> nn.Module:
    """Return a whole-width transformer block (Table 13, "Trans."): self-attention and a feed-forward network.

    PSA gives its attention half the channels and half-width queries and keys; here both have all of them. Heads of 64
    channels, feed-forward expansion 2 and batch norms are PSA's (our reading).
    """
    block: nn.Module = PSABlock(channels, attn_ratio=1.0, num_heads=max(channels // 64, 1))
    return block


def mobile_mqa(channels: int) -> nn.Module:
    """Return MobileNetV4's attention block in the place of PSA: Mobile MQA with heads of 64 channels (arXiv 2404.10518,
    section 5), on all channels and without a feed-forward network, which its authors leave to the blocks around it."""
    return AttentionBlock(channels, AttentionRow(channels, max(channels // 64, 1), 64), Style())


def sppf(in_channels: int, out_channels: int, activation: str) -> nn.Module:
    """Return spatial pyramid pooling over three 5×5 maxima; `activation` is ModelSpec.sppf."""
    layer = SPPF(in_channels, out_channels, 5)
    if activation == "silu":
        layer.cv1.act = nn.SiLU()
    pooling: nn.Module = layer
    return pooling


ATTENTION: dict[str, Callable[[int], nn.Module]] = {
    "psa": lambda channels: PSA(channels, channels),
    "psa2": lambda channels: C2PSA(channels, channels, 2),
    "transformer": transformer,
    "mqa": mobile_mqa,
}
"""ModelSpec.attention → what stands after SPPF, for a number of channels that it keeps."""

DOWNSAMPLE: dict[str, Callable[[int], nn.Module]] = {
    "conv": lambda channels: Conv(channels, channels, 3, 2),
    "scdown": lambda channels: SCDown(channels, channels, 3, 2),
    "dw_first": lambda channels: DepthwiseFirstDown(channels, channels),
}
"""ModelSpec.downsample → what halves the resolution from P4 to P5, for a number of channels that it keeps."""
