"""Cells of `verify` that two honest runs may have different: judged by their noise, all together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev

from mnv4bench.reference.cells import Agreement, Cell, Label, cell_of
from mnv4bench.statistics import small_samples as stats

ALPHA = 0.05


@dataclass(frozen=True)
class Noisy:
    """A cell that is judged once it is known how many there are."""

    cell: Cell
    distance: float
    se: float
    """Standard error of the distance, if both measured the same thing."""
    df: float
    least: float = 0.0
    """No tolerance is smaller."""

    def judged(self, family: int) -> Cell:
        tolerance = max(self.least, stats.student_t_quantile(1 - ALPHA / (2 * family), self.df) * self.se)
        verdict: Agreement = "agree" if self.distance <= tolerance else "differ"
        return self.cell.model_copy(update={"tolerance": tolerance, "verdict": verdict})


def judged(cells: Iterable[Cell | Noisy]) -> list[Cell]:
    """Return the cells with a verdict each: an honest rerun has all of them agree in 19 of 20 cases (Bonferroni)."""
    found = list(cells)
    family = max(1, sum(isinstance(cell, Noisy) for cell in found))
    return [cell.judged(family) if isinstance(cell, Noisy) else cell for cell in found]


def scores_cell(label: Label, quantity: str, ours: Mapping[int, float], theirs: Mapping[int, float]) -> Cell | Noisy:
    """Judge a mean over seeds: of the seeds that both have, where there are any, else of all."""
    common = sorted(set(ours) & set(theirs))
    a, b = ([scores[seed] for seed in common] or list(scores.values()) for scores in (ours, theirs))
    if not a or not b:
        return cell_of(label, quantity, "unscored_there" if a else "unscored_here")
    means = fmean(a), fmean(b)
    cell = cell_of(label, quantity, "common_seeds" if common else "other_seeds", *means, seeds=common)
    if len(theirs) < 2:
        if a == b:
            return cell.model_copy(update={"verdict": "agree", "tolerance": 0.0})
        return cell.model_copy(update={"reason": "one_seed"})
    se = stdev(theirs.values()) * math.sqrt(1 / len(a) + 1 / len(b))
    return Noisy(cell, abs(means[0] - means[1]), se, len(theirs) - 1)


def minus(scores: Mapping[int, float], base: Mapping[int, float]) -> dict[int, float]:
    """Return the differences to a baseline, of the seeds that both have."""
    return {seed: value - base[seed] for seed, value in scores.items() if seed in base}
