"""What one arm's runs left behind: a state per seed, and scores where training ended well."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.results.metrics import Reading, read_metrics
from mnv4bench.results.run import State, read_status
from mnv4bench.spec.arms import Arm


@dataclass(frozen=True)
class SeedResult:
    """One seed of one arm; `reading` is None where the run did not end `done`."""

    seed: int
    run: str
    state: State
    reason: str | None
    reading: Reading | None
    data: str | None = None
    """Digest of the data that it was scored on."""

    def score(self, name: str, part: str | None = None) -> float | None:
        """Return a COCO score (0–1) of the whole validation split or of one slice; None where there is none."""
        if self.reading is None:
            return None
        scores = self.reading.scores if part is None else self.reading.slices.get(part)
        value: float | None = getattr(scores, name, None)
        return value


def seed_results(arm: Arm, results: Path) -> tuple[SeedResult, ...]:
    """Return the arm's seeds in the preset's order.

    Raises:
        Mnv4benchError: a run is unfinished, or done but not scored in the way the arm is read.
    """
    return tuple(_seed_result(arm, seed, run, results / "runs" / run) for seed, run in arm.runs.items())


def _seed_result(arm: Arm, seed: int, run: str, folder: Path) -> SeedResult:
    status = read_status(folder)
    if status.state != "done":
        return SeedResult(seed, run, status.state, status.reason, None)
    metrics = read_metrics(folder)
    if metrics.state != "done":
        return SeedResult(seed, run, metrics.state, metrics.reason, None)
    if metrics.weights_digest != status.weights_digest:
        raise Mnv4benchError(
            f"{folder / 'metrics.json'}: weights_digest: scores weights {metrics.weights_digest}, but status.json has "
            f"{status.weights_digest}; delete metrics.json and start again to score the run anew"
        )
    if status.data_digest not in (None, metrics.data_digest):  # files of older versions have none
        raise Mnv4benchError(
            f"{folder / 'metrics.json'}: data_digest: scored on data {metrics.data_digest}, but trained on "
            f"{status.data_digest}; delete metrics.json and start again to score the run anew"
        )
    if arm.read not in metrics.readings:
        raise Mnv4benchError(
            f"{folder / 'metrics.json'}: readings has no {arm.read!r}, which arm {arm.label} needs; delete it "
            "and start again to score the run anew"
        )
    return SeedResult(seed, run, "done", None, metrics.readings[arm.read], metrics.data_digest)
