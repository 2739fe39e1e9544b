"""The state of an unfinished run between two epochs, on disk."""

from __future__ import annotations

from pathlib import Path

import torch

from mnv4bench.io.files import replacing
from mnv4bench.train.loop import Trainer

FILE = "checkpoint.pt"


def save(trainer: Trainer, folder: Path) -> None:
    with replacing(folder / FILE) as temporary:
        torch.save(trainer.state(), temporary)


def resume(trainer: Trainer, folder: Path) -> None:
    """Move a new trainer on to the run's last finished epoch, if there is one."""
    path = folder / FILE
    if path.exists():
        trainer.load_state(torch.load(path, map_location="cpu", weights_only=True))
