"""Usage statistics that libraries would send, and how each is kept from it."""

from __future__ import annotations

import sys


def without_openvino_telemetry() -> None:
    """Let OpenVINO's sender look as if it were not installed; its own switch is a file in the user's home."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
