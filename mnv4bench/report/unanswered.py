"""What a preset's results settle and what they leave open, as the paper says it at its start and at its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from mnv4bench.report.findings import values_of
from mnv4bench.report.rendering import render, sentences
from mnv4bench.report.results import ArmResult, Results, grouped
from mnv4bench.results.latency import UNJUDGED
from mnv4bench.statistics.payoff import Payoff

OPEN = (*UNJUDGED, "unresolved")
"""Verdicts on time after which nobody knows whether there is a difference."""
TOLD = 6
"""Of more comparisons on one question than this, only their number is told."""


def settled(results: Results) -> dict[str, list[str]]:
    """Return the title of each kind of outcome → the comparisons that came out so; kinds without any have no entry."""
    by_kind = grouped(_compared(results), lambda arm: values_of(results, arm)["payoff"])
    return {
        render("text/outcome_title.j2", payoff=kind): [named(results, arm) for arm in by_kind[kind]]
        for kind in (*get_args(Payoff), None)
        if kind in by_kind
    }


def concluded(results: Results) -> list[str]:
    """Return how the comparisons came out in all, a sentence each."""
    arms = list(_compared(results))
    by_kind = grouped(arms, lambda arm: values_of(results, arm)["payoff"])
    known = {kind: [named(results, arm) for arm in by_kind.get(kind, ())] for kind in (*get_args(Payoff), None)}
    return sentences("text/concluded.j2", kinds=known, comparisons=len(arms))


def unanswered(results: Results) -> list[str]:
    """Return what no verdict was reached on, and what a verdict would take; a passage each."""
    told = {arm.arm.label: values_of(results, arm) for arm in _compared(results)}
    left = [arm for arm in _compared(results) if told[arm.arm.label]["payoff"] in ("lead", "open", None)]
    by_ablation = grouped(left, lambda arm: arm.arm.ablation)
    many = {name for name, arms in by_ablation.items() if len(arms) > TOLD}
    undecided = {
        runtime: names
        for runtime in results.timed
        if (names := [named(results, arm) for arm in _compared(results) if _undecided(arm, runtime)])
    }
    singly = [(named(results, arm), told[arm.arm.label]) for arm in left if arm.arm.ablation not in many]
    return sentences(
        "text/unanswered.j2",
        open=[(name, " ".join(sentences("text/conclusion.j2", **known)), known) for name, known in singly],
        many=[
            {
                "title": results.plan.ablations[name].title,
                "open": len(by_ablation[name]),
                "all": len(results.ablations[name]) - 1,
            }
            for name in by_ablation
            if name in many
        ],
        undecided=grouped(undecided, lambda runtime: tuple(undecided[runtime])),
    )


def named(results: Results, arm: ArmResult) -> str:
    """Return "SCDown vs strided convolution"; of an ablation with several comparisons "Distillation (outputs)"."""
    title = results.plan.ablations[arm.arm.ablation].title
    several = len(results.ablations[arm.arm.ablation]) > 2
    return f"{title} ({arm.arm.title})" if several else title


def _compared(results: Results) -> Iterator[ArmResult]:
    return (arm for arm in results.arms if not arm.is_baseline)


def _undecided(arm: ArmResult, runtime: str) -> bool:
    row = arm.row(runtime)
    return row is not None and row.verdict in OPEN
