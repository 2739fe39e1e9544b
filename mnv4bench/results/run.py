"""runs/<run>/status.json: how training ended."""

from __future__ import annotations

from typing import Literal

from mnv4bench.results.environment import Environment
from mnv4bench.results.record import Record

State = Literal["done", "diverged", "out_of_memory", "failed"]


class Status(Record):
    """runs/<run>/status.json: how training ended. Written last; while it is missing the run is unfinished."""

    run: str
    state: State
    reason: str | None = None
    epochs: int
    steps: int
    images_per_second: float | None = None
    seconds: float
    """Training time over all of the run's starts."""
    peak_memory_mib: float | None = None
    weights_digest: str | None = None
    """SHA-256 over names, shapes and bytes of the final EMA tensors."""
    environment: Environment
