"""Attention on feature maps: Mobile MQA (arXiv 2404.10518, section 5), and the multi-head attention it replaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from mnv4bench.models.mobilenetv4.blocks import LayerScale, Style
from mnv4bench.models.yolo import Conv

Kind = Literal["mqa", "mhsa"]
"""Multi-query: all heads share one key and one value (arXiv 1911.02150); multi-head: each has its own."""


@dataclass(frozen=True)
class AttentionRow:
    """An attention block that keeps the map's shape: `heads` queries of `head_channels` channels at each position."""

    channels: int
    heads: int
    head_channels: int
    kv_stride: int = 1
    """Of the depthwise convolution before keys and values; 1 has none. Table 3's down-sampling is a stride of 2."""
    query_stride: int = 1
    """Of the average pooling before queries; the result is interpolated back. No published variant uses it."""
    kind: Kind = "mqa"

    stride = 1

    def build(self, in_channels: int, style: Style) -> nn.Module:
        return AttentionBlock(in_channels, self, style)


class AttentionBlock(nn.Module):
    """Batch norm → attention → [layer scale], added to the input."""

    def __init__(self, in_channels: int, row: AttentionRow, style: Style) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.attention = Attention(in_channels, row)
        if style.layer_scale is not None:
            self.layer_scale = LayerScale(row.channels, style.layer_scale)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in self.children():
            y = layer(y)
        return x + y


class Attention(nn.Module):
    """softmax(q kᵀ / √d) v over the positions of a map (B, C, H, W), with 1×1 convolutions as projections, no biases.

    The heads that share a key and value are rows of one matrix product, so that sharing saves memory traffic as well as
    weights. The products are written out because fvcore takes torch's fused operator for free.
    """

    def __init__(self, in_channels: int, row: AttentionRow) -> None:
        super().__init__()
        self.heads = row.heads
        self.kv_heads = {"mqa": 1, "mhsa": row.heads}[row.kind]
        self.query_stride = row.query_stride
        self.scale = row.head_channels**-0.5
        inner, shared = row.heads * row.head_channels, self.kv_heads * row.head_channels
        pooled = [nn.AvgPool2d(row.query_stride), nn.BatchNorm2d(in_channels)] if row.query_stride > 1 else []
        self.query = nn.Sequential(*pooled, _projection(in_channels, inner))
        self.key = nn.Sequential(*_reduction(in_channels, row.kv_stride), _projection(in_channels, shared))
        self.value = nn.Sequential(*_reduction(in_channels, row.kv_stride), _projection(in_channels, shared))
        self.output = _projection(inner, row.channels)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.query(x), self.key(x), self.value(x)
        batch, inner, height, width = query.shape
        groups, depth = self.kv_heads, inner // self.heads
        rows = query.reshape(batch, self.heads, depth, height * width).transpose(2, 3) * self.scale
        rows = rows.reshape(batch, groups, -1, depth)  # (B, G, heads/G · HW, d)
        weights = (rows @ key.reshape(batch, groups, depth, -1)).softmax(dim=-1)
        result = weights @ value.reshape(batch, groups, depth, -1).transpose(2, 3)
        result = result.reshape(batch, self.heads, height * width, depth).transpose(2, 3)
        result = result.reshape(batch, inner, height, width)
        if self.query_stride > 1:
            result = functional.interpolate(result, size=x.shape[2:], mode="bilinear", align_corners=False)
        mixed: Tensor = self.output(result)
        return mixed


def _projection(in_channels: int, channels: int) -> nn.Module:
    layer = nn.Conv2d(in_channels, channels, 1, bias=False)
    nn.init.xavier_uniform_(layer.weight)
    return layer


def _reduction(channels: int, stride: int) -> list[nn.Module]:
    """Return the spatial reduction of keys or values: a 3×3 depthwise convolution with batch norm."""
    return [Conv(channels, channels, 3, stride, g=channels, act=False)] if stride > 1 else []
