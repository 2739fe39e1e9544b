"""A checked figure as the ledger's files hold it: a row, whose reason is a template's sentences."""

from __future__ import annotations

from mnv4bench.ledger.verdict import Checked
from mnv4bench.report.rendering import sentences
from mnv4bench.results.ledger import Row


def as_row(checked: Checked) -> Row:
    """Return the row of a checked figure."""
    fact = checked.fact
    return Row(
        id=fact.id,
        source=fact.source,
        place=fact.place,
        claim=fact.claim,
        published=checked.published.value,
        measured=checked.measured,
        unit=fact.unit,
        tolerance=fact.tolerance,
        decimals=fact.decimals,
        verdict=checked.verdict,
        basis=checked.basis,
        reason=reason(checked),
    )


def reason(checked: Checked) -> str:
    """Return the sentences that say why a figure has its verdict."""
    decimals = None if checked.plain else checked.fact.decimals
    measured = "" if checked.measured is None else f"{shown(checked.measured, decimals)} {checked.fact.unit}".strip()
    beside = [f"{label} {shown(value, None)}" for label, value in checked.beside.items()]
    return " ".join(
        sentences("text/ledger_reason.j2", row=checked, fact=checked.fact, measured=measured, beside=beside)
    )


def shown(value: float | str, decimals: int | None) -> str:
    """Return a number with two digits more than are printed, or its shortest form; with a true minus sign."""
    if isinstance(value, str):
        return value
    if float(value).is_integer() and abs(value) >= 1000:
        return f"{value:.0f}".replace("-", "−")
    text = f"{value:.6g}" if decimals is None else f"{value:.{decimals + 2}f}"
    return text.replace("-", "−")
