"""The detectors that can be trained: a name or a ModelSpec in, a network out; the parts in their own files.

Networks that are only counted and timed are in published/, whose list holds these too. Torch is imported when a network
is built, so that names are known at once.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from mnv4bench.io.errors import SpecError
from mnv4bench.spec.model import ModelSpec, Peer, Read
from mnv4bench.spec.problems import nearest

if TYPE_CHECKING:
    from mnv4bench.models.yolo import Detector, as_yolo

__all__ = ["DETECTORS", "Detector", "as_yolo", "build"]

DETECTORS = {
    "mnv4-yolov10n": ModelSpec(scale="n"),
    "mnv4-yolov10s": ModelSpec(scale="s"),
    "mnv4-hybrid-m": ModelSpec(backbone="mnv4_hybrid_medium"),
    "mnv4-hybrid-m+none": ModelSpec(backbone="mnv4_hybrid_medium", mobile_attention="none"),
    "mnv4-hybrid-m+mhsa": ModelSpec(backbone="mnv4_hybrid_medium", mobile_attention="mhsa"),
    "mnv4-hybrid-m+mqa": ModelSpec(backbone="mnv4_hybrid_medium", mobile_attention="mqa"),
    # What a widely copied article prints; variants.CONV_SMALL_AS_PRINTED says in what it is not as published.
    "mnv4-yolov10n-as-printed": ModelSpec(scale="n", backbone="mnv4_conv_small_as_printed", p5_tap=1280),
}
"""Name → a MobileNetV4 detector of this project."""

PEERS = {name: ModelSpec(peer=name) for name in get_args(Peer)}
"""Name → a detector that a user might pick instead."""


def build(name: str, classes: int = 80, *, seed: int = 0, read: Read | None = None) -> Detector:
    """Return a detector or a peer by name, with fresh weights.

    It is an ultralytics DetectionModel; mnv4bench.as_yolo wraps it for predict, val and export. mnv4bench.load reads a
    trained one.

    Args:
        read: "nms_free" (the default of a dual head) or "nms".

    Raises:
        SpecError: there is no such name.
    """
    from mnv4bench.models import detector

    known = DETECTORS | PEERS
    if name not in known:
        trained = "mnv4bench.load reads what was trained; " if Path(name).exists() else ""
        raise SpecError(f"no model {name!r}; {trained}{nearest(name, tuple(known))}")
    return detector.build(known[name], classes, seed=seed, read=read)


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("mnv4bench.models.yolo"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
