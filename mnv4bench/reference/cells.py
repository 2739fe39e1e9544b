"""What `verify` says of one quantity of one arm: both values, the tolerance, the verdict and its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, get_args

from mnv4bench.results.record import Record

Label = tuple[str, str]
"""Ablation and arm."""
Agreement = Literal["agree", "differ", "not comparable"]
Reason = Literal[
    "no_such_arm",
    "other_training",
    "other_protocol",
    "other_network",
    "other_baseline",
    "same_bytes",
    "same_answers",
    "other_bytes",
    "other_environment",
    "unscored_here",
    "unscored_there",
    "common_seeds",
    "other_seeds",
    "one_seed",
    "counted",
    "not_counted",
    "identical_network",
    "unstable",
    "suppressed",
    "no_interval",
    "other_machine",
    "busy",
    "same_processor",
]
"""Why a cell was judged so, or not; report/templates/text/verify_reason.j2 has the sentences."""


class Cell(Record):
    """One row of verify.csv."""

    ablation: str
    arm: str
    quantity: str
    """AP, ΔAP, top-1, Δtop-1, a cost, `identical runs`, `time over baseline`; `cost and time` or `all` where none of
    them can be compared."""
    runtime: str | None = None
    threads: int | None = None
    here: float | None
    reference: float | None
    tolerance: float | None
    """Of |here − reference|; for a ratio of times, of the relative difference. None where there is none."""
    verdict: Agreement
    reason: Reason
    details: dict[str, Any] = {}
    """What the reason names: seeds, a run, fields of the specs, both environments."""


def cell_of(
    label: Label,
    quantity: str,
    reason: Reason,
    here: float | None = None,
    reference: float | None = None,
    verdict: Agreement = "not comparable",
    tolerance: float | None = None,
    **details: Any,
) -> Cell:
    """Return a cell of arm `label` (ablation, arm); by default not comparable."""
    return Cell(
        ablation=label[0],
        arm=label[1],
        quantity=quantity,
        here=here,
        reference=reference,
        tolerance=tolerance,
        verdict=verdict,
        reason=reason,
        details=details,
    )


def counts(cells: Iterable[Cell]) -> dict[Agreement, int]:
    """Return how many cells have each verdict."""
    number = Counter(cell.verdict for cell in cells)
    return {verdict: number[verdict] for verdict in get_args(Agreement)}


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return field → both values where two specs differ, seeds apart."""
    a, b = dict(_flat(ours)), dict(_flat(theirs))
    fields = sorted(key for key in {**a, **b} if key != "seed" and a.get(key) != b.get(key))
    return {key: (a.get(key), b.get(key)) for key in fields}


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item
