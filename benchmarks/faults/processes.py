"""Many short Python processes at the price of one: a server that has imported everything forks one for each request.

Nearly all the time of a step on tiny data is the import of torch and snakemake. Here `sys.executable`, which the
workflow starts its steps with, is a small script that hands its arguments, folder, environment and streams to the
server and returns the exit status. The fork joins the process group of whoever asked: killing the group kills it.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import importlib
import itertools
import json
import multiprocessing
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

CLIENT = """#!{python} -SE
import array, json, os, socket, sys
def is_open(number):
    try:
        return bool(os.fstat(number))
    except OSError:
        return False
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
streams = array.array("i", [n for n in map(int, os.listdir("/proc/self/fd")) if n != server.fileno() and is_open(n)])
request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ), os.getpgrp(), list(streams)]).encode()
server.sendmsg([len(request).to_bytes(8, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
server.sendall(request)
answer = server.recv(1)
sys.exit(answer[0] if answer else 255)
"""


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    status: int
    """As a shell has it; 124 after the time limit."""
    output: str
    """Both streams together."""

    @property
    def traceback(self) -> bool:
        return "Traceback (most recent call last)" in self.output


@contextlib.contextmanager
def interpreter(folder: Path) -> Iterator[Path]:
    """Yield a stand-in for the Python interpreter, served until the block ends."""
    address, script = folder / "socket", folder / "python"
    address.unlink(missing_ok=True)
    script.write_text(CLIENT.format(python=sys.executable, address=str(address)))
    script.chmod(0o755)
    command = [sys.executable, "-m", "benchmarks.faults.processes", str(address), str(script)]
    server = subprocess.Popen(command, cwd=ROOT, env=environment())
    try:
        while not address.exists():
            if server.poll() is not None:
                raise RuntimeError("the server of processes did not start")
            time.sleep(0.05)
        yield script
    finally:
        server.terminate()
        server.wait()


def environment() -> dict[str, str]:
    """Return the variables of every process: one thread each, no network, no window, no buffer."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {**os.environ, **threads, "PYTHONPATH": str(ROOT), "YOLO_OFFLINE": "1", "MPLBACKEND": "Agg"} | {
        "PYTHONUNBUFFERED": "1"
    }


def start(python: Path, arguments: list[str], project: Path, output: Path) -> subprocess.Popen[bytes]:
    """Start `python arguments` as the first of a process group of its own."""
    with output.open("wb") as stream:
        return subprocess.Popen(
            [str(python), *arguments],
            cwd=project,
            stdout=stream,
            stderr=stream,
            stdin=subprocess.DEVNULL,
            env=environment(),
            process_group=0,
        )


def finish(process: subprocess.Popen[bytes], output: Path, limit: float) -> Ended:
    """Wait for a process; after `limit` seconds of wall time kill its group."""
    try:
        status = process.wait(limit)
    except subprocess.TimeoutExpired:
        kill(process)
        status = 124
    return Ended(status, output.read_text(errors="replace"))


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all of its group, and wait until none is left."""
    while True:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            break
        process.poll()
        time.sleep(0.02)
    process.wait()


# The server

PACKAGES = ("mnv4bench",)
LIBRARIES = (
    "snakemake.cli", "snakemake.report", "matplotlib.pyplot", "typst", "onnx", "onnxruntime", "openvino",
    "pycocotools.cocoeval", "scipy.stats", "torch.export", "safetensors.torch",
    "torch._dynamo", "torch.distributed.fsdp",
)  # fmt: skip


def _import_all() -> None:
    sys.path.insert(0, str(ROOT))
    for name in (*LIBRARIES, *PACKAGES):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for name in PACKAGES:
        for module in pkgutil.walk_packages(importlib.import_module(name).__path__, f"{name}."):
            if not module.name.endswith("__main__"):
                with contextlib.suppress(ImportError):
                    importlib.import_module(module.name)


def serve(address: str, executable: str) -> None:
    """Answer requests until told to end."""
    _import_all()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address + ".new")
    listener.listen(64)
    Path(address + ".new").rename(address)
    waiting: dict[int, socket.socket] = {}
    listener.settimeout(0.01)
    parent = os.getppid()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while os.getppid() == parent:  # else the campaign was killed
        with contextlib.suppress(TimeoutError):
            client, _ = listener.accept()
            client.settimeout(None)
            if request := _request(client):
                pid = os.fork()
                if pid == 0:
                    listener.close()
                    for other in waiting.values():
                        other.close()
                    _run(request, executable, client)
                waiting[pid] = client
                for stream in request.streams:
                    os.close(stream)
        for pid in list(waiting):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
                client = waiting.pop(pid)
                with contextlib.suppress(OSError):
                    client.sendall(bytes([code if code >= 0 else 128 - code]))
                client.close()


MOST_FILES = 64


class Request(NamedTuple):
    """A process that a client asks for."""

    arguments: list[str]
    folder: str
    environment: dict[str, str]
    group: int
    numbers: list[int]
    """Of the client's open files: its streams, and pipes that it shares with whoever started it."""
    streams: list[int]
    """The same files, as they are numbered here."""


def _request(client: socket.socket) -> Request | None:
    """Return what a client asks for, and its open files; None when it was killed meanwhile."""
    try:
        head, ancillary, _, _ = client.recvmsg(8, socket.CMSG_SPACE(MOST_FILES * 4))
        streams = array.array("i")
        for _, _, content in ancillary:
            streams.frombytes(content)
        size, body = int.from_bytes(head, "big"), b""
        while len(body) < size:
            part = client.recv(size - len(body))
            if not part:
                raise EOFError
            body += part
        if not size:
            raise EOFError
    except (OSError, EOFError):
        client.close()
        return None
    return Request._make([*json.loads(body), list(streams)])


def _run(asked: Request, executable: str, client: socket.socket) -> None:
    """Become the process that was asked for."""
    status = 1
    try:
        os.setpgid(0, asked.group)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        client = _numbered(asked, client)
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            if client.recv(1) == b"":
                os._exit(137)  # it was killed before this process joined its group
        client.close()
        os.chdir(asked.folder)
        os.environ.clear()
        os.environ.update(asked.environment)
        sys.executable = executable
        multiprocessing.set_executable(executable)
        status = _python(asked.arguments)
    except ProcessLookupError:
        os._exit(137)
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _numbered(asked: Request, client: socket.socket) -> socket.socket:
    """Give the client's open files the numbers that they have there; return the connection, which may have moved."""
    above = max(*asked.numbers, *asked.streams, client.fileno()) + 1
    kept = socket.socket(fileno=fcntl.fcntl(client.detach(), fcntl.F_DUPFD_CLOEXEC, above))
    copies = [fcntl.fcntl(stream, fcntl.F_DUPFD_CLOEXEC, above) for stream in asked.streams]
    for number, copy in zip(asked.numbers, copies, strict=True):
        os.dup2(copy, number)
        os.close(copy)
    for stream in {*asked.streams} - {*asked.numbers}:
        os.close(stream)
    return kept


def _python(arguments: list[str]) -> int:
    """Run `python -m module …` or `python -c text …` in this process and return its exit status."""
    kind, what, *rest = itertools.dropwhile(lambda argument: argument not in ("-m", "-c"), arguments)
    sys.argv = [what if kind == "-m" else "-c", *rest]
    try:
        if kind == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)
        return 1
    except BaseException:
        import traceback

        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2])
