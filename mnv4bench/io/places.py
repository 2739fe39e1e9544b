"""Where files of others are looked for: data sets, and networks that have learned."""

from __future__ import annotations

import os
from pathlib import Path

DATA_VARIABLE = "MNV4BENCH_DATA"
"""Environment variable that names the folder in which data sets are looked for first."""
BACKBONE_VARIABLE = "MNV4BENCH_WEIGHTS"
"""Environment variable: a folder of timm's checkpoints, NAME.safetensors, looked into before the hub's cache."""
WEIGHTS = "weights"


def cache() -> Path:
    """Return the folder for fetched data (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mnv4bench"


def fetched_weights() -> Path:
    """Return the folder that fetched checkpoints lie in."""
    return cache() / WEIGHTS


def weight_folders() -> list[Path]:
    """Return where published checkpoints are looked for: $MNV4BENCH_DATA/weights, then where fetched files lie."""
    base = os.environ.get(DATA_VARIABLE)
    return [*([Path(base) / WEIGHTS] if base else []), fetched_weights()]


def hub_file(repository: str, file: str) -> Path | None:
    """Return a file of the Hugging Face hub from its client's cache; None where it has not been fetched."""
    home = os.environ.get("HF_HOME") or os.environ.get("XDG_CACHE_HOME", "~/.cache") + "/huggingface"
    hub = Path(os.environ.get("HF_HUB_CACHE") or f"{home}/hub").expanduser()
    snapshots = hub / f"models--{repository.replace('/', '--')}" / "snapshots"
    found = [path for path in snapshots.glob(f"*/{file}") if path.is_file()]
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)
