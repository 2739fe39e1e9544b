"""The ranks of the neck's stages, and where YOLOv10's rank-guided design would stop: tables/ranks.{csv,md}.

The ablation's arms replace one stage after the other (arXiv 2405.14458, section 3.2 and Algorithm 1).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, NamedTuple, get_args

from mnv4bench.cost.ranks import stage_ranks
from mnv4bench.io.files import write_text
from mnv4bench.models import detector
from mnv4bench.models.weights import read
from mnv4bench.report import formatting as fmt
from mnv4bench.report.rendering import page_of
from mnv4bench.report.tables.cells import Table, table
from mnv4bench.report.tables.csv import to_csv
from mnv4bench.results.comparison import Comparison
from mnv4bench.results.record import read_record
from mnv4bench.results.run import read_status
from mnv4bench.spec.arms import Arm
from mnv4bench.spec.extensions import Extension
from mnv4bench.spec.model import Stage
from mnv4bench.spec.plan import Plan

ABLATION = "rank_guided"

PAGE = """\
{% macro stop(at) %}
{{ "arm " ~ at.arm if at.arm else "the baseline, with no stage replaced" }}{{ ", or later: arm " ~ at.unknown ~ \
" has no seed to compare" if at.unknown }}{{ ", the last one" if at.arm and at.is_last }}
{%- endmacro %}
# Ranks of the neck's stages

{% if rows %}
{{ table | table }}
{% endif %}

{% if agreement == "unknown" %}
- No seed of the baseline was trained to its end, so there are no ranks.
{% elif agreement == "equal" %}
- All stages have the same rank, which speaks for no order.
{% elif agreement == "followed" %}
- The arms take the stages in the order of these ranks.
{% else %}
- The arms take the stages in the order {{ declared | enumerate | md }}; by these ranks it would be \
{{ rows | map(attribute="stage") | list | enumerate | md }}, so the arms do not follow Algorithm 1 on this network.
{% endif %}
- By the mean differences, as in the paper, it stops at {{ stop(by_mean) | md }}.
- By the verdicts, for which a fall has to be shown, it stops at {{ stop(by_verdict) | md }}.
"""


def write_ranks(plan: Plan, results: Path, data: Path) -> None:
    """Write tables/ranks.{csv,md} under `results`.

    Raises:
        Mnv4benchError: a file is missing or damaged, or a stage of the baseline is not C2f.
    """
    baseline = plan.baseline(ABLATION)
    by_seed = {}
    for seed, run in baseline.runs.items():
        path = results / "runs" / run / "weights.safetensors"
        if path.exists():
            state = read(path, read_status(path.parent).weights_digest)
            by_seed[seed] = stage_ranks({name: value.numpy() for name, value in state.items()}, str(path))
    declared = declared_order(plan)
    rows = rank_rows(by_seed, declared, untrained(baseline, tuple(by_seed)))
    differences = [d for d in read_record(results / "compare.json", Comparison).differences if d.ablation == ABLATION]
    columns = ("stage", "rank", *(f"seed {seed}" for seed in by_seed), "untrained", "place", "declared_place")
    write_text(results / "tables" / "ranks.csv", to_csv(rows, columns))
    text = page_of(
        PAGE,
        rows=rows,
        table=_table(rows, columns[2:-2]),
        declared=declared,
        agreement=agreement(rows, declared),
        by_mean=stopping_point([(d.arm, None if d.mean is None else d.mean < 0) for d in differences]),
        by_verdict=stopping_point([(d.arm, None if d.mean is None else d.verdict == "worse") for d in differences]),
    )
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
) -> list[dict[str, Any]]:
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


def agreement(
    rows: Sequence[Mapping[str, Any]], declared: Sequence[str]
) -> Literal["unknown", "equal", "followed", "other"]:
    """Return whether the arms go in the order of the measured ranks, as far as they go."""
    measured = [str(row["stage"]) for row in rows]
    if not measured:
        return "unknown"
    if len({row["rank"] for row in rows}) == 1:
        return "equal"
    return "followed" if measured[: len(declared)] == list(declared) else "other"


class Stop(NamedTuple):
    """Where Algorithm 1 stops."""

    arm: str | None
    """The last that did not fall; None for the baseline."""
    unknown: str | None = None
    """The arm behind it, where nothing is known of that one."""
    is_last: bool = False


def stopping_point(arms: Sequence[tuple[str, bool | None]]) -> Stop:
    """Return the last arm before the first that fell; the walk cannot pass one of which nothing is known (None)."""
    reached = None
    for arm, fell in arms:
        if fell is None:
            return Stop(reached, unknown=arm)
        if fell:
            return Stop(reached)
        reached = arm
    return Stop(reached, is_last=True)


def _table(rows: Sequence[Mapping[str, Any]], ranks: Sequence[str]) -> Table:
    lines = [
        (
            str(row["stage"]),
            *(fmt.number(row[name], 3) for name in ("rank", *ranks)),
            str(row["place"]),
            str(row["declared_place"] or fmt.NONE),
        )
        for row in rows
    ]
    header = ("stage", "rank / channels", *ranks, "place", "place of its arm")
    return table(header, "l" + "r" * (len(header) - 1), lines)


EXTENSION = Extension(steps={"ranks": write_ranks})
