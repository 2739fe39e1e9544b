"""Old names of what accuracy.py, timing.py and text.py have; goes when the last caller has switched."""

from __future__ import annotations

from mnv4bench.report.accuracy import agreement, p_value, seed_error, strong, verdict
from mnv4bench.report.text import accuracy_legend, reason, resolution
from mnv4bench.report.text import time_legend as speed_legend
from mnv4bench.report.timing import milliseconds, ratio, resolutions
from mnv4bench.report.timing import ratio_and_verdict as ratio_and_speed
from mnv4bench.report.timing import verdict as speed

__all__ = [
    "accuracy_legend",
    "agreement",
    "milliseconds",
    "p_value",
    "ratio",
    "ratio_and_speed",
    "reason",
    "resolution",
    "resolutions",
    "seed_error",
    "speed",
    "speed_legend",
    "strong",
    "verdict",
]
