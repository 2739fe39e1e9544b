"""A lock that dies with its process, so that a kill leaves nothing to clean up."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from mnv4bench.io.errors import Busy

WITHOUT_LOCKS = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL)
LEASE = 60.0
"""Seconds without a sign of life, on the waiting process's own clock, after which a lease is another's to take."""
PATIENCE = 1.5 * LEASE
"""Seconds that who does not wait gives a silent holder on another machine."""


@contextmanager
def exclusive(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock file `path`, which says who holds it.

    Where the file system has no locks, as some of clusters have not, a lease beside it serves: the holder renews it
    several times a minute, and a process that loses it, because it was stopped for longer, ends.

    Args:
        wait: for another process that holds it, and say so; otherwise that is an error.

    Raises:
        Busy: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as stream:
        try:
            _take(stream, path, wait)
            lease = None
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
            lease = _leased(stream, path, wait)
        try:
            stream.truncate(0)
            stream.write(f"process {os.getpid()} on {platform.node()}\n")
            stream.flush()
            yield
        finally:
            if lease is not None:
                lease.release()


def _take(stream: TextIO, path: Path, wait: bool) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _tell(stream, path, wait)
        fcntl.flock(stream, fcntl.LOCK_EX)


def _leased(stream: TextIO, path: Path, wait: bool) -> Any:
    import filelock  # needed here alone

    lease = filelock.SoftFileLease(
        path.with_name(f"{path.name}.lease"), lease_duration=LEASE, on_compromise=lambda _: _end(path)
    )
    try:
        lease.acquire(timeout=0)
    except filelock.Timeout:
        if wait:
            _tell(stream, path, wait)
        try:  # a holder on another machine that was killed is known by its silence
            lease.acquire(timeout=-1 if wait else PATIENCE)
        except filelock.Timeout:
            _tell(stream, path, wait)
    return lease


def _tell(stream: TextIO, path: Path, wait: bool) -> None:
    stream.seek(0)
    holder = f"{path.parent}: {stream.read().strip() or 'another process'} is at work here"
    if not wait:
        raise Busy(f"{holder}; wait for it to end, or stop it (Ctrl-C in its terminal)")
    print(f"{holder}; waiting for it (Ctrl-C in its terminal stops it)", file=sys.stderr, flush=True)


def _end(path: Path) -> None:
    print(f"{path}: another process has taken over; this one ends", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
