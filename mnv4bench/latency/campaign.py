"""One timing campaign: tasks in, judged rows out, whatever is timed and wherever it comes from.

`arms` times a preset's arms, `direct` the models that a user names, `forward` networks of the catalogue; each says what
is timed and against what. A session is one process; `measure.protocol` says who has a turn when, `analyse.analysis`
what follows from the times.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mnv4bench.data.prepared import unchanged
from mnv4bench.io.files import read_json, write_json
from mnv4bench.latency.analyse import analysis
from mnv4bench.latency.analyse.analysis import Judged
from mnv4bench.latency.measure.protocol import Schedule
from mnv4bench.latency.measure.session import in_new_process
from mnv4bench.latency.measure.task import Session, Task
from mnv4bench.machine.cores import usable_cores
from mnv4bench.machine.load import BUSY, fingerprint
from mnv4bench.results.blocks import Block, read_blocks, write_blocks
from mnv4bench.results.dataset import Dataset
from mnv4bench.results.latency import Absence, Latency, LatencySession, QuantisedAP
from mnv4bench.spec.latency import LatencySpec
from mnv4bench.spec.run import derive_seed


@dataclass(frozen=True)
class Campaign:
    """What is timed against what, and how often."""

    name: str
    """Seeds the orders of turns."""
    task: Task
    """What every session does; number, threads and seed are each session's own."""
    arms: tuple[Judged, ...]
    spec: LatencySpec
    absent: tuple[Absence, ...] = ()
    """What cannot be timed, known beforehand."""
    float_ap: Mapping[str, float | None] = field(default_factory=dict)
    """Label of an arm → AP of its weights in float32, for the arms whose own weights are timed."""


def measure(campaign: Campaign, record: Path, blocks: Path) -> Latency:
    """Time everything in all sessions; write every block, then what follows from them.

    Args:
        record: path of the JSON file that is written; its content is returned.
        blocks: path of the CSV file with every timed block.

    Raises:
        Mnv4benchError: damaged weights, an unreadable image, or a session that was killed.
    """
    sessions = [in_new_process(task) for task in tasks(campaign)]
    write_blocks(blocks, [block for session in sessions for block in session.blocks])
    result = summarise(campaign, read_blocks(blocks), sessions)
    write_json(record, result)
    return result


def tasks(campaign: Campaign) -> list[Task]:
    """Return every session: for each thread count as many as the protocol asks for. The first one scores int8."""
    return [
        replace(
            campaign.task,
            number=number,
            threads=threads,
            seed=derive_seed("latency order", campaign.name, number),
            score=campaign.task.score if number == 0 else None,
        )
        for number, threads in enumerate(thread_counts(campaign.spec))
    ]


def thread_counts(spec: LatencySpec) -> list[int]:
    """Return the thread count of every session, in order."""
    counts = dict.fromkeys(usable_cores() if count == "all" else count for count in spec.threads)
    return [count for count in counts for _ in range(spec.sessions)]


def schedule(spec: LatencySpec) -> Schedule:
    return Schedule(spec.rounds, spec.blocks, spec.block_ms)


def first_images(dataset: Dataset, folder: Path, half: str, count: int) -> tuple[tuple[int, Path], ...]:
    """Return id and file of the first `count` images of "train" or "val", by id; all where there are fewer.

    Raises:
        DataError: an image is not the one that was prepared.
    """
    split = getattr(dataset, half)
    records = read_json(dataset.path(folder, split.annotations))["images"]
    root = dataset.path(folder, split.images)
    return tuple(
        (record["id"], unchanged(root / record["file_name"], record, folder))
        for record in sorted(records, key=lambda image: image["id"])[:count]
    )


def calibration_images(dataset: Dataset, folder: Path, count: int) -> tuple[Path, ...]:
    """Return the images that 8-bit forms take the ranges of activations from: those need no labels, so training images
    where there are any.

    Raises:
        DataError: as `first_images`.
    """
    half = "train" if dataset.train.count else "val"
    return tuple(path for _, path in first_images(dataset, folder, half, count))


def summarise(campaign: Campaign, blocks: Sequence[Block], sessions: Sequence[Session]) -> Latency:
    """Return the record that follows from timed blocks and from what the sessions saw of the machine."""
    spec, environment = campaign.spec, sessions[0].environment
    record = Latency(
        reference=campaign.task.reference,
        images=len(campaign.task.images),
        rounds=spec.rounds,
        blocks=spec.blocks,
        block_ms=spec.block_ms,
        comparable=all(session.facts.busy_before <= BUSY * environment.cores for session in sessions),
        sessions=tuple(session.facts for session in sessions),
        rows=(),
        quantised=_quantised(sessions, campaign),
        absent=(*campaign.absent, *absences(sessions, campaign.arms)),
        fingerprint=fingerprint(environment),
        environment=environment,
    )
    return analysed(record, blocks, campaign.arms)


def analysed(record: Latency, blocks: Sequence[Block], arms: Sequence[Judged]) -> Latency:
    """Return a record with all that follows from its timed blocks computed anew."""
    result = analysis.analyse(blocks, arms, record.reference)
    sessions = tuple(_with_noise(session, result.sessions[session.number]) for session in record.sessions)
    return record.model_copy(update={"rows": result.rows, "sessions": sessions, "notes": result.notes})


def _with_noise(session: LatencySession, noise: analysis.SessionNoise) -> LatencySession:
    return session.model_copy(
        update={"canary_drift": noise.canary_drift, "copies": noise.copies, "contaminated": noise.contaminated}
    )


def _quantised(sessions: Iterable[Session], campaign: Campaign) -> tuple[QuantisedAP, ...]:
    scores = {key: ap for session in sessions for key, ap in session.int8_ap.items()}
    return tuple(
        QuantisedAP(runtime=runtime, arm=arm.label, read=arm.read, AP=ap, AP_float=campaign.float_ap[arm.label])
        for arm in campaign.arms
        for (measured, runtime), ap in scores.items()
        if measured == arm.measured and arm.label in campaign.float_ap
    )


def absences(sessions: Iterable[Session], arms: Sequence[Judged]) -> tuple[Absence, ...]:
    """Return every missing runtime, and every arm whose network failed in one, those that share it included."""
    missing = {runtime: error for session in sessions for runtime, error in session.absent.items()}
    failed = {key: error for session in sessions for key, error in session.failed.items()}
    return (
        *(Absence(runtime=runtime, error=error) for runtime, error in missing.items()),
        *(
            Absence(arm=arm.label, runtime=runtime, error=error)
            for (measured, runtime), error in failed.items()
            for arm in arms
            if arm.measured == measured
        ),
    )
