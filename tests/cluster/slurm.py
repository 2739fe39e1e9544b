"""The workflow on a cluster: a SLURM of two nodes on this machine (slurm-wlm and munge of Debian).

Run by `make test-cluster`, as a user who may start slurmd (root). The executor plugin is fetched from the package index
into a folder of its own.
"""

from __future__ import annotations

import getpass
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from test_workflow import ROOT, copy_project, digests, environment, snakemake

from mnv4bench.io.files import write_text
from mnv4bench.spec import plan

PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "squeue", "scancel")
PLUGIN = ("snakemake-executor-plugin-slurm", "snakemake-executor-plugin-slurm-jobstep", "pandas")
"""Without what they need besides, which the environment has."""
WITHOUT_ACCOUNTING = ("--slurm-status-command=squeue", "--slurm-no-account")
SOON = ("--slurm-init-seconds-before-status-checks=2", "--seconds-between-status-checks=2")


class Cluster:
    """Daemons in a folder, which end with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.conf = folder, folder / "slurm.conf"
        for name in ("state", "spool-one", "spool-two"):
            (folder / name).mkdir()
        text = (Path(__file__).parent / "slurm.conf").read_text(encoding="utf-8")
        ports = dict(zip(("port", "one", "two"), free_ports(3), strict=True))
        names = {"host": platform.node().split(".")[0], "user": getpass.getuser(), "folder": str(folder)}
        self.conf.write_text(text.format(**names, **ports), encoding="utf-8")
        (folder / "munge.key").write_bytes(os.urandom(1024))
        (folder / "munge.key").chmod(0o600)
        os.environ["SLURM_CONF"] = str(self.conf)
        self._let_steps_find_it()

    def _let_steps_find_it(self) -> None:
        """Put a srun before Debian's: the plugin's jobs lose the variable that says where the configuration lies."""
        command = self.folder / "bin" / "srun"
        write_text(command, f'#!/bin/sh\nSLURM_CONF={self.conf} exec {shutil.which("srun")} "$@"\n')
        command.chmod(0o755)
        os.environ["PATH"] = f"{command.parent}:{os.environ['PATH']}"

    def start(self) -> None:
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        places = [f"--{option}={self.folder / f'munge.{ending}'}" for option, ending in files.items()]
        run("munged", "--force", *places)
        self.start_controller()
        for node in ("one", "two"):
            run("slurmd", "-N", node)
        wait(120, lambda: run("sinfo", "-h", "-o", "%D %t").strip() == "2 idle")

    def start_controller(self) -> None:
        run("slurmctld")

    def kill(self, daemon: str, number: int = signal.SIGKILL) -> None:
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((self.folder / f"{daemon}.pid").read_text()), number)

    def stop(self) -> None:
        for job in self.jobs():
            run("scancel", "--signal=KILL", "--full", job)
        for daemon in ("slurmd-one", "slurmd-two", "slurmctld", "munge"):
            self.kill(daemon, signal.SIGTERM)
        time.sleep(2)

    def wait_until_saved(self) -> None:
        """Wait until the controller has written what it knows now, which it does every few seconds; a controller that
        does not know of a running job starts it once more."""
        now, state = time.time(), self.folder / "state" / "job_state"
        wait(60, lambda: state.exists() and state.stat().st_mtime > now)

    def jobs(self, rule: str = "") -> list[str]:
        """Return the numbers of the running jobs of a rule."""
        rows = (line.split(maxsplit=1) for line in run("squeue", "-h", "-t", "R", "-o", "%i %k").splitlines())
        return [number for number, comment in rows if comment.startswith(f"rule_{rule}")]


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def free_ports(count: int) -> list[int]:
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in servers]
    for server in servers:
        server.close()
    return ports


def wait(seconds: float, condition: Callable[[], object]) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    missing = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if missing:
        pytest.fail(f"{', '.join(missing)}: missing; apt-get install slurm-wlm munge")
    os.environ["PATH"] += ":/usr/sbin"
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # the path of a socket has to be short
    folder.chmod(0o755)  # munged insists
    started = Cluster(folder)
    started.start()
    yield started
    started.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugin")
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", f"--target={folder}", *PLUGIN)
    return folder


def submitted(project: Path, plugin: Path, *config: str, targets: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start a workflow whose rules are jobs of the cluster; what it says goes into said.log."""
    flags = ("--profile", "profiles/slurm", *WITHOUT_ACCOUNTING, *SOON, *targets)
    command = [sys.executable, "-m", "snakemake", *flags, "--config", *config]
    search = f"{ROOT}{os.pathsep}{plugin}"
    with (project / "said.log").open("a", encoding="utf-8") as log:
        return subprocess.Popen(
            command, cwd=project, text=True, stdout=log, stderr=log, env={**environment(), "PYTHONPATH": search}
        )


def test_smoke_as_jobs_of_which_one_is_killed_and_the_controller_too_has_the_bytes_of_a_local_run(
    cluster: Cluster, plugin: Path, tmp_path: Path
) -> None:
    config = ("preset=smoke", "only=psa")
    local, project = copy_project(tmp_path / "local"), copy_project(tmp_path / "cluster")
    here = snakemake(local, *config, flags=("results/smoke/only/psa/compare.json",))
    assert here.returncode == 0, here.stderr[-4000:]

    workflow = submitted(project, plugin, *config)
    wait(1800, lambda: cluster.jobs("train"))
    cluster.wait_until_saved()
    cluster.kill("slurmctld")
    cluster.start_controller()
    wait(1800, lambda: cluster.jobs("train"))
    run("scancel", "--signal=KILL", "--full", cluster.jobs("train")[0])
    said = project / "said.log"
    assert workflow.wait(3600) != 0, said.read_text()[-4000:]
    assert not (project / "results/smoke/only/psa/complete.txt").exists()

    again = submitted(project, plugin, *config)
    assert again.wait(7200) == 0, said.read_text()[-4000:]
    assert (project / "results/smoke/only/psa/complete.txt").exists()
    runs = digests(local / "results/smoke/runs")
    assert len(runs) > 6
    assert digests(project / "results/smoke/runs") == runs
    assert "SLURM jobid" in said.read_text()


def test_two_nodes_that_share_a_training_have_the_bytes_of_one(
    cluster: Cluster, plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = yaml.safe_load((ROOT / "config/smoke.yaml").read_text())
    preset["train"] |= {"devices": 2, "draws": "image"}
    preset["needs"] = {"nodes": 2}
    local, project = (copy_project(tmp_path / name) for name in ("local", "cluster"))
    for place in (local, project):
        write_text(place / "config/shared.yaml", yaml.safe_dump(preset))
    monkeypatch.chdir(local)
    trunk = f"results/shared/only/psa/runs/{plan.load('shared', 'psa').trunks[0].name}/metrics.json"
    config = ("preset=shared", "only=psa")
    here = snakemake(local, *config, flags=(trunk,))
    assert here.returncode == 0, here.stderr[-4000:]

    there = submitted(project, plugin, *config, targets=(trunk,))
    assert there.wait(3600) == 0, (project / "said.log").read_text()[-4000:]
    runs = digests(local / "results/shared/runs")
    assert len(runs) > 4
    assert digests(project / "results/shared/runs") == runs
