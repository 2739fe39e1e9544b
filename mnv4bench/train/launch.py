"""Starting the ranks of a training through torchrun, on this machine or on all nodes that SLURM gave the job."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence

from mnv4bench.io.errors import Mnv4benchError, SpecError

RANK = "mnv4bench.rank"
"""The program of a rank."""
NODES = "SLURM_JOB_NUM_NODES"
PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def torchrun(devices: int, cores: int, arguments: Sequence[str]) -> None:
    """Run the ranks until all of them have ended.

    Args:
        cores: of each rank.
        arguments: of each rank's program.

    Raises:
        SpecError: the job's nodes cannot have equally many ranks.
        Mnv4benchError: a rank failed.
    """
    process = subprocess.Popen(
        [*command(devices, cores, int(os.environ.get(NODES, "1"))), "-m", RANK, *arguments],
        preexec_fn=_ending_with_parent() if sys.platform == "linux" else None,
    )
    try:
        code = process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if code:
        raise Mnv4benchError(f"{arguments[0]}: a rank failed, as is said above; the next start goes on from its epoch")


def command(devices: int, cores: int, nodes: int) -> list[str]:
    """Return the command that starts so many ranks of the program behind it."""
    if devices % nodes:
        raise SpecError(f"train.devices: {devices} ranks cannot be shared out equally among the job's {nodes} nodes")
    run = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={devices // nodes}"]
    if nodes == 1:
        return [*run, "--standalone"]
    meeting = ["--rdzv-backend=c10d", f"--rdzv-endpoint={platform.node()}:{_free_port()}"]
    share = [
        f"--nodes={nodes}",
        f"--ntasks={nodes}",
        "--ntasks-per-node=1",
        f"--cpus-per-task={devices // nodes * cores}",
    ]
    # The job's own step holds what is shared out here.
    return ["srun", "--overlap", *share, *run, f"--nnodes={nodes}", *meeting]


def _free_port() -> int:
    with socket.create_server(("", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def _ending_with_parent() -> Callable[[], None]:
    """Return what a child calls to be ended with this process; the library is looked up here, before the fork."""
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
