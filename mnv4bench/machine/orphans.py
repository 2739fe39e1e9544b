"""No process outlives the one that started it."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time

PAUSE = 0.5
"""Seconds between two looks for the parent."""


def end_with_parent() -> None:
    """Let this process, started by multiprocessing, end as soon as its parent is gone.

    However the parent dies, `kill -9` included, the kernel closes its end of the pipe that a thread here sleeps on.
    """
    threading.Thread(target=_end_after_parent, daemon=True).start()


def end_after(parent: int) -> None:
    """Let this process end within a second after its parent is gone, by whatever means it was started."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PAUSE)
    os._exit(1)


def _end_after_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # the main thread may be inside a library for minutes
