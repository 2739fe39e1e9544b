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
    told = [(named(results, arm), values_of(results, arm)) for arm in _compared(results)]
    undecided = {
        runtime: names
        for runtime in results.timed
        if (names := [named(results, arm) for arm in _compared(results) if _undecided(arm, runtime)])
    }
    open_ones = [(name, known) for name, known in told if known["payoff"] in ("lead", "open", None)]
    return sentences(
        "text/unanswered.j2",
        open=[(name, " ".join(sentences("text/conclusion.j2", **known)), known) for name, known in open_ones],
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
