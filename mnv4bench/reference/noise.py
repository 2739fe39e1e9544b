"""Scores beside a reference's: what two honest trainings may have different is judged by its noise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Protocol

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


class Scored(Protocol):
    """An arm of either kind."""

    @property
    def is_baseline(self) -> bool: ...

    @property
    def runs(self) -> Mapping[int, str]:
        """Seed → run."""
        ...

    @property
    def scores(self) -> Mapping[int, float]:
        """Seed → score on 0–1, of the seeds that have one."""
        ...


def shared_runs(ours: Scored, theirs: Scored) -> list[str]:
    """Return the runs of ours that are theirs too: trained by the same spec, and the same version of the protocol."""
    others = set(theirs.runs.values())
    return [run for run in ours.runs.values() if run in others]


def score_cells(
    label: Label, metric: str, here: Mapping[Label, Scored], reference: Mapping[Label, Scored]
) -> Iterator[Cell | Noisy]:
    """Yield how an arm's mean score, and its difference to the baseline's, lie beside the reference's."""
    ours, theirs = here[label], reference[label]
    yield _means(label, metric, ours.scores, theirs.scores)
    if ours.is_baseline:
        return
    base, their_base = _baseline(here, label[0]), _baseline(reference, label[0])
    if base is None or their_base is None or not shared_runs(base, their_base):
        yield cell_of(label, f"Δ{metric}", "other_baseline")
    else:
        yield _means(label, f"Δ{metric}", _minus(ours.scores, base.scores), _minus(theirs.scores, their_base.scores))


def _baseline(arms: Mapping[Label, Scored], ablation: str) -> Scored | None:
    return next((arm for (name, _), arm in arms.items() if name == ablation and arm.is_baseline), None)


def _means(label: Label, quantity: str, ours: Mapping[int, float], theirs: Mapping[int, float]) -> Cell | Noisy:
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


def _minus(scores: Mapping[int, float], base: Mapping[int, float]) -> dict[int, float]:
    return {seed: value - base[seed] for seed, value in scores.items() if seed in base}
