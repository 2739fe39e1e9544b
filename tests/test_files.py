"""Whole files or none: whatever interrupts a write, a reader sees the old file or the new one."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mnv4bench.io import files
from mnv4bench.io.errors import Busy, FileError, Mnv4benchError
from mnv4bench.io.locks import exclusive


def test_a_full_disk_leaves_the_old_file_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.csv"
    files.write_text(path, "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match=r"table\.csv: cannot be written \(No space left on device\); make room"):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(path, {"a": float("nan")})
    assert files.read_json(path) == {"a": 1}


def test_json_is_canonical(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"b": 1, "a": [1.5]})
    files.write_json(tmp_path / "b.json", {"a": [1.5], "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o027, 0o640), (0o022, 0o644)])
def test_files_have_the_permissions_that_the_user_grants(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        files.write_json(tmp_path / "record.json", {})
    finally:
        os.umask(before)
    assert (tmp_path / "record.json").stat().st_mode & 0o777 == mode


WRITE = """
import os, signal, sys
from pathlib import Path
from mnv4bench.io.files import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_goes_when_the_folder_is_next_written(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert subprocess.run([sys.executable, "-c", WRITE, str(folder / "a.pt")]).returncode == -signal.SIGKILL
    (left,) = folder.iterdir()
    assert left.read_bytes() == b"half"
    with files.replacing(tmp_path / "other" / "b.csv") as mine:  # a folder of its own: nothing else is looked at
        assert mine.exists()
        assert left.exists()
        files.write_text(folder / "c.csv", "whole")
        assert [path.name for path in folder.iterdir()] == ["c.csv"]


def test_a_living_process_keeps_its_temporary_files(tmp_path: Path) -> None:
    with files.replacing(tmp_path / "a.csv") as mine:
        other = [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from mnv4bench.io.files import write_text;"
            "write_text(Path(sys.argv[1]), '')",
            str(tmp_path / "b.csv"),
        ]
        subprocess.run(other, check=True)
        mine.write_text("mine")
    assert (tmp_path / "a.csv").read_text() == "mine"


DRAFT = """
import os, signal, sys
from pathlib import Path
from mnv4bench.io.files import drafting
with drafting(Path(sys.argv[1])) as draft:
    (draft / "half").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_draft_goes_with_its_block_or_after_a_kill_with_the_next_one(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert subprocess.run([sys.executable, "-c", DRAFT, str(folder)]).returncode == -signal.SIGKILL
    (left,) = folder.iterdir()
    assert (left / "half").read_bytes() == b"half"
    with files.drafting(folder) as mine, files.drafting(folder) as other:
        assert set(folder.iterdir()) == {mine, other}
        (mine / "a").write_text("a")
    assert not list(folder.iterdir())


HOLD = """
import sys, time
from pathlib import Path
from mnv4bench.io.locks import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_dies_with_its_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = tmp_path / "run" / ".lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        waiter = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stderr=subprocess.PIPE, text=True)
        assert waiter.stderr is not None
        assert f"process {holder.pid} on " in waiter.stderr.readline()
        holder.send_signal(signal.SIGKILL)
        waiter.kill()
        waiter.wait()
        waiter.stderr.close()
    with exclusive(lock, wait=False):
        assert f"process {os.getpid()} on " in lock.read_text()
    assert capsys.readouterr().err == ""


def test_who_does_not_wait_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / ".lock"),
        pytest.raises(Mnv4benchError, match=f"process {os.getpid()} on .*, or stop it .Ctrl-C in its terminal"),
        exclusive(tmp_path / ".lock", wait=False),
    ):
        pass


# A file system without locks

WITHOUT_LOCKS = """
import errno, fcntl
def flock(*_):
    raise OSError(errno.ENOSYS, "Function not implemented")
fcntl.flock = flock
"""


def test_without_locks_of_the_file_system_a_lease_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)
    monkeypatch.setattr("mnv4bench.io.locks.PATIENCE", 0.0)
    lock = tmp_path / "run" / ".lock"
    command = [sys.executable, "-c", WITHOUT_LOCKS + HOLD, str(lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Busy, match=f"process {holder.pid} on .*; wait for it"), exclusive(lock, wait=False):
            pass
        holder.kill()
    with exclusive(lock, wait=False):  # the holder is known to be dead, as it ran on this machine
        assert f"process {os.getpid()} on " in lock.read_text()
    with exclusive(lock, wait=False):  # given back
        pass
