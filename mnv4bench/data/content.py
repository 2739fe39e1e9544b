"""The bytes of a file of somebody else's, who may have put anything in its place."""

from __future__ import annotations

import stat
from pathlib import Path

from mnv4bench.io.errors import DataError

MOST_BYTES = 1 << 30


def file_content(path: Path, what: str = "image") -> bytes:
    """Return a regular file's bytes; pipes and devices, which may never end, are refused.

    Args:
        what: is expected in it, for messages.

    Raises:
        DataError: names the file and the reason.
    """
    path = Path(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{path}: not a regular file; put the {what} itself in its place")
        if status.st_size > MOST_BYTES:
            raise DataError(f"{path}: larger than 1 GiB; make the {what} smaller")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{path}: missing {what} file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
