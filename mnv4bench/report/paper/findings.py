"""What the numbers say, in sentences chosen by verdict. No word here claims more than the verdict beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from mnv4bench.report import formatting as fmt
from mnv4bench.report import verdict_words as say
from mnv4bench.report import words
from mnv4bench.report.results import ArmResult, Results
from mnv4bench.results.comparison import Difference, Verdict
from mnv4bench.results.latency import LatencyRow

FEW = 5
Payment = Literal["pays", "trades", "not shown", "lead", "open"]


def abstract(results: Results) -> list[str]:
    """Return the generated part of the abstract: how much was run, and how the verdicts fell."""
    seeds = len(results.plan.preset.seeds)
    data = results.data.record
    sentences = [
        f"{fmt.count(len(results.ablations), 'ablation')} with {fmt.count(len(results.arms), 'arm')} in all, "
        f"{fmt.count(seeds, 'seed')} each, trained on {fmt.count(data.train.count, 'image')} of {data.name} and "
        f"scored on {data.val.count}, give "
        f"{fmt.count(len(results.comparison.differences), 'difference')} to a baseline.",
        *_fell(results.comparison.differences),
        *_times(results),
    ]
    if seeds == 1:
        sentences.append("With one seed the intervals hold image noise only and cannot speak for another training.")
    scratch = len(words.from_scratch(results.plan))
    if results.plan.preset.trunk is not None and scratch < len(results.ablations):
        some = f"But for {fmt.count(scratch, 'ablation')} trained from scratch, all arms" if scratch else "All arms"
        sentences.append(f"{some} share a trained trunk: these are marginal effects in an already trained network.")
    return sentences


def _fell(differences: Sequence[Difference]) -> list[str]:
    found = {word: [d for d in differences if d.verdict == word] for word in get_args(Verdict)}
    parts = [f"{word} for {_labels(rows)}" for word, rows in found.items() if rows]
    sentences = [f"The verdict on AP is {'; '.join(parts)}."] if parts else []
    rest = [d for d in differences if d.verdict is None]
    return [*sentences, f"There is nothing to judge for {_labels(rest)}."] if rest else sentences


def _labels(differences: Sequence[Difference]) -> str:
    return _named([f"{d.ablation}/{d.arm}" for d in differences])


def _named(labels: Sequence[str]) -> str:
    """Name a few arms; count many."""
    return fmt.join(labels) if len(labels) <= FEW else fmt.count(len(labels), "arm")


def _times(results: Results) -> list[str]:
    """One sentence for all runtimes of which the same can be said."""
    runtimes: dict[str, list[str]] = {}
    for runtime in results.timed:
        rows = {arm.arm.label: arm.row(runtime) for arm in results.arms if not arm.is_baseline}
        parts = []
        for word in ("faster", "slower"):
            labels = [label for label, row in rows.items() if row is not None and row.verdict == word]
            parts += [f"{_named(labels)} {'is' if len(labels) == 1 else 'are'} {word}"] if labels else []
        said = "; ".join(parts) or "no arm was shown to be faster or slower than its baseline"
        runtimes.setdefault(said, []).append(runtime)
    return [f"End to end in {fmt.join(names)}, {said}." for said, names in runtimes.items()]


def ablation(results: Results, name: str) -> list[list[str]]:
    """Return, for each arm but the baseline, sentences on AP, cost, time, and in which sense it pays."""
    arms = results.ablations[name]
    baseline = next(arm for arm in arms if arm.is_baseline)
    decimals = words.decimals_for(arm.difference for arm in results.arms)
    return [
        [
            *_accuracy(results, arm, baseline, decimals),
            *_cost(results, arm, baseline),
            *_time(results, arm),
            *_pays(results, arm),
        ]
        for arm in arms
        if not arm.is_baseline
    ]


def _accuracy(results: Results, arm: ArmResult, baseline: ArmResult, decimals: int) -> list[str]:
    d = arm.difference
    pair = f"{arm.arm.name} against {baseline.arm.name}"
    if d is None or d.mean is None:
        return [
            f"{pair}: no seed was scored in both arms ({_states(arm, baseline)}), so there is no difference to report."
        ]
    change = f"{pair}: AP {fmt.number(d.mean, decimals, sign=True)}"
    if d.low is None or d.high is None:
        return [f"{change}, without an interval; {say.reason(d, results.comparison, decimals)}.", _seeds(d)]
    level = fmt.percent(results.comparison.level)
    bounds = f"{fmt.number(d.low, decimals, sign=True)} to {fmt.number(d.high, decimals, sign=True)}"
    why = fmt.capital(say.reason(d, results.comparison, decimals))
    return [f"{change}, {level} interval {bounds}.", f"{why}.", _seeds(d)]


def _seeds(d: Difference) -> str:
    if len(d.seeds) == 1:
        return "One seed was compared, so the interval holds image noise only."
    return f"The difference has the mean's sign in {d.agreeing} of {len(d.seeds)} seeds."


def _states(arm: ArmResult, baseline: ArmResult) -> str:
    ended = [
        f"{side.arm.name}: {fmt.join(dict.fromkeys(words.STATES[seed.state] for seed in side.seeds))}"
        for side in (arm, baseline)
    ]
    return "; ".join(ended)


def _cost(results: Results, arm: ArmResult, baseline: ArmResult) -> list[str]:
    if arm.cost is None or baseline.cost is None or _same_network(results, arm):
        return []
    params = fmt.ratio(arm.cost.params / baseline.cost.params)
    flops = fmt.ratio(arm.cost.flops / baseline.cost.flops)
    return [f"It has {params} the parameters and {flops} the FLOPs."]


def _time(results: Results, arm: ArmResult) -> list[str]:
    """One sentence for all runtimes; those whose arms deploy one network need no ratio."""
    if _same_network(results, arm):
        return ["It deploys the same network as the baseline, at the same cost and in the same time."]
    parts = []
    for runtime, row in _judged(results, arm).items():
        number = "" if row.verdict == "identical" else f"{say.ratio(row)} × the baseline's time, "
        why = f" ({row.reason.rstrip('.')})" if row.reason and row.verdict in ("unstable", "suppressed") else ""
        parts.append(f"in {runtime} {number}{say.speed(row)}{why}")
    return [f"End to end, {'; '.join(parts)}."] if parts else []


def _judged(results: Results, arm: ArmResult) -> dict[str, LatencyRow]:
    return {name: row for name in results.timed if (row := arm.row(name)) is not None and row.verdict is not None}


def _same_network(results: Results, arm: ArmResult) -> bool:
    rows = _judged(results, arm)
    return bool(rows) and all(row.verdict == "identical" for row in rows.values())


def _pays(results: Results, arm: ArmResult) -> list[str]:
    found = pays(results, arm)
    return [] if found is None else [found[1]]


def pays(results: Results, arm: ArmResult) -> tuple[Payment, str] | None:
    """Say in which sense the part pays: AP and measured time, never weighed against each other.

    None where there is no difference, or no time.
    """
    d = arm.difference
    rows = _judged(results, arm)
    if d is None or d.verdict is None or not rows:
        return None
    if d.verdict == "untestable" and len(d.seeds) > 1:
        return "lead", "Whether it pays is left open: a lead, not a verdict."
    if d.verdict not in ("better", "worse", "equivalent") or any(_open(row) for row in rows.values()):
        return "open", "Whether it pays is left open by these verdicts."
    faster, slower = (
        [name for name, row in rows.items() if row.verdict == verdict] for verdict in ("faster", "slower")
    )
    if faster and slower:
        return (
            "trades",
            f"It is {d.verdict} in AP, faster in {fmt.join(faster)} and slower in {fmt.join(slower)}.",
        )
    if d.verdict == "better" and not slower:
        return "pays", "It pays in this sense: AP is better, and no runtime was shown to be slower."
    if d.verdict == "better":
        return "trades", f"It buys AP with time in {fmt.join(slower)}."
    if d.verdict == "equivalent" and faster:
        return "pays", f"It pays in this sense: AP is equivalent, and time is saved in {fmt.join(faster)}."
    if faster:
        return "trades", f"It buys time in {fmt.join(faster)} with AP."
    return (
        "not shown",
        f"It was not shown to pay in AP or time: AP is {d.verdict}, and no runtime was shown to be faster.",
    )


def _open(row: LatencyRow) -> bool:
    return row.verdict in ("unstable", "suppressed")
