"""The fingerprint of the machine and software that made a result."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import subprocess
from pathlib import Path

import torch

from mnv4bench.machine.cores import usable_cores
from mnv4bench.results.environment import Environment

PACKAGES = (
    "torch",
    "ultralytics",
    "numpy",
    "opencv-python-headless",
    "pycocotools",
    "fvcore",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "nncf",
    "ncnn",
    "pnnx",
    "ai-edge-litert",
    "litert-torch",
    "litert-converter",
    "executorch",
    "snakemake",
)


def environment() -> Environment:
    """Return the record of this process's machine, packages, thread count and code."""
    cpu, flags = _cpu()
    return Environment(
        cpu=cpu,
        cpu_flags=flags,
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        cores=usable_cores(),
        platform=f"{platform.system()}-{platform.machine()}",
        python=platform.python_version(),
        packages={name: version for name in PACKAGES if (version := _version(name))},
        threads=torch.get_num_threads(),
        commit=_commit(),
    )


def _cpu() -> tuple[str, str]:
    name, flags = platform.processor() or platform.machine(), ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        fields = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
        fields = {key.strip(): value.strip() for key, value in fields.items()}
        name = fields.get("model name", name)
        flags = " ".join(sorted(fields.get("flags", fields.get("Features", "")).split()))
    return name, hashlib.sha256(flags.encode()).hexdigest()[:12]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    folder = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True, timeout=10
        )
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
