"""Numerical ranks of a network's stages (YOLOv10, arXiv 2405.14458, section 3.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from mnv4bench.io.errors import DataError
from mnv4bench.spec.model import Stage


def numerical_rank(weight: NDArray[np.floating]) -> int:
    """Return how many singular values of a convolution's weight exceed half of the largest one.

    Args:
        weight: (out, in, height, width), taken as a matrix of `out` rows.
    """
    values = np.linalg.svd(weight.reshape(len(weight), -1).astype(np.float64), compute_uv=False)
    return int((values > values[0] / 2).sum())


def stage_ranks(weights: Mapping[str, NDArray[np.floating]], where: str) -> dict[Stage, float]:
    """Return each stage's rank over its number of channels: of the last convolution in its last basic block.

    Raises:
        DataError: a stage holds no C2f bottleneck.
    """
    ranks = {}
    for stage in get_args(Stage):
        pattern = re.compile(rf"{stage}\.m\.(\d+)\.cv2\.conv\.weight")
        blocks = {int(match[1]): name for name in weights if (match := pattern.fullmatch(name))}
        if not blocks:
            raise DataError(f"{where}: {stage} has no C2f bottleneck; the baseline's stages must all be C2f")
        weight = weights[blocks[max(blocks)]]
        ranks[stage] = numerical_rank(weight) / len(weight)
    return ranks
