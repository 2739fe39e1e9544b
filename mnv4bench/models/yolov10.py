"""YOLOv10's scales and its own backbone, the alternative to MobileNetV4 (arXiv 2405.14458, section 3.2)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from mnv4bench.models.yolo import C2f, C2fCIB, Conv, SCDown, initialize_weights

SCALES = {
    "n": (0.33, 0.25, 1024),
    "s": (0.33, 0.50, 1024),
    "m": (0.67, 0.75, 768),
    "b": (0.67, 1.00, 512),
    "l": (1.00, 1.00, 512),
    "x": (1.00, 1.25, 512),
}
"""Depth multiple, width multiple, widest layer before scaling (ultralytics' compound scaling)."""

STEM = 64
"""Channels of the first convolution before scaling."""


class YOLOv10Backbone(nn.Module):
    """The released networks' layers 0 to 8, without SPPF and PSA, which the detector adds.

    `forward` maps images (B, 3, H, W) to the maps at strides 4, 8, 16 and 32, whose channels are `channels`.
    """

    def __init__(self, scale: Literal["n", "s"]) -> None:
        super().__init__()
        c1 = round(STEM * SCALES[scale][1])
        c2, c3, c4, c5 = self.channels = [c1 * factor for factor in (2, 4, 8, 16)]
        last = C2f(c5, c5, 1, True) if scale == "n" else C2fCIB(c5, c5, 1, True, True)
        self.stages = nn.ModuleList(
            [
                nn.Sequential(Conv(3, c1, 3, 2), Conv(c1, c2, 3, 2), C2f(c2, c2, 1, True)),
                nn.Sequential(Conv(c2, c3, 3, 2), C2f(c3, c3, 2, True)),
                nn.Sequential(SCDown(c3, c4, 3, 2), C2f(c4, c4, 2, True)),
                nn.Sequential(SCDown(c4, c5, 3, 2), last),
            ]
        )
        initialize_weights(self)  # batch norms' constants

    def forward(self, x: Tensor) -> list[Tensor]:
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        return levels
