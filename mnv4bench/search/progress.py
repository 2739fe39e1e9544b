"""Work in numbered steps that can be killed at any time: a search, or the training of a network."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from mnv4bench.io.errors import Diverged
from mnv4bench.train import checkpoint

SAVED_EVERY = 50
"""Steps between checkpoints."""
TOLD_EVERY = 30.0
"""Seconds between lines of progress."""


class Job(Protocol):
    """What `finish` takes to its end."""

    name: str
    step: int
    """Steps that are done."""
    steps: int

    def run_step(self) -> None: ...

    def state(self) -> dict[str, Any]: ...

    def load_state(self, state: dict[str, Any]) -> None: ...


def finish(job: Job, identity: checkpoint.Identity, folder: Path) -> None:
    """Run all steps, from the checkpoint in `folder` on where there is one; the last checkpoint stays there.

    Whoever has written the job's result calls `forget`.

    Raises:
        FileError: a file cannot be written or read.
        Diverged: names the step at which a loss was not finite.
        Mnv4benchError: what else a step raises.
    """
    if state := checkpoint.read(identity, folder):
        job.load_state(state)
    for _ in _told(job):
        try:
            job.run_step()
        except Diverged as error:
            raise Diverged(f"{folder}, {job.name}, step {job.step + 1} of {job.steps}: {error}") from error
        if job.step % SAVED_EVERY == 0 or job.step == job.steps:
            checkpoint.save(job, identity, folder)


def forget(folder: Path) -> None:
    """Remove a checkpoint that nothing needs any more."""
    (folder / checkpoint.FILE).unlink(missing_ok=True)


def _told(job: Job) -> Iterator[int]:
    """Yield the remaining steps, and print now and then how far the job is and how long the rest will take."""
    start, first = time.monotonic(), job.step
    told = start
    for number in range(job.step, job.steps):
        now = time.monotonic()
        if now - told > TOLD_EVERY:
            left = (now - start) / (number - first) * (job.steps - number) / 60
            print(f"{job.name}: step {number} of {job.steps}, {left:.0f} min left", file=sys.stderr, flush=True)
            told = now
        yield number
