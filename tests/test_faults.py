"""A fault of disk or files is an error that names the file and goes away once mended; never a result."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import ROOT, tiny_dataset, tiny_run, train_until_killed
from safetensors.torch import save_file

from mnv4bench import cli, commands
from mnv4bench.evaluate.detections import evaluate, validation
from mnv4bench.io.errors import FileError
from mnv4bench.io.files import write_json
from mnv4bench.models import weights
from mnv4bench.spec.run import DistillSpec
from mnv4bench.train import checkpoint
from mnv4bench.train.loop import Trainer
from mnv4bench.train.run import train

pytestmark = pytest.mark.usefixtures("process_settings")

SAME = ("weights.safetensors", "curve.csv", "pairing.json")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("undisturbed")
    assert train("run", tiny_run(2), data, runs).state == "done"
    return runs / "run"


@pytest.fixture(scope="module")
def validated(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run as the workflow's step trains it, with AP after each epoch."""
    runs = tmp_path_factory.mktemp("validated")
    assert train("run", tiny_run(2), data, runs, validation(tiny_run(2), data)).state == "done"
    return runs / "run"


def assert_same(folder: Path, undisturbed: Path) -> None:
    for name in SAME:
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes(), name


# Writing

FULL = """
import errno, os, sys
from pathlib import Path

from mnv4bench import cli, commands
from mnv4bench.io.files import read_json
from mnv4bench.spec.run import RunSpec

name, spec, data, runs = sys.argv[1], *map(Path, sys.argv[2:5])
write = Path.write_bytes

def full(self, content):
    if f".{name}" in self.name:
        write(self, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
    return write(self, content)

class Plan:
    takes_trunks = False

    def run(self, name):
        return RunSpec.model_validate(read_json(spec))

class Context:
    plan, run_name, data, runs, results, slots = Plan(), "run", data, runs, runs.parent, 1

Path.write_bytes = full
commands._load = lambda _: (None, None)
commands.Context = lambda *_: Context
cli.main(["step", "train", "--run", "run"])
"""


