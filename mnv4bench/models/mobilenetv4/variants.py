"""MobileNetV4's variants: the rows of tables.py, how their blocks are styled, and changes to their attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from torch import nn

from mnv4bench.io.errors import SpecError
from mnv4bench.models.mobilenetv4.attention import AttentionRow, Kind
from mnv4bench.models.mobilenetv4.blocks import ConvRow, EmptyRow, FusedRow, Row, Style, UIBRow
from mnv4bench.models.mobilenetv4.tables import TABLES


@dataclass(frozen=True)
class Variant:
    """A backbone's table, and the input side in pixels that the paper trains it at."""

    rows: tuple[Row, ...]
    input_side: int
    style: Style = field(default_factory=Style)


def parse(table: str) -> tuple[Row, ...]:
    """Return the rows of a table in the notation of tables.py."""
    rows: list[Row] = []
    for line in table.strip().splitlines():
        before, _, row = line.rpartition("×")
        rows += [_row(row.split())] * int(before or 1)
    return tuple(rows)


def _row(words: list[str]) -> Row:
    match words:
        case ["conv", kernel, channels, stride]:
            return ConvRow(int(kernel[0]), int(channels), int(stride[1:]))
        case ["fused", kernel, channels, stride, expansion]:
            return FusedRow(int(kernel[0]), int(channels), int(stride[1:]), float(expansion[1:]))
        case ["uib", start, middle, channels, stride, expansion]:
            return UIBRow(int(start), int(middle), int(channels), int(stride[1:]), float(expansion[1:]))
        case ["mqa", heads, channels, kv_stride]:
            count, head_channels = map(int, heads.split("x"))
            return AttentionRow(int(channels), count, head_channels, int(kv_stride[1:]))
    raise ValueError(f"no row of a MobileNetV4: {' '.join(words)}")


def as_line(row: Row) -> str:
    """Return a row in the notation of tables.py.

    Raises:
        ValueError: the notation has none for it.
    """
    match row:
        case ConvRow():
            return f"conv {row.kernel}x{row.kernel} {row.channels} /{row.stride}"
        case FusedRow():
            return f"fused {row.kernel}x{row.kernel} {row.channels} /{row.stride} x{row.expansion:g}"
        case UIBRow():
            return f"uib {row.dw_start} {row.dw_middle} {row.channels} /{row.stride} x{row.expansion:g}"
        case AttentionRow(query_stride=1, kind="mqa"):
            return f"mqa {row.heads}x{row.head_channels} {row.channels} /{row.kv_stride}"
    raise ValueError(f"no notation for {row}")


def _published(name: str, input_side: int, style: Style | None = None) -> Variant:
    return Variant(parse(TABLES[name]), input_side, style or Style())


CONV_SMALL = _published("mnv4_conv_small", 224)

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
    "mnv4_conv_medium": _published("mnv4_conv_medium", 256),
    "mnv4_conv_large": _published("mnv4_conv_large", 384),
    "mnv4_hybrid_medium": _published("mnv4_hybrid_medium", 256, Style(layer_scale=1e-5)),
    "mnv4_hybrid_large": _published("mnv4_hybrid_large", 384, Style(activation=nn.GELU, layer_scale=1e-5)),
    "mnv4_conv_small_as_printed": CONV_SMALL_AS_PRINTED,
}
"""Name → variant."""


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
