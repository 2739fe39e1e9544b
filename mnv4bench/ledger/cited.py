"""The figures that ablations cite: what the sources print of an arm, and of an arm against its baseline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.ledger.facts import Fact, load
from mnv4bench.spec.ablation import AblationSpec, Quantity
from mnv4bench.spec.problems import nearest
from mnv4bench.spec.yamlfile import YamlFile

UNITS: dict[Quantity, str] = {
    "AP": "AP",
    "top1": "%",
    "params_M": "M",
    "flops_G": "G",
    "macs_G": "G",
    "latency_ms": "ms",
}
"""Quantity → the unit of the figures that may stand for it."""


@dataclass(frozen=True)
class Printed:
    """A printed number, or the difference of two, in the source's unit and with the decimals that it carries."""

    value: float
    decimals: int


Printings = dict[Quantity, Printed]


def check_cited(file: YamlFile, spec: AblationSpec) -> None:
    """Refuse an ablation that cites a figure which does not exist, or one of another quantity.

    Raises:
        SpecError: names the file, the line, the field and what to write instead.
    """
    for arm, ids in (spec.published.figures if spec.published else {}).items():
        for quantity, id in ids.items():
            if problem := _problem(id, quantity):
                raise file.error(("published", "figures", arm, quantity), problem)


def _problem(id: str, quantity: Quantity) -> str | None:
    fact = figures().get(id)
    if fact is None:
        guess = nearest(id, sorted(figures())).partition("allowed: ")[0]
        named = "<file>/<table>/<row>/<column>"
        return f"there is no figure {id!r}; {guess}the files of mnv4bench/ledger name their figures {named}"
    if not isinstance(fact.published, int | float):
        return f"{id!r} is not printed as a number; cite one that is"
    if fact.unit != UNITS[quantity]:
        return f"{id!r} has the unit {fact.unit!r}; cite a figure in {UNITS[quantity]!r}, or name another quantity"
    return None


@cache
def figures() -> Mapping[str, Fact]:
    """Return every published figure by its id, read once."""
    return load().facts


def printed(spec: AblationSpec, arm: str) -> Printings:
    """Return what the source prints of an arm itself.

    Raises:
        Mnv4benchError: a figure that the ablation cites cannot stand there; `mnv4bench check` says where.
    """
    ids = spec.published.figures.get(arm, {}) if spec.published else {}
    printings: Printings = {}
    for quantity, id in ids.items():
        if problem := _problem(id, quantity):
            raise Mnv4benchError(f"ablation {spec.title!r}, published.figures.{arm}.{quantity}: {problem}")
        fact = figures()[id]
        assert isinstance(fact.published, int | float)  # else there was a problem
        printings[quantity] = Printed(float(fact.published), fact.decimals or 0)
    return printings


def changes(spec: AblationSpec, arm: str) -> Printings:
    """Return arm − baseline of every quantity that the source prints of both; nothing for the baseline itself."""
    if arm == spec.baseline:
        return {}
    base = printed(spec, spec.baseline)
    return {
        quantity: Printed(mine.value - base[quantity].value, max(mine.decimals, base[quantity].decimals))
        for quantity, mine in printed(spec, arm).items()
        if quantity in base
    }


def alone(spec: AblationSpec, arm: str, arms: Iterable[str]) -> Printings:
    """Return what is printed of an arm and has no counterpart to compare with: of the baseline, or of an arm.

    Args:
        arms: the arms that are shown; a figure of the baseline that none of them has a counterpart of stands alone.
    """
    others = {arm: printed(spec, arm) for arm in arms if arm != spec.baseline}
    base = printed(spec, spec.baseline)
    paired = {quantity for printings in others.values() for quantity in printings if quantity in base}
    return {quantity: mine for quantity, mine in printed(spec, arm).items() if quantity not in paired}
