"""Does it pay? Paired ablations of MobileNetV4 and YOLOv10 parts, with honest statistics."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnv4bench.models import as_yolo, build

__all__ = ["as_yolo", "build"]


def __getattr__(name: str) -> Any:
    """Import the models, and torch with them, when they are first asked for."""
    if name in __all__:
        return getattr(importlib.import_module("mnv4bench.models"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
