"""Which machine measures, and how quiet it is."""

from __future__ import annotations

import hashlib
import os
import platform
import resource
import time
from dataclasses import dataclass
from pathlib import Path

from mnv4bench.results.environment import Environment

BUSY = 0.5
"""Share of the cores at work for others, above which times are not comparable."""
PACKAGES = (
    "torch",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "ncnn",
    "pnnx",
    "ai-edge-litert",
    "litert-torch",
    "litert-converter",
)
"""Packages whose version moves times."""


@dataclass(frozen=True)
class CoreTime:
    """Seconds since the machine started, summed over the cores that this process may use."""

    busy: float
    total: float
    cores: int


def core_time() -> CoreTime | None:
    """Return the kernel's count in /proc/stat (proc(5)), time stolen by other guests as busy; None without it."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    usable = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    lines = [line.split() for line in stat.read_text().splitlines()]
    ticks = [[int(value) for value in values[:8]] for name, *values in lines if name in usable]
    unit = os.sysconf("SC_CLK_TCK")
    idle = sum(row[3] + row[4] for row in ticks) / unit
    total = sum(map(sum, ticks)) / unit
    return CoreTime(total - idle, total, len(ticks))


def busy_cores(seconds: float = 2.0) -> float:
    """Return how many of this process's cores are at work now, averaged over `seconds` of sleep.

    The system's load average would still count the training that ended a moment ago; it is used where the kernel does
    not count core time.
    """
    before = core_time()
    time.sleep(seconds)
    after = core_time()
    if before is None or after is None or after.total <= before.total:
        return os.getloadavg()[0]
    return after.cores * (after.busy - before.busy) / (after.total - before.total)


@dataclass(frozen=True)
class Moment:
    """Where the counters stood."""

    clock: float
    own: float
    """CPU seconds of this process."""
    cores: CoreTime | None
    switches: int
    """Times that this process was put aside although it could have gone on."""


def now() -> Moment:
    switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    return Moment(time.perf_counter(), time.process_time(), core_time(), switches)


def busy_since(start: Moment) -> float | None:
    """Return how many cores were at work for others since `start`; None where the kernel does not count core time."""
    end = now()
    if start.cores is None or end.cores is None or end.clock <= start.clock:
        return None
    others = end.cores.busy - start.cores.busy - (end.own - start.own)
    return max(0.0, others / (end.clock - start.clock))


def fingerprint(environment: Environment) -> str:
    """Return 12 digits of SHA-256 over what times depend on; times from two fingerprints are never compared."""
    facts = [
        environment.cpu,
        environment.cpu_flags,
        environment.gpu,
        environment.cores,
        environment.platform,
        platform.release(),
        _memory(),
        _governor(),
        *(f"{name} {environment.packages[name]}" for name in PACKAGES if name in environment.packages),
    ]
    return hashlib.sha256("|".join(map(str, facts)).encode()).hexdigest()[:12]


def _memory() -> int:
    """Return the machine's memory in whole GiB: a kernel update moves the bytes that it keeps for itself."""
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)


def _governor() -> str:
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return path.read_text().strip() if path.exists() else "unknown"
