"""What is known of an arm: the columns of ablations.csv, of which the printed tables pick theirs."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean

from mnv4bench.report import accuracy, timing
from mnv4bench.report import formatting as fmt
from mnv4bench.report.results import ArmResult, Results
from mnv4bench.report.tables.cells import Cell
from mnv4bench.report.tables.columns import Column, numbers, of_part, points, words
from mnv4bench.results.blocks import STAGES
from mnv4bench.results.comparison import Difference
from mnv4bench.results.cost import CostRow
from mnv4bench.results.environment import Environment
from mnv4bench.results.latency import LatencyRow, Stage

Columns = list[Column[ArmResult]]

FURTHER_SCORES = ("AP50", "AP75", "APs", "APm", "APl")
ABOUT_SEEDS = ("difference_seed_sd", "seeds_agreeing", "AP_seeds")
"""Columns without meaning for published weights, which are no sample of trainings."""
STAGE_TITLES: dict[Stage, str] = {
    "forward": "forward",
    "post": "post",
    "end_to_end": "end to end",
    "in_graph": "in graph",
}


def columns(results: Results) -> Columns:
    """Return all columns, in the order of ablations.csv."""
    decimals = accuracy.decimals_of(results)
    return [
        *identity(),
        *_scores(results.plan.preset.seeds, decimals),
        *of_part(differences(results.comparison.level, decimals), lambda arm: arm.difference),
        *of_part(COST, lambda arm: arm.cost),
        *(column for runtime in results.runtimes for column in _runtime(runtime)),
        *_provenance(results),
    ]


def label(arm: ArmResult) -> str:
    return arm.arm.title + (" (baseline)" if arm.is_baseline else "")


def identity() -> Columns:
    """Return which arm it is, how it is read, and how its seeds ended."""
    return [
        words("ablation", "ablation", lambda arm: arm.arm.ablation),
        Column("arm", lambda arm: arm.arm.name, "arm", label, "l"),
        Column("baseline", lambda arm: int(arm.is_baseline)),
        Column("read", lambda arm: arm.arm.read, "decoding", lambda arm: fmt.READS[arm.arm.read], "l"),
        Column("seeds", lambda arm: len(arm.seeds)),
        Column("seeds_done", lambda arm: len(arm.done)),
        Column("states", lambda arm: " ".join(f"{result.seed}:{result.state}" for result in arm.seeds)),
    ]


def _scores(seeds: tuple[int, ...], decimals: int) -> Columns:
    """Return means over seeds, and each seed's AP."""
    return [
        Column("AP", lambda arm: arm.mean("AP"), "AP (points)", lambda arm: accuracy.mean(arm, decimals)),
        *(points(name, name, _mean(name)) for name in FURTHER_SCORES),
        *(Column(f"AP_seed{seed}", _score(seed)) for seed in seeds),
        Column("AP_seeds", None, "AP per seed", lambda arm: _per_seed(arm, decimals), "l"),
    ]


def _mean(name: str) -> Callable[[ArmResult], float | None]:
    return lambda arm: arm.mean(name)


def _score(seed: int) -> Callable[[ArmResult], float | None]:
    return lambda arm: arm.scores("AP").get(seed)


def _per_seed(arm: ArmResult, decimals: int) -> str:
    return " ".join(accuracy.per_seed(arm, decimals)) if arm.done else fmt.NONE


