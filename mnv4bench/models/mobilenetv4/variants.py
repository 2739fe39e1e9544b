"""MobileNetV4's variants as data (arXiv 2404.10518, tables 11 to 15, and the code released in TensorFlow's models)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from torch import nn

from mnv4bench.io.errors import SpecError
from mnv4bench.models.mobilenetv4.attention import AttentionRow, Kind
from mnv4bench.models.mobilenetv4.blocks import ConvRow, EmptyRow, FusedRow, Row, Style, UIBRow


@dataclass(frozen=True)
class Variant:
    """A backbone's table, and the input side in pixels that the paper trains it at."""

    rows: tuple[Row, ...]
    input_side: int
    style: Style = field(default_factory=Style)


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
"""MNv4-Conv-S (table 11), its fused bottlenecks as two convolutions, each with activation, as in the released code."""

CONV_MEDIUM = Variant(
    (
        ConvRow(3, 32, 2),
        FusedRow(3, 48, 2, 4.0),
        UIBRow(3, 5, 80, 2, 4.0),
        UIBRow(3, 3, 80, 1, 2.0),
        UIBRow(3, 5, 160, 2, 6.0),
        UIBRow(3, 3, 160, 1, 4.0),
        UIBRow(3, 3, 160, 1, 4.0),
        UIBRow(3, 5, 160, 1, 4.0),
        UIBRow(3, 3, 160, 1, 4.0),
        UIBRow(3, 0, 160, 1, 4.0),
        UIBRow(0, 0, 160, 1, 2.0),
        UIBRow(3, 0, 160, 1, 4.0),
        UIBRow(5, 5, 256, 2, 6.0),
        UIBRow(5, 5, 256, 1, 4.0),
        UIBRow(3, 5, 256, 1, 4.0),
        UIBRow(3, 5, 256, 1, 4.0),
        UIBRow(0, 0, 256, 1, 4.0),
        UIBRow(3, 0, 256, 1, 4.0),
        UIBRow(3, 5, 256, 1, 2.0),
        UIBRow(5, 5, 256, 1, 4.0),
        UIBRow(0, 0, 256, 1, 4.0),
        UIBRow(0, 0, 256, 1, 4.0),
        UIBRow(5, 0, 256, 1, 2.0),
        ConvRow(1, 960),
    ),
    input_side=256,
)
"""MNv4-Conv-M (table 12)."""

HYBRID_MEDIUM = Variant(
    (
        ConvRow(3, 32, 2),
        FusedRow(3, 48, 2, 4.0),
        UIBRow(3, 5, 80, 2, 4.0),
        UIBRow(3, 3, 80, 1, 2.0),
        UIBRow(3, 5, 160, 2, 6.0),
        UIBRow(0, 0, 160, 1, 2.0),
        UIBRow(3, 3, 160, 1, 4.0),
        UIBRow(3, 5, 160, 1, 4.0),
        AttentionRow(160, 4, 64, kv_stride=2),
        UIBRow(3, 3, 160, 1, 4.0),
        AttentionRow(160, 4, 64, kv_stride=2),
        UIBRow(3, 0, 160, 1, 4.0),
        AttentionRow(160, 4, 64, kv_stride=2),
        UIBRow(3, 3, 160, 1, 4.0),
        AttentionRow(160, 4, 64, kv_stride=2),
        UIBRow(3, 0, 160, 1, 4.0),
        UIBRow(5, 5, 256, 2, 6.0),
        UIBRow(5, 5, 256, 1, 4.0),
        UIBRow(3, 5, 256, 1, 4.0),
        UIBRow(3, 5, 256, 1, 4.0),
        UIBRow(0, 0, 256, 1, 2.0),
        UIBRow(3, 5, 256, 1, 2.0),
        UIBRow(0, 0, 256, 1, 2.0),
        UIBRow(0, 0, 256, 1, 4.0),
        AttentionRow(256, 4, 64),
        UIBRow(3, 0, 256, 1, 4.0),
        AttentionRow(256, 4, 64),
        UIBRow(5, 5, 256, 1, 4.0),
        AttentionRow(256, 4, 64),
        UIBRow(5, 0, 256, 1, 4.0),
        AttentionRow(256, 4, 64),
        UIBRow(5, 0, 256, 1, 4.0),
        ConvRow(1, 960),
    ),
    input_side=256,
    style=Style(layer_scale=1e-5),
)
"""MNv4-Hybrid-M as released; the paper's table 13 prints other bottlenecks at strides 16 and 32."""

CONV_LARGE = Variant(
    (
        ConvRow(3, 24, 2),
        FusedRow(3, 48, 2, 4.0),
        UIBRow(3, 5, 96, 2, 4.0),
        UIBRow(3, 3, 96, 1, 4.0),
        UIBRow(3, 5, 192, 2, 4.0),
        UIBRow(3, 3, 192, 1, 4.0),
        UIBRow(3, 3, 192, 1, 4.0),
        UIBRow(3, 3, 192, 1, 4.0),
        UIBRow(3, 5, 192, 1, 4.0),
        UIBRow(5, 3, 192, 1, 4.0),
        UIBRow(5, 3, 192, 1, 4.0),
        UIBRow(5, 3, 192, 1, 4.0),
        UIBRow(5, 3, 192, 1, 4.0),
        UIBRow(5, 3, 192, 1, 4.0),
        UIBRow(3, 0, 192, 1, 4.0),
        UIBRow(5, 5, 512, 2, 4.0),
        UIBRow(5, 5, 512, 1, 4.0),
        UIBRow(5, 5, 512, 1, 4.0),
        UIBRow(5, 5, 512, 1, 4.0),
        UIBRow(5, 0, 512, 1, 4.0),
        UIBRow(5, 3, 512, 1, 4.0),
        UIBRow(5, 0, 512, 1, 4.0),
        UIBRow(5, 0, 512, 1, 4.0),
        UIBRow(5, 3, 512, 1, 4.0),
        UIBRow(5, 5, 512, 1, 4.0),
        UIBRow(5, 0, 512, 1, 4.0),
        UIBRow(5, 0, 512, 1, 4.0),
        UIBRow(5, 0, 512, 1, 4.0),
        ConvRow(1, 960),
    ),
    input_side=384,
)
"""MNv4-Conv-L (table 14)."""

