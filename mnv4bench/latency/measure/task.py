"""What a session is told to do, and what it brings back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mnv4bench.latency.measure.accuracy import Split
from mnv4bench.latency.measure.candidates import Candidate
from mnv4bench.latency.measure.protocol import Schedule
from mnv4bench.results.blocks import Block
from mnv4bench.results.environment import Environment
from mnv4bench.results.latency import LatencySession


@dataclass(frozen=True)
class Task:
    """What one session has to do; travels to its process."""

    candidates: tuple[Candidate, ...]
    """Each is another network."""
    reference: str
    """Label of the candidate that is timed twice."""
    runtimes: tuple[str, ...]
    images: tuple[tuple[int, Path], ...]
    """Id and file of each image to time on."""
    imgsz: int
    """Side in pixels that they are letterboxed to."""
    schedule: Schedule
    calibration: tuple[Path, ...] = ()
    """Images for int8 runtimes."""
    score: Split | None = None
    """What int8 runtimes are scored on; None leaves their AP out."""
    number: int = 0
    threads: int = 1
    seed: int = 0
    """Of the order of turns."""


@dataclass(frozen=True)
class Session:
    """What a session brings back."""

    blocks: tuple[Block, ...]
    facts: LatencySession
    absent: dict[str, str]
    """Runtime → why it could not be used."""
    failed: dict[tuple[str, str], str]
    """Label and runtime → why this network was not timed in it."""
    int8_ap: dict[tuple[str, str], float | None]
    """Label and int8 runtime → AP of what it computes."""
    environment: Environment
