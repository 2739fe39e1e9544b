"""How training ended, as a status: which errors are a result of their own, and what is kept of a run."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch

from mnv4bench.io.files import write_json
from mnv4bench.machine.environment import environment
from mnv4bench.models import weights
from mnv4bench.models.yolo import Detector
from mnv4bench.results.curve import write_curve
from mnv4bench.results.run import State, Status
from mnv4bench.train import checkpoint
from mnv4bench.train.loop import Trainer


def finish(run: str, folder: Path, trainer: Trainer | None, state: State, reason: str | None) -> Status:
    """Write what is left of a run, status.json last, and return the status.

    Args:
        trainer: None where the run never started.
    """
    if trainer:
        write_curve(folder / "curve.csv", trainer.curve)
    digest = None
    if state == "done" and trainer:
        average = trainer.ema.ema
        assert isinstance(average, Detector)
        digest = weights.save(average, folder / "weights.safetensors")
    status = Status(
        run=run,
        state=state,
        reason=reason,
        epochs=trainer.epoch if trainer else 0,
        steps=trainer.step if trainer else 0,
        images_per_second=trainer.images / trainer.seconds if trainer and trainer.seconds else None,
        seconds=trainer.seconds if trainer else 0.0,
        peak_memory_mib=_peak_memory_mib(),
        weights_digest=digest,
        environment=environment(),
    )
    write_json(folder / "status.json", status)
    if state in ("done", "diverged"):  # after any other end, deleting status.json goes on from here
        (folder / checkpoint.FILE).unlink(missing_ok=True)
    return status


def _peak_memory_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an exception says that memory ran out, on any device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    )
