"""SIGKILL to the workflow's whole process group, at a random moment of every phase.

One workflow is killed in one phase after another, each time started again, and then left alone to the end: its files
must be those of a workflow that nobody disturbed.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from statistics import fmean

from benchmarks.faults.outcome import Kind, Outcome
from benchmarks.faults.processes import kill
from benchmarks.faults.project import BASELINE, LIMIT, Project
from mnv4bench.results.benchmark import wall_seconds

MADE = {
    "data": "data/*/dataset.json",
    "cost": "cost.json",
    "train": BASELINE,
    "evaluate": f"{BASELINE}/metrics.json",
    "compare": "compare.json",
    "latency": "latency/*",
    "tables": "tables/[!v]*",
    "figures": "figures/*",
    "verify": "tables/verify.*",
    "paper": "paper/*",
    "page": "index.html",
    "report": "report.html",
    "complete": "complete.txt",
}
"""Phase, in the order in which they start → what it makes. `evaluate` is the second half of rule train."""
TRAINING = ("train", "evaluate")
LINE = re.compile(r"^(?:local)?rule (\w+):|^Finished jobid: \d+ \(Rule: (\w+)\)", re.MULTILINE)
SHORTEST = 0.3
"""Seconds within which a phase is killed that nobody timed."""
ATTEMPTS = 6
"""Of killing inside a phase. Each waits a quarter as long as the one before: the machine may be faster than it was."""


def chain(
    base: Project, seconds: dict[str, float], expected: dict[str, str], rng: random.Random, name: str
) -> list[Outcome]:
    """Kill one workflow in each phase; return an outcome for every kill.

    Args:
        base: a project without results.
        seconds: about how long each phase takes.
        expected: what an undisturbed workflow ends with.
        name: of the project's folder.
    """
    project = base.copy(name)
    try:
        hits = [hit for phase in MADE for hit in _kills(project, phase, seconds, rng)]
        kind, detail = _verdict(project, expected)
    finally:
        shutil.rmtree(project.root)
    return [Outcome("kills", phase, what, kind, detail) for phase, what in hits]


def durations(finished: Project) -> dict[str, float]:
    """Return the seconds that the phases of an undisturbed workflow took, of those that it timed."""
    found = {}
    for phase in MADE:
        paths = [*finished.out.glob(f"benchmarks/{phase}.tsv"), *finished.out.glob(f"benchmarks/{phase}/*.tsv")]
        if paths:
            found[phase] = fmean(map(wall_seconds, paths))
    return found | {"evaluate": found["train"] / 5}


def _kills(project: Project, phase: str, seconds: dict[str, float], rng: random.Random) -> Iterator[tuple[str, str]]:
    """Start the workflow and kill it until a kill has met the phase; yield the phase that each met, and when."""
    if phase not in TRAINING:
        project.remove(MADE[phase])  # an earlier kill may have come after it
    for attempt in range(ATTEMPTS):
        process = project.start()
        if not _reached(project, process, phase, skip=rng.randrange(2) if phase in TRAINING and not attempt else 0):
            project.remove(MADE[phase])
            continue
        delay = rng.random() * max(SHORTEST, seconds.get(phase, 0)) / 4**attempt
        end = time.monotonic() + delay
        while time.monotonic() < end and process.poll() is None:
            time.sleep(0.002)
        if process.poll() is not None:
            project.remove(MADE[phase])
            continue
        kill(process)
        running = _running(project)
        met = phase if phase in running else next(iter(running), "between jobs")
        yield met, f"{delay:.2f} s into {phase}, while {', '.join(running) or 'nothing'} ran"
        if met == phase:
            return
        if phase not in TRAINING:
            project.remove(MADE[phase])


def _reached(project: Project, process: subprocess.Popen[bytes], phase: str, skip: int) -> bool:
    scored = len(list(project.out.glob("runs/*/status.json")))
    end = time.monotonic() + LIMIT
    while time.monotonic() < end and process.poll() is None:
        if phase == "evaluate":
            reached = len(list(project.out.glob("runs/*/status.json"))) - scored > skip or bool(_unscored(project))
        else:
            reached = _started(project)[phase] > skip
        if reached:
            return True
        time.sleep(0.005)
    return False


def _running(project: Project) -> list[str]:
    running = _started(project) - Counter(match[2] for match in LINE.finditer(_log(project)) if match[2])
    scoring = running["train"] and _unscored(project)
    return [phase for phase in MADE if running[phase] or (phase == "evaluate" and scoring)]


def _unscored(project: Project) -> list[str]:
    """Return the runs that are trained and not scored."""
    return [
        path.parent.name
        for path in project.out.glob("runs/*/status.json")
        if not path.with_name("metrics.json").exists()
    ]


def _started(project: Project) -> Counter[str]:
    return Counter(match[1] for match in LINE.finditer(_log(project)) if match[1])


def _log(project: Project) -> str:
    return (project.root / "workflow.log").read_text(errors="replace")


def _verdict(project: Project, expected: dict[str, str]) -> tuple[Kind, str]:
    ended = project.run()
    if ended.traceback or ended.status:
        return "fault", f"exit {ended.status} after the last start: {ended.output[-2000:]}"
    now = project.results()
    differing = sorted(name for name, value in expected.items() if now.get(name) != value)
    if differing:
        return "fault", f"other content: {', '.join(differing)}"
    left = sorted(path.name for path in project.out.rglob("*.tmp*"))
    return ("fault", f"left behind: {', '.join(left)}") if left else ("right", "")
