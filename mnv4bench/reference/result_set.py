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
from mnv4bench.results.classifier import TOP1
from mnv4bench.results.environment import Environment
from mnv4bench.results.latency import Latency, LatencyRow
from mnv4bench.results.record import read_record
from mnv4bench.results.reference import check_files, read_reference
from mnv4bench.results.run import Status, read_status

ABLATIONS = Path("tables/ablations.csv")
COSTS = ("params_M", "train_params_M", "flops_G", "conv_flops_G", "activations_M")
"""Columns of it that must be equal."""
Label = tuple[str, str]
"""Ablation and arm."""


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
    def training(self) -> str:
        """Return what all seeds share: the name of their runs up to the seed."""
        return next(iter(self.runs.values())).rpartition("-s")[0]

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
        _ = self.label, self.is_baseline, self.scores, self.costs, self.training


@dataclass(frozen=True)
class ResultSet:
    """A folder under results/, read when asked."""

    folder: Path
    published: Mapping[str, str] = field(default_factory=dict)
    """Of a reference: run → SHA-256 of its matches.npz as it was scored, before it was cut down."""

    @cached_property
    def arms(self) -> dict[Label, ArmRow]:
        """Return the rows of ablations.csv.

        Raises:
            Mnv4benchError: the table is missing or lacks a column.
        """
        path = self.folder / ABLATIONS
        try:
            with path.open(newline="", encoding="utf-8") as stream:
                rows = [ArmRow(fields) for fields in csv.DictReader(stream, strict=True)]
            for row in rows:
                row.check()
            return {row.label: row for row in rows}
        except OSError as error:
            if (self.folder / TOP1).is_file():
                raise Mnv4benchError(_only_classifiers(self.folder)) from error
            raise Mnv4benchError(f"{path}: cannot be read ({error.strerror}); finish the preset first") from error
        except (KeyError, ValueError, StopIteration, AttributeError, csv.Error) as error:
            raise Mnv4benchError(f"{path}: not this version's table ({error!r}); delete it and start again") from error

    def baseline(self, ablation: str) -> ArmRow | None:
        return next((row for (name, _), row in self.arms.items() if name == ablation and row.is_baseline), None)

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
        Mnv4benchError: a record is missing or is not the one that was published, or there are classifiers alone.
    """
    record = read_reference(folder.name, folder.parent)
    if not record.detectors:
        raise Mnv4benchError(_only_classifiers(folder))
    check_files(record, folder)
    return ResultSet(folder, record.matches)


def _only_classifiers(folder: Path) -> str:
    return f"{folder}: holds classifiers alone, and only detectors are verified; name another folder or reference"


def identical(a: ResultSet, b: ResultSet, run: str) -> bool:
    """Return whether both have the same bytes of a run: its weights and its match records."""
    return a.weights_digest(run) == b.weights_digest(run) and bool(a.match_digests(run) & b.match_digests(run))


TRAINING_PACKAGES = ("torch", "numpy", "ultralytics", "opencv-python-headless", "pycocotools")


def trains_alike(a: Environment, b: Environment) -> bool:
    """Return whether two environments should train to the same bytes: the kind of processor, threads and libraries."""
    return same_processor(a, b) and a.threads == b.threads and _packages(a) == _packages(b)


def same_processor(a: Environment, b: Environment) -> bool:
    return (a.cpu, a.cpu_flags, a.gpu, a.platform) == (b.cpu, b.cpu_flags, b.gpu, b.platform)


def _packages(e: Environment) -> list[str | None]:
    return [e.packages.get(name) for name in TRAINING_PACKAGES]
