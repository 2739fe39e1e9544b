"""Simulated sessions: what timed blocks look like on machines that are disturbed in one way or another.

A disturbance maps a random generator and the order of turns to a factor on every block's time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnv4bench.latency.analyse.analysis import CANARY, COPY, Analysis, Judged, analyse
from mnv4bench.latency.measure.protocol import orders
from mnv4bench.results.blocks import Block
from mnv4bench.results.latency import LatencyRow
from mnv4bench.spec.latency import LatencySpec

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Order:
    """Who had a turn when in one session."""

    places: NDArray[np.int64]
    """(rounds, subjects): the subject's place in the round."""
    blocks: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rounds, subjects, blocks."""
        return (*self.places.shape, self.blocks)

    def by_subject(self, series: Floats) -> Floats:
        """Turn a series over the session's time, one value a block, into (rounds, subjects, blocks)."""
        return np.take_along_axis(series.reshape(self.shape), self.places[:, :, None], axis=1)


Disturbance = Callable[[np.random.Generator, Order], Floats]

BASE, ARM = "x/base", "x/arm"
SUBJECTS = (BASE, ARM, COPY, CANARY)
GROUPS = ((0, 1, 2), (3,))
"""Places in SUBJECTS of those that are compared."""
ARMS = (Judged(BASE, BASE, "nms_free", None), Judged(ARM, ARM, "nms_free", BASE))
DEFAULT = LatencySpec()


def quiet(generator: np.random.Generator, order: Order) -> Floats:
    return np.ones(order.shape)


def exponential(sd: float) -> Disturbance:
    """Delays that only add, each block its own."""
    return lambda generator, order: 1 + generator.exponential(sd, order.shape)


def gaussian(sd: float) -> Disturbance:
    return lambda generator, order: np.maximum(1 + generator.normal(0, sd, order.shape), 0.1)


def drift(total: float) -> Disturbance:
    """A machine that slows down evenly, over a session by `total`."""
    return lambda generator, order: order.by_subject(np.linspace(1, 1 + total, int(np.prod(order.shape))))


def step(size: float) -> Disturbance:
    """A machine that turns slower at some moment in the middle half of a session."""

    def factors(generator: np.random.Generator, order: Order) -> Floats:
        series = np.ones(int(np.prod(order.shape)))
        series[int(len(series) * generator.uniform(0.25, 0.75)) :] += size
        return order.by_subject(series)

    return factors


def bursts(share: float, length: int, size: float) -> Disturbance:
    """A neighbour that takes part of the machine for `length` blocks at a time, in `share` of all blocks."""

    def factors(generator: np.random.Generator, order: Order) -> Floats:
        starts = generator.random(int(np.prod(order.shape))) < share / length
        hit = np.convolve(starts, np.ones(length))[: len(starts)] > 0
        return order.by_subject(1 + size * hit)

    return factors


def correlated(sd: float, rho: float) -> Disturbance:
    """An AR(1) process over the blocks of a session."""

    def factors(generator: np.random.Generator, order: Order) -> Floats:
        steps = generator.normal(0, sd * np.sqrt(1 - rho**2), int(np.prod(order.shape)))
        steps[0] = generator.normal(0, sd)
        series = np.empty(len(steps))
        state = 0.0
        for index, change in enumerate(steps):
            state = rho * state + change
            series[index] = state
        return order.by_subject(np.exp(series))

    return factors


def bimodal(size: float) -> Disturbance:
    """Every turn at one of two speeds, by chance."""
    return lambda generator, order: np.broadcast_to(
        1 + size * generator.integers(0, 2, (*order.places.shape, 1)), order.shape
    ).astype(float)


def clock_rates(size: float) -> Disturbance:
    """The whole machine at one speed in one round and at another in the next."""
    return lambda generator, order: np.broadcast_to(
        1 + size * (np.arange(len(order.places)) % 2)[:, None, None], order.shape
    ).astype(float)


def offsets(sd: float) -> Disturbance:
    """Each process places its networks in memory anew, which makes each one a little slower or faster throughout."""
    return lambda generator, order: np.broadcast_to(
        np.exp(generator.normal(0, sd, (1, order.places.shape[1], 1))), order.shape
    )


def times(*disturbances: Disturbance) -> Disturbance:
    """Several disturbances at once."""
    return lambda generator, order: np.prod([one(generator, order) for one in disturbances], axis=0)


def simulate(
    disturbance: Disturbance = quiet,
    ratio: float = 1.0,
    seed: int = 0,
    spec: LatencySpec = DEFAULT,
    by_session: dict[int, Disturbance] | None = None,
) -> list[Block]:
    """Return the blocks of a base that takes 10 ms, its copy, an arm that takes `ratio` times as long, and a canary.

    Args:
        by_session: disturbances of some sessions that take the general one's place.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    truth = np.array([10.0, 10.0 * ratio, 10.0, 1.0])[None, :, None]
    found = []
    for session in range(spec.sessions):
        turns = orders(GROUPS, spec.rounds, int(generator.integers(2**32)))
        order = Order(np.argsort(turns, axis=1), spec.blocks)
        ms = truth * (by_session or {}).get(session, disturbance)(generator, order)
        seconds, places = (ms / 100).tolist(), order.places.tolist()
        for number, subject, block in np.ndindex(order.shape):
            name = SUBJECTS[subject]
            who = (CANARY if name == CANARY else "torch", name)
            time = seconds[number][subject][block]
            found.append(Block(session, 1, number, places[number][subject], *who, "forward", block, 10, time))
    return found


def analysed(blocks: list[Block]) -> Analysis:
    return analyse(blocks, ARMS, BASE)


def judged(blocks: list[Block]) -> LatencyRow:
    """Return the row of the arm."""
    return next(row for row in analysed(blocks).rows if row.arm == ARM)
