"""Paired differences in top-1 accuracy between classifiers, judged as differences in AP are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mnv4bench.results.comparison import Comparison, Difference
from mnv4bench.spec.classifiers import Classifiers
from mnv4bench.spec.run import derive_seed
from mnv4bench.statistics.bootstrap import bootstrap_weights
from mnv4bench.statistics.compare import ALPHA, LEVEL, POWER, Hypothesis, judged, numbers


def compare_top1(classifiers: Classifiers, hits: Mapping[str, NDArray[np.bool_]], resamples: int) -> Comparison:
    """Return every arm against its ablation's baseline; `mean`, `low` and `high` are of top-1 accuracy (0–1).

    One draw of resampled test objects serves all arms and seeds. Every comparison belongs to one family.

    Args:
        hits: run → (objects,) whether it was right; all of the same objects.
    """
    objects = len(next(iter(hits.values())))
    seed = derive_seed("bootstrap of objects", objects)
    weights = bootstrap_weights(objects, resamples, seed)
    rows, hypotheses = [], []
    for name, arms in classifiers.arms.items():
        spec = classifiers.ablations[name]
        for arm, runs in arms.items():
            if arm == spec.baseline:
                continue
            base = arms[spec.baseline]
            differing = {key: hits[run].astype(float) - hits[base[key]] for key, run in runs.items()}
            replicates = weights @ np.mean(list(differing.values()), axis=0) / objects
            deltas = {key: float(value.mean()) for key, value in differing.items()}
            row = Difference(
                ablation=name, arm=arm, baseline=spec.baseline, seeds=deltas, smallest_effect=spec.smallest_effect
            )
            found = numbers(np.array(list(deltas.values())), replicates, objects, given_weights=False)
            rows.append(row.model_copy(update=found))
            hypotheses.append(_hypothesis(runs, base))
    family = len(set(hypotheses))
    return Comparison(
        level=LEVEL,
        alpha=ALPHA,
        family=family,
        power=POWER,
        bootstrap=resamples,
        bootstrap_seed=seed,
        images=objects,
        differences=tuple(judged(rows, [None] * len(rows), hypotheses, family)),
    )


def _hypothesis(*arms: Mapping[int, str]) -> Hypothesis:
    return frozenset(tuple(sorted(runs.items())) for runs in arms)
