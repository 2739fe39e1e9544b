"""Being asked to end is not being killed: what is open is closed, and temporary files are removed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

REQUESTS = (signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C is an exception in Python already."""


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Turn a request to end into SystemExit inside the block, where nothing else handles it."""
    mine = []
    if threading.current_thread() is threading.main_thread():
        mine = [request for request in REQUESTS if signal.getsignal(request) is signal.SIG_DFL]
    for request in mine:
        signal.signal(request, _exit)
    try:
        yield
    finally:
        for request in mine:
            signal.signal(request, signal.SIG_DFL)


def _exit(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
