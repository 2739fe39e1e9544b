"""runs/<run>/pretrained.json: what a run loaded before its training, and what started from the seed."""

from __future__ import annotations

from mnv4bench.results.record import Record

PRETRAINED = "pretrained.json"


class Pretrained(Record):
    """runs/<run>/pretrained.json."""

    file: str
    """As the preset or the ablation names it."""
    sha256: str
    loaded: tuple[str, ...]
    """Layers, as "p5_out.cv1"."""
    fresh: tuple[str, ...]
    """Layers that differ in shape, are not there, or lie in a part that the ablation starts fresh."""
