"""search.json: what a search chose, and what that came to."""

from __future__ import annotations

from typing import ClassVar

from mnv4bench.results.record import Record
from mnv4bench.spec.search import SearchSpec


class SearchInput(Record):
    """input.json: what is searched, and in what; another search may not go on in its folder."""

    spec: SearchSpec
    data: str
    """SHA-256 of the crops and of what they teach."""


class SearchStage(Record):
    """One space searched: coarse, fine or joint."""

    remedy: ClassVar[str] = "delete it and search again"

    name: str
    chosen: tuple[int, ...]
    """An option's index for each choice: the most probable ones, or the most probable at the budget."""
    confidence: tuple[float, ...]
    """Its probability."""
    expected_cost: float
    reward_mean: float
    """Over the last quarter of the steps."""
    reward_variance: float


class Calibration(Record):
    """calibration.json: what a whole network takes, by the times of its pieces alone."""

    remedy: ClassVar[str] = "delete it and search again"

    scale: float
    """Factor of the pieces' sum."""
    fetch: float
    """Milliseconds for each million weights, which a piece alone keeps in the cache."""
    call: float
    """Milliseconds of a call."""
    predicted: tuple[float, ...]
    """Milliseconds of each random network by the fit of the others."""
    observed: tuple[float, ...]
    error: float
    """Median of |predicted / observed − 1|."""


class SearchResult(Record):
    """search.json."""

    remedy: ClassVar[str] = "delete {folder} and search again"

    spec: SearchSpec
    data: str
    """As in input.json."""
    classes: tuple[str, ...]
    stages: tuple[SearchStage, ...]
    rows: tuple[str, ...]
    expected_cost: float
    """The sum over the rows that the search went by, in the budget's unit."""
    measured_ms: float | None = None
    """Of the whole network, where the budget is in milliseconds."""
    macs: int
    """Counted on the whole network."""
    accuracy: float
    """Top-1 on the test crops (0–1) after training from scratch."""
