"""The models: `build` by catalogue name, the parts in their own files."""

from __future__ import annotations

import difflib

from mnv4bench.errors import SpecError
from mnv4bench.models import detector
from mnv4bench.models.yolo import Detector, as_yolo
from mnv4bench.spec import ModelSpec, Read

__all__ = ["CATALOGUE", "Detector", "as_yolo", "build"]

CATALOGUE = {
    "mnv4-yolov10n": ModelSpec(scale="n"),
    "mnv4-yolov10s": ModelSpec(scale="s"),
    # What a widely copied article prints; variants.CONV_SMALL_AS_PRINTED says in what it is not as published.
    "mnv4-yolov10n-as-printed": ModelSpec(scale="n", backbone="mnv4_conv_small_as_printed", p5_tap=1280),
}


def build(name: str, classes: int = 80, *, seed: int = 0, read: Read | None = None) -> Detector:
    """Return a detector by catalogue name, with fresh weights.

    It is an ultralytics DetectionModel; mnv4bench.as_yolo wraps it for predict, val and export.

    Args:
        read: "nms_free" (the default of a dual head) or "nms".

    Raises:
        SpecError: the catalogue has no such name.
    """
    if name not in CATALOGUE:
        close = difflib.get_close_matches(name, CATALOGUE, n=1)
        guess = f"did you mean {close[0]!r}? " if close else ""
        raise SpecError(f"no model {name!r}; {guess}allowed: {', '.join(CATALOGUE)}")
    return detector.build(CATALOGUE[name], classes, seed=seed, read=read)
