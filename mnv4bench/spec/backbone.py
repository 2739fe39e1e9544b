"""A backbone in a file, as `mnv4bench search` writes it: the rows of a MobileNetV4, in the notation of its tables."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator

from mnv4bench.spec.base import Spec

ROW = re.compile(
    r"conv (?P<k>[1357])x(?P=k) (?P<conv>[1-9]\d{0,3}) /(?P<s1>[12])"
    r"|fused (?P<f>[357])x(?P=f) (?P<fused>[1-9]\d{0,3}) /(?P<s2>[12]) x\d+(\.\d+)?"
    r"|uib [0357] [0357] (?P<uib>[1-9]\d{0,3}) /(?P<s3>[12]) x\d+(\.\d+)?"
)
LAST = 960
"""Channels that the rows end in, before the classifier's own convolution of 1280."""


class BackboneFile(Spec):
    """The content of the file."""

    rows: tuple[str, ...] = Field(min_length=1, max_length=200)
    """From the image to the 1×1 convolution of 960 channels that a classifier pools."""
    side: int
    """Of the images that it was searched at, in pixels."""
    cost: Literal["macs", "ms"]
    budget: float
    expected_cost: float
    """The sum over the rows that the search went by."""
    accuracy: float
    """Top-1 on test crops (0–1), trained from scratch."""

    @field_validator("rows")
    @classmethod
    def _a_backbone(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        check_rows(value)
        return value


def check_rows(rows: tuple[str, ...]) -> None:
    """Refuse rows that no detector can stand on.

    Raises:
        ValueError: says which row, and what is expected.
    """
    if not rows:
        raise ValueError("backbone searched needs rows; name a file that `mnv4bench search` wrote as backbone")
    step = stride = 1
    for row in rows:
        match = ROW.fullmatch(row)
        if match is None:
            raise ValueError(f"{row!r} is no row of mnv4bench/models/mobilenetv4/tables.py: conv, fused or uib")
        if match["uib"] and match["s3"] == "2" and row.startswith("uib 0 0"):
            raise ValueError(f"{row!r}: a stride of 2 needs a depthwise convolution")
        step = int(match["s1"] or match["s2"] or match["s3"])
        stride *= step
    if stride != 32:
        raise ValueError(f"the rows reach stride {stride}; a detector needs 32")
    if step != 1:
        raise ValueError(
            f"{rows[-1]!r}: the last row reduces the map; the stage before it, which a neck can tap, has to"
        )
    if channels(rows)[-1] != LAST:
        raise ValueError(f"the last row has {channels(rows)[-1]} channels; a classifier needs {LAST}")


def channels(rows: tuple[str, ...]) -> list[int]:
    """Return the output channels of each row."""
    matches = [ROW.fullmatch(row) for row in rows]
    return [int(match["conv"] or match["fused"] or match["uib"]) for match in matches if match]


def taps(rows: tuple[str, ...]) -> tuple[int, ...]:
    """Return what a neck can tap at stride 32: the last stage, and the classifier's convolutions behind it."""
    *stages, last = channels(rows)
    return (stages[-1], last, 1280)


def read_backbone(path: Path) -> BackboneFile:
    """Return a backbone file's content.

    Raises:
        ValueError: says what is wrong with the file, and what to do.
    """
    remedy = "`mnv4bench search` writes such files"
    try:
        return BackboneFile.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place, reason = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{path}: {place}: {reason}; {remedy}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({error}); {remedy}") from error
