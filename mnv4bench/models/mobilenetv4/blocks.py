"""The rows of MobileNetV4's tables and the convolutional blocks that they build (arXiv 2404.10518, section 4).

A row says what stands at one place of the network and builds it for the channels that arrive there. The universal
inverted bottleneck is one row type for all of its forms: inverted bottleneck, ConvNext-like, ExtraDW, FFN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from mnv4bench.models.yolo import Conv


@dataclass(frozen=True)
class Style:
    """What all blocks of a variant have in common."""

    activation: type[nn.Module] = nn.ReLU
    layer_scale: float | None = None
    """Initial value of the factors at the end of every bottleneck and attention block; None leaves them out."""
    residual: bool = True
    """Whether universal inverted bottlenecks add their input where the shape stays."""


class Row(Protocol):
    """One line of a variant's table."""

    @property
    def channels(self) -> int: ...

    @property
    def stride(self) -> int: ...

    def build(self, in_channels: int, style: Style) -> nn.Module: ...


@dataclass(frozen=True)
class ConvRow:
    """kernel×kernel convolution, batch norm, activation."""

    kernel: int
    channels: int
    stride: int = 1

    def build(self, in_channels: int, style: Style) -> nn.Module:
        layer: nn.Module = Conv(in_channels, self.channels, self.kernel, self.stride, act=style.activation())
        return layer


@dataclass(frozen=True)
class EmptyRow:
    """A place that is left out: it passes its input on, and the rows behind it keep their places and so their names."""

    channels: int
    stride: int = 1

    def build(self, in_channels: int, style: Style) -> nn.Module:
        return nn.Identity()


@dataclass(frozen=True)
class FusedRow:
    """Fused inverted bottleneck: a full kernel×kernel convolution expands, a 1×1 projects; no input is added."""

    kernel: int
    channels: int
    stride: int
    expansion: float

    def build(self, in_channels: int, style: Style) -> nn.Module:
        expanded = make_divisible(in_channels * self.expansion)
        return nn.Sequential(
            Conv(in_channels, expanded, self.kernel, self.stride, act=style.activation()),
            Conv(expanded, self.channels, act=False),
        )


@dataclass(frozen=True)
class UIBRow:
    """Universal inverted bottleneck; a depthwise kernel of 0 leaves that convolution out."""

    dw_start: int
    dw_middle: int
    channels: int
    stride: int
    expansion: float

    def build(self, in_channels: int, style: Style) -> nn.Module:
        return UIB(in_channels, self, style)


class UIB(nn.Module):
    """Universal inverted bottleneck (section 4).

    [depthwise] → 1×1 expansion → [depthwise] → 1×1 projection → [layer scale], with the input added where the shape
    stays. The expansion and the middle depthwise convolution are followed by the activation, the others by nothing. A
    stride sits on the middle depthwise convolution, or on the first one where that is missing.
    """

    def __init__(self, in_channels: int, row: UIBRow, style: Style) -> None:
        super().__init__()
        expanded = make_divisible(in_channels * row.expansion)
        start_stride = 1 if row.dw_middle else row.stride
        if row.dw_start:
            self.dw_start = Conv(in_channels, in_channels, row.dw_start, start_stride, g=in_channels, act=False)
        self.pw_expand = Conv(in_channels, expanded, act=style.activation())
        if row.dw_middle:
            self.dw_middle = Conv(expanded, expanded, row.dw_middle, row.stride, g=expanded, act=style.activation())
        self.pw_project = Conv(expanded, row.channels, act=False)
        if style.layer_scale is not None:
            self.layer_scale = LayerScale(row.channels, style.layer_scale)
        self.residual = style.residual and row.stride == 1 and in_channels == row.channels

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in self.children():
            y = layer(y)
        return x + y if self.residual else y


class LayerScale(nn.Module):
    """A trained factor per channel (arXiv 2103.17239, section 2), on maps of shape (B, channels, H, W)."""

    def __init__(self, channels: int, initial: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels,), initial))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma.view(1, -1, 1, 1)


def make_divisible(value: float, divisor: int = 8) -> int:
    """Round to a multiple of `divisor`, never by more than 10 % down (the MobileNets' rule)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded
