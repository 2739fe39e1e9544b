"""What a model is made of, read off the built model or its table."""

from __future__ import annotations

from functools import cache

from torch import nn

from mnv4bench.ledger.checks import NotHere
from mnv4bench.models.mobilenetv4.attention import AttentionRow
from mnv4bench.models.mobilenetv4.blocks import ConvRow, FusedRow, Row, UIBRow, make_divisible
from mnv4bench.models.mobilenetv4.network import HEAD_CHANNELS, backbone
from mnv4bench.models.mobilenetv4.variants import VARIANTS
from mnv4bench.models.published import networks
from mnv4bench.models.published.ladder import STAGE_LAYER
from mnv4bench.models.yolo import PSA, C2fCIB, Conv, SCDown

CHANNELS, SIDE = 64, 16
"""Of the layers on which coefficients are counted; they do not depend on either."""


def downsampling(layer: str, of: str) -> float:
    """Return the coefficient of H·W·C² (of C² for weights), of H·W·C (of C) for the depthwise layer.

    Every output element takes one multiply-accumulate for each weight of its filter.
    """
    strided = Conv(CHANNELS, 2 * CHANNELS, 3, 2).conv
    pointwise, depthwise = (part.conv for part in SCDown(CHANNELS, 2 * CHANNELS, 3, 2).children())
    chosen = {"strided": strided, "pointwise": pointwise, "depthwise": depthwise}[layer]
    power = 1 if layer == "depthwise" else 2
    weights = chosen.weight.numel()
    side = SIDE // chosen.stride[0]
    if of == "weights":
        return float(weights / CHANNELS**power)
    return float(weights * side * side / (SIDE * SIDE * CHANNELS**power))


def blocks(name: str) -> list[str]:
    """Return a classifier's table, a line per row.

    "conv 3x3 32 /2" has 32 output channels and stride 2, "fused 3x3 128 48 /2" expands to 128 first, "uib 5 5 192 96
    /2" has depthwise kernels 5 and 5 (0: none) around the expansion to 192, "mqa 160 4x64 kv /2" has four heads of 64
    channels, with keys and values at half the resolution.
    """
    lines, channels = [], 3
    for row in VARIANTS[name].rows:
        lines.append(_line(row, channels))
        channels = row.channels
    return [*lines, "pool", f"conv 1x1 {HEAD_CHANNELS} /1"]


def stage(name: str, channels: int) -> str:
    """Return the lines of a classifier's table that put out so many channels, joined by semicolons."""
    return "; ".join(
        line for line, row in zip(blocks(name), VARIANTS[name].rows, strict=False) if row.channels == channels
    )


def _line(row: Row, channels: int) -> str:
    if isinstance(row, ConvRow):
        return f"conv {row.kernel}x{row.kernel} {row.channels} /{row.stride}"
    if isinstance(row, FusedRow):
        return f"fused {row.kernel}x{row.kernel} {_expanded(row, channels)} {row.channels} /{row.stride}"
    if isinstance(row, UIBRow):
        return f"uib {row.dw_start} {row.dw_middle} {_expanded(row, channels)} {row.channels} /{row.stride}"
    assert isinstance(row, AttentionRow)
    return f"{row.kind} {row.channels} {row.heads}x{row.head_channels} kv /{row.kv_stride}"


def _expanded(row: FusedRow | UIBRow, channels: int) -> int:
    return make_divisible(channels * row.expansion)


@cache
def trunk(name: str, of: str) -> str | int:
    """Return a property of a trunk that ends in its last row of stride 32 before the classifier's convolutions."""
    chosen = VARIANTS[name]
    if of == "activation":
        return chosen.style.activation.__name__
    if of == "layer_scale":
        return "none" if chosen.style.layer_scale is None else f"{chosen.style.layer_scale:g}"
    if of == "uib":
        return sum(isinstance(row, UIBRow) for row in chosen.rows)
    if of == "uib_expansion_4":
        return sum(isinstance(row, UIBRow) and row.expansion == 4 for row in chosen.rows)
    if of == "stages_from_extra_dw":
        starts = [row for row in chosen.rows if isinstance(row, UIBRow) and row.stride == 2]
        return sum(bool(row.dw_start and row.dw_middle) for row in starts)
    if of == "attention":
        return sum(isinstance(row, AttentionRow) for row in chosen.rows)
    if of == "p5_channels":
        return chosen.rows[-1].channels
    last = [row.channels for row in chosen.rows if isinstance(row, UIBRow | AttentionRow)][-1]
    model = backbone(name, last)
    if of == "channels":
        return " ".join(map(str, model.channels))
    return sum(bool(getattr(block, "residual", False)) for block in model.blocks)


def shared_parameters(name: str, kernels: str) -> float:
    """Return how many per cent of the weights of a SuperNet's blocks are pointwise, which all its networks share."""
    sizes = (5,) if kernels == "nested" else (3, 5)
    weights_of_a_depthwise_channel = sum(size**2 for size in sizes)
    pointwise = depthwise = 0
    channels = 3
    for row in VARIANTS[name].rows:
        if isinstance(row, UIBRow):
            expanded = _expanded(row, channels)
            pointwise += (channels + row.channels) * expanded
            depthwise += (channels + expanded) * weights_of_a_depthwise_channel
        channels = row.channels
    return 100 * pointwise / (pointwise + depthwise)


@cache
def stages(model: str, block: str) -> str:
    """Return the stages, ascending, whose block is of the class."""
    layers = dict(networks.build(model).named_modules())
    return " ".join(
        str(stage) for stage, layer in STAGE_LAYER.items() if type(layers[f"model.{layer}"]).__name__ == block
    )


def psa(of: str) -> float:
    """Return a property of PSA as ultralytics builds it."""
    module = PSA(256, 256)
    if of == "ffn_expansion":
        first = next(layer for layer in module.ffn.modules() if isinstance(layer, nn.Conv2d))
        return float(first.out_channels / first.in_channels)
    if of == "key_over_value":
        return float(module.attn.key_dim / module.attn.head_dim)
    if of == "split":
        return float(module.c / 256)
    if of == "blocks":
        return float(sum(type(layer).__name__ == "Attention" for layer in module.modules()))
    raise NotHere(f"no property {of!r} of PSA")


def inner_block() -> str:
    """Return the class name of the blocks inside C2fCIB."""
    return ", ".join(dict.fromkeys(type(block).__name__ for block in C2fCIB(16, 16, 2).m))
