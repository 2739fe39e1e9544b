"""The detection head: YOLOv10's, with either or both branches."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from torch import nn
from ultralytics.nn.modules import Conv, v10Detect

from mnv4bench.io.errors import SpecError
from mnv4bench.spec.model import READINGS, Read

__all__ = ["Head", "check_read"]


class Head(v10Detect):
    """YOLOv10's decoupled head with its light classification branch (section 3.2), for either or both assignments.

    Args:
        full_class_branch: two full 3×3 convolutions in the classification branch, as in YOLOv8, in place of depthwise
            separable ones.
        assignment: one_to_many and one_to_one hold one branch; dual holds both, the one-to-one branch fed by features
            through which no gradient flows back.
        read: how `eval` output is read. "nms_free": (B, 300, 6) rows of x1, y1, x2, y2, score, class in pixels;
            "nms": (B, 4 + classes, anchors), centre-format boxes for non-maximum suppression.

    Raises:
        SpecError: an assignment that cannot be read so.
    """

    legacy = False  # ultralytics keeps this per class and other models in the process may set it

    def __init__(
        self, classes: int, assignment: str, read: Read, channels: Sequence[int], full_class_branch: bool = False
    ) -> None:
        check_read(assignment, read)
        super().__init__(classes, tuple(channels))
        if full_class_branch:
            wide = max(channels[0], min(classes, 100))
            self.cv3 = nn.ModuleList(
                nn.Sequential(Conv(c, wide, 3), Conv(wide, wide, 3), nn.Conv2d(wide, classes, 1)) for c in channels
            )
            self.one2one_cv3 = deepcopy(self.cv3)
        self.assignment = assignment
        self.read = read
        if assignment != "dual":
            del self.one2one_cv2, self.one2one_cv3

    @property
    def end2end(self) -> bool:
        """Whether `eval` output is final detections."""
        return self.read == "nms_free"

    @end2end.setter
    def end2end(self, value: bool) -> None:
        """Ignore what ultralytics' predictor, validator and exporter ask for: `read` decides."""


def check_read(assignment: str, read: str) -> None:
    if read not in READINGS[assignment]:
        raise SpecError(f"a {assignment} head cannot be read {read!r}; allowed: {', '.join(READINGS[assignment])}")
