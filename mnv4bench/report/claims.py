"""What the sources print of an ablation's arms, beside what was measured here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mnv4bench.ledger.cited import Printings, alone, changes
from mnv4bench.report import formatting as fmt
from mnv4bench.report.rendering import sentences as rendered
from mnv4bench.report.results import ArmResult
from mnv4bench.spec.ablation import AblationSpec, Quantity
from mnv4bench.spec.latency import INT8

CHANGES: dict[Quantity, str] = {
    "AP": " AP points",
    "top1": " points of ImageNet top-1",
    "params_M": " M parameters",
    "flops_G": " GFLOPs",
    "macs_G": " GMACs",
    "latency_ms": " ms",
}
"""Quantity → unit of a difference; AP and top-1 in points of 100, as the papers print them."""

FIGURES: dict[Quantity, str] = CHANGES | {"AP": " AP", "top1": "\N{NO-BREAK SPACE}% ImageNet top-1"}
"""Quantity → unit of a figure."""


def sentences(spec: AblationSpec, arms: Sequence[ArmResult]) -> tuple[str, ...]:
    """Return what the source prints of these arms, and beside each difference what was measured here."""
    baseline = next(arm for arm in arms if arm.is_baseline)
    by_name = {arm.arm.name: arm for arm in arms}
    printed = {name: changes(spec, name) for name in by_name}
    here = {name: measured(change, by_name[name], baseline) for name, change in printed.items() if change}
    return published(spec, list(printed), here)


def published(spec: AblationSpec, arms: Sequence[str], here: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return what the source prints: differences, figures without a counterpart, and a note.

    Args:
        here: arm → its measured differences, which follow the published ones in brackets.
    """
    if spec.published is None:
        return ()
    compared = {arm: change for arm in arms if (change := changes(spec, arm))}
    single = {arm: figure for arm in arms if (figure := alone(spec, arm, arms))}
    lines = rendered(
        "text/claims.j2",
        title=spec.title_of,
        place=spec.published.place,
        baseline=spec.baseline,
        compared={arm: changes_in_words(change) for arm, change in compared.items()},
        single={arm: figures_in_words(figure) for arm, figure in single.items()},
        here=here,
        note=(spec.published.note or "").rstrip("."),
        top1_only=bool(here) and any("top1" in change and "AP" not in change for change in compared.values()),
    )
    return tuple(lines)


def changes_in_words(printed: Printings) -> str:
    """Return "+1.4 AP points, +0.15 ms"; empty where there is no difference."""
    return ", ".join(
        fmt.number(change.value, change.decimals, sign=True) + CHANGES[quantity] for quantity, change in printed.items()
    )


def figures_in_words(printed: Printings) -> str:
    """Return "44.3 AP, 2.44 ms"."""
    return ", ".join(
        fmt.number(figure.value, figure.decimals) + FIGURES[quantity] for quantity, figure in printed.items()
    )


def measured(printed: Printings, arm: ArmResult, baseline: ArmResult) -> list[str]:
    """Return this preset's change in the quantities that the source compares, in the source's units."""
    parts: list[str] = []
    d = arm.difference
    if "AP" in printed or "top1" in printed:
        parts.append(fmt.points(d.mean if d else None, 2, sign=True) + CHANGES["AP"])
    for quantity, change in _cost(arm, baseline).items():
        if quantity in printed:
            parts.append(fmt.number(change, 3, sign=True) + CHANGES[quantity])
    if "latency_ms" in printed:
        parts += [f"{fmt.number(change, 2, sign=True)} ms ({runtime})" for runtime, change in _times(arm, baseline)]
    return parts


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
    times = []
    for runtime in arm.latency:
        row, base = arm.row(runtime), baseline.row(runtime)
        if not runtime.endswith(INT8) and row is not None and row.ratio is not None and base is not None:
            times.append((runtime, (row.ratio - 1) * base.p50_ms))
    return times
