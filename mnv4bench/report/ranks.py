"""Numerical ranks of the neck's stages, and where YOLOv10's rank-guided design would stop: tables/ranks.{csv,md}.

The ablation's arms replace one stage after the other (arXiv 2405.14458, section 3.2 and Algorithm 1).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from mnv4bench.io.errors import DataError
from mnv4bench.io.files import write_text
from mnv4bench.models import detector
from mnv4bench.models.weights import read
from mnv4bench.report import formatting as fmt
from mnv4bench.report.tables import markdown
from mnv4bench.report.tables.cells import table
from mnv4bench.report.tables.csv import to_csv
from mnv4bench.results.comparison import Comparison, Difference
from mnv4bench.results.record import read_record
from mnv4bench.spec.arms import Arm
from mnv4bench.spec.model import Stage
from mnv4bench.spec.plan import Plan

ABLATION = "rank_guided"


def numerical_rank(weight: NDArray[np.floating]) -> int:
    """Return how many singular values of a convolution's weight exceed half of the largest one.

    Args:
        weight: (out, in, height, width), taken as a matrix of `out` rows.
    """
    values = np.linalg.svd(weight.reshape(len(weight), -1).astype(np.float64), compute_uv=False)
    return int((values > values[0] / 2).sum())


def stage_ranks(weights: Mapping[str, NDArray[np.floating]], where: str) -> dict[Stage, float]:
    """Return each stage's rank over its number of channels: of the last convolution in its last basic block.

    Raises:
        DataError: a stage holds no C2f bottleneck.
    """
    found = {}
    for stage in get_args(Stage):
        pattern = re.compile(rf"{stage}\.m\.(\d+)\.cv2\.conv\.weight")
        blocks = {int(match[1]): name for name in weights if (match := pattern.fullmatch(name))}
        if not blocks:
            raise DataError(f"{where}: {stage} has no C2f bottleneck; the baseline's stages must all be C2f")
        weight = weights[blocks[max(blocks)]]
        found[stage] = numerical_rank(weight) / len(weight)
    return found


def write_ranks(plan: Plan, results: Path) -> None:
    """Write tables/ranks.{csv,md} under `results`.

    Raises:
        Mnv4benchError: a file is missing or damaged, or a stage of the baseline is not C2f.
    """
    baseline = plan.baseline(ABLATION)
    by_seed = {}
    for seed, run in baseline.runs.items():
        path = results / "runs" / run / "weights.safetensors"
        if path.exists():
            by_seed[seed] = stage_ranks({name: value.numpy() for name, value in read(path).items()}, str(path))
    declared = declared_order(plan)
    rows = rank_rows(by_seed, declared, untrained(baseline, tuple(by_seed)))
    differences = [d for d in read_record(results / "compare.json", Comparison).differences if d.ablation == ABLATION]
    columns = ("stage", "rank", *(f"seed {seed}" for seed in by_seed), "untrained", "place", "declared_place")
    text = _document(rows, columns[2:-2], [agreement(rows, declared), *stopping_points(differences)])
    write_text(results / "tables" / "ranks.csv", to_csv(rows, columns))
    write_text(results / "tables" / "ranks.md", text)


def untrained(arm: Arm, seeds: Sequence[int]) -> dict[Stage, float]:
    """Return each stage's mean rank before training: near 1, so that a short training leaves much of it."""
    by_seed = []
    for seed in seeds:
        state = detector.build(arm.model, 1, seed=seed).part_state()  # the number of classes touches the head alone
        by_seed.append(stage_ranks({name: value.numpy(force=True) for name, value in state.items()}, arm.label))
    return _means(by_seed)


def _means(by_seed: Collection[Mapping[Stage, float]]) -> dict[Stage, float]:
    return {stage: fmean(ranks[stage] for ranks in by_seed) for stage in get_args(Stage) if by_seed}


def rank_rows(
    by_seed: Mapping[int, Mapping[Stage, float]], declared: Sequence[Stage], start: Mapping[Stage, float]
) -> list[dict[str, object]]:
    """Return the table's rows in order of mean rank; none where there is no seed.

    Stages of equal rank stand as the arms take them, since Algorithm 1 leaves their order open.
    """
    means = _means(by_seed.values())
    stages = [*declared, *(stage for stage in get_args(Stage) if stage not in declared)]
    measured = sorted((stage for stage in stages if stage in means), key=means.__getitem__)
    return [
        {
            "stage": stage,
            "rank": means[stage],
            **{f"seed {seed}": ranks[stage] for seed, ranks in by_seed.items()},
            "untrained": start[stage],
            "place": place,
            "declared_place": declared.index(stage) + 1 if stage in declared else None,
        }
        for place, stage in enumerate(measured, 1)
    ]


def declared_order(plan: Plan) -> list[Stage]:
    """Return the stages in the order in which the arms take them."""
    order: list[Stage] = []
    for arm in plan.arms_of(ABLATION):
        order.extend(stage for stage in reversed(arm.model.block_stages) if stage not in order)
    return order


def _document(rows: Sequence[Mapping[str, object]], ranks: Sequence[str], sentences: Sequence[str]) -> str:
    lines = [
        (
            str(row["stage"]),
            fmt.number(float(str(row["rank"])), 3),
            *(fmt.number(float(str(row[name])), 3) for name in ranks),
            str(row["place"]),
            str(row["declared_place"] or fmt.NONE),
        )
        for row in rows
    ]
    header = ("stage", "rank / channels", *ranks, "place", "place of its arm")
    return markdown.document(
        [
            "# Ranks of the neck's stages",
            markdown.table(table(header, "l" + "r" * (len(header) - 1), lines)) if rows else "",
            markdown.bullets(sentences),
        ]
    )


def agreement(rows: Sequence[Mapping[str, object]], declared: Sequence[str]) -> str:
    """Say whether the arms go in the order of the measured ranks, as far as they go."""
    measured = [str(row["stage"]) for row in rows]
    if not measured:
        return "No seed of the baseline was trained to its end, so there are no ranks."
    if len({row["rank"] for row in rows}) == 1:
        return "All stages have the same rank, which speaks for no order."
    if measured[: len(declared)] == list(declared):
        return "The arms take the stages in the order of these ranks."
    return (
        f"The arms take the stages in the order {fmt.join(declared)}; by these ranks it would be "
        f"{fmt.join(measured)}, so the arms do not follow Algorithm 1 on this network."
    )


def stopping_points(differences: Sequence[Difference]) -> list[str]:
    """Say where Algorithm 1 stops: before the first arm whose AP is lower, by the mean and by the verdict."""
    by_mean = _last_before([(d.arm, None if d.mean is None else d.mean < 0) for d in differences])
    by_verdict = _last_before([(d.arm, None if d.mean is None else d.verdict == "worse") for d in differences])
    return [
        f"By the mean differences, as in the paper, it stops at {by_mean}.",
        f"By the verdicts, for which a fall has to be shown, it stops at {by_verdict}.",
    ]


def _last_before(arms: Sequence[tuple[str, bool | None]]) -> str:
    """Return the last arm before the first that fell; the walk cannot pass one of which nothing is known (None)."""
    reached = "the baseline, with no stage replaced"
    for arm, fell in arms:
        if fell is None:
            return f"{reached}, or later: arm {arm} has no seed to compare"
        if fell:
            return reached
        reached = f"arm {arm}"
    return f"{reached}, the last one" if arms else reached
