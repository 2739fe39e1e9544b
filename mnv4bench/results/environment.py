"""The machine and the software that a result was made with."""

from __future__ import annotations

from mnv4bench.results.record import Record


class Environment(Record):
    """Where a result was made; results from two fingerprints are never averaged."""

    cpu: str
    cpu_flags: str
    """SHA-256 of the sorted list of instruction-set flags, first 12 digits."""
    gpu: str | None
    cores: int
    platform: str
    python: str
    packages: dict[str, str]
    threads: int
    commit: str | None
    """Git commit of the code, with "+" where files differ from it; None outside a checkout."""
