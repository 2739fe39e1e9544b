"""MobileNetV4 (arXiv 2404.10518): the trunk that a detector stands on, and the whole classifier.

The tables are in tables.py and variants.py; the blocks that their rows build in blocks.py and attention.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from torch import Tensor, nn

from mnv4bench.io.errors import SpecError
from mnv4bench.models.mobilenetv4.attention import Kind
from mnv4bench.models.mobilenetv4.blocks import ConvRow, Row
from mnv4bench.models.mobilenetv4.uniform import uniform
from mnv4bench.models.mobilenetv4.variants import Variant, parse, variant
from mnv4bench.models.yolo import Conv
from mnv4bench.spec.model import UIBForm

EPS = 1e-5
"""Of every batch norm: what timm's published weights were trained with; TensorFlow's release has 1e-3."""

FEATURES, HEAD_CHANNELS = 960, 1280
"""Channels of the classifier's two convolutions, before and after pooling, in all variants."""


class MobileNetV4(nn.Module):
    """The trunk without its classifier.

    `forward` maps images of shape (B, 3, H, W) to the last feature map at each of the strides 4, 8, 16 and 32: P2, P3,
    P4 and P5, whose channels are `channels`.
    """

    def __init__(self, variant: Variant, p5_tap: int) -> None:
        """Build a variant whose stride-32 output has `p5_tap` channels: its last stage, or a convolution after it.

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
            self.blocks.append(row.build(channels, variant.style))
            channels, stride = row.channels, stride * row.stride
            last_of_level = index + 1 == len(rows) or rows[index + 1].stride == 2
            if stride >= 4 and last_of_level:
                self.level_ends.append(index)
                self.channels.append(channels)
        _set_eps(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        levels = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.level_ends:
                levels.append(x)
        return levels


class Classifier(nn.Module):
    """The whole network: trunk, average pooling, 1×1 convolution to 1280 channels, linear layer.

    `forward` maps images of shape (B, 3, H, W) to logits of shape (B, classes).
    """

    def __init__(self, variant: Variant, classes: int) -> None:
        super().__init__()
        self.trunk = MobileNetV4(variant, FEATURES)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = Conv(FEATURES, HEAD_CHANNELS, act=variant.style.activation())
        self.linear = nn.Linear(HEAD_CHANNELS, classes)
        _set_eps(self)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.head(self.pool(self.trunk(x)[-1])).flatten(1))
        return logits


def backbone(
    name: str,
    p5_tap: int,
    attention: Kind | Literal["none"] = "mqa",
    kv_downsampling: bool = True,
    uib: UIBForm = "mixed",
    rows: Sequence[str] = (),
) -> MobileNetV4:
    """Build a trunk by name; `variants.variant` explains the choices of attention, `uniform` those of blocks.

    Args:
        rows: of a searched backbone, in the notation of tables.py, in place of a named one.
    """
    known = Variant(parse("\n".join(rows)), input_side=0) if rows else variant(name, attention, kv_downsampling)
    chosen = uniform(known, uib)
    if chosen.rows[-1].channels == FEATURES:  # the classifier's last convolution can be tapped too, before its pooling
        chosen = replace(chosen, rows=(*chosen.rows, ConvRow(1, HEAD_CHANNELS)))
    return MobileNetV4(chosen, p5_tap)


def classifier(
    name: str, classes: int = 1000, attention: Kind | Literal["none"] = "mqa", kv_downsampling: bool = True
) -> Classifier:
    """Build a whole network by name; see `variants.variant` for the choices of attention."""
    return Classifier(variant(name, attention, kv_downsampling), classes)


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


def _set_eps(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = EPS
