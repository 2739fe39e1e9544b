"""What jobs ask a scheduler for, and how GPUs are shared out on one machine. There is no GPU here: `nvidia-smi` is a
stand-in that lists some."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from helpers import ROOT, tiny_dataset, tiny_run
from test_scaffold import finish
from test_workflow import copy_project, snakemake

from mnv4bench import needs
from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import write_text
from mnv4bench.machine import gpus
from mnv4bench.spec import plan
from mnv4bench.train.run import train
from mnv4bench.train.schedule import average_constants


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("ablations", "config"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def with_needs(project: Path, preset: str, **fields: float) -> plan.Plan:
    path = project / "config" / f"{preset}.yaml"
    write_text(path, yaml.safe_dump({**yaml.safe_load(path.read_text()), "needs": fields}))
    return plan.load(preset, "scdown")


def test_memory_is_what_runs_of_the_same_kind_took_else_a_guess_by_pixels(project: Path, tmp_path: Path) -> None:
    standard, results = plan.load("standard", "scdown"), tmp_path / "results"
    conv, scdown = (arm.runs for arm in standard.arms)
    guess = needs.memory_mb(standard, results, conv[0])
    assert guess == pytest.approx((1024 + 1200 * 16 * 160**2 / 1e6) * 1.048576, abs=1)
    # Odd seeds have the parts of the other trunk, which is another network.
    finish(results, conv[0], 10.0, memory=800.0)
    finish(results, conv[2], 10.0, memory=1000.0)
    assert needs.memory_mb(standard, results, conv[4]) == pytest.approx(1.1 * 1000 * 1.048576, abs=1)
    assert needs.memory_mb(standard, results, conv[1]) == guess
    assert needs.memory_mb(standard, results, scdown[0]) == guess
    write_text(results / "runs" / conv[2] / "status.json", "{}")
    assert needs.memory_mb(standard, results, conv[4]) == pytest.approx(1.1 * 800 * 1.048576, abs=1)
    stated = with_needs(project, "standard", mem_gb=48)
    assert needs.memory_mb(stated, results, conv[4]) == 48_000


def test_time_is_the_presets_else_twice_an_estimate_else_a_day(project: Path, tmp_path: Path) -> None:
    quick, results = plan.load("quick", "scdown"), tmp_path / "results"
    run = next(iter(quick.arms[0].runs.values()))
    finish(results, quick.arms[0].runs[1], 10.0)
    assert needs.minutes(quick, results, run) == 30 + math.ceil(2 * 1000 * 2 / 10 / 60)
    stated = with_needs(project, "quick", hours=1.5)
    assert needs.minutes(stated, results, run) == 90
    photographs = with_needs(project, "coco", retries=3)  # whose images nobody has counted
    assert needs.minutes(photographs, results, next(iter(photographs.runs))) == 24 * 60


def test_loader_workers_are_cores_and_a_cuda_run_is_a_gpu() -> None:
    spec = tiny_run(train={"device": "cuda", "threads": 2, "workers": 6})
    assert (needs.cores(spec), needs.gpus(spec)) == (8, 1)
    assert (needs.cores(tiny_run()), needs.gpus(tiny_run())) == (1, 0)


def test_the_short_preset_of_coco_is_the_long_one_with_fewer_epochs() -> None:
    long, short = (yaml.safe_load((ROOT / f"config/{name}.yaml").read_text()) for name in ("coco", "coco_short"))
    assert (long["train"].pop("epochs"), short["train"].pop("epochs")) == (500, 50)
    assert long["needs"].pop("hours") > short["needs"].pop("hours")
    for preset in (long, short):
        del preset["title"], preset["needs"]["retries"]
    assert short == long


def test_cocos_average_is_as_long_in_epochs_as_the_papers() -> None:
    train = plan.load("coco", root=ROOT).preset.train
    steps = math.ceil(118_287 / train.batch)
    decay, _ = average_constants(train, steps)
    paper = 1 / (1 - 0.9999) / (118_287 / 256)
    assert 1 / (1 - decay) / steps == pytest.approx(paper, rel=1e-3)


# GPUs of one machine


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """UUIDs of the two GPUs of a machine that is not under a scheduler."""
    uuids = ["GPU-aaaa", "GPU-bbbb"]
    program = tmp_path / "bin" / "nvidia-smi"
    listing = "\n".join(f"GPU {index}: A GPU (UUID: {uuid})" for index, uuid in enumerate(uuids))
    write_text(program, f"#!/bin/sh\necho '{listing}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    monkeypatch.delenv(gpus.ALLOCATED, raising=False)
    monkeypatch.setattr(gpus, "PAUSE", 0.01)
    return uuids


def test_visible_gpus_are_those_that_the_user_allows(two: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpus.devices() == two
    for allowed, seen in (("1", ["GPU-bbbb"]), ("1,0", two[::-1]), ("GPU-a", ["GPU-aaaa"]), ("", [])):
        monkeypatch.setenv(gpus.VISIBLE, allowed)
        assert gpus.devices() == seen


def test_each_job_gets_a_gpu_of_its_own_and_gives_it_back(two: list[str]) -> None:
    with gpus.claimed(1):
        assert os.environ[gpus.VISIBLE] == "GPU-aaaa"
    assert gpus.VISIBLE not in os.environ
    with gpus.claimed(2):
        assert os.environ[gpus.VISIBLE] == "GPU-aaaa,GPU-bbbb"
    with pytest.raises(Mnv4benchError, match=r"3 GPUs wanted, and nvidia-smi lists 2"), gpus.claimed(3):
        pass


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start a job that claims GPUs, says which, and holds them."""
    program = (
        "import os\nfrom mnv4bench.machine import gpus\n"
        f"with gpus.claimed({', '.join(map(str, arguments))}):\n"
        "    print(os.environ[gpus.VISIBLE], flush=True)\n    input()\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def gpu(job: subprocess.Popen[str]) -> str:
    assert job.stdout is not None
    return job.stdout.readline().strip()


def waits(job: subprocess.Popen[str]) -> bool:
    assert job.stderr is not None
    return "to be free" in job.stderr.readline()


@pytest.fixture
def jobs() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for job in started:
        job.kill()
        job.communicate()


def test_a_killed_jobs_gpu_is_free_again(two: list[str], jobs: list[subprocess.Popen[str]]) -> None:
    jobs += [start(1), start(1)]
    holder = {gpu(job): job for job in jobs}
    assert sorted(holder) == two
    jobs.append(start(1))
    assert waits(jobs[-1])
    holder["GPU-bbbb"].kill()
    assert gpu(jobs[-1]) == "GPU-bbbb"


def test_slots_share_gpus_evenly_and_who_measures_shares_none(
    two: list[str], jobs: list[subprocess.Popen[str]]
) -> None:
    jobs += [start(1, 2) for _ in range(4)]
    held = [gpu(job) for job in jobs]
    assert sorted(held) == ["GPU-aaaa", "GPU-aaaa", "GPU-bbbb", "GPU-bbbb"]
    jobs.append(start(1, 2, True))
    assert waits(jobs[-1])
    for job, uuid in zip(jobs, held, strict=False):
        if uuid == "GPU-aaaa":
            job.kill()
    assert gpu(jobs[-1]) == "GPU-aaaa"


def test_what_a_scheduler_gave_is_used_as_it_is(two: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(gpus.ALLOCATED, "17")
    with gpus.claimed(1):
        assert gpus.VISIBLE not in os.environ


# No device, no loss

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


@without_gpu
def test_a_preset_that_needs_a_gpu_fails_before_its_first_job_with_one_sentence(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    smoke = (project / "config/smoke.yaml").read_text()
    write_text(project / "config/smoke.yaml", smoke.replace("train: {epochs: 1}", "train: {epochs: 1, device: cuda}"))
    result = snakemake(project, "preset=smoke", "only=psa")
    assert result.returncode != 0
    assert "train.device: cuda needs 1 GPU here, and PyTorch" in result.stderr
    assert not list(project.glob("results/**/dataset.json"))


@without_gpu
def test_a_run_without_its_device_leaves_no_file(tmp_path: Path) -> None:
    data = tiny_dataset(tmp_path / "data")
    with pytest.raises(Mnv4benchError, match=r"train\.device: cuda, and PyTorch .* finds no GPU"):
        train("run", tiny_run(train={"device": "cuda"}), data, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
