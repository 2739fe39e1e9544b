"""MobileNetV4 (arXiv 2404.10518): a variant is data, a block is a row of it.

A row says what stands at one place of the network and builds it for the channels that arrive there. The universal
inverted bottleneck is one row type for all of its forms (section 3): inverted bottleneck, ConvNext-like, ExtraDW, FFN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from mnv4bench.errors import SpecError
from mnv4bench.models.yolo import Conv


class Row(Protocol):
    """One line of a variant's table."""

    @property
    def channels(self) -> int: ...

    @property
    def stride(self) -> int: ...

    def build(self, in_channels: int) -> nn.Module: ...


@dataclass(frozen=True)
class ConvRow:
    """kernel×kernel convolution, batch norm, ReLU."""

    kernel: int
    channels: int
    stride: int = 1

    def build(self, in_channels: int) -> nn.Module:
        layer: nn.Module = Conv(in_channels, self.channels, self.kernel, self.stride, act=nn.ReLU())
        return layer


@dataclass(frozen=True)
class UIBRow:
    """Universal inverted bottleneck; a depthwise kernel of 0 leaves that convolution out."""

    dw_start: int
    dw_middle: int
    channels: int
    stride: int
    expansion: float

    def build(self, in_channels: int) -> nn.Module:
        return UIB(in_channels, self)


class UIB(nn.Module):
    """Universal inverted bottleneck (section 3, figure 4).

    [depthwise] → 1×1 expansion → [depthwise] → 1×1 projection, with the input added where the shape stays. The
    expansion and the middle depthwise convolution are followed by ReLU, the others by nothing. A stride sits on the
    middle depthwise convolution, or on the first one where that is missing.
    """

    def __init__(self, in_channels: int, row: UIBRow) -> None:
        super().__init__()
        expanded = make_divisible(in_channels * row.expansion)
        start_stride = 1 if row.dw_middle else row.stride
        if row.dw_start:
            self.dw_start = Conv(in_channels, in_channels, row.dw_start, start_stride, g=in_channels, act=False)
        self.pw_expand = Conv(in_channels, expanded, act=nn.ReLU())
        if row.dw_middle:
            self.dw_middle = Conv(expanded, expanded, row.dw_middle, row.stride, g=expanded, act=nn.ReLU())
        self.pw_project = Conv(expanded, row.channels, act=False)
        self.residual = row.stride == 1 and in_channels == row.channels

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in self.children():
            y = layer(y)
        return x + y if self.residual else y


@dataclass(frozen=True)
class Variant:
    """A backbone's table, and the input side in pixels that the paper trains it at."""

    rows: tuple[Row, ...]
    input_side: int


CONV_SMALL = Variant(
    (
        ConvRow(3, 32, 2),
        ConvRow(3, 32, 2),
        ConvRow(1, 32),
        ConvRow(3, 96, 2),
        ConvRow(1, 64),
        UIBRow(5, 5, 96, 2, 3.0),
        UIBRow(0, 3, 96, 1, 2.0),
        UIBRow(0, 3, 96, 1, 2.0),
        UIBRow(0, 3, 96, 1, 2.0),
        UIBRow(0, 3, 96, 1, 2.0),
        UIBRow(3, 0, 96, 1, 4.0),
        UIBRow(3, 3, 128, 2, 6.0),
        UIBRow(5, 5, 128, 1, 4.0),
        UIBRow(0, 5, 128, 1, 4.0),
        UIBRow(0, 5, 128, 1, 3.0),
        UIBRow(0, 3, 128, 1, 4.0),
        UIBRow(0, 3, 128, 1, 4.0),
        ConvRow(1, 960),
    ),
    input_side=224,
)
"""MNv4-Conv-S (table 11)."""

VARIANTS: Mapping[str, Variant] = {"mnv4_conv_small": CONV_SMALL}


class MobileNetV4(nn.Module):
    """The convolutional trunk without its classifier.

    `forward` maps images of shape (B, 3, H, W) to the last feature map at each of the strides 4, 8, 16 and 32: P2, P3,
    P4 and P5, whose channels are `channels`.
    """

    EPS = 1e-5
    """Of every batch norm: what timm's published weights were trained with."""

    def __init__(self, variant: Variant, p5_tap: int) -> None:
        """Build a variant whose stride-32 output has `p5_tap` channels: its last stage, or the convolution after it.

        Raises:
            SpecError: no stride-32 row of the variant ends in that many channels.
        """
        super().__init__()
        rows = _up_to_tap(variant.rows, p5_tap)
        channels, stride = 3, 1
        self.blocks = nn.ModuleList()
        self.level_ends: list[int] = []
        self.channels: list[int] = []
        for index, row in enumerate(rows):
            self.blocks.append(row.build(channels))
            channels, stride = row.channels, stride * row.stride
            last_of_level = index + 1 == len(rows) or rows[index + 1].stride == 2
            if stride >= 4 and last_of_level:
                self.level_ends.append(index)
                self.channels.append(channels)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = self.EPS

    def forward(self, x: Tensor) -> list[Tensor]:
        levels = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.level_ends:
                levels.append(x)
        return levels

    def load_timm(self, state: Mapping[str, Tensor]) -> None:
        """Load the trunk of a timm checkpoint of the same name; its classifier and convolutions after the tap are left.

        timm registers the same tensors in the same order under other names, so order and shape identify them.

        Raises:
            SpecError: a tensor is missing or has another shape.
        """
        theirs = [
            (key, value) for key, value in state.items() if not key.startswith(("conv_head", "norm_head", "classifier"))
        ]
        ours = self.state_dict()
        if len(theirs) < len(ours):
            raise SpecError(f"the checkpoint holds {len(theirs)} tensors of a trunk, this backbone needs {len(ours)}")
        loaded: dict[str, Tensor] = {}
        for (name, wanted), (their_name, value) in zip(ours.items(), theirs, strict=False):
            if wanted.shape != value.shape:
                raise SpecError(
                    f"checkpoint tensor {their_name} has shape {tuple(value.shape)}, {name} {tuple(wanted.shape)}"
                )
            loaded[name] = value
        self.load_state_dict(loaded)


def _up_to_tap(rows: tuple[Row, ...], p5_tap: int) -> tuple[Row, ...]:
    """Cut the table after its last stride-32 row of `p5_tap` channels."""
    strides = [1]
    for row in rows:
        strides.append(strides[-1] * row.stride)
    ends = [i for i, row in enumerate(rows) if strides[i + 1] == 32 and row.channels == p5_tap]
    if not ends:
        allowed = sorted({row.channels for i, row in enumerate(rows) if strides[i + 1] == 32})
        raise SpecError(f"p5_tap {p5_tap}: this backbone offers {', '.join(map(str, allowed))} channels at stride 32")
    return rows[: ends[-1] + 1]


def make_divisible(value: float, divisor: int = 8) -> int:
    """Round to a multiple of `divisor`, never by more than 10 % down (the MobileNets' rule)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def backbone(name: str, p5_tap: int) -> MobileNetV4:
    """Build a backbone by name."""
    return MobileNetV4(VARIANTS[name], p5_tap)
