"""A lock that dies with its process, so that a kill leaves nothing to clean up."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from mnv4bench.io.errors import Mnv4benchError

WITHOUT_LOCKS = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL)


@contextmanager
def exclusive(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock file `path`, which says who holds it.

    Args:
        wait: for another process that holds it, and say so; otherwise that is an error.

    Raises:
        Mnv4benchError: another process holds it, or the file system has no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as stream:
        if not _locked(stream, path, fcntl.LOCK_EX | fcntl.LOCK_NB):
            stream.seek(0)
            holder = f"{path.parent}: {stream.read().strip() or 'another process'} is at work here"
            if not wait:
                raise Mnv4benchError(f"{holder}; wait for it to end, or stop it")
            print(f"{holder}; waiting for it", file=sys.stderr, flush=True)
            _locked(stream, path, fcntl.LOCK_EX)
        stream.truncate(0)
        stream.write(f"process {os.getpid()} on {platform.node()}\n")
        stream.flush()
        yield


def _locked(stream: TextIO, path: Path, how: int) -> bool:
    try:
        fcntl.flock(stream, how)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
        raise Mnv4benchError(
            f"{path}: the file system has no locks (flock: {error.strerror}); put the folder on one that has them"
        ) from error
    return True
