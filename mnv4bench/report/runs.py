"""What one arm's runs left behind: a state per seed, and scores where training ended well."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from mnv4bench.errors import Mnv4benchError
from mnv4bench.files import read_json
from mnv4bench.plan import Arm
from mnv4bench.records import Metrics, Reading, Record, State, Status

Kind = TypeVar("Kind", bound=Record)


@dataclass(frozen=True)
class SeedResult:
    """One seed of one arm; `reading` is None where the run did not end `done`."""

    seed: int
    run: str
    state: State
    reason: str | None
    reading: Reading | None

    def score(self, name: str, part: str | None = None) -> float | None:
        """Return a COCO score (0–1) of the whole validation split or of one slice; None where there is none."""
        if self.reading is None:
            return None
        scores = self.reading.scores if part is None else self.reading.slices.get(part)
        value: float | None = getattr(scores, name, None)
        return value


def read_record(path: Path, kind: type[Kind]) -> Kind:
    """Return the record in a result file.

    Raises:
        Mnv4benchError: the file is missing, is not JSON, or a field is wrong; names the file and the field.
    """
    try:
        return kind.model_validate(read_json(path))
    except FileNotFoundError as error:
        raise Mnv4benchError(f"{path}: is missing; run the workflow, which makes it") from error
    except json.JSONDecodeError as error:
        raise Mnv4benchError(f"{path}: is not JSON ({error}); delete it and run the workflow again") from error
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, problem["loc"])) for problem in error.errors())
        raise Mnv4benchError(
            f"{path}: not a {kind.__name__} record of this version (field {fields}); delete it and run the workflow "
            "again"
        ) from error


def seed_results(arm: Arm, results: Path) -> tuple[SeedResult, ...]:
    """Return the arm's seeds in the preset's order.

    Raises:
        Mnv4benchError: a run is unfinished, or done but not scored in the way the arm is read.
    """
    return tuple(_seed_result(arm, seed, run, results / "runs" / run) for seed, run in arm.runs.items())


def _seed_result(arm: Arm, seed: int, run: str, folder: Path) -> SeedResult:
    status = read_record(folder / "status.json", Status)
    if status.state != "done":
        return SeedResult(seed, run, status.state, status.reason, None)
    metrics = read_record(folder / "metrics.json", Metrics)
    if metrics.state != "done":
        return SeedResult(seed, run, metrics.state, metrics.reason, None)
    if arm.read not in metrics.readings:
        raise Mnv4benchError(
            f"{folder / 'metrics.json'}: readings has no {arm.read!r}, which arm {arm.label} needs; evaluate the run "
            "again"
        )
    return SeedResult(seed, run, "done", None, metrics.readings[arm.read])
