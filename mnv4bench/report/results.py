"""Everything that a preset's folder holds, read once into one structure that tables, figures and paper share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

from mnv4bench.data.prepared import intact, load
from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import read_json
from mnv4bench.results.comparison import Comparison, Difference
from mnv4bench.results.cost import Cost, CostRow
from mnv4bench.results.curve import COLUMNS, read_curve
from mnv4bench.results.dataset import Dataset
from mnv4bench.results.latency import Latency, LatencyRow, QuantisedAP, Stage
from mnv4bench.results.metrics import Metrics, read_metrics
from mnv4bench.results.record import read_record
from mnv4bench.results.reference import RECORD, check_files, read_reference
from mnv4bench.results.run import Status, read_status
from mnv4bench.results.runs import SeedResult, seed_results
from mnv4bench.spec.arms import Arm
from mnv4bench.spec.extensions import extensions
from mnv4bench.spec.latency import INT8
from mnv4bench.spec.plan import Plan

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class ArmResult:
    """One arm of one ablation, over its seeds. Scores are COCO's on 0–1."""

    arm: Arm
    is_baseline: bool
    seeds: tuple[SeedResult, ...]
    difference: Difference | None
    """To the ablation's baseline; None for the baseline itself."""
    cost: CostRow | None
    latency: dict[str, dict[Stage, LatencyRow]]
    """Runtime → stage → row at the first thread count; a runtime in which the arm was not measured is absent."""
    quantised: dict[str, QuantisedAP]
    """Runtime → AP, for runtimes that compute in eight-bit integers and quantised this arm's own weights."""

    @property
    def done(self) -> tuple[SeedResult, ...]:
        return tuple(result for result in self.seeds if result.state == "done")

    def scores(self, name: str, part: str | None = None) -> dict[int, float]:
        """Return seed → score, without the seeds that have none."""
        values = {result.seed: result.score(name, part) for result in self.seeds}
        return {seed: value for seed, value in values.items() if value is not None}

    def mean(self, name: str, part: str | None = None) -> float | None:
        values = self.scores(name, part)
        return fmean(values.values()) if values else None

    def row(self, runtime: str, stage: Stage = "end_to_end") -> LatencyRow | None:
        return self.latency.get(runtime, {}).get(stage)

    @property
    def is_missing(self) -> bool:
        """Whether the file of a published network was not at hand."""
        return all(result.state == "missing" for result in self.seeds)

    @property
    def key(self) -> tuple[Any, ...]:
        """Arms with equal keys are the same runs read the same way, whichever ablations name them."""
        return (*self.arm.runs.values(), self.arm.read)


@dataclass(frozen=True)
class DataFacts:
    """The data set as the report needs it."""

    folder: Path
    record: Dataset

    @property
    def slices(self) -> dict[str, int]:
        """Return slice → number of validation images, in the data set's order."""
        return {name: self.record.val.slices.get(name, 0) for name in self.record.slices}

    @cached_property
    def annotations(self) -> dict[str, Any]:
        """The validation split's COCO JSON; only pictures need it.

        Raises:
            DataError: it is not what was prepared.
        """
        intact(self.folder)
        content: dict[str, Any] = read_json(self.record.path(self.folder, self.record.val.annotations))
        return content


@dataclass(frozen=True)
class Results:
    """A preset's results."""

    plan: Plan
    folder: Path
    ablations: dict[str, tuple[ArmResult, ...]]
    comparison: Comparison
    cost: Cost
    latency: Latency
    statuses: dict[str, Status]
    """Of every run, trunk and teacher included."""
    metrics: dict[str, Metrics]
    """Of the runs that are done and that an arm reads."""
    data: DataFacts
    untrained: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Network → runtime → milliseconds of its forward pass, of networks without AP that extensions of ablations add."""

    @property
    def arms(self) -> list[ArmResult]:
        return [arm for arms in self.ablations.values() for arm in arms]

    @property
    def commits(self) -> dict[str, int]:
        """Return the commit that trainings ran at → how many, the most first; a + behind it: with changes since."""
        trained = () if self.plan.published else self.statuses.values()
        return dict(Counter(s.environment.commit for s in trained if s.environment.commit).most_common())

    @property
    def at_hand(self) -> Results:
        """The same without ablations of which all networks but the baseline's are missing, if others are left."""
        kept = {
            name: arms
            for name, arms in self.ablations.items()
            if not all(arm.is_missing for arm in arms if not arm.is_baseline)
        }
        return replace(self, ablations=kept or self.ablations)

    @property
    def runtimes(self) -> tuple[str, ...]:
        """Return the preset's runtimes, and any other that was measured."""
        return tuple(dict.fromkeys([*self.plan.preset.latency.runtimes, *(row.runtime for row in self.latency.rows)]))

    @property
    def timed(self) -> tuple[str, ...]:
        """Return the runtimes that ran the arms as they were scored: what tables and figures show side by side."""
        return tuple(name for name in self._measured if not name.endswith(INT8))

    @property
    def timed_int8(self) -> tuple[str, ...]:
        """Return the measured runtimes that compute in eight-bit integers, which stand apart."""
        return tuple(name for name in self._measured if name.endswith(INT8))

    @property
    def _measured(self) -> list[str]:
        measured = {runtime for arm in self.arms for runtime in arm.latency}
        return [name for name in self.runtimes if name in measured]


