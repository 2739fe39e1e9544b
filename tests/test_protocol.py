"""When each arm has its turn, on an invented clock."""

from __future__ import annotations

import gc
import itertools

import pytest

from mnv4bench.latency.measure.protocol import Schedule, Subject, calibrate, orders, run_session, time_block
from mnv4bench.results.blocks import STAGES
from mnv4bench.results.latency import Stage


class FakeClock:
    """A clock that only `work` moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        self.now += seconds


def test_order_is_a_permutation_and_its_reverse_in_turn() -> None:
    groups = ((0, 3, 4), (1, 2, 5, 6))
    found = orders(groups, 5, seed=1)
    assert all(sorted(order) == list(range(7)) for order in found)
    assert found[1] == found[0][::-1]
    assert found[3] == found[2][::-1]
    assert found == orders(groups, 5, seed=1)
    assert found != orders(groups, 5, seed=2)
    assert len({tuple(order) for order in found}) == 5


def test_a_group_stays_together_and_groups_and_members_both_change_places() -> None:
    groups = ((0, 3, 4), (1, 2, 5, 6))
    found = orders(groups, 40, seed=1)
    for order in found:
        assert {*order[:3]} == {0, 3, 4} or {*order[-3:]} == {0, 3, 4}
    assert {order[0] for order in found} == set(range(7))


def test_every_subject_has_the_same_mean_position_over_a_pair_of_rounds() -> None:
    first, second = orders(((0, 1, 2), (3, 4, 5)), 2, seed=3)
    assert [first.index(k) + second.index(k) for k in range(6)] == [5] * 6


@pytest.mark.parametrize("cost", [1e-6, 1e-4, 3e-3, 0.049, 0.2])
def test_calibrated_block_lasts_long_enough_and_not_twice_as_long_as_needed(cost: float) -> None:
    clock = FakeClock()
    count = calibrate(lambda index: clock.work(cost), 32, 100, clock)
    assert count * cost >= 0.1 * (1 - 1e-9)
    assert count * cost <= max(0.1 * 1.1, cost * 2) + 32 * cost  # up to one more pass over the images


def test_more_images_than_there_are_become_whole_passes() -> None:
    clock = FakeClock()
    assert calibrate(lambda index: clock.work(0.001), 32, 100, clock) % 32 == 0
    assert calibrate(lambda index: clock.work(0.02), 32, 100, clock) < 32


def test_block_runs_over_consecutive_images_and_around_the_end() -> None:
    seen: list[int] = []
    time_block(seen.append, 3, 7, 5)
    assert seen == [3, 4, 0, 1, 2, 3, 4]


def test_garbage_collection_is_off_in_a_block_and_on_after_it_even_after_an_error() -> None:
    inside: list[bool] = []
    assert gc.isenabled()
    time_block(lambda index: inside.append(gc.isenabled()), 0, 1, 1)
    assert inside == [False]
    with pytest.raises(ZeroDivisionError):
        time_block(lambda index: 1 / 0, 0, 1, 1)
    assert gc.isenabled()


def test_session_gives_every_stage_its_blocks_in_each_round_over_the_same_images_and_drops_the_warm_up() -> None:
    clock = FakeClock()
    starts: list[tuple[str, int]] = []

    def subject(name: str, cost: float) -> Subject:
        def call(index: int) -> None:
            starts.append((name, index))
            clock.work(cost)

        return Subject("torch", name, dict.fromkeys(STAGES, call))

    schedule = Schedule(rounds=4, blocks=2, block_ms=90)
    subjects = [subject("a", 0.1), subject("b", 0.2)]
    timed = run_session(subjects, 5, schedule, seed=0, session=7, threads=3, clock=clock)
    turns = [(block.round, block.arm, block.stage, block.block) for block in timed]
    assert sorted(turns) == sorted(itertools.product(range(4), "ab", STAGES, range(2)))
    assert {(block.session, block.threads, block.runtime) for block in timed} == {(7, 3, "torch")}
    assert {block.position for block in timed} == set(range(2 * len(STAGES)))
    assert all(block.repeats == 1 for block in timed)
    assert [block.seconds for block in timed if block.arm == "a"] == pytest.approx([0.1] * 8 * len(STAGES))
    last = starts[-len(timed) :]
    each = 2 * 2 * len(STAGES)
    for number in range(4):  # five images in four rounds: two further each time, and around the end
        assert {index for _, index in last[each * number : each * (number + 1)]} == {2 * number % 5}
    assert len(starts) >= len(timed) + 2 * len(STAGES) * schedule.warm_up


def test_what_is_compared_takes_its_turns_one_after_the_other() -> None:
    clock = FakeClock()

    def subject(runtime: str, arm: str, *stages: Stage) -> Subject:
        return Subject(runtime, arm, dict.fromkeys(stages, lambda index: clock.work(0.1)))

    subjects = [
        subject(runtime, arm, "forward", "end_to_end", *more)
        for runtime in ("torch", "openvino")
        for arm, more in (("a", ()), ("b", ("in_graph",)))  # type: ignore[var-annotated]
    ]
    timed = run_session(subjects, 1, Schedule(rounds=6, blocks=1, block_ms=1), seed=0, clock=clock)
    for number in range(6):
        of_round = sorted((block for block in timed if block.round == number), key=lambda block: block.position)
        kinds = [(block.runtime, "forward" if block.stage == "forward" else "whole") for block in of_round]
        assert sorted(len(list(same)) for _, same in itertools.groupby(kinds)) == [2, 2, 3, 3]


def test_post_processing_gets_shorter_blocks() -> None:
    clock = FakeClock()
    calls = dict.fromkeys(("forward", "post"), lambda index: clock.work(0.001))
    schedule = Schedule(rounds=1, blocks=1, block_ms=100)
    timed = run_session([Subject("torch", "a", calls)], 1, schedule, seed=0, clock=clock)
    post, forward = sorted(timed, key=lambda block: block.seconds)
    assert (forward.stage, post.stage) == ("forward", "post")
    assert forward.seconds == pytest.approx(0.105, rel=0.05)
    assert post.seconds == pytest.approx(0.021, rel=0.05)
