"""One form of the universal inverted bottleneck in all places of a variant, at the same cost (MobileNetV4, Table 1)."""

from __future__ import annotations

from dataclasses import replace

from mnv4bench.models.mobilenetv4.blocks import Row, UIBRow, make_divisible
from mnv4bench.models.mobilenetv4.variants import Variant
from mnv4bench.spec.model import UIBForm

KERNEL = 3
"""Side of a depthwise kernel where the published row has none to take it from."""


def uniform(variant: Variant, form: UIBForm) -> Variant:
    """Return the variant with every universal inverted bottleneck in one form; "mixed" is the variant itself.

    Kernels are those of the row, the larger one where the form has one place and the row two. All expansions are scaled
    by one factor, found by bisection, so that the blocks' multiply-accumulates come as close to the published ones as
    channels in steps of eight allow. An FFN has no depthwise convolution and so no stride: rows that reduce the
    resolution stay as published there, as the paper's text says nothing on it.
    """
    if form == "mixed":
        return variant
    wanted = macs(variant.rows)
    low, high = 0.25, 4.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if macs(_formed(variant.rows, form, middle)) < wanted else (low, middle)
    # Channels move in steps, so the crossing has a side that is nearer.
    nearest = min((low, high), key=lambda factor: abs(macs(_formed(variant.rows, form, factor)) - wanted))
    return replace(variant, rows=_formed(variant.rows, form, nearest))


def _formed(rows: tuple[Row, ...], form: UIBForm, factor: float) -> tuple[Row, ...]:
    return tuple(_row(row, form, factor) if isinstance(row, UIBRow) else row for row in rows)


def _row(row: UIBRow, form: UIBForm, factor: float) -> UIBRow:
    if form == "ffn" and row.stride > 1:
        return row
    kernel = max(row.dw_start, row.dw_middle) or KERNEL
    start, middle = {
        "extra_dw": (row.dw_start or kernel, row.dw_middle or kernel),
        "ib": (0, kernel),
        "convnext": (kernel, 0),
        "ffn": (0, 0),
    }[form]
    return replace(row, dw_start=start, dw_middle=middle, expansion=row.expansion * factor)


def macs(rows: tuple[Row, ...]) -> float:
    """Return the multiply-accumulates of a table's universal inverted bottlenecks, per pixel of the input image."""
    channels, area, total = 3, 1.0, 0.0
    for row in rows:
        if isinstance(row, UIBRow):
            total += uib_macs(row, channels, area)
        channels, area = row.channels, area / row.stride**2
    return total


def uib_macs(row: UIBRow, channels: int, before: float) -> float:
    """Return the multiply-accumulates of one block that takes in `channels` maps of area `before`."""
    area = before / row.stride**2
    expanded = make_divisible(channels * row.expansion)
    inside = before if row.dw_middle else area  # where the stride sits on the first convolution
    depthwise = row.dw_start**2 * channels * inside + row.dw_middle**2 * expanded * area
    return depthwise + channels * expanded * inside + expanded * row.channels * area
