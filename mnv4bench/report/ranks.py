"""Numerical ranks of the neck's stages, and where YOLOv10's rank-guided design would stop: tables/ranks.{csv,md}.

The ablation's arms replace one stage after the other (arXiv 2405.14458, section 3.2 and Algorithm 1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from mnv4bench.errors import DataError
from mnv4bench.files import write_text
from mnv4bench.model_spec import Stage
from mnv4bench.plan import Plan
from mnv4bench.report import markdown, words
from mnv4bench.report.cells import table
from mnv4bench.report.compare import Comparison, Difference
from mnv4bench.report.raw import to_csv
from mnv4bench.report.runs import read_record

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
        Mnv4benchError: a file is missing or damaged, or no seed of the baseline has weights.
    """
    baseline = plan.baseline(ABLATION)
    by_seed = {}
    for seed, run in baseline.runs.items():
        path = results / "runs" / run / "weights.safetensors"
        if path.exists():
            by_seed[seed] = stage_ranks(load_file(path), str(path))
    if not by_seed:
        raise DataError(f"{results / 'runs'}: no seed of {baseline.label} has weights, so there are no ranks")
    means = {stage: fmean(ranks[stage] for ranks in by_seed.values()) for stage in get_args(Stage)}
    measured = sorted(means, key=lambda stage: means[stage])
    declared = declared_order(plan)
    rows = [
        {
            "stage": stage,
            "rank": means[stage],
            **{f"seed {seed}": ranks[stage] for seed, ranks in by_seed.items()},
            "place": measured.index(stage) + 1,
            "declared_place": declared.index(stage) + 1 if stage in declared else None,
        }
        for stage in measured
    ]
    differences = [d for d in read_record(results / "compare.json", Comparison).differences if d.ablation == ABLATION]
    write_text(results / "tables" / "ranks.csv", to_csv(rows, tuple(rows[0])))
    write_text(results / "tables" / "ranks.md", _document(rows, measured, declared, differences))


def declared_order(plan: Plan) -> list[Stage]:
    """Return the stages in the order in which the arms take them."""
    order: list[Stage] = []
    for arm in plan.arms_of(ABLATION):
        order.extend(stage for stage in reversed(arm.model.block_stages) if stage not in order)
    return order


def _document(
    rows: Sequence[Mapping[str, object]],
    measured: Sequence[Stage],
    declared: Sequence[Stage],
    differences: Sequence[Difference],
) -> str:
    seeds = [name for name in rows[0] if name.startswith("seed ")]
    lines = [
        (
            str(row["stage"]),
            words.number(float(str(row["rank"])), 3),
            *(words.number(float(str(row[seed])), 3) for seed in seeds),
            str(row["place"]),
            str(row["declared_place"] or words.NONE),
        )
        for row in rows
    ]
    header = ("stage", "rank / channels", *seeds, "place", "place of its arm")
    return markdown.document(
        [
            "# Ranks of the neck's stages",
            markdown.table(table(header, "l" + "r" * (len(header) - 1), lines)),
            markdown.bullets([agreement(measured, declared), *stopping_points(differences)]),
        ]
    )


def agreement(measured: Sequence[Stage], declared: Sequence[Stage]) -> str:
    """Say whether the arms go in the order of the measured ranks."""
    if list(measured) == list(declared):
        return "The arms take the stages in the order of these ranks."
    return (
        f"The arms take the stages in the order {words.join(declared)}; by these ranks it would be "
        f"{words.join(measured)}, so the arms do not follow Algorithm 1 on this network."
    )


def stopping_points(differences: Sequence[Difference]) -> list[str]:
    """Say where Algorithm 1 stops: before the first arm whose AP is lower, by the mean and by the verdict."""
    known = [d for d in differences if d.mean is not None]
    by_mean = _last_before([(d.arm, d.mean is not None and d.mean < 0) for d in known])
    by_verdict = _last_before([(d.arm, d.verdict == "worse") for d in known])
    return [
        f"By the mean differences, as in the paper, it stops at {by_mean}.",
        f"By the verdicts, for which a fall has to be shown, it stops at {by_verdict}.",
    ]


def _last_before(arms: Sequence[tuple[str, bool]]) -> str:
    """Return the last arm before the first that fell."""
    reached = "the baseline, with no stage replaced"
    for arm, fell in arms:
        if fell:
            return reached
        reached = f"arm {arm}"
    return f"{reached}, the last one" if arms else reached
