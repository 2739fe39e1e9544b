"""Who ends a run decides what it means: the kernel for lack of memory, a user who asks, or a user who does not."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import DYING, ROOT, tiny_dataset, tiny_run, train_until_killed

from mnv4bench.io.errors import FileError
from mnv4bench.io.files import write_json
from mnv4bench.results.record import read_record
from mnv4bench.results.starts import Starts
from mnv4bench.train import starts
from mnv4bench.train.run import train

pytestmark = pytest.mark.usefixtures("process_settings")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("data"))


def kernel(monkeypatch: pytest.MonkeyPatch, kills: int | None, boot: str | None = "now") -> None:
    monkeypatch.setattr(starts, "oom_kills", lambda: kills)
    monkeypatch.setattr(starts, "boot", lambda: boot)


def left_behind(folder: Path, checkpoint: str | None = None, killed: int = 0, kills: int | None = 0) -> None:
    """What a killed start leaves."""
    write_json(folder / starts.FILE, Starts(checkpoint=checkpoint, killed=killed, boot="now", oom_kills=kills))


@pytest.mark.parametrize(
    ("before", "after", "boot", "counts"),
    [
        (0, 1, "now", 1),  # the kernel killed something meanwhile
        (0, 0, "now", 0),  # it killed nothing: somebody else did
        (None, None, "now", 1),  # it does not tell
        (5, 0, "later", 1),  # the machine itself went down
    ],
)
def test_a_kill_counts_unless_the_kernel_killed_nothing(
    before: int | None, after: int | None, boot: str, counts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_behind(tmp_path, kills=before)
    kernel(monkeypatch, after, boot)
    with starts.counted(tmp_path) as killed:
        assert killed == counts
        assert read_record(tmp_path / starts.FILE, Starts).killed == counts


def test_a_count_that_was_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / starts.FILE
    write_json(path, Starts(checkpoint=None, killed=0, boot=None, oom_kills=None).sealed())
    path.write_text(path.read_text().replace('"killed": 0', '"killed": 9'))
    with (
        pytest.raises(FileError, match=r"starts\.json: .*digest.*; delete it and start again"),
        starts.counted(tmp_path),
    ):
        pass


def test_a_start_that_ends_by_itself_is_no_kill(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), starts.counted(tmp_path):
        raise KeyboardInterrupt
    with starts.counted(tmp_path) as killed:
        assert killed == 0


def test_progress_resets_the_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel(monkeypatch, None)
    left_behind(tmp_path, killed=2)
    (tmp_path / "checkpoint.pt").write_bytes(b"1" * 64)
    with starts.counted(tmp_path) as killed:
        assert killed == 0


def test_a_run_that_memory_never_suffices_for_ends_out_of_memory(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    train_until_killed(folder, tiny_run(3), data, step=3)
    mark = read_record(folder / starts.FILE, Starts).checkpoint
    assert mark is None
    left_behind(folder, (folder / "checkpoint.pt").read_bytes()[:64].decode(), killed=starts.LIMIT - 1, kills=None)
    kernel(monkeypatch, None)
    status = train("run", tiny_run(3), data, tmp_path)
    assert (status.state, status.epochs, status.steps) == ("out_of_memory", 1, 2)
    assert status.reason is not None
    assert "killed 3 times in epoch 2" in status.reason
    assert len((folder / "curve.csv").read_text().splitlines()) == 2
    assert not (folder / starts.FILE).exists()
    (folder / "status.json").unlink()  # the remedy that is printed
    assert train("run", tiny_run(3), data, tmp_path).state == "done"


def test_a_users_kill_minus_nine_never_ends_a_run(data: Path, tmp_path: Path) -> None:
    if starts.oom_kills() is None:
        pytest.skip("this system does not tell whether the kernel or somebody else killed a process")
    for _ in range(starts.LIMIT):
        train_until_killed(tmp_path / "run", tiny_run(), data, step=0)
    assert train("run", tiny_run(), data, tmp_path).state == "done"


@pytest.mark.parametrize("request_to_end", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_asked_to_end_leaves_no_trace_but_its_checkpoint(
    request_to_end: signal.Signals, data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    write_json(tmp_path / "run.json", tiny_run(3))
    script = DYING.replace("signal.SIGKILL", f"signal.{request_to_end.name}")
    command = [sys.executable, "-c", script, str(tmp_path / "run.json"), str(data), str(folder), "3"]
    # A shell that runs the tests in the background has SIGINT ignored, and children inherit that.
    ended = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(request_to_end, signal.SIG_DFL),
    )
    assert ended.returncode not in (0, -signal.SIGKILL), ended.stderr
    assert not (folder / starts.FILE).exists()
    assert (folder / "checkpoint.pt").exists()
    assert not (folder / "status.json").exists()
    assert train("run", tiny_run(3), data, tmp_path).state == "done"