@pytest.mark.parametrize("name", ["spec.json", "checkpoint.pt", "weights.safetensors", "status.json"])
def test_a_full_disk_fails_the_step_and_the_next_start_goes_on(
    name: str, data: Path, validated: Path, tmp_path: Path
) -> None:
    write_json(tmp_path / "run.json", tiny_run(2))
    command = [sys.executable, "-c", FULL, name, str(tmp_path / "run.json"), str(data), str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2, ended.stderr
    assert f"run/{name}" in ended.stderr
    assert os.strerror(errno.ENOSPC) in ended.stderr
    assert "make room" in ended.stderr
    assert not (tmp_path / "run" / "status.json").exists()
    assert [path for path in (tmp_path / "run").iterdir() if ".tmp" in path.name] == []
    assert train("run", tiny_run(2), data, tmp_path, validation(tiny_run(2), data)).state == "done"
    assert_same(tmp_path / "run", validated)


def test_a_disk_that_fails_while_training_reads_it_is_no_result(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raising(self: Trainer, batch: dict[str, Any]) -> None:
        raise OSError(errno.EIO, "Input/output error", "1.png")

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step_on", raising)
        with pytest.raises(OSError, match=r"1\.png"):
            train("run", tiny_run(), data, tmp_path)
    assert not (tmp_path / "run" / "status.json").exists()
    assert train("run", tiny_run(), data, tmp_path).state == "done"


def test_the_command_names_the_file_that_a_disk_fails_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(_: object) -> None:
        raise OSError(errno.EIO, "Input/output error", "photos/1.png")

    monkeypatch.setattr(commands, "show_plan", failing)
    with pytest.raises(SystemExit, match="2"):
        cli.main(["plan"])
    assert "photos/1.png: Input/output error; make room or mend the disk" in capsys.readouterr().err


# Checkpoints


def damaged(content: bytes, how: str) -> bytes:
    if how == "truncated":
        return content[: len(content) // 2]
    if how == "empty":
        return b""
    flipped = bytearray(content)
    for place in range(200, len(flipped), len(flipped) // 20):
        flipped[place] ^= 0xFF
    return bytes(flipped)


@pytest.mark.parametrize("how", ["truncated", "empty", "flipped"])
def test_a_damaged_checkpoint_is_put_aside(
    how: str, data: Path, undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_until_killed(tmp_path / "run", tiny_run(2), data, step=3)
    path = tmp_path / "run" / checkpoint.FILE
    path.write_bytes(damaged(path.read_bytes(), how))
    assert train("run", tiny_run(2), data, tmp_path).state == "done"
    assert_same(tmp_path / "run", undisturbed)
    assert f"{path}: it is damaged" in capsys.readouterr().err
    assert (tmp_path / "run" / checkpoint.ASIDE).exists()


def test_another_runs_checkpoint_is_put_aside(data: Path, undisturbed: Path, tmp_path: Path) -> None:
    train_until_killed(tmp_path / "run", tiny_run(2, seed=1), data, step=3)
    assert train("run", tiny_run(2), data, tmp_path).state == "done"
    assert_same(tmp_path / "run", undisturbed)


def test_a_checkpoint_that_does_not_fit_the_network_is_put_aside(
    data: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_until_killed(tmp_path / "run", tiny_run(2), data, step=3)
    state, calls = Trainer.load_state, []

    def without_a_tensor(self: Trainer, content: dict[str, Any]) -> None:
        calls.append(content.pop("optimizer"))
        state(self, content)

    monkeypatch.setattr(Trainer, "load_state", without_a_tensor)
    assert train("run", tiny_run(2), data, tmp_path).state == "done"
    assert len(calls) == 1
    assert_same(tmp_path / "run", undisturbed)


# Files of other runs


@pytest.fixture
def runs(undisturbed: Path, tmp_path: Path) -> Path:
    shutil.copytree(undisturbed, tmp_path / "run")
    return tmp_path


def test_zeroed_weights_are_not_scored(data: Path, runs: Path) -> None:
    path = runs / "run" / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-len(content) // 5 :] = bytes(len(content) // 5)
    path.write_bytes(bytes(content)[: path.stat().st_size])
    with pytest.raises(FileError, match=r"weights\.safetensors: .*delete the run's folder"):
        evaluate("run", tiny_run(2), data, runs)
    with pytest.raises(FileError, match=r"weights\.safetensors: .*delete the run's folder"):
        train("student", tiny_run(start="run"), data, runs)
    assert not (runs / "run" / "metrics.json").exists()
    assert not (runs / "student" / "status.json").exists()


def test_other_weights_of_the_same_shapes_are_not_scored(data: Path, runs: Path) -> None:
    path = runs / "run" / "weights.safetensors"
    state = weights.read(path)
    name = next(name for name, value in state.items() if value.dtype == torch.float32)
    save_file({**state, name: state[name] + 1}, path)
    with pytest.raises(FileError, match=r"digest is .*, not .* as status\.json says"):
        evaluate("run", tiny_run(2), data, runs)


@pytest.mark.parametrize("name", ["status.json", "spec.json", "pairing.json"])
def test_a_truncated_record_of_another_run_is_an_error_until_it_is_mended(name: str, data: Path, runs: Path) -> None:
    student = tiny_run(2, teacher="run", distill=DistillSpec(logits=1.0))
    whole = (runs / "run" / name).read_bytes()
    (runs / "run" / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match=rf"run/{name}: not JSON .*; delete"):
        train("student", student, data, runs)
    assert not (runs / "student" / "status.json").exists()
    (runs / "run" / name).write_bytes(whole)
    assert train("student", student, data, runs).state == "done"


def test_another_runs_status_is_not_obeyed(data: Path, runs: Path) -> None:
    (runs / "run").rename(runs / "other")
    with pytest.raises(
        FileError, match=r"status\.json: the run inside is called run; rename the folder .*other to run"
    ):
        train("other", tiny_run(2), data, runs)


def test_a_truncated_record_of_the_data_is_an_error(tmp_path: Path) -> None:
    data = tiny_dataset(tmp_path / "data")
    path = data / "dataset.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    with pytest.raises(FileError, match=r"dataset\.json: not JSON .*delete the folder"):
        train("run", tiny_run(), data, tmp_path)
    path.write_bytes(whole)
    assert train("run", tiny_run(), data, tmp_path).state == "done"


def test_a_run_that_failed_because_of_another_is_tried_again(data: Path, tmp_path: Path) -> None:
    assert train("trunk", tiny_run(2, train={"lr": 1e30}), data, tmp_path).state == "diverged"
    assert train("run", tiny_run(start="trunk"), data, tmp_path).state == "failed"
    (tmp_path / "trunk" / "status.json").unlink()
    assert train("trunk", tiny_run(), data, tmp_path).state == "done"
    assert train("run", tiny_run(start="trunk"), data, tmp_path).state == "done"
