"""What the numbers say, in sentences chosen by rule. No word here claims more than the interval beside it."""

from __future__ import annotations

from collections.abc import Sequence

from mnv4bench.report import words
from mnv4bench.report.collect import ArmResult, Results
from mnv4bench.report.compare import Difference

FALLS = {
    "above": "lies above zero",
    "below": "lies below zero",
    "contains": "contains zero",
    "none": "could not be computed",
}


def side(difference: Difference) -> str:
    """Return where the interval lies: "above", "below", "contains" zero, or "none" where there is no interval."""
    if difference.low is None or difference.high is None:
        return "none"
    if difference.low > 0:
        return "above"
    return "below" if difference.high < 0 else "contains"


def abstract(results: Results) -> list[str]:
    """Return the generated part of the abstract: how much was run, and how the intervals fell."""
    seeds = len(results.plan.preset.seeds)
    data = results.data.record
    sentences = [
        f"{words.count(len(results.ablations), 'ablation')} with {words.count(len(results.arms), 'arm')} in all, "
        f"{words.count(seeds, 'seed')} each, trained on {words.count(data.train.count, 'image')} of {data.name} and "
        f"scored on {data.val.count}, give "
        f"{words.count(len(results.comparison.differences), 'difference')} to a baseline.",
        *_fell(results.comparison.differences),
    ]
    if seeds == 1:
        sentences.append("With one seed the intervals hold image noise only and cannot speak for another training.")
    if results.plan.preset.trunk is not None:
        sentences.append("All arms share a trained trunk: these are marginal effects in an already trained network.")
    return sentences


def _fell(differences: Sequence[Difference]) -> list[str]:
    at = {name: [f"{d.ablation}/{d.arm}" for d in differences if side(d) == name] for name in FALLS}
    parts = [f"{text} in {len(at[name])} ({words.join(at[name])})" for name, text in FALLS.items() if at[name]]
    return [f"The interval of the difference in AP {'; it '.join(parts)}."] if parts else []


def ablation(results: Results, name: str) -> list[list[str]]:
    """Return, for each arm but the baseline, sentences on AP, agreement over seeds, cost and time."""
    arms = results.ablations[name]
    baseline = next(arm for arm in arms if arm.is_baseline)
    decimals = words.decimals_for(arm.difference for arm in results.arms)
    return [
        [*_accuracy(results, arm, baseline, decimals), *_price(arm, baseline)] for arm in arms if not arm.is_baseline
    ]


def _accuracy(results: Results, arm: ArmResult, baseline: ArmResult, decimals: int) -> list[str]:
    d = arm.difference
    pair = f"{arm.arm.name} against {baseline.arm.name}"
    if d is None or d.mean is None:
        return [
            f"{pair}: no seed was scored in both arms ({_states(arm, baseline)}), so there is no difference to report."
        ]
    level = words.percent(results.comparison.level)
    change = f"{pair}: AP {words.number(d.mean, decimals, sign=True)}"
    if d.low is None or d.high is None:
        return [f"{change}, without an interval."]
    bounds = f"{words.number(d.low, decimals, sign=True)} to {words.number(d.high, decimals, sign=True)}"
    says = {
        "above": "the interval lies above zero",
        "below": "the interval lies below zero",
        "contains": "the interval contains zero, so these runs do not tell the two apart",
    }[side(d)]
    return [f"{change}, {level} interval {bounds}; {says}, and {_smallest(results, d)}.", _seeds(d)]


def _smallest(results: Results, d: Difference) -> str:
    smallest = results.plan.ablations[d.ablation].smallest_effect
    limit = f"±{words.plain(smallest)}, the smallest effect declared to matter"
    if d.low is None or d.high is None:
        return f"nothing is known about {limit}"
    if -smallest < d.low and d.high < smallest:
        return f"it lies within {limit}"
    if d.low >= smallest or d.high <= -smallest:
        return f"it lies outside {limit}"
    return f"it reaches beyond {limit}"


def _seeds(d: Difference) -> str:
    if len(d.seeds) == 1:
        return "One seed was compared, so the interval holds image noise only."
    return f"The difference has the mean's sign in {d.agreeing} of {len(d.seeds)} seeds."


def _states(arm: ArmResult, baseline: ArmResult) -> str:
    ended = [
        f"{side_.arm.name}: {words.join(dict.fromkeys(words.STATES[seed.state] for seed in side_.seeds))}"
        for side_ in (arm, baseline)
    ]
    return "; ".join(ended)


def _price(arm: ArmResult, baseline: ArmResult) -> list[str]:
    parts = []
    if arm.cost is not None and baseline.cost is not None:
        parts.append(f"{words.ratio(arm.cost.params / baseline.cost.params)} the parameters")
        parts.append(f"{words.ratio(arm.cost.flops / baseline.cost.flops)} the FLOPs")
    parts += [f"{words.ratio(value)} the end-to-end time in {runtime}" for runtime, value in arm.ratios.items()]
    return [f"It has {words.join(parts)}."] if parts else []
