"""Old names of what accuracy.py and text.py have; goes when the last caller has switched."""

from __future__ import annotations

from mnv4bench.report.accuracy import decimals_for, interval
from mnv4bench.report.accuracy import mean as mean_cell
from mnv4bench.report.accuracy import per_seed as seed_cells
from mnv4bench.report.formatting import STATES
from mnv4bench.report.text import arm_notes, from_scratch, not_comparable, not_timed, protocol, uncertainty

__all__ = [
    "STATES",
    "arm_notes",
    "decimals_for",
    "from_scratch",
    "interval",
    "mean_cell",
    "not_comparable",
    "not_timed",
    "protocol",
    "seed_cells",
    "uncertainty",
]
