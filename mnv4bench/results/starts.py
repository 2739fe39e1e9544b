"""runs/<run>/starts.json: the start that is going on; removed when it ends, so that what is left tells of a kill."""

from __future__ import annotations

from mnv4bench.results.record import Sealed


class Starts(Sealed):
    """runs/<run>/starts.json."""

    checkpoint: str | None
    """Digest of the checkpoint that the start goes on from; None where there is none."""
    killed: int
    """Earlier starts that went on from the same checkpoint and may have been killed for lack of memory."""
    boot: str | None
    """The machine's session since it was switched on; None where the system does not tell."""
    oom_kills: int | None
    """Processes that the kernel had killed for lack of memory; None where the system does not count them."""
