"""Does it pay? Paired ablations of MobileNetV4 and YOLOv10 parts, with honest statistics."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnv4bench.latency.named import load
    from mnv4bench.models import as_yolo, build

__all__ = ["as_yolo", "build", "load"]

PLACES = {"as_yolo": "mnv4bench.models", "build": "mnv4bench.models", "load": "mnv4bench.latency.named"}


def __getattr__(name: str) -> Any:
    """Import the models, and torch with them, when they are first asked for."""
    if name in PLACES:
        return getattr(importlib.import_module(PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
