"""How training ended, as files: which errors are a result of their own, and what is kept of a run."""

from __future__ import annotations

import errno
import resource
import sys
from pathlib import Path
from typing import NotRequired, TypedDict

import torch

from mnv4bench.io.files import sha256, write_json
from mnv4bench.machine.environment import environment
from mnv4bench.models import weights
from mnv4bench.models.code import code_of
from mnv4bench.models.yolo import Detector
from mnv4bench.results.curve import write_curve
from mnv4bench.results.run import State, Status
from mnv4bench.train.loop import Progress


class Outcome(TypedDict):
    """What `write_outcome` is told of a training."""

    state: State
    reason: str | None
    progress: Progress
    average: NotRequired[Detector]


def write_outcome(
    folder: Path,
    data: str,
    state: State,
    reason: str | None,
    progress: Progress | None = None,
    average: Detector | None = None,
    checkpoint: Path | None = None,
) -> Status:
    """Write what is left of a run, status.json last, and return the status.

    Args:
        data: digest of the prepared data.
        progress: None where the run never started.
        average: the averaged model of a run that is done.
        checkpoint: file that its weights were published in.
    """
    if progress:
        write_curve(folder / "curve.csv", progress.curve)
    progress = progress or Progress()
    status = Status(
        run=folder.name,
        state=state,
        reason=reason,
        epochs=progress.epoch,
        steps=progress.step,
        images_per_second=progress.images / progress.seconds if progress.seconds else None,
        seconds=progress.seconds,
        peak_memory_mib=_peak_memory_mib(),
        data_digest=data,
        weights_digest=weights.save(average, folder / "weights.safetensors") if average else None,
        code=code_of(average.modules(), getattr(average, "yaml", {}).get("mnv4bench", {})) if average else {},
        classes=tuple(average.names[index] for index in sorted(average.names)) if average else (),
        checkpoint=checkpoint.name if checkpoint else None,
        checkpoint_sha256=sha256(checkpoint) if checkpoint else None,
        environment=environment(),
    )
    write_json(folder / "status.json", status)
    return status


def _peak_memory_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an exception says that memory ran out, on any device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    )
