"""Costs that YOLOv10 prints as formulas (arXiv 2405.14458, section 3.2): down-sampling that doubles the channels."""

from __future__ import annotations

from typing import NamedTuple


class LayerCost(NamedTuple):
    """Multiply-accumulates and weights of convolutions, without biases and batch norms."""

    macs: int
    params: int


def strided_cost(height: int, width: int, channels: int) -> LayerCost:
    """Cost of one 3×3 convolution of stride 2: 9/2·H·W·C² and 18·C².

    Args:
        height, width: of the input, even.
        channels: C of the input; the output has 2 C.
    """
    return LayerCost(macs=9 * height * width * channels**2 // 2, params=18 * channels**2)


def scdown_cost(height: int, width: int, channels: int) -> LayerCost:
    """Cost of a 1×1 convolution and then a 3×3 depthwise one of stride 2: 2·H·W·C² + 9/2·H·W·C and 2·C² + 18·C.

    Args:
        height, width: of the input, even.
        channels: C of the input; the output has 2 C.
    """
    area = height * width
    return LayerCost(macs=2 * area * channels**2 + 9 * area * channels // 2, params=2 * channels**2 + 18 * channels)
