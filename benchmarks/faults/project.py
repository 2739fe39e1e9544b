"""A tiny project whose whole workflow takes seconds, and what of its results must never depend on a disturbance."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.processes import ROOT, Ended, finish, start

SOURCES = ("Snakefile", "ablations", "config", "profiles", "paper")
OUT = Path("results/smoke")
REFERENCE = "undisturbed"
PRESET = """\
title: a workflow to be disturbed
model: {attention: none, block: c2f, p5_tap: 128, head: one_to_many}
data: {name: scenes, imgsz: 64, train: 8, val: 8}
train: {epochs: 2, batch: 4}
trunk: {}
teacher: {from_trunk: true}
seeds: [0]
ablations: [disturbed]
latency: {images: 2, sessions: 1, rounds: 2, blocks: 1, block_ms: 1, runtimes: [torch]}
bootstrap: 100
"""
"""Takes the place of config/smoke.yaml."""
ABLATION = """\
title: Distillation
question: Does a workflow that was disturbed end as any other?
baseline: none
arms:
  none: {}
  outputs: {distill.logits: 1.0}
smallest_effect: 0.005
"""
"""Four runs: a trunk, a teacher, and two arms that read both."""
BASELINE, STUDENT = "runs/*one_to_many-*", "runs/*+distilled-*"
LIMIT = 7200.0
"""Seconds of wall time after which a process counts as hung: long, as the machine may be busy with something else."""

OF_A_RUN = (
    "weights.safetensors",
    "curve.csv",
    "metrics.json",
    "matches.npz",
    "detections.json",
    "pairing.json",
    "spec.json",
)
COMPUTED = (
    "compare.json",
    "cost.json",
    "tables/slices.csv",
    "tables/errors.csv",
    "tables/classes.csv",
    *(f"figures/{name}.png" for name in ("effects", "cost", "curves", "slices", "detections")),
)
TIMED = ("_ms", "seconds", "_ratio_to_baseline", "_verdict")
"""Parts of the names of columns that hold times, which no two runs share."""


@dataclass(frozen=True)
class Project:
    """A folder with the workflow's sources and its results."""

    root: Path
    python: Path

    @property
    def out(self) -> Path:
        return self.root / OUT

    def start(self, *wanted: str) -> subprocess.Popen[bytes]:
        """Start the workflow for the files that are wanted, all by default; its output goes to workflow.log."""
        flags = ["-m", "snakemake", "--cores", "2", "--config", "preset=smoke", "--", *wanted]
        return start(self.python, flags, self.root, self.root / "workflow.log")

    def run(self, *wanted: str) -> Ended:
        """Run the workflow to its end."""
        return finish(self.start(*wanted), self.root / "workflow.log", LIMIT)

    def command(self, *arguments: str, limit: float = LIMIT) -> Ended:
        """Run `mnv4bench arguments`."""
        output = self.root / "command.log"
        return finish(start(self.python, ["-m", "mnv4bench", *arguments], self.root, output), output, limit)

    def copy(self, name: str) -> Project:
        """Return a copy that lies beside this one, in place of what a killed campaign left there."""
        target = self.root.with_name(name)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.root, target, symlinks=True)
        return Project(target, self.python)

    def remove(self, *patterns: str) -> None:
        """Delete what fits, below the results folder."""
        for place in [place for pattern in patterns for place in self.out.glob(pattern)]:
            shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)

    def results(self) -> dict[str, str]:
        """Return name → digest of everything that is the same after every undisturbed run."""
        found = {}
        for run in sorted((self.out / "runs").glob("*/")):
            for name in OF_A_RUN:
                found[f"runs/{run.name}/{name}"] = _digest(run / name)
        for name in COMPUTED:
            found[name] = _digest(self.out / name)
        found["tables/ablations.csv"] = _without_times(self.out / "tables" / "ablations.csv")
        for run in sorted((self.out / "runs").glob("*/")):
            found[f"runs/{run.name}/status.json"] = _outcome(run / "status.json")
        return found


def make(root: Path, python: Path) -> Project:
    """Write a project without results, with the sources as they are."""
    root.mkdir(parents=True)
    for name in SOURCES:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, root / name)
    return Project(root, python)


def make_small(root: Path, python: Path) -> Project:
    """Write a project without results, whose smoke test takes seconds."""
    project = make(root, python)
    (root / "config/smoke.yaml").write_text(PRESET)
    (root / "ablations/disturbed.yaml").write_text(ABLATION)
    return project


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"


def _without_times(path: Path) -> str:
    if not path.is_file():
        return "missing"
    rows = list(csv.DictReader(io.StringIO(path.read_text(errors="replace"))))
    kept = [{k: v for k, v in row.items() if not any(word in str(k) for word in TIMED)} for row in rows]
    return hashlib.sha256(json.dumps(kept).encode()).hexdigest()


def _outcome(path: Path) -> str:
    try:
        content = json.loads(path.read_text())
        return " ".join(str(content[key]) for key in ("run", "state", "epochs", "weights_digest", "data_digest"))
    except (OSError, ValueError, KeyError, TypeError):
        return "unreadable"
