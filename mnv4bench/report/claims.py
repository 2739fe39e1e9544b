"""What the sources print of an ablation's arms, in words, beside what was measured here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mnv4bench.ledger.cited import Printings, alone, changes
from mnv4bench.report import formatting as fmt
from mnv4bench.report.results import QUANTISED, ArmResult
from mnv4bench.spec.ablation import AblationSpec, Quantity

CHANGES: dict[Quantity, str] = {
    "AP": " AP points",
    "top1": " points of ImageNet top-1",
    "params_M": " M parameters",
    "flops_G": " GFLOPs",
    "macs_G": " G multiply-accumulates",
    "latency_ms": " ms",
}
"""Quantity → what follows a difference; AP and top-1 in points of 100, as the papers print them."""

FIGURES: dict[Quantity, str] = CHANGES | {"AP": " AP", "top1": "\N{NO-BREAK SPACE}% ImageNet top-1"}
"""Quantity → what follows a figure."""


def published(spec: AblationSpec, arms: Sequence[str], here: Mapping[str, str]) -> tuple[str, ...]:
    """Return what the source prints: one sentence on differences, one on figures without a counterpart, and a note.

    Args:
        here: arm → its measured difference in words, which follows the published one in brackets.
    """
    if spec.published is None:
        return ()
    compared = [
        f"{arm} − {spec.baseline}: {change}" + (f" (here {here[arm]})" if arm in here else "")
        for arm in arms
        if (change := changes_in_words(changes(spec, arm)))
    ]
    single = [f"{arm}: {figure}" for arm in arms if (figure := figures_in_words(alone(spec, arm, arms)))]
    place = spec.published.place
    if compared and single:
        said = [f"Published ({place}): {'; '.join(compared)}.", f"Figures without a counterpart: {'; '.join(single)}."]
    else:
        said = [f"Published ({place}): {'; '.join(compared or single) or 'no number given'}."]
    return (*said, *([f"Note: {spec.published.note.rstrip('.')}."] if spec.published.note else []))


def changes_in_words(found: Printings) -> str:
    """Return "+1.4 AP points, +0.15 ms"; empty where there is no difference."""
    return ", ".join(
        fmt.number(change.value, change.decimals, sign=True) + CHANGES[quantity] for quantity, change in found.items()
    )


def figures_in_words(found: Printings) -> str:
    """Return "44.3 AP, 2.44 ms"."""
    return ", ".join(
        fmt.number(figure.value, figure.decimals) + FIGURES[quantity] for quantity, figure in found.items()
    )


def sentences(spec: AblationSpec, arms: Sequence[ArmResult]) -> tuple[str, ...]:
    """Return what the source prints of these arms, and beside each difference what was measured here."""
    baseline = next(arm for arm in arms if arm.is_baseline)
    printed = {arm.arm.name: changes(spec, arm.arm.name) for arm in arms}
    here = {arm.arm.name: measured(found, arm, baseline) for arm in arms if (found := printed[arm.arm.name])}
    said = published(spec, list(printed), here)
    other = any("top1" in found and "AP" not in found for found in printed.values())
    return (*said, *(["ImageNet top-1 is not measured here; AP stands in its place."] if other else []))


def measured(found: Printings, arm: ArmResult, baseline: ArmResult) -> str:
    """Return this preset's change in the quantities that the source compares, in the source's units."""
    parts: list[str] = []
    d = arm.difference
    if "AP" in found or "top1" in found:
        points = d.mean * 100 if d is not None and d.mean is not None else None
        parts.append(f"{fmt.number(points, 2, sign=True)}{CHANGES['AP']}")
    for quantity, change in _cost(arm, baseline).items():
        if quantity in found:
            parts.append(fmt.number(change, 3, sign=True) + CHANGES[quantity])
    if "latency_ms" in found:
        parts += [f"{fmt.number(change, 2, sign=True)} ms ({runtime})" for runtime, change in _times(arm, baseline)]
    return ", ".join(parts) or "nothing comparable"


def _cost(arm: ArmResult, baseline: ArmResult) -> dict[Quantity, float]:
    """Return the changes by the papers' conventions: YOLOv10 counts convolutions alone, MobileNetV4 every product."""
    if arm.cost is None or baseline.cost is None:
        return {}
    return {
        "params_M": (arm.cost.params - baseline.cost.params) / 1e6,
        "flops_G": (arm.cost.conv_flops - baseline.cost.conv_flops) / 1e9,
        "macs_G": (arm.cost.flops - baseline.cost.flops) / 2 / 1e9,
    }


def _times(arm: ArmResult, baseline: ArmResult) -> list[tuple[str, float]]:
    """Return (runtime, change of the end-to-end time in ms): the paired ratio's, at the baseline's median."""
    found = []
    for runtime in arm.latency:
        row, base = arm.row(runtime), baseline.row(runtime)
        if not runtime.endswith(QUANTISED) and row is not None and row.ratio is not None and base is not None:
            found.append((runtime, (row.ratio - 1) * base.p50_ms))
    return found