HYBRID_LARGE = Variant(
    (
        ConvRow(3, 24, 2),
        FusedRow(3, 48, 2, 4.0),
        UIBRow(3, 5, 96, 2, 4.0),
        UIBRow(3, 3, 96, 1, 4.0),
        UIBRow(3, 5, 192, 2, 4.0),
        UIBRow(3, 3, 192, 1, 4.0),
        UIBRow(3, 3, 192, 1, 4.0),
        UIBRow(3, 3, 192, 1, 4.0),
        UIBRow(3, 5, 192, 1, 4.0),
        UIBRow(5, 3, 192, 1, 4.0),
        UIBRow(5, 3, 192, 1, 4.0),
        AttentionRow(192, 8, 48, kv_stride=2),
        UIBRow(5, 3, 192, 1, 4.0),
        AttentionRow(192, 8, 48, kv_stride=2),
        UIBRow(5, 3, 192, 1, 4.0),
        AttentionRow(192, 8, 48, kv_stride=2),
        UIBRow(5, 3, 192, 1, 4.0),
        AttentionRow(192, 8, 48, kv_stride=2),
        UIBRow(3, 0, 192, 1, 4.0),
        UIBRow(5, 5, 512, 2, 4.0),
        UIBRow(5, 5, 512, 1, 4.0),
        UIBRow(5, 5, 512, 1, 4.0),
        UIBRow(5, 5, 512, 1, 4.0),
        UIBRow(5, 0, 512, 1, 4.0),
        UIBRow(5, 3, 512, 1, 4.0),
        UIBRow(5, 0, 512, 1, 4.0),
        UIBRow(5, 0, 512, 1, 4.0),
        UIBRow(5, 3, 512, 1, 4.0),
        UIBRow(5, 5, 512, 1, 4.0),
        AttentionRow(512, 8, 64),
        UIBRow(5, 0, 512, 1, 4.0),
        AttentionRow(512, 8, 64),
        UIBRow(5, 0, 512, 1, 4.0),
        AttentionRow(512, 8, 64),
        UIBRow(5, 0, 512, 1, 4.0),
        AttentionRow(512, 8, 64),
        UIBRow(5, 0, 512, 1, 4.0),
        ConvRow(1, 960),
    ),
    input_side=384,
    style=Style(activation=nn.GELU, layer_scale=1e-5),
)
"""MNv4-Hybrid-L (table 15), with GELU where the others have ReLU."""

CONV_SMALL_AS_PRINTED = replace(
    CONV_SMALL, rows=(*CONV_SMALL.rows, ConvRow(1, 1280)), style=replace(CONV_SMALL.style, residual=False)
)
"""MNv4-Conv-S as a widely copied article on MobileNetV4 and YOLOv10 prints it, which is not as published.

Its universal inverted bottleneck returns the projection without adding the input, and its forward pass keeps the last
map of stride 32. The layer table that this map depends on is not printed; the PyTorch port that the code comes from
(github.com/jaiwei98/MobileNetV4-pytorch) ends in the classifier's 1280-channel convolution, there without the pooling
before it. Everything else that the article leaves open, such as the activation (ReLU6 in that port), is as in
CONV_SMALL, so that the two differ by these two points alone.
"""

VARIANTS: Mapping[str, Variant] = {
    "mnv4_conv_small": CONV_SMALL,
    "mnv4_conv_medium": CONV_MEDIUM,
    "mnv4_conv_large": CONV_LARGE,
    "mnv4_hybrid_medium": HYBRID_MEDIUM,
    "mnv4_hybrid_large": HYBRID_LARGE,
    "mnv4_conv_small_as_printed": CONV_SMALL_AS_PRINTED,
}


def variant(name: str, attention: Kind | Literal["none"] = "mqa", kv_downsampling: bool = True) -> Variant:
    """Return a variant, with another attention in its attention blocks if asked for.

    Args:
        attention: "mqa" as published; "mhsa" gives every head its own key and value (table 2); "none" leaves the
            attention blocks out, their places empty.
        kv_downsampling: False computes keys and values at every position (table 3).

    Raises:
        SpecError: no variant has this name, or it has no attention to change.
    """
    if name not in VARIANTS:
        raise SpecError(f"no backbone {name!r}; allowed: {', '.join(VARIANTS)}")
    chosen = VARIANTS[name]
    if attention == "mqa" and kv_downsampling:
        return chosen
    if not any(isinstance(row, AttentionRow) for row in chosen.rows):
        hybrids = [
            known for known, other in VARIANTS.items() if any(isinstance(row, AttentionRow) for row in other.rows)
        ]
        raise SpecError(f"{name} has no attention blocks to change; those with attention: {', '.join(hybrids)}")
    rows: list[Row] = []
    for row in chosen.rows:
        if not isinstance(row, AttentionRow):
            rows.append(row)
        elif attention == "none":
            rows.append(EmptyRow(row.channels))
        else:
            rows.append(replace(row, kind=attention, kv_stride=row.kv_stride if kv_downsampling else 1))
    return replace(chosen, rows=tuple(rows))
