"""When each arm has its turn, and for how long: every timed block of one session.

Rounds are outermost and visit every arm of every runtime, so slow drift of the machine reaches all of them. Within a
round, arms that are compared take their turns one after the other: what disturbs a machine for a second is then shared
by both sides of a ratio. The order is random in the first, third, … round and its reverse in the next (ABBA), which
cancels a linear drift. Times are compared within a round only.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from mnv4bench.results.blocks import Block
from mnv4bench.results.latency import Stage

Call = Callable[[int], object]
"""Does a stage's work on the image of that index."""
Clock = Callable[[], float]

SHARE: dict[Stage, float] = {"post": 0.2}
"""Part of a whole block's length that a stage's block needs: post-processing takes microseconds."""

BESIDE: dict[Stage, Stage] = {"in_graph": "end_to_end"}
"""Stage → the one that it is compared with: a graph that ends in detections is timed end to end as it is."""


@dataclass(frozen=True)
class Subject:
    """One arm in one runtime, with a call per stage; each stage has a turn in every round."""

    runtime: str
    arm: str
    stages: Mapping[Stage, Call]


@dataclass(frozen=True)
class Schedule:
    """How long a session is."""

    rounds: int
    blocks: int
    """In each turn."""
    block_ms: float
    warm_up: int = 3
    """Blocks of every stage before the first round, which are dropped."""


def run_session(
    subjects: Sequence[Subject],
    images: int,
    schedule: Schedule,
    seed: int,
    session: int = 0,
    threads: int = 1,
    clock: Clock = time.perf_counter,
) -> list[Block]:
    """Calibrate every stage, warm it up, and time all rounds.

    Args:
        images: number of images; calls get indices below it. In one round every block starts at the same image, and the
            starts move on from round to round until all images had their turn.
        seed: of the order.
        session, threads: written into the blocks.
    """
    turns = [(subject, stage) for subject in subjects for stage in subject.stages]
    repeats = [
        calibrate(subject.stages[stage], images, schedule.block_ms * SHARE.get(stage, 1.0), clock)
        for subject, stage in turns
    ]
    for (subject, stage), count in zip(turns, repeats, strict=True):
        for _ in range(schedule.warm_up):
            time_block(subject.stages[stage], 0, count, images, clock)

    timed = []
    stride = math.ceil(images / schedule.rounds)
    for number, order in enumerate(orders(_compared(turns), schedule.rounds, seed)):
        start = number * stride % images
        for position, index in enumerate(order):
            (subject, stage), count = turns[index], repeats[index]
            for block in range(schedule.blocks):
                seconds = time_block(subject.stages[stage], start, count, images, clock)
                place = (session, threads, number, position, subject.runtime, subject.arm, stage, block)
                timed.append(Block(*place, repeats=count, seconds=seconds))
    return timed


def _compared(turns: Sequence[tuple[Subject, Stage]]) -> list[list[int]]:
    """Return the indices of turns in groups, within which times are compared."""
    groups: dict[tuple[str, Stage], list[int]] = {}
    for index, (subject, stage) in enumerate(turns):
        groups.setdefault((subject.runtime, BESIDE.get(stage, stage)), []).append(index)
    return list(groups.values())


def orders(groups: Sequence[Sequence[int]], rounds: int, seed: int) -> list[list[int]]:
    """Return each round's order of the groups' members: drawn for rounds 0, 2, 4, …, and reversed in the next one.

    Both the groups and the members within each are permuted, so that a group stays together.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    result: list[list[int]] = []
    for number in range(rounds):
        if number % 2:
            result.append(result[-1][::-1])
        else:
            places = generator.permutation(len(groups))
            result.append(list(chain.from_iterable(generator.permutation(groups[place]).tolist() for place in places)))
    return result


def calibrate(call: Call, images: int, block_ms: float, clock: Clock = time.perf_counter) -> int:
    """Return how many images one block needs to last `block_ms`.

    More images than there are become whole passes over all of them, so that no image counts more than another.
    """
    wanted = block_ms / 1000
    call(0)  # the first call prepares memory and kernels
    count = 1
    while (seconds := time_block(call, 0, count, images, clock)) < wanted:
        # At most tenfold, because a very short trial says little; 5 % more than needed, because blocks vary.
        factor = min(10.0, 1.05 * wanted / seconds) if seconds > 0 else 10.0
        count = max(count + 1, math.ceil(count * factor))
    return count if count <= images else math.ceil(count / images) * images


def time_block(call: Call, start: int, repeats: int, images: int, clock: Clock = time.perf_counter) -> float:
    """Return the seconds that `repeats` consecutive images take, beginning at `start` and around the end.

    Garbage collection is held off, as timeit does: its pauses would hit whichever arm is running.
    """
    indices = [(start + step) % images for step in range(repeats)]
    collecting = gc.isenabled()
    gc.disable()
    try:
        begin = clock()
        for index in indices:
            call(index)
        return clock() - begin
    finally:
        if collecting:
            gc.enable()
