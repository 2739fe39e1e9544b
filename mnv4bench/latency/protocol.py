"""When each arm has its turn, and for how long: every timed block of one session.

Rounds are outermost and visit every arm of every runtime, so slow drift of the machine reaches all of them. The order
is a random permutation in the first, third, … round and its reverse in the next (ABBA), which cancels a linear drift.
Times are compared within a round only.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mnv4bench.latency.blocks import Block
from mnv4bench.records import Stage

Call = Callable[[int], object]
"""Does a stage's work on the image of that index."""
Clock = Callable[[], float]

SHARE: dict[Stage, float] = {"post": 0.2}
"""Part of a whole block's length that a stage's block needs: post-processing takes microseconds."""


@dataclass(frozen=True)
class Subject:
    """What has a turn in a round: one arm in one runtime, with a call per stage."""

    runtime: str
    arm: str
    stages: Mapping[Stage, Call]


@dataclass(frozen=True)
class Schedule:
    """How long a session is."""

    rounds: int
    blocks: int
    """In each turn, for every stage."""
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
    repeats = [
        {
            stage: calibrate(call, images, schedule.block_ms * SHARE.get(stage, 1.0), clock)
            for stage, call in subject.stages.items()
        }
        for subject in subjects
    ]
    for subject, counts in zip(subjects, repeats, strict=True):
        for stage, call in subject.stages.items():
            for _ in range(schedule.warm_up):
                time_block(call, 0, counts[stage], images, clock)

    timed = []
    stride = math.ceil(images / schedule.rounds)
    for number, order in enumerate(orders(len(subjects), schedule.rounds, seed)):
        start = number * stride % images
        for position, index in enumerate(order):
            subject = subjects[index]
            for stage, call in subject.stages.items():
                count = repeats[index][stage]
                for block in range(schedule.blocks):
                    seconds = time_block(call, start, count, images, clock)
                    place = (session, threads, number, position, subject.runtime, subject.arm, stage, block)
                    timed.append(Block(*place, repeats=count, seconds=seconds))
    return timed


def orders(subjects: int, rounds: int, seed: int) -> list[list[int]]:
    """Return each round's order: a permutation is drawn for rounds 0, 2, 4, …, and reversed in the next one."""
    generator = np.random.Generator(np.random.PCG64(seed))
    result: list[list[int]] = []
    for number in range(rounds):
        result.append(result[-1][::-1] if number % 2 else generator.permutation(subjects).tolist())
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
