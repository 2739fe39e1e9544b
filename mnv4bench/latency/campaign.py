"""How long each arm takes where it is deployed: one image at a time, real images, trained weights.

Stages, in milliseconds per image:
- forward: letterboxed array in, raw output of the fused network with the one head that is read out. For NMS-free arms
  that includes the selection of the 300 best scores, which is part of their network in every runtime.
- post: raw output in, detections out, at confidence 0.25. For NMS arms this is the suppression (IoU 0.7) in NumPy, on
  what the trained network says about these images; for NMS-free arms one comparison with the confidence.
- end_to_end: letterboxed array in, detections out; timed by itself, not added up.
- in_graph: end to end with suppression inside the runtime's graph, where the runtime can. An NMS-free arm's graph ends
  in detections anyway.

Decoding and letterboxing are the same for all arms and are not timed. One session is one process; `protocol` says who
has a turn when, `analysis` what follows from the times.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from mnv4bench.io.errors import DataError, SpecError
from mnv4bench.io.files import read_json, write_json
from mnv4bench.latency.analyse import analysis
from mnv4bench.latency.analyse.analysis import Judged
from mnv4bench.latency.measure.accuracy import Split
from mnv4bench.latency.measure.candidates import Candidate, Run
from mnv4bench.latency.measure.protocol import Schedule
from mnv4bench.latency.measure.session import Session, Task, in_new_process
from mnv4bench.latency.runtimes.registry import GPU_RUNTIMES, RUNTIMES
from mnv4bench.machine.load import BUSY, fingerprint
from mnv4bench.results.blocks import Block, read_blocks, write_blocks
from mnv4bench.results.dataset import Dataset
from mnv4bench.results.latency import Latency, LatencySession, QuantisedAP
from mnv4bench.results.metrics import Metrics
from mnv4bench.results.run import Status
from mnv4bench.spec.arms import Arm
from mnv4bench.spec.latency import LatencySpec
from mnv4bench.spec.model import default_read
from mnv4bench.spec.plan import Plan
from mnv4bench.spec.problems import nearest
from mnv4bench.spec.run import derive_seed


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
    check_runtimes(plan.preset.latency.runtimes, f"config/{plan.preset_name}.yaml: latency.runtimes")
    absent = unfinished(plan, runs)
    shared = share(plan, absent)
    reference = choose_reference(plan, shared)
    sessions = [in_new_process(task) for task in tasks(plan, shared, reference, runs, data_folder)]
    path = results / "latency" / "blocks.csv"
    write_blocks(path, [block for session in sessions for block in session.blocks])
    record = summarise(read_blocks(path), judged(plan, shared), reference, sessions, plan.preset.latency, shared)
    timed = {arm.label: arm for arm in plan.arms}
    floats = {label: _scored_ap(plan, timed[measured], runs) for label, measured in shared.items()}
    quantised = tuple(row.model_copy(update={"AP_float": floats[row.arm]}) for row in record.quantised)
    write_json(
        path.with_name("latency.json"),
        record.model_copy(update={"absent": {**absent, **record.absent}, "quantised": quantised}),
    )


def recomputed(plan: Plan, results: Path) -> Latency:
    """Return latency.json's record with all that follows from blocks.csv computed anew.

    Raises:
        Mnv4benchError: blocks.csv is missing or not readable.
    """
    record = Latency.model_validate(read_json(results / "latency" / "latency.json"))
    arms = judged(plan, share(plan, unfinished(plan, results / "runs")))
    found = analysis.analyse(read_blocks(results / "latency" / "blocks.csv"), arms, record.reference)
    facts = tuple(_with_noise(session, found.sessions[session.number]) for session in record.sessions)
    return record.model_copy(update={"rows": found.rows, "sessions": facts, "notes": found.notes})


def judged(plan: Plan, shared: dict[str, str]) -> list[Judged]:
    """Return every arm that was timed, with what it is set against."""
    return [
        Judged(label=arm.label, measured=shared[arm.label], read=arm.read, baseline=_baseline(plan, arm))
        for arm in plan.arms
        if arm.label in shared
    ]


def summarise(
    blocks: Sequence[Block],
    arms: Sequence[Judged],
    reference: str,
    sessions: Sequence[Session],
    spec: LatencySpec,
    shared: dict[str, str],
) -> Latency:
    """Return the record that follows from timed blocks and from what the sessions saw of the machine.

    Args:
        shared: every arm's label → the label under which its network was measured.
    """
    found = analysis.analyse(blocks, arms, reference)
    facts = [_with_noise(session.facts, found.sessions[session.facts.number]) for session in sessions]
    environment = sessions[0].environment
    return Latency(
        reference=reference,
        images=spec.images,
        rounds=spec.rounds,
        blocks=spec.blocks,
        block_ms=spec.block_ms,
        comparable=all(one.busy_before <= BUSY * environment.cores for one in facts),
        sessions=tuple(facts),
        rows=found.rows,
        quantised=_quantised(sessions, arms),
        absent=_absent(sessions, shared),
        notes=found.notes,
        fingerprint=fingerprint(environment),
        environment=environment,
    )


def _with_noise(facts: LatencySession, noise: analysis.SessionNoise) -> LatencySession:
    return facts.model_copy(
        update={"canary_drift": noise.canary_drift, "copies": noise.copies, "contaminated": noise.contaminated}
    )


def _quantised(sessions: Iterable[Session], arms: Sequence[Judged]) -> tuple[QuantisedAP, ...]:
    known = {key: ap for session in sessions for key, ap in session.int8_ap.items()}
    return tuple(
        QuantisedAP(runtime=runtime, arm=arm.label, read=arm.read, AP=ap, AP_float=None)
        for arm in arms
        for (measured, runtime), ap in known.items()
        if measured == arm.measured
    )


def _absent(sessions: Iterable[Session], shared: dict[str, str]) -> dict[str, str]:
    absent: dict[str, str] = {}
    for session in sessions:
        absent.update(session.absent)
        absent.update(failures(session.failed, shared))
    return absent


def tasks(plan: Plan, shared: dict[str, str], reference: str, runs: Path, data: Path) -> list[Task]:
    """Return every session of a preset: for each thread count as many as it asks for.

    Raises:
        DataError: the validation split has no image.
    """
    spec, preset = plan.preset.latency, plan.preset
    dataset = Dataset.model_validate(read_json(data / "dataset.json"))
    images = first_images(dataset, data, "val", spec.images)
    if not images:
        raise DataError(f"{data / dataset.val.annotations}: no image to time; the validation split needs one")
    split = Split(
        dataset.path(data, dataset.val.annotations),
        dataset.path(data, dataset.val.images),
        dataset.category_ids,
        preset.data.imgsz,
    )
    candidates = tuple(
        _candidate(plan, arm, runs, len(dataset.classes)) for arm in plan.arms if shared.get(arm.label) == arm.label
    )
    return [
        Task(
            number=number,
            threads=threads,
            candidates=candidates,
            reference=reference,
            runtimes=tuple(dict.fromkeys([*spec.runtimes, *GPU_RUNTIMES])),
            images=images,
            imgsz=preset.data.imgsz,
            calibration=tuple(path for _, path in first_images(dataset, data, "train", spec.calibration)),
            category_ids=dataset.category_ids,
            schedule=Schedule(spec.rounds, spec.blocks, spec.block_ms),
            seed=derive_seed("latency order", plan.preset_name, number),
            score=split if number == 0 else None,
        )
        for number, threads in enumerate(thread_counts(spec))
    ]


def thread_counts(spec: LatencySpec) -> list[int]:
    """Return the thread count of every session, in order."""
    from mnv4bench.machine.cores import usable_cores

    counts = dict.fromkeys(usable_cores() if count == "all" else count for count in spec.threads)
    return [count for count in counts for _ in range(spec.sessions)]


def first_images(dataset: Dataset, folder: Path, half: str, count: int) -> tuple[tuple[int, Path], ...]:
    """Return id and file of the first `count` images of "train" or "val", by id; all where there are fewer."""
    split = getattr(dataset, half)
    records = read_json(dataset.path(folder, split.annotations))["images"]
    root = dataset.path(folder, split.images)
    return tuple(
        (record["id"], root / record["file_name"]) for record in sorted(records, key=lambda one: one["id"])[:count]
    )


def _candidate(plan: Plan, arm: Arm, runs: Path, classes: int) -> Candidate:
    folder = runs / _timed_run(plan, arm)
    source = Run(arm.model, classes, arm.read, folder / "weights.safetensors")
    return Candidate(arm.label, arm.read, source, folder / "detections.json")


def _timed_run(plan: Plan, arm: Arm) -> str:
    """Return the run whose weights are timed: the first seed's."""
    return arm.runs[plan.preset.seeds[0]]