def differences(level: float, decimals: int, metric: str = "AP") -> list[Column[Difference]]:
    """Return the columns of a difference to the baseline: its interval, and what it was judged by."""

    def bold(d: Difference, text: str) -> Cell:
        return Cell(text, accuracy.strong(d))

    def interval(d: Difference) -> Cell:
        return bold(d, accuracy.interval(d, decimals))

    def seed_error(d: Difference) -> str:
        return fmt.points(accuracy.seed_error(d), decimals)

    return [
        Column("difference_mean", lambda d: d.mean, f"Δ{metric} (points) [{fmt.percent(level)}]", interval),
        Column("difference_low", lambda d: d.low),
        Column("difference_high", lambda d: d.high),
        Column("difference_seed_sd", lambda d: d.seed_sd, "± seed", seed_error),
        points("difference_image_se", "± image", lambda d: d.image_se, decimals),
        Column("difference_df", lambda d: d.df),
        Column("seeds_compared", lambda d: len(d.seeds)),
        Column("seeds_agreeing", lambda d: d.agreeing, "agree", accuracy.agreement, "l"),
        Column("smallest_effect", lambda d: d.smallest_effect),
        Column("equivalence_low", lambda d: d.equivalence_low),
        Column("equivalence_high", lambda d: d.equivalence_high),
        Column("p", lambda d: d.p),
        Column("p_holm", lambda d: d.p_holm, "p (Holm)", accuracy.p_value),
        points("mde", "MDE", lambda d: d.mde, decimals),
        Column("verdict", lambda d: d.verdict, "verdict", lambda d: bold(d, accuracy.verdict(d)), "l"),
    ]


COST: list[Column[CostRow]] = [
    numbers("params_M", "params (M)", lambda cost: cost.params / 1e6, 3),
    numbers("flops_G", "FLOPs (G)", lambda cost: cost.flops / 1e9, 3),
    Column("conv_flops_G", lambda cost: cost.conv_flops / 1e9),
    Column("activations_M", lambda cost: cost.activations / 1e6),
    Column("train_params_M", lambda cost: cost.train_params / 1e6),
]


def _runtime(runtime: str) -> Columns:
    """Return times of every stage; ratio and verdict of the end-to-end time (latency.csv has the other stages)."""
    return [
        *(column for stage in STAGES for column in times(runtime, stage, f"{runtime} (ms)")),
        *ratios(runtime, "end_to_end", f"{runtime} × base"),
    ]


def times(runtime: str, stage: Stage, title: str) -> Columns:
    """Return median, minimum and 90th percentile at the first thread count, in milliseconds."""
    name = f"{runtime}_{stage}"
    columns: list[Column[LatencyRow]] = [
        Column(f"{name}_p50_ms", lambda row: row.p50_ms, title, timing.milliseconds),
        Column(f"{name}_min_ms", lambda row: row.min_ms, "min (ms)", lambda row: fmt.significant(row.min_ms)),
        Column(f"{name}_p90_ms", lambda row: row.p90_ms, "p90 (ms)", lambda row: fmt.significant(row.p90_ms)),
    ]
    return of_part(columns, lambda arm: arm.row(runtime, stage))


def ratios(runtime: str, stage: Stage, title: str) -> Columns:
    """Return a time over the ablation's baseline's, of which the first column is printed, with interval and verdict."""
    name = f"{runtime}_ratio_to_baseline"
    columns: list[Column[LatencyRow]] = [
        Column(name, lambda row: row.ratio, title, timing.ratio_and_verdict, "l"),
        Column(f"{name}_low", lambda row: row.ratio_low),
        Column(f"{name}_high", lambda row: row.ratio_high),
        Column(f"{runtime}_verdict", lambda row: row.verdict),
    ]
    return of_part(columns, lambda arm: arm.row(runtime, stage))


def _provenance(results: Results) -> Columns:
    """Return what is needed to trace a row."""

    def train_seconds(arm: ArmResult) -> float | None:
        """Return the mean time in the training loop, which other work on the machine may have lengthened."""
        seconds = [results.statuses[result.run].seconds for result in arm.done]
        return fmean(seconds) if seconds else None

    def environments(arm: ArmResult) -> list[Environment]:
        return [results.statuses[run].environment for run in arm.arm.runs.values()]

    return [
        Column("train_seconds", train_seconds),
        Column("runs", lambda arm: " ".join(arm.arm.runs.values())),
        Column("data_digest", lambda arm: results.data.record.digest),
        Column("commit", lambda arm: " ".join(dict.fromkeys(e.commit for e in environments(arm) if e.commit))),
        Column("cpu", lambda arm: "; ".join(dict.fromkeys(e.cpu for e in environments(arm)))),
        Column("reasons", lambda arm: "; ".join(f"{seed.seed}: {seed.reason}" for seed in arm.seeds if seed.reason)),
    ]
