"""What the results say of each arm: numbers and verdicts in, sentences of templates/text/ out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from mnv4bench.report import accuracy, text, timing
from mnv4bench.report import formatting as fmt
from mnv4bench.report.rendering import render, sentences
from mnv4bench.report.results import ArmResult, Results
from mnv4bench.results.latency import UNJUDGED, LatencyRow
from mnv4bench.spec.run import RunSpec
from mnv4bench.statistics.payoff import Payoff, payoff
from mnv4bench.statistics.sample_size import sample_size

MOST_SEEDS = 999
"""A number of seeds beyond which a size is not worth a figure."""


def scope(results: Results) -> str:
    """Return the sentence on how much was run; an ablation whose networks are not at hand was not."""
    results = results.at_hand
    return render(
        "text/scope.j2",
        ablations=len(results.ablations),
        arms=len(results.arms),
        seeds=len(results.plan.preset.seeds),
        differences=sum(d.ablation in results.ablations for d in results.comparison.differences),
        data=results.data.record,
        published=results.plan.published,
        seen=seen(results),
    )


def seen(results: Results) -> str:
    """Return the clause on how many images the networks have seen; empty where their weights were given."""
    plan, count = results.plan, results.data.record.train.count
    if plan.published:
        return ""

    def images(specs: Iterable[RunSpec]) -> list[int]:
        counts = sorted({spec.train.epochs * spec.train.images_of(count) for spec in specs})
        return list(dict.fromkeys([*counts[:1], *counts[-1:]]))

    arms = [plan.run(run) for arm in plan.arms for run in arm.runs.values()]
    return render(
        "text/seen.j2",
        arms=images(spec for spec in arms if spec.start),
        scratch=images(spec for spec in arms if not spec.start),
        trunks=images(trunk.spec for trunk in plan.trunks),
    )


def findings(results: Results, ablation: str) -> list[list[str]]:
    """Return, for each arm but the baseline, sentences on AP, cost, time, and whether it pays."""
    arms = [arm for arm in results.ablations[ablation] if not arm.is_baseline]
    return [sentences("text/findings.j2", **values_of(results, arm)) for arm in arms]


def outcomes(results: Results) -> dict[str, list[str]]:
    """Return the title of each kind of outcome → its arms, with what was found; kinds without an arm have no entry."""
    kinds: dict[str, list[str]] = {}
    arms = [values_of(results, arm) for arm in results.arms if not arm.is_baseline]
    for kind in get_args(Payoff):
        texts = [" ".join(sentences("text/outcomes.j2", **values)) for values in arms if values["payoff"] == kind]
        if texts:
            kinds[render("text/outcome_title.j2", payoff=kind)] = texts
    return kinds


def conclusion(results: Results, arm: ArmResult) -> str:
    """Return whether an arm pays, or what a verdict would take; empty where nothing can be said."""
    return " ".join(sentences("text/conclusion.j2", **values_of(results, arm)))


def values_of(results: Results, arm: ArmResult) -> dict[str, Any]:
    """Return everything that the templates say of one arm."""
    baseline = next(other for other in results.ablations[arm.arm.ablation] if other.is_baseline)
    decimals = accuracy.decimals_of(results)
    d, times = arm.difference, timing.judged_times(results, arm)
    costs = (arm.cost, baseline.cost) if arm.cost and baseline.cost else None
    size = sample_size(d, results.comparison) if d else None
    return {
        "arm": arm.arm.title,
        "baseline": baseline.arm.title,
        "part": results.plan.ablations[arm.arm.ablation].title,
        "d": d,
        "decimals": decimals,
        "level": results.comparison.level,
        "interval": accuracy.interval(d, decimals),
        "reason": text.reason(d, results, decimals) if d else "",
        "opposed": text.opposed(arm, results, decimals),
        "ended": [(side.arm.title, _states(side)) for side in (arm, baseline)],
        "params": costs and costs[0].params / costs[1].params,
        "flops": costs and costs[0].flops / costs[1].flops,
        "same_network": bool(times) and all(row.verdict == "identical" for row in times.values()),
        "times": [_time(runtime, row) for runtime, row in times.items()],
        "faster": [runtime for runtime, row in times.items() if row.verdict == "faster"],
        "slower": [runtime for runtime, row in times.items() if row.verdict == "slower"],
        "payoff": payoff(
            d,
            [row.verdict for row in times.values() if row.verdict is not None],
            _is_control(results.plan.spec(arm.arm), results.plan.spec(baseline.arm)),
        ),
        "size": size,
        "enough": bool(d and size and size.seeds <= len(d.seeds) and size.images <= results.comparison.images),
        "most": MOST_SEEDS,
    }


def _is_control(ours: RunSpec, theirs: RunSpec) -> bool:
    """Whether two runs differ in the random numbers that they draw, and in nothing else."""
    train = theirs.train.model_copy(update={"draw": ours.train.draw})
    return ours != theirs and ours == theirs.model_copy(update={"train": train})


def _states(arm: ArmResult) -> list[str]:
    return list(dict.fromkeys(fmt.state(seed.state) for seed in arm.seeds))


def _time(runtime: str, row: LatencyRow) -> dict[str, str]:
    unjudged = row.verdict in UNJUDGED
    return {
        "runtime": runtime,
        "ratio": "" if row.verdict == "identical" else timing.ratio(row),
        "verdict": timing.verdict(row),
        "reason": text.time_reason(row) if unjudged else "",
    }