def _scored_ap(plan: Plan, arm: Arm, runs: Path) -> float | None:
    metrics = Metrics.model_validate(read_json(runs / _timed_run(plan, arm) / "metrics.json"))
    return metrics.readings[arm.read].scores.AP


def _baseline(plan: Plan, arm: Arm) -> str | None:
    baseline = plan.baseline(arm.ablation)
    return None if baseline.label == arm.label else baseline.label


def unfinished(plan: Plan, runs: Path) -> dict[str, str]:
    """Return the label of every arm whose run of the first seed has no weights, and why."""
    absent = {}
    for arm in plan.arms:
        run = _timed_run(plan, arm)
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
    """Return the arm that is timed twice: the preset's own model, else the first baseline that was measured."""
    default = [arm for arm in plan.arms if arm.model == plan.preset.model and arm.read == default_read(arm.model)]
    baselines = [plan.baseline(name) for name in plan.ablations]
    candidates = [arm.label for arm in (*default, *baselines, *plan.arms)]
    return next((shared[label] for label in candidates if label in shared), candidates[0])


def check_runtimes(names: Sequence[str], where: str) -> None:
    """Refuse a runtime that does not exist.

    Raises:
        SpecError: names it, and what is allowed.
    """
    for name in names:
        if name not in RUNTIMES:
            raise SpecError(f"{where}: no runtime {name!r}; {nearest(name, list(RUNTIMES))}")
