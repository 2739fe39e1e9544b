"""runs/<run>/pairing.json: what a run started from, so that another arm can be shown to start alike."""

from __future__ import annotations

from mnv4bench.results.record import Record


class Pairing(Record):
    """runs/<run>/pairing.json."""

    group: str
    """Runs of one group must draw the same batches and initial values."""
    prints: dict[str, str]
    """Digests of the first batch and of every group of initial tensors, by name."""
    gpu: str | None = None
    """Kind of GPU that the run was trained on; None on a CPU, and in older files."""
