"""Nothing of ours needs the user's home: a container's user may have none that can be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

PRIVATE = ("YOLO_", "XDG_", "MPL", "HF_", "TORCH_")


@pytest.fixture
def homeless(tmp_path: Path) -> dict[str, str]:
    """An environment whose home lies below a file, so that not even root can make it."""
    (tmp_path / "file").touch()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PRIVATE)}
    return kept | {"HOME": str(tmp_path / "file" / "home"), "PYTHONPATH": str(ROOT)}


def test_training_scoring_and_drawing_start_without_a_home(homeless: dict[str, str]) -> None:
    script = "import mnv4bench.train.run, mnv4bench.evaluate.detections, matplotlib.pyplot"
    ended = subprocess.run([sys.executable, "-c", script], env=homeless, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_make_gives_caches_a_place_where_the_home_cannot(homeless: dict[str, str]) -> None:
    command = ["make", "--no-print-directory", "--eval=where: ; @echo $$XDG_CACHE_HOME", "where"]
    shown = subprocess.run(command, env=homeless, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shown.strip() == f"{ROOT}/.snakemake/cache"
    plan = [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run", "--quiet", "--config", "preset=smoke"]
    ended = subprocess.run(
        plan, env={**homeless, "XDG_CACHE_HOME": shown.strip()}, cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr


def test_make_leaves_a_home_that_can_be_written_alone(homeless: dict[str, str], tmp_path: Path) -> None:
    command = ["make", "--no-print-directory", "--eval=where: ; @echo [$$XDG_CACHE_HOME]", "where"]
    environment = {**homeless, "HOME": str(tmp_path)}
    shown = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"
