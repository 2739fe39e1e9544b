"""Which of a machine's GPUs a job may use: free ones, from a pool that dies with the processes that hold them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path

from mnv4bench.io.errors import Busy, Mnv4benchError
from mnv4bench.io.locks import exclusive

VISIBLE = "CUDA_VISIBLE_DEVICES"
ALLOCATED = "SLURM_JOB_ID"
"""Set where a scheduler has given the job its GPUs already."""
PAUSE = 1.0
"""Seconds between two looks for a free GPU."""


def devices() -> list[str]:
    """Return the UUIDs of the GPUs that this process may see, in the order of `nvidia-smi`."""
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    uuids = re.findall(r"UUID: (GPU-[\w-]+)", listing)
    if VISIBLE not in os.environ:
        return uuids
    chosen = [name.strip() for name in os.environ[VISIBLE].split(",")]
    return [uuid for name in chosen if name for index, uuid in enumerate(uuids) if _names(name, index, uuid)]


def _names(name: str, index: int, uuid: str) -> bool:
    return int(name) == index if name.isdecimal() else uuid.startswith(name)


def require(count: int) -> None:
    """Find out whether this machine has so many GPUs and a PyTorch that uses them.

    Asked of another process, as PyTorch takes seconds to import.

    Raises:
        Mnv4benchError: it has not; one sentence.
    """
    program = "import torch; print(torch.__version__, torch.cuda.device_count())"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    version, found = answer.stdout.split() if answer.returncode == 0 else ("", "0")
    if int(found) < count:
        raise Mnv4benchError(
            f"train.device: cuda needs {_count(count)} here, and PyTorch {version} finds {found}; start on a machine "
            "that has them (profiles/slurm), install a CUDA build of PyTorch, or choose a preset that trains on the CPU"
        )


@contextmanager
def claimed(count: int, slots: int = 1, whole: bool = False) -> Iterator[None]:
    """Hold `count` of this user's GPUs, waiting for them, and let this process and its children see no others.

    Where a scheduler has given the job its GPUs, these are used as they are.

    Args:
        slots: jobs that may share one GPU; a job that takes several GPUs shares none.
        whole: share with no other job.

    Raises:
        Mnv4benchError: the machine has fewer.
    """
    if not count or ALLOCATED in os.environ:
        yield
        return
    pool = devices()
    if len(pool) < count:
        raise Mnv4benchError(f"{_count(count)} wanted, and nvidia-smi lists {len(pool)} that {VISIBLE} allows")
    with ExitStack() as held:
        mine = _wait(pool, count, slots, whole or count > 1, held)
        before = os.environ.get(VISIBLE)
        os.environ[VISIBLE] = ",".join(mine)
        try:
            yield
        finally:
            os.environ.pop(VISIBLE)
            if before is not None:
                os.environ[VISIBLE] = before


def _wait(pool: Sequence[str], count: int, slots: int, whole: bool, held: ExitStack) -> list[str]:
    folder = Path(tempfile.gettempdir()) / f"mnv4bench-gpus-{os.getuid()}"
    told = False
    while True:
        with exclusive(folder / "choosing" / "lock"):  # one at a time, so that two never hold half of what they need
            mine = _free(folder, pool, count, slots, whole, held)
        if mine:
            return mine
        if not told:
            print(f"waiting for {_count(count)} of {len(pool)} to be free", file=sys.stderr, flush=True)
        told = True
        time.sleep(PAUSE)


def _free(folder: Path, pool: Sequence[str], count: int, slots: int, whole: bool, held: ExitStack) -> list[str]:
    """Lock and return free GPUs, the least shared first; lock none where there are too few."""
    mine: list[str] = []
    with ExitStack() as attempt:
        for slot, uuid in product([0], pool) if whole else product(range(slots), pool):
            with ExitStack() as one:
                try:
                    for number in range(slots) if whole else [slot]:
                        one.enter_context(exclusive(folder / uuid / f"slot{number}", wait=False))
                except Busy:
                    continue
                attempt.push(one.pop_all())
                mine.append(uuid)
            if len(mine) == count:
                held.push(attempt.pop_all())
                return mine
    return []


def _count(number: int) -> str:
    return f"{number} GPU{'' if number == 1 else 's'}"