def collect(plan: Plan, results: Path, dataset: Path | None = None) -> Results:
    """Read a preset's folder.

    Args:
        dataset: the prepared data set's folder; by default the one under results/data that the runs were scored on.

    Raises:
        Mnv4benchError: names the file that is missing or wrong, and what to do.
    """
    results = Path(results)
    if (results / RECORD).is_file():
        check_files(read_reference(results.name, results.parent), results)
    comparison = read_record(results / "compare.json", Comparison)
    cost = read_record(results / "cost.json", Cost)
    latency = read_record(results / "latency" / "latency.json", Latency)
    ablations = {
        name: tuple(_arm_result(arm, plan, results, comparison, cost, latency) for arm in plan.arms_of(name))
        for name in plan.ablations
    }
    done = {seed.run for arms in ablations.values() for arm in arms for seed in arm.done}
    metrics = {run: read_metrics(results / "runs" / run) for run in plan.runs if run in done}
    if dataset is None:
        dataset = data_folder(results, (record.data_digest for record in metrics.values()))
    return Results(
        plan=plan,
        folder=results,
        ablations=ablations,
        comparison=comparison,
        cost=cost,
        latency=latency,
        statuses={run: read_status(results / "runs" / run) for run in plan.runs},
        metrics=metrics,
        data=DataFacts(Path(dataset), load(dataset)),
        untrained=_untrained(plan, results),
    )


def _untrained(plan: Plan, results: Path) -> dict[str, Mapping[str, float]]:
    adding = [extension.untrained for extension in extensions(plan.ablations).values() if extension.untrained]
    return {name: times for untrained in adding for name, times in untrained(results).items()}


def _arm_result(arm: Arm, plan: Plan, results: Path, comparison: Comparison, cost: Cost, latency: Latency) -> ArmResult:
    baseline = plan.baseline(arm.ablation)
    difference = comparison.find(arm.ablation, arm.name)
    if difference is None and arm is not baseline:
        raise Mnv4benchError(f"{results / 'compare.json'}: differences has no {arm.label}; delete it and start again")
    seeds = seed_results(arm, results)
    return ArmResult(
        arm=arm,
        is_baseline=arm is baseline,
        seeds=seeds,
        difference=difference,
        cost=cost.arms.get(arm.label),
        latency=_rows(latency, arm.label),
        quantised=_quantised(latency, arm.label, seeds[0].score("AP")),
    )


def _quantised(latency: Latency, label: str, ap: float | None) -> dict[str, QuantisedAP]:
    """Return runtime → AP where the arm's own weights were quantised: older records copy it to all arms that deploy the
    same network, and only the AP in float32 tells whose it is."""
    return {r.runtime: r for r in latency.quantised if r.arm == label and r.AP_float == ap}


def _rows(latency: Latency, label: str) -> dict[str, dict[Stage, LatencyRow]]:
    rows: dict[str, dict[Stage, LatencyRow]] = {}
    for row in latency.rows:
        if row.arm == label and row.threads == latency.threads:
            rows.setdefault(row.runtime, {})[row.stage] = row
    return rows


def data_folder(results: Path, digests: Iterable[str | None] = ()) -> Path:
    """Return the folder under results/data that the runs were scored on.

    Args:
        digests: data digests in the runs' metrics.json; needed only where several data sets lie there.

    Raises:
        Mnv4benchError: none fits, or more than one.
    """
    paths = sorted((Path(results) / "data").glob("*/dataset.json"))
    if len(paths) > 1:
        wanted = set(digests)
        paths = [path for path in paths if read_record(path, Dataset).digest in wanted]
    if len(paths) != 1:
        names = ", ".join(path.parent.name for path in paths) or "none"
        raise Mnv4benchError(
            f"{Path(results) / 'data'}: one data set with the data_digest of the runs' metrics.json is needed, "
            f"found {names}; delete the others, or the runs' metrics.json, and start again"
        )
    return paths[0].parent


def curve_of(results: Results, run: str) -> dict[str, list[float]]:
    """Return the columns of a run's curve.csv, of the APs those that it has.

    Raises:
        Mnv4benchError: the file is missing, damaged, or shorter than the run's training.
    """
    rows = read_curve(results.folder / "runs" / run / "curve.csv", results.statuses[run].epochs)
    return {name: [row[name] for row in rows] for name in COLUMNS if all(name in row for row in rows)}


def distinct(arms: Iterable[ArmResult]) -> list[list[ArmResult]]:
    """Group arms that are the same runs read the same way, in order of first appearance."""
    return list(grouped(arms, lambda arm: arm.key).values())


def group_label(group: Sequence[ArmResult]) -> str:
    """Return "psa: no attention"; for arms that are one, the first's name and how many more there are."""
    names = [arm.arm.full_title for arm in group]
    return names[0] if len(names) == 1 else f"{names[0]} (+{len(names) - 1} same)"


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Return key → its items, both in order of first appearance."""
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
