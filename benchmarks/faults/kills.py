"""SIGKILL to the workflow's whole process group, at a random moment of every phase.

One workflow is killed in one phase after another, each time started again, and then left alone to the end: its files
must be those of a workflow that nobody disturbed.
"""

from __future__ import annotations

import random
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator

from benchmarks.faults.outcome import Kind, Outcome
from benchmarks.faults.processes import kill
from benchmarks.faults.project import LIMIT, Project

PHASES = (
    "data", "cost", "train", "evaluate", "compare", "latency", "tables", "figures", "verify", "paper", "report",
    "complete",
)  # fmt: skip
"""In the order in which they start; `evaluate` is the second half of rule train."""
LINE = re.compile(r"^(?:local)?rule (\w+):|^Finished jobid: \d+ \(Rule: (\w+)\)", re.MULTILINE)
LONGEST = {"data": 0.3, "cost": 3.0, "train": 10.0, "evaluate": 1.0, "compare": 0.7, "latency": 14.0, "figures": 6.0}
"""Seconds within which a phase is killed; the others take about a second."""


def campaign(base: Project, expected: dict[str, str], count: int, rng: random.Random) -> Iterator[Outcome]:
    """Kill `count` times; yield an outcome for every kill.

    Args:
        base: a project without results.
        expected: what an undisturbed workflow ends with.
    """
    chain = 0
    while count > 0:
        project = base.copy(base.root.with_name(f"kills-{chain}"))
        hits = [hit for phase in PHASES[:count] if (hit := _kill(project, phase, rng))]
        kind, detail = _verdict(project, expected)
        for phase, hit in hits:
            yield Outcome("kills", phase, hit, kind, detail)
        count -= max(1, len(hits))
        chain += 1


def _kill(project: Project, phase: str, rng: random.Random) -> tuple[str, str] | None:
    """Start the workflow and kill it in a phase; None where it ended before.

    Returns the phase and what was running.
    """
    process = project.start()
    if not _reached(project, process, phase, skip=rng.randrange(2) if phase in ("train", "evaluate") else 0):
        return None
    delay = rng.random() * LONGEST.get(phase, 1.0)
    end = time.monotonic() + delay
    while time.monotonic() < end and process.poll() is None:
        time.sleep(0.005)
    running = _running(project)
    if process.poll() is not None:
        return None
    kill(process)
    return phase, f"{delay:.2f} s into {phase}, while {', '.join(sorted(running)) or 'nothing'} ran"


def _reached(project: Project, process: subprocess.Popen[bytes], phase: str, skip: int) -> bool:
    scored = len(list(project.out.glob("runs/*/status.json")))
    end = time.monotonic() + LIMIT
    while time.monotonic() < end and process.poll() is None:
        if phase == "evaluate":
            reached = len(list(project.out.glob("runs/*/status.json"))) - scored > skip
        else:
            reached = _started(project)[phase] > skip
        if reached:
            return True
        time.sleep(0.005)
    return False


def _started(project: Project) -> Counter[str]:
    return Counter(match[1] for match in LINE.finditer(_log(project)) if match[1])


def _running(project: Project) -> Counter[str]:
    return _started(project) - Counter(match[2] for match in LINE.finditer(_log(project)) if match[2])


def _log(project: Project) -> str:
    return (project.root / "workflow.log").read_text(errors="replace")


def _verdict(project: Project, expected: dict[str, str]) -> tuple[Kind, str]:
    ended = project.run()
    if ended.traceback or ended.status:
        return "fault", f"exit {ended.status} after the last start: {ended.output[-600:]}"
    differing = sorted(name for name, value in expected.items() if project.results().get(name) != value)
    if differing:
        return "fault", f"other content: {', '.join(differing)}"
    left = sorted(path.name for path in project.out.rglob("*.tmp*"))
    return ("fault", f"left behind: {', '.join(left)}") if left else ("right", "")
