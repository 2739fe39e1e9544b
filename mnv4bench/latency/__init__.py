"""How long each arm takes where it is deployed: one image, one thread, real images, trained weights.

Stages, in milliseconds per image:
- forward: letterboxed array in, raw output of the fused network with the one head that is read out. For NMS-free arms
  that includes the selection of the 300 best scores, which is part of their network in every runtime.
- post: raw output in, detections out, at confidence 0.25. For NMS arms this is the suppression (IoU 0.7) in NumPy, on
  what the trained network says about these images; for NMS-free arms one comparison with the confidence.
- end_to_end: letterboxed array in, detections out; timed by itself, not added up.

Decoding and letterboxing are the same for all arms and are not timed.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from mnv4bench.files import read_json, write_json
from mnv4bench.latency.session import THREADS, in_new_process
from mnv4bench.latency.summary import read_blocks, summarise, write_blocks
from mnv4bench.plan import Arm, Plan
from mnv4bench.records import Latency, Status
from mnv4bench.spec import default_read

BUSY = 0.5
"""Share of the cores at work for others, above which times are marked as not comparable."""


def measure(plan: Plan, results: Path, data_folder: Path) -> None:
    """Time all arms together; write latency/blocks.csv, then latency/latency.json, which is computed from it.

    Arms that deploy the same network (equal model and reading) are measured once, with the first one's weights.

    Args:
        results: folder that holds runs/.
        data_folder: folder of dataset.json.

    Raises:
        Mnv4benchError: damaged weights, unreadable images, an unknown runtime, or a session that was killed.
    """
    runs = results / "runs"
    absent = unfinished(plan, runs)
    shared = share(plan, absent)
    arms = tuple(arm for arm in plan.arms if shared.get(arm.label) == arm.label)
    load = busy_cores()
    session = in_new_process(plan, arms, runs, data_folder)

    path = results / "latency" / "blocks.csv"
    write_blocks(path, session.blocks)
    reference = choose_reference(plan, shared)
    record = Latency(
        reference=reference,
        threads=THREADS,
        images=session.images,
        rounds=plan.preset.latency.rounds,
        comparable=load <= BUSY * session.environment.cores,
        load_before=round(load, 2),
        rows=summarise(read_blocks(path), reference, shared),
        absent={**absent, **session.absent, **failures(session.failed, shared)},
        environment=session.environment,
    )
    write_json(path.with_name("latency.json"), record)


def unfinished(plan: Plan, runs: Path) -> dict[str, str]:
    """Return the label of every arm whose run of the first seed has no weights, and why."""
    absent = {}
    for arm in plan.arms:
        run = arm.runs[plan.preset.seeds[0]]
        path = runs / run / "status.json"
        if not path.exists():
            absent[arm.label] = f"run {run} is unfinished"
            continue
        status = Status.model_validate(read_json(path))
        if status.state != "done":
            absent[arm.label] = f"run {run} ended {status.state}" + (f": {status.reason}" if status.reason else "")
    return absent


def share(plan: Plan, absent: dict[str, str]) -> dict[str, str]:
    """Return for every arm that is not absent the label of the first one that deploys the same network."""
    first: dict[str, str] = {}
    present = [arm for arm in plan.arms if arm.label not in absent]
    return {arm.label: first.setdefault(network(arm), arm.label) for arm in present}


def failures(failed: dict[tuple[str, str], str], shared: dict[str, str]) -> dict[str, str]:
    """Return "<arm> in <runtime>" → reason for every arm whose network failed there, those that share it included."""
    return {
        f"{label} in {runtime}": reason
        for (measured, runtime), reason in failed.items()
        for label, first in shared.items()
        if first == measured
    }


def network(arm: Arm) -> str:
    """Name what an arm deploys."""
    return f"{arm.model.model_dump_json()} read {arm.read}"


def choose_reference(plan: Plan, shared: dict[str, str]) -> str:
    """Return the arm that ratios are over: the preset's own model, else the first baseline that was measured."""
    default = [arm for arm in plan.arms if arm.model == plan.preset.model and arm.read == default_read(arm.model)]
    baselines = [plan.baseline(name) for name in plan.ablations]
    candidates = [arm.label for arm in (*default, *baselines, *plan.arms)]
    return next((label for label in candidates if label in shared), candidates[0])


def busy_cores(seconds: float = 2.0) -> float:
    """Return how many of this process's cores are at work for others now, averaged over `seconds` of sleep.

    The system's load average would still count the training that ended a moment ago; it is used where the kernel does
    not count core time.
    """
    before = _core_seconds()
    time.sleep(seconds)
    after = _core_seconds()
    busy, total = (sum(after[core][k] - before[core][k] for core in before) for k in (0, 1))
    return len(before) * busy / total if total else os.getloadavg()[0]


def _core_seconds() -> dict[str, tuple[int, int]]:
    """Return busy and total time of each usable core from /proc/stat (proc(5)): time stolen by other guests is busy."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return {}
    usable = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    found = {}
    for name, *values in (line.split() for line in stat.read_text().splitlines()):
        if name in usable:
            user, nice, system, idle, iowait, irq, softirq, steal = (int(value) for value in values[:8])
            busy = user + nice + system + irq + softirq + steal
            found[name] = (busy, busy + idle + iowait)
    return found
