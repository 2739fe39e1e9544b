"""Starts of a run that the kernel ended for lack of memory: no exception tells of them, so they are counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mnv4bench.io.files import write_json
from mnv4bench.results.record import read_record
from mnv4bench.results.starts import Starts
from mnv4bench.train import checkpoint

FILE = "starts.json"
LIMIT = 3
"""Kills in the same epoch after which the run counts as out of memory."""


@contextmanager
def counted(folder: Path) -> Iterator[int]:
    """Note that a run starts; yield how many earlier starts were killed, for lack of memory, before they got further.

    Whatever ends the block in order, an exception or Ctrl-C included, clears the count.
    """
    path = folder / FILE
    mark = checkpoint.mark(folder)
    killed = 0
    if path.exists():
        earlier = read_record(path, Starts)
        if earlier.checkpoint == mark:
            killed = earlier.killed + may_have_run_out_of_memory(earlier)
    write_json(path, Starts(checkpoint=mark, killed=killed, boot=boot(), oom_kills=oom_kills()).sealed())
    try:
        yield killed
    finally:
        path.unlink(missing_ok=True)


def may_have_run_out_of_memory(start: Starts) -> bool:
    """Whether a killed start may have been the kernel's doing: not where its count of such kills has not moved."""
    now = oom_kills()
    same_session = start.boot is not None and start.boot == boot()
    return not same_session or now is None or start.oom_kills is None or now > start.oom_kills


def oom_kills() -> int | None:
    """Return how many processes the kernel has killed for lack of memory (/proc/vmstat, since Linux 4.13)."""
    text = _read("/proc/vmstat") or ""
    counts = [line.split()[1] for line in text.splitlines() if line.startswith("oom_kill ")]
    return int(counts[0]) if counts else None


def boot() -> str | None:
    """Return what names the machine's session since it was switched on."""
    return _read("/proc/sys/kernel/random/boot_id")


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return None
