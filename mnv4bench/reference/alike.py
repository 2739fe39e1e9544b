"""Which machines should train to the same bytes, and which may be compared in time."""

from __future__ import annotations

from mnv4bench.results.environment import Environment

TRAINING_PACKAGES = ("torch", "numpy", "ultralytics", "opencv-python-headless", "pycocotools")


def trains_alike(a: Environment, b: Environment) -> bool:
    """Return whether two environments should train to the same bytes: the kind of processor, threads and libraries."""
    return same_processor(a, b) and a.threads == b.threads and _packages(a) == _packages(b)


def same_processor(a: Environment, b: Environment) -> bool:
    return (a.cpu, a.cpu_flags, a.gpu, a.platform) == (b.cpu, b.cpu_flags, b.gpu, b.platform)


def _packages(e: Environment) -> list[str | None]:
    return [e.packages.get(name) for name in TRAINING_PACKAGES]
