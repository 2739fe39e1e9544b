"""What a results folder or a reference holds, as far as `verify` compares it: tables, times, specs, digests."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import read_json, sha256
from mnv4bench.reference.cells import Label
from mnv4bench.reference.classifiers import TABLE as CLASSIFIERS
from mnv4bench.reference.classifiers import ClassifierArm, read_arms
from mnv4bench.results.environment import Environment
from mnv4bench.results.latency import Latency, LatencyRow
from mnv4bench.results.record import read_record
from mnv4bench.results.reference import check_files, read_reference
from mnv4bench.results.run import Status, read_status

ABLATIONS = Path("tables/ablations.csv")
COSTS = ("params_M", "train_params_M", "flops_G", "conv_flops_G", "activations_M")
"""Columns of it that must be equal."""


@dataclass(frozen=True)
class ArmRow:
    """A row of ablations.csv."""

    fields: Mapping[str, str]

    @property
    def label(self) -> Label:
        return self.fields["ablation"], self.fields["arm"]

    @property
    def is_baseline(self) -> bool:
        return self.fields["baseline"] == "1"

    @property
    def runs(self) -> dict[int, str]:
        """Return seed → run."""
        return {int(run.rpartition("-s")[2]): run for run in self.fields["runs"].split()}

    @property
    def scores(self) -> dict[int, float]:
        """Return seed → AP of the seeds that have one."""
        values = {seed: self.fields.get(f"AP_seed{seed}", "") for seed in self.runs}
        return {seed: float(value) for seed, value in values.items() if value}

    @property
    def costs(self) -> dict[str, float | None]:
        """Return each cost, None where it was not counted."""
        texts = {name: self.fields.get(name) for name in COSTS}
        return {name: float(text) if text else None for name, text in texts.items()}

    def check(self) -> None:
        """Raise KeyError, ValueError, AttributeError or StopIteration unless every property can be had."""
        if None in self.fields or None in self.fields.values():
            raise ValueError("a row of another length than the header")
        _ = self.label, self.is_baseline, self.scores, self.costs, next(iter(self.runs))


@dataclass(frozen=True)
class ResultSet:
    """A folder under results/, read when asked."""

    folder: Path
    published: Mapping[str, str] = field(default_factory=dict)
    """Of a reference: run → SHA-256 of its matches.npz as it was scored, before it was cut down."""

    @cached_property
    def arms(self) -> dict[Label, ArmRow]:
        """Return the rows of ablations.csv; none where there are classifiers alone.

        Raises:
            Mnv4benchError: the table is missing or lacks a column.
        """
        path = self.folder / ABLATIONS
        if not path.exists() and (self.folder / CLASSIFIERS).exists():
            return {}
        try:
            with path.open(newline="", encoding="utf-8") as stream:
                rows = [ArmRow(fields) for fields in csv.DictReader(stream, strict=True)]
            for row in rows:
                row.check()
            return {row.label: row for row in rows}
        except OSError as error:
            raise Mnv4benchError(f"{path}: cannot be read ({error.strerror}); finish the preset first") from error
        except (KeyError, ValueError, StopIteration, AttributeError, csv.Error) as error:
            raise Mnv4benchError(f"{path}: not this version's table ({error!r}); delete it and start again") from error

    @cached_property
    def classifiers(self) -> dict[Label, ClassifierArm]:
        """Return what the arms of classifiers came to; none where there are detectors alone."""
        return read_arms(self.folder) if (self.folder / CLASSIFIERS).exists() else {}

    @property
    def labels(self) -> set[Label]:
        return {*self.arms, *self.classifiers}

    @property
    def runs(self) -> set[str]:
        detectors = {run for row in self.arms.values() for run in row.runs.values()}
        return detectors | {run for arm in self.classifiers.values() for run in arm.runs.values()}

    @cached_property
    def latency(self) -> Latency:
        return read_record(self.folder / "latency" / "latency.json", Latency)

    def times(self, label: Label) -> dict[tuple[str, int], LatencyRow]:
        """Return (runtime, threads) → the arm's end-to-end row."""
        name = "/".join(label)
        rows = [row for row in self.latency.rows if row.arm == name and row.stage == "end_to_end"]
        return {(row.runtime, row.threads): row for row in rows}

    def spec(self, run: str) -> dict[str, Any]:
        """Return a run's spec.json as it was written, perhaps by another version.

        Raises:
            Mnv4benchError: the file is missing or damaged.
        """
        path = self.folder / "runs" / run / "spec.json"
        remedy = f"delete the folder {path.parent} and start again"
        content = read_json(path, remedy)
        if not isinstance(content, dict) or not isinstance(content.get("data"), dict):
            raise Mnv4benchError(f"{path}: not a run's spec (data: missing); {remedy}")
        return content

    def environment(self, run: str) -> Environment:
        return self._status(run).environment

    def weights_digest(self, run: str) -> str | None:
        return self._status(run).weights_digest

    def match_digests(self, run: str) -> frozenset[str]:
        """Return the digest of a run's match records; in a reference also of those that were scored and then cut."""
        path = self.folder / "runs" / run / "matches.npz"
        there = sha256(path) if path.exists() else ""
        return frozenset((there, self.published.get(run, there)))

    def _status(self, run: str) -> Status:
        return read_status(self.folder / "runs" / run)


def reference_set(folder: Path) -> ResultSet:
    """Return what a reference holds.

    Raises:
        Mnv4benchError: a record is missing or is not the one that was published.
    """
    record = read_reference(folder.name, folder.parent)
    check_files(record, folder)
    return ResultSet(folder, record.matches)


def identical(a: ResultSet, b: ResultSet, run: str) -> bool:
    """Return whether both have the same bytes of a run: its weights and its match records."""
    return a.weights_digest(run) == b.weights_digest(run) and bool(a.match_digests(run) & b.match_digests(run))
