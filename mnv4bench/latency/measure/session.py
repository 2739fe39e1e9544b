"""One session: a process of its own in which every candidate is loaded, checked and timed, one image at a time."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import torch

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.latency.measure.canary import canary
from mnv4bench.latency.measure.loading import load_all
from mnv4bench.latency.measure.protocol import run_session
from mnv4bench.latency.measure.task import Session, Task
from mnv4bench.machine.environment import environment
from mnv4bench.machine.load import busy_cores, busy_since, now
from mnv4bench.machine.orphans import end_with_parent
from mnv4bench.machine.process import keep_freed_memory
from mnv4bench.results.latency import LatencySession

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def in_new_process(task: Task) -> Session:
    """Run a session in a fresh process, which inherits its thread limits and dies with this one; sleep until it ends.

    Raises:
        Mnv4benchError: the process was killed, or raised one of these errors itself.
    """
    context = multiprocessing.get_context("spawn")
    with (
        thread_limits(task.threads),
        ProcessPoolExecutor(1, mp_context=context, initializer=end_with_parent) as pool,
    ):
        try:
            return pool.submit(run, task).result()
        except BrokenProcessPool as error:
            raise Mnv4benchError(
                "the latency session's process was killed, most often for lack of memory; free some and run it again"
            ) from error


@contextmanager
def thread_limits(threads: int) -> Iterator[None]:
    """Set the thread limits that a process started in this block inherits."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def run(task: Task) -> Session:
    """Load every candidate in every runtime, check that it computes what was scored, and time all of them together.

    Raises:
        Mnv4benchError: damaged weights, or an image that cannot be read.
    """
    busy = busy_cores()
    torch.set_num_threads(task.threads)
    torch.set_num_interop_threads(1)
    keep_freed_memory()  # a running service reaches this state; page faults would time the kernel instead

    loaded = load_all(task)
    print(
        f"session {task.number}: {len(loaded.subjects)} networks × runtimes, {task.threads} thread(s), "
        f"{task.schedule.rounds} rounds",
        file=sys.stderr,
        flush=True,
    )
    start = now()
    blocks = run_session(
        [*loaded.subjects, canary()], len(task.images), task.schedule, task.seed, task.number, task.threads
    )
    end = now()
    facts = LatencySession(
        number=task.number,
        threads=task.threads,
        seconds=end.clock - start.clock,
        busy_before=round(busy, 2),
        busy_during=busy_since(start),
        involuntary_switches=end.switches - start.switches,
    )
    return Session(tuple(blocks), facts, loaded.absent, loaded.failed, loaded.int8_ap, environment())
