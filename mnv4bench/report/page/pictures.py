"""Pictures as addresses that hold them, so that a page needs no other file."""

from __future__ import annotations

import base64
from pathlib import Path

from mnv4bench.io.errors import Mnv4benchError


def address(path: Path) -> str:
    """Return a PNG as an address that holds it.

    Raises:
        Mnv4benchError: it is missing.
    """
    if not path.is_file():
        raise Mnv4benchError(f"{path}: is missing; draw the figures first")
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
