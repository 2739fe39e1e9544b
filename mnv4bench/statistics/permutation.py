"""A paired permutation test over images, for networks whose weights are the thing judged."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from mnv4bench.results.matches import MatchRecords
from mnv4bench.statistics.bootstrap import bootstrap_ap

TIE = 1e-12
"""Difference of AP by which an exchange may fall short of the observed difference and still ties with it: rounding."""


def exchange_p(a: MatchRecords, b: MatchRecords, exchanges: int, seed: int) -> float:
    """Return the two-sided p that two networks are the same to every image: (1 + reached) / (1 + exchanges).

    Under that hypothesis the two networks' detections in an image may be exchanged, each image with probability 1/2,
    without a change of distribution; p counts how often |ΔAP| reaches the observed one (Fisher; the count of 1 is the
    observed assignment: Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9, 2010). Exact but for the draw of exchanges,
    whose PCG64 is seeded.

    Args:
        a: one network's records.
        b: the other's, of the same split.
    """
    both = _side_by_side(a, b)
    images = len(a.image_ids)
    draws = np.random.Generator(np.random.PCG64(seed)).integers(0, 2, (exchanges, images), np.int32)
    kept = np.concatenate([np.zeros((1, images), np.int32), draws])  # first as observed
    ours, theirs = _weights(kept), _weights(1 - kept)
    differences = np.abs(bootstrap_ap(both, ours) - bootstrap_ap(both, theirs))
    reached = int((differences[1:] >= differences[0] - TIE).sum())
    return (1 + reached) / (1 + exchanges)


def _weights(from_b: np.ndarray) -> np.ndarray:
    """Return (n, 2 · images) weights of images that stand twice: as `a` has them, then as `b` has them."""
    return np.stack([1 - from_b, from_b], axis=2).reshape(len(from_b), -1)


def _side_by_side(a: MatchRecords, b: MatchRecords) -> MatchRecords:
    """Return both records as one over twice the images: image i of `a` is 2i, that of `b` is 2i + 1."""
    image = np.concatenate([2 * a.image, 2 * b.image + 1]).astype(a.image.dtype)
    category, score = np.concatenate([a.category, b.category]), np.concatenate([a.score, b.score])
    order = np.lexsort((image, -score, category))
    joined = {
        "image_ids": np.arange(2 * len(a.image_ids)),
        "slices": np.repeat(a.slices, 2),
        "category_ids": a.category_ids,
        "image": image[order],
        "category": category[order],
        "score": score[order],
        "tp": np.concatenate([a.tp, b.tp], axis=1)[:, order],
        "ignored": np.concatenate([a.ignored, b.ignored], axis=1)[:, order],
        "objects": np.repeat(a.objects, 2, axis=1),
    }
    assert set(joined) == {field.name for field in fields(MatchRecords)}
    return MatchRecords(**joined)
