"""The models: `build` by catalogue name, the parts in their own files."""

from __future__ import annotations

import difflib
from typing import get_args

from mnv4bench.io.errors import SpecError
from mnv4bench.models import detector
from mnv4bench.models.yolo import Detector, as_yolo
from mnv4bench.spec.model import ModelSpec, Peer, Read

__all__ = ["CATALOGUE", "Detector", "as_yolo", "build"]

CATALOGUE = {
    "mnv4-yolov10n": ModelSpec(scale="n"),
    "mnv4-yolov10s": ModelSpec(scale="s"),
    # What a widely copied article prints; variants.CONV_SMALL_AS_PRINTED says in what it is not as published.
    "mnv4-hybrid-m": ModelSpec(backbone="mnv4_hybrid_medium"),
    "mnv4-hybrid-m+none": ModelSpec(backbone="mnv4_hybrid_medium", mobile_attention="none"),
    "mnv4-hybrid-m+mhsa": ModelSpec(backbone="mnv4_hybrid_medium", mobile_attention="mhsa"),
    "mnv4-hybrid-m+mqa": ModelSpec(backbone="mnv4_hybrid_medium", mobile_attention="mqa"),
    "mnv4-yolov10n-as-printed": ModelSpec(scale="n", backbone="mnv4_conv_small_as_printed", p5_tap=1280),
}

PEERS = {name: ModelSpec(peer=name) for name in get_args(Peer)}


def build(name: str, classes: int = 80, *, seed: int = 0, read: Read | None = None) -> Detector:
    """Return a detector by catalogue name, or a peer by its own, with fresh weights.

    It is an ultralytics DetectionModel; mnv4bench.as_yolo wraps it for predict, val and export.

    Args:
        read: "nms_free" (the default of a dual head) or "nms".

    Raises:
        SpecError: the catalogue has no such name.
    """
    known = CATALOGUE | PEERS
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        guess = f"did you mean {close[0]!r}? " if close else ""
        raise SpecError(f"no model {name!r}; {guess}allowed: {', '.join(known)}")
    return detector.build(known[name], classes, seed=seed, read=read)
