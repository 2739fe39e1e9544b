"""What follows from timed blocks: every rule on a trace small enough to work out, error rates on simulated machines."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import traces
from traces import ARM, ARMS, BASE, analysed, judged, simulate

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import write_text
from mnv4bench.latency.analyse import noise
from mnv4bench.latency.analyse.analysis import CANARY, COPY, Analysis, Judged, analyse
from mnv4bench.latency.analyse.estimates import (
    Estimate,
    coverage,
    estimate,
    mean_interval,
    median_interval,
    percentile,
    quartile_range,
    sign_test,
    t_test,
)
from mnv4bench.latency.analyse.turns import gather, log_ratios
from mnv4bench.latency.analyse.verdict import direction
from mnv4bench.results.blocks import COLUMNS, STAGES, Block, read_blocks, write_blocks
from mnv4bench.results.latency import FewBlocks, FewRounds, LatencyRow, Reason, Stage


def turns(
    arm: str,
    *sessions: Sequence[float],
    runtime: str = "torch",
    stage: Stage = "forward",
    threads: int = 1,
    first: int = 0,
) -> list[Block]:
    """One block a round, in milliseconds per image; a list for each session, numbered from `first`."""
    return [
        Block(number, threads, turn, 0, runtime, arm, stage, 0, 10, ms / 100)
        for number, times in enumerate(sessions, first)
        for turn, ms in enumerate(times)
    ]


def still(arm: str, sessions: int = 1, rounds: int = 12, ms: float = 10.0, **where: object) -> list[Block]:
    """Turns that all take the same time."""
    return turns(arm, *[[ms] * rounds] * sessions, **where)  # type: ignore[arg-type]


def pair(sessions: int = 1, rounds: int = 12, **where: object) -> list[Block]:
    """A reference of 10 ms and a copy that takes exactly as long."""
    return still(BASE, sessions, rounds, **where) + still(COPY, sessions, rounds, **where)


def row(analysis: Analysis, arm: str, stage: Stage = "forward", runtime: str = "torch", threads: int = 1) -> LatencyRow:
    wanted = (arm, stage, runtime, threads)
    return next(r for r in analysis.rows if (r.arm, r.stage, r.runtime, r.threads) == wanted)


# Blocks on disk


def test_blocks_survive_the_file_to_the_last_digit(tmp_path: Path) -> None:
    trace = turns("x/a", [100 / 3, 0.1 + 0.2, 1e-7], threads=4, first=7)
    write_blocks(tmp_path / "blocks.csv", trace)
    assert read_blocks(tmp_path / "blocks.csv") == trace


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("0,1,0,0,torch,a,forward,0,1,fast", "line 3: could not convert"),
        ("0,1,0,0,torch,a,forward,0,0,1.0", "line 3: threads, repeats and seconds must be positive"),
        ("0,0,0,0,torch,a,forward,0,1,1.0", "line 3: threads, repeats and seconds must be positive"),
        ("0,1,0,0,torch,a,forward,0,1,nan", "line 3: threads, repeats and seconds must be positive"),
        ("0,1,0,0,torch,a,foreward,0,1,1.0", "line 3: stage is 'foreward', allowed: forward, post, end_to_end, in_gr"),
        ("0,1,0,0,torch,,forward,0,1,1.0", "line 3: runtime and arm must have a name"),
        ("0,1,0,0,torch,a,forward", "line 3: invalid literal"),
    ],
)
def test_damaged_blocks_are_refused_with_file_and_line(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "blocks.csv"
    write_text(path, ",".join(COLUMNS) + f"\n0,1,0,0,torch,a,forward,0,1,1.0\n{line}\n")
    with pytest.raises(Mnv4benchError) as error:
        read_blocks(path)
    assert f"{path}: not readable as timed blocks ({told}" in str(error.value)


def test_blocks_with_other_columns_or_none_at_all_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "blocks.csv"
    with pytest.raises(Mnv4benchError, match="delete it to measure again"):
        read_blocks(path)
    write_text(path, ",".join(name for name in COLUMNS if name != "threads") + "\n")
    with pytest.raises(Mnv4benchError, match="expected session, threads, round"):
        read_blocks(path)


# Estimates


@pytest.mark.parametrize(
    ("n", "low", "high"),
    [(1, 1, 1), (5, 1, 5), (6, 1, 6), (8, 1, 8), (9, 2, 8), (10, 2, 9), (12, 3, 10), (16, 4, 13), (20, 6, 15)],
)
def test_median_interval_takes_the_tabulated_ranks(n: int, low: int, high: int) -> None:
    shuffled = np.random.Generator(np.random.PCG64(0)).permutation(n) + 1
    assert median_interval(shuffled) == (low, high)


@pytest.mark.parametrize(("n", "k"), [(6, 1), (9, 2), (10, 2), (12, 3)])
def test_coverage_equals_counting_all_ways_to_lie_about_the_median(n: int, k: int) -> None:
    below = [sum(signs) for signs in itertools.product((0, 1), repeat=n)]
    assert coverage(n, k) == pytest.approx(np.mean([k <= count <= n - k for count in below]))
    assert coverage(n, k) >= 0.95


def test_sign_test_equals_counting_all_patterns_at_least_as_uneven() -> None:
    for positive in range(8):
        values = [1.0] * positive + [-2.0] * (7 - positive) + [0.0]
        patterns = [abs(2 * sum(signs) - 7) for signs in itertools.product((0, 1), repeat=7)]
        uneven = [pattern >= abs(2 * positive - 7) for pattern in patterns]
        assert sign_test(values) == pytest.approx(np.mean(uneven))
    assert sign_test([0.0, 0.0]) == 1


def test_students_interval_and_p_of_a_hand_worked_sample() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    half = 2.776445 * math.sqrt(2.5 / 5)  # t of 97.5 % at four degrees of freedom, from a table
    assert mean_interval(values) == pytest.approx((3 - half, 3 + half), abs=1e-5)
    assert t_test([value - 3 + half for value in values]) == pytest.approx(0.05, abs=1e-6)
    assert (t_test([0.0] * 5), t_test([1.0] * 5)) == (1, 0)


def test_few_sessions_are_estimated_by_rounds_and_many_by_session_medians() -> None:
    generator = np.random.Generator(np.random.PCG64(0))
    sessions = [generator.normal(center, 0.01, 7) for center in (0.1, 0.2, 0.3, 0.4, 0.5)]
    few, many = estimate(sessions[:4]), estimate(sessions)
    rounds = np.concatenate(sessions[:4])
    assert (few.low, few.high) == median_interval(rounds)
    assert (few.value, few.p) == (np.median(rounds), sign_test(rounds))
    medians = [float(np.median(session)) for session in sessions]
    assert many.sessions == tuple(medians)
    assert (many.low, many.high) == mean_interval(medians)
    assert many.p == t_test(medians)
    assert many.value == np.median(np.concatenate(sessions))


def test_scatter_is_about_each_sessions_own_median() -> None:
    found = estimate([np.array([0.0, 1.0, 2.0]), np.array([10.0, 11.0, 12.0])])
    assert found.scatter == 1.5  # the quartiles of −1, −1, 0, 0, 1, 1 lie at −0.75 and 0.75


def late(n: int, share: Fraction, confidence: Fraction) -> int:
    """The largest t with P(Binomial(n, 1 − share) ≤ t) ≤ 1 − confidence in exact arithmetic, by adding up; else −1."""
    chances = [math.comb(n, i) * (1 - share) ** i * share ** (n - i) for i in range(n + 1)]
    return max((t for t in range(n) if sum(chances[: t + 1]) <= 1 - confidence), default=-1)


@pytest.mark.parametrize("n", [1, 10, 43, 44, 63, 64, 65, 91, 92, 180, 250])
def test_percentile_follows_the_early_stopping_rule(n: int) -> None:
    t = late(n, Fraction(9, 10), Fraction(99, 100))
    values = np.random.Generator(np.random.PCG64(0)).permutation(n) + 1.0
    assert percentile(values.tolist()) == (n - (t - 1) if t >= 1 else None)


def test_sixty_four_values_name_a_ninetieth_percentile_and_sixty_three_do_not() -> None:
    values = [float(value) for value in range(64)]
    assert percentile(values) == 63
    assert percentile(values[1:]) is None
    assert percentile([float(value) for value in range(11)], share=0.5) == 10  # MLPerf's least for a median


def test_percentile_of_many_values_approaches_the_plain_one_from_above() -> None:
    assert 18_000 < percentile([float(value) for value in range(20_000)]) < 18_200  # type: ignore[operator]


# Noise


def test_canary_drift_is_between_the_thirds_medians() -> None:
    assert noise.canary_drift([1.0, 9.0, 1.0, 1.2, 1.2, 0.1, 1.1, 1.1, 1.1]) == pytest.approx(0.2)
    assert noise.canary_drift([1.3, 1.0]) == pytest.approx(0.3)
    assert noise.canary_drift([1.0]) == 0
    assert noise.canary_drift([]) is None


def test_copies_differ_only_when_surely_beyond_two_percent() -> None:
    differ = noise.copies_differ
    assert not differ(np.full(12, 0.005))  # beyond doubt, and of no consequence
    assert differ(np.full(12, 0.03))
    assert differ(np.full(12, -0.03))
    assert not differ(np.full(5, 0.03))  # five rounds have no 95 % interval
    assert not differ(np.array([0.01] * 3 + [0.03] * 9))
    assert differ(np.array([0.01] * 2 + [0.03] * 10))
    assert not differ(np.array([]))


def test_noise_floor_of_hand_worked_sessions() -> None:
    table = {1: 12.7062, 2: 4.30265, 3: 3.18245}  # t of 97.5 %
    assert noise.floor([0.01, -0.01, 0.01], 3) == pytest.approx(table[3] * 0.01 / math.sqrt(3), rel=1e-5)
    assert noise.floor([0.03, 0.0, 0.0], 2) == pytest.approx(table[3] * 0.03 / math.sqrt(3 * 2), rel=1e-5)
    assert noise.floor([-0.002], 1) == pytest.approx(table[1] * 0.002, rel=1e-5)


def test_noise_floor_is_exceeded_by_another_copy_in_one_of_twenty_cases() -> None:
    generator = np.random.Generator(np.random.PCG64(1))
    copies, arm = generator.normal(0, 0.01, (2, 2000, 3))
    beyond = [abs(b.mean()) > noise.floor(a.tolist(), 3) for a, b in zip(copies, arm, strict=True)]
    assert np.mean(beyond) == pytest.approx(0.05, abs=0.015)


# Turns


def test_a_turn_counts_by_its_fastest_block_and_every_block_is_kept() -> None:
    fast = turns("a", [3.0, 5.0])
    slow = [dataclasses.replace(block, block=1, seconds=0.9) for block in fast]
    timed = gather([*fast, *slow])[1, "torch", "a", "forward"]
    assert timed.turns == {0: {0: pytest.approx(3), 1: pytest.approx(5)}}
    assert timed.blocks == {0: pytest.approx([3, 5, 90, 90])}


def test_ratios_are_taken_within_rounds_of_one_session_that_both_arms_had() -> None:
    found = gather(turns("a", [2.0, 8.0], [3.0]) + turns("b", [1.0, 2.0, 7.0], [1.0], [5.0]))
    logs = log_ratios(found[1, "torch", "a", "forward"], found[1, "torch", "b", "forward"])
    assert {session: np.exp(values).tolist() for session, values in logs.items()} == {
        0: pytest.approx([2, 4]),
        1: pytest.approx([3]),
    }


def test_spread_brings_sessions_to_one_level_first() -> None:
    timed = gather(turns("a", [1.0, 2.0, 3.0], [100.0, 200.0, 300.0], [1.0, 9.0, 90.0]))[1, "torch", "a", "forward"]
    assert timed.spread([0, 1]) == pytest.approx(quartile_range([0.5, 1, 1.5, 0.5, 1, 1.5]))
    assert timed.spread([0]) == pytest.approx(0.5)
    assert timed.spread([7]) == 0


# Rows and verdicts

SWAPPED = (Judged(ARM, ARM, "nms_free", None), Judged(BASE, BASE, "nms_free", ARM))
"""The same two networks, with the arm as baseline."""
LATER = (Judged("y/base", ARM, "nms_free", None), Judged("y/arm", BASE, "nms_free", "y/base"))
"""Another ablation that compares them that way round."""


def test_row_of_a_hand_worked_trace() -> None:
    trace = pair(rounds=6) + turns(ARM, [11.0, 12.0, 12.0, 12.0, 13.0, 14.0])
    found = row(analysed(trace), ARM)
    assert (found.p50_ms, found.min_ms, found.p90_ms, found.blocks) == (pytest.approx(12), pytest.approx(11), None, 6)
    assert (found.ratio, found.ratio_low, found.ratio_high) == pytest.approx((1.2, 1.1, 1.4))
    assert found.ratio_sessions == pytest.approx((1.2,))
    assert found.spread == pytest.approx(0.75 / 12)
    assert (found.baseline, found.resolution) == (BASE, noise.SMALLEST)
    assert (found.verdict, found.reason) == ("slower", None)
    base = row(analysed(trace), BASE)
    assert (base.baseline, base.ratio, base.ratio_sessions, base.verdict, base.resolution) == (
        None,
        None,
        (),
        None,
        None,
    )


@pytest.mark.parametrize("slow", [10.5, 10.202])  # 10/10.202 is less than 2 % below 1: logarithms are compared
def test_exchanging_arm_and_baseline_mirrors_the_verdict(slow: float) -> None:
    trace = pair(3) + turns(ARM, *[[slow, slow + 0.001, slow + 0.1] * 4] * 3)
    there = judged(trace)
    back = row(analyse(trace, SWAPPED, BASE), BASE)
    assert (there.verdict, back.verdict) == ("slower", "faster")
    assert there.ratio is not None
    assert there.ratio_high is not None
    assert (back.ratio, back.ratio_low) == pytest.approx((1 / there.ratio, 1 / there.ratio_high))


def test_interval_has_to_lie_beyond_the_resolution_as_a_whole() -> None:
    inside = pair(3) + turns(ARM, *[[10.15] * 4 + [10.6] * 8] * 3)
    beyond = pair(3) + turns(ARM, *[[10.15] * 3 + [10.6] * 9] * 3)
    assert [judged(trace).verdict for trace in (inside, beyond)] == ["unresolved", "slower"]
    assert judged(inside).ratio_low == pytest.approx(1.015)
    assert judged(inside).reason is None


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.97, 1.03, "same"),  # equal times are not excluded
        (1.0, 1.03, "same"),
        (0.985, 0.995, "same"),  # too close to them to matter
        (1.005, 1.0199, "same"),
        (1 / 1.0199, 0.99, "same"),
        (0.97, 0.99, "unresolved"),
        (1.01, 1.03, "unresolved"),
        (1.06, 1.07, "unresolved"),  # not as a whole beyond a resolution of 10 %
        (1.11, 1.12, "slower"),
        (0.8, 0.9, "faster"),
    ],
)
def test_verdict_of_an_interval_at_a_resolution_of_ten_percent(low: float, high: float, verdict: str) -> None:
    middle = math.log(low * high) / 2
    found = Estimate(middle, math.log(low), math.log(high), p=0.01, sessions=(middle,), scatter=0.0)
    assert direction(found, p=0.01, resolution=0.1) == verdict
    if verdict in ("slower", "faster"):
        assert direction(found, p=0.06, resolution=0.1) == "unresolved"


def test_resolution_grows_with_what_copies_differ_by_between_sessions() -> None:
    copies = turns(COPY, [10.19] * 12, [9.82] * 12, [10.1] * 12)
    trace = still(BASE, 3) + copies + still(ARM, 3, ms=10.3)
    medians = [math.log(1.019), math.log(0.982), math.log(1.01)]
    found = judged(trace)
    assert found.resolution == pytest.approx(math.expm1(noise.floor(medians, 3)))
    assert found.resolution > 0.03
    assert found.verdict == "unresolved"
    assert judged(pair(3) + still(ARM, 3, ms=10.3)).verdict == "slower"


def test_one_session_with_the_other_sign_is_no_verdict() -> None:
    usual = [[10.5] * 12] * 2
    most = [*usual, [9.9] * 5 + [10.5] * 7]
    disagreeing = [*usual, [9.9] * 7 + [10.5] * 5]
    found = [analyse(pair(3) + turns(ARM, *sessions), (*ARMS, *LATER), BASE) for sessions in (most, disagreeing)]
    assert [row(one, ARM).ratio_low for one in found] == pytest.approx([1.05, 1.05])
    assert [row(one, ARM).verdict for one in found] == ["slower", "unresolved"]
    assert [row(one, "y/arm").verdict for one in found] == ["faster", "unresolved"]


@pytest.mark.parametrize(("ms", "verdict"), [(12.0, "slower"), (8.0, "faster")])
def test_few_rounds_and_many_arms_are_no_verdict(ms: float, verdict: str) -> None:
    """Six equal signs have p = 1/32: enough for one arm, not for two."""
    second = Judged("x/other", "x/other", "nms_free", BASE)
    trace = pair(rounds=6) + still(ARM, rounds=6, ms=ms) + still("x/other", rounds=6, ms=ms)
    assert row(analyse(trace, ARMS, BASE), ARM).verdict == verdict
    both = analyse(trace, (*ARMS, second), BASE)
    assert [row(both, label).verdict for label in (ARM, "x/other")] == ["unresolved"] * 2
    (note,) = (note for note in both.notes if note.code == "few_rounds")
    assert (note.rounds, note.comparisons, note.p) == (6, 2, 2 * 2 / 2**6)


def test_no_verdict_without_a_95_percent_interval() -> None:
    five = analysed(pair(rounds=5) + still(ARM, rounds=5, ms=12))
    assert row(five, ARM).verdict == "unresolved"
    assert five.notes[0] == FewRounds(runtime="torch", threads=1, rounds=5, comparisons=1, p=2 / 2**5)


def test_a_comparison_that_several_ablations_make_is_tested_once() -> None:
    trace = pair(rounds=6) + still(ARM, rounds=6, ms=12)
    found = analyse(trace, (*ARMS, *LATER), BASE)
    assert (row(found, ARM).verdict, row(found, "y/arm").verdict) == ("slower", "faster")


def test_five_sessions_are_judged_by_their_own_scatter() -> None:
    agreeing = turns(ARM, *[[ms] * 6 for ms in (10.6, 10.62, 10.64, 10.66, 10.68)])
    scattered = turns(ARM, *[[ms] * 6 for ms in (10.1, 10.3, 10.64, 10.9, 11.3)])
    found = [judged(pair(5, 6) + arm) for arm in (agreeing, scattered)]
    assert [r.verdict for r in found] == ["slower", "unresolved"]
    assert found[1].ratio_low is not None
    assert found[1].ratio_low < 1.02


def test_arms_of_one_network_share_its_times_and_are_identical() -> None:
    sharing = Judged("x/same", BASE, "nms_free", BASE)
    found = analyse(pair() + still(ARM, ms=11), (*ARMS, sharing), BASE)
    same = row(found, "x/same")
    assert (same.verdict, same.ratio, same.ratio_low, same.ratio_high) == ("identical", 1, 1, 1)
    assert same.reason is None
    base = row(found, BASE)
    assert (same.p50_ms, same.min_ms, same.blocks, same.spread) == (base.p50_ms, base.min_ms, base.blocks, base.spread)


def test_without_its_baseline_in_a_runtime_an_arm_has_times_and_no_ratio() -> None:
    trace = pair() + still(ARM, ms=12) + still(ARM, runtime="onnxruntime")
    found = analysed(trace)
    assert row(found, ARM).ratio == pytest.approx(1.2)
    alone = row(found, ARM, runtime="onnxruntime")
    assert (alone.ratio, alone.verdict, alone.resolution) == (None, None, None)
    assert alone.p50_ms == pytest.approx(10)
    unknown = analyse(trace, ARMS[1:], BASE)
    assert row(unknown, ARM).ratio is None


def test_rows_come_by_threads_runtime_arm_and_stage_and_canary_and_copy_have_none() -> None:
    where = list(itertools.product((2, 1), ("torch", "onnxruntime"), STAGES[:3]))
    trace = [
        block
        for threads, runtime, stage in where
        for block in (
            *pair(runtime=runtime, stage=stage, threads=threads, first=threads),
            *still(ARM, runtime=runtime, stage=stage, threads=threads, first=threads),
        )
    ]
    trace += still(CANARY, runtime=CANARY, threads=1, first=1)
    found = [(r.threads, r.runtime, r.arm, r.stage) for r in analysed(trace).rows]
    order = ((2, 1), ("onnxruntime", "torch"), (BASE, ARM), STAGES[:3])
    assert found == list(itertools.product(*order))


def test_thread_counts_are_judged_each_by_itself() -> None:
    one = pair(3) + still(ARM, 3, ms=12)
    other = pair(3, threads=4, first=3) + turns(ARM, *[[8.0] * 12] * 3, threads=4, first=3)
    found = analysed(one + other)
    assert [row(found, ARM, threads=threads).verdict for threads in (1, 4)] == ["slower", "faster"]
    assert row(found, ARM, threads=4).ratio_sessions == pytest.approx([0.8] * 3)
    assert row(found, ARM, threads=4).blocks == 36


def test_result_does_not_depend_on_the_order_of_the_blocks() -> None:
    trace = simulate(traces.exponential(0.05), 1.03)
    shuffled = [trace[index] for index in np.random.Generator(np.random.PCG64(0)).permutation(len(trace))]
    assert analysed(shuffled) == analysed(trace)


# Suppression inside the graph


def test_nms_free_arms_have_the_time_to_detections_where_others_suppress_in_the_graph() -> None:
    arms = (Judged(BASE, BASE, "nms", None), Judged(ARM, ARM, "nms_free", BASE))
    trace = pair(stage="in_graph") + pair(stage="end_to_end") + still(ARM, ms=8, stage="end_to_end")
    found = analyse(trace, arms, BASE)
    inside = row(found, ARM, "in_graph")
    assert (inside.verdict, inside.ratio) == ("faster", pytest.approx(0.8))
    assert inside.p50_ms == row(found, ARM, "end_to_end").p50_ms
    assert row(found, BASE, "in_graph").p50_ms == pytest.approx(10)


def test_copy_of_an_nms_free_reference_stands_in_the_graph_as_it_does_end_to_end() -> None:
    arms = (Judged(BASE, BASE, "nms_free", None), Judged(ARM, ARM, "nms", BASE))
    trace = pair(stage="end_to_end") + still(ARM, ms=12, stage="end_to_end") + still(ARM, ms=11, stage="in_graph")
    inside = row(analyse(trace, arms, BASE), ARM, "in_graph")
    assert (inside.verdict, inside.ratio) == ("slower", pytest.approx(1.1))


def test_no_in_graph_row_where_no_arm_suppresses_in_the_graph() -> None:
    found = analysed(pair(stage="end_to_end") + still(ARM, stage="end_to_end"))
    assert {r.stage for r in found.rows} == {"end_to_end"}


# Disturbed sessions


def canary(*sessions: Sequence[float]) -> list[Block]:
    return turns(CANARY, *sessions, runtime=CANARY)


STILL = [1.0] * 12
MOVED = [1.0] * 4 + [1.06] * 8


def test_a_session_whose_canary_moved_takes_no_part_in_ratios_and_times() -> None:
    arm = turns(ARM, [12.0] * 12, [30.0] * 12, [12.0] * 12)
    found = analysed(pair(3) + arm + canary(STILL, MOVED, STILL))
    moved = row(found, ARM)
    assert (moved.ratio, moved.verdict) == (pytest.approx(1.2), "slower")
    assert moved.ratio_sessions == pytest.approx((1.2, 1.2))
    assert (moved.blocks, moved.p50_ms, moved.p90_ms) == (24, 12, None)
    assert [found.sessions[number].canary_drift for number in range(3)] == pytest.approx([0, 0.06, 0])
    assert [len(found.sessions[number].contaminated) for number in range(3)] == [0, 1, 0]
    (disturbance,) = found.sessions[1].contaminated
    assert (disturbance.code, disturbance.value) == ("canary_drift", pytest.approx(0.06))
    assert (disturbance.runtime, disturbance.stage) == (None, None)


def test_drift_just_within_the_limit_is_no_disturbance() -> None:
    found = analysed(pair() + still(ARM, ms=12) + canary([1.0] * 6 + [1.04] * 6))
    assert (row(found, ARM).verdict, found.sessions[0].contaminated) == ("slower", ())


def test_when_no_session_was_quiet_numbers_are_kept_and_the_verdict_is_suppressed() -> None:
    found = analysed(pair(2) + still(ARM, 2, ms=12) + canary(MOVED, MOVED))
    suppressed = row(found, ARM)
    assert (suppressed.ratio, suppressed.verdict) == (pytest.approx(1.2), "suppressed")
    assert suppressed.ratio_sessions == pytest.approx((1.2, 1.2))
    assert suppressed.reason == Reason(code="no_quiet_session", disturbances=found.sessions[0].contaminated)


def test_reason_for_a_thread_count_names_nothing_of_the_other_ones_sessions() -> None:
    one = pair() + still(ARM, ms=12) + canary(MOVED)
    drifting = turns(CANARY, [1.0] * 4 + [1.3] * 8, runtime=CANARY, threads=4, first=1)
    found = analysed(one + pair(threads=4, first=1) + still(ARM, ms=12, threads=4, first=1) + drifting)
    reasons = [row(found, ARM, threads=threads).reason for threads in (1, 4)]
    assert [reason.disturbances for reason in reasons if reason] == [
        found.sessions[number].contaminated for number in (0, 1)
    ]
    assert found.sessions[0].contaminated != found.sessions[1].contaminated


def test_copies_that_differ_disturb_their_own_runtime_and_stage_and_stay_in_its_noise_floor() -> None:
    copies = turns(COPY, [10.4] * 12, [10.0] * 12, [10.0] * 12)
    arm = turns(ARM, [20.0] * 12, [12.0] * 12, [12.0] * 12)
    post = pair(3, stage="post") + turns(ARM, [20.0] * 12, [12.0] * 12, [12.0] * 12, stage="post")
    found = analysed(still(BASE, 3) + copies + arm + post)
    assert found.sessions[0].copies == pytest.approx({"torch forward": 0.04, "torch post": 0.0})
    (disturbance,) = found.sessions[0].contaminated
    assert (disturbance.code, disturbance.runtime, disturbance.stage) == ("copies_differ", "torch", "forward")
    assert disturbance.value == pytest.approx(0.04)
    assert (found.sessions[1].contaminated, found.sessions[2].contaminated) == ((), ())
    assert row(found, ARM).ratio_sessions == pytest.approx((1.2, 1.2))
    assert row(found, ARM).resolution == pytest.approx(math.expm1(noise.floor([math.log(1.04), 0, 0], 2)))
    assert row(found, ARM, "post").ratio_sessions == pytest.approx((2, 1.2, 1.2))
    assert row(found, ARM, "post").resolution == noise.SMALLEST


def test_copies_of_a_session_whose_canary_moved_say_nothing_of_the_others() -> None:
    copies = turns(COPY, [10.4] * 12, [10.0] * 12, [10.0] * 12)
    found = analysed(still(BASE, 3) + copies + still(ARM, 3, ms=12) + canary(MOVED, STILL, STILL))
    assert row(found, ARM).resolution == noise.SMALLEST
    assert len(found.sessions[0].contaminated) == 1


def test_lasting_half_percent_between_the_copies_suppresses_nothing() -> None:
    found = analysed(still(BASE, 3) + still(COPY, 3, ms=10.05) + still(ARM, 3, ms=12))
    assert row(found, ARM).verdict == "slower"
    assert all(session.contaminated == () for session in found.sessions.values())


def test_without_a_copy_the_noise_is_unknown_and_the_verdict_suppressed() -> None:
    found = row(analysed(still(BASE) + still(ARM, ms=12)), ARM)
    assert (found.verdict, found.resolution, found.ratio) == ("suppressed", None, pytest.approx(1.2))
    assert found.reason == Reason(code="no_copy")


def test_session_without_a_canary_has_no_drift() -> None:
    assert analysed(pair()).sessions[0].canary_drift is None


# Unstable times


def test_times_that_spread_by_more_than_a_quarter_are_unstable_whichever_arm_they_are_of() -> None:
    wild = [8.0] * 2 + [9.0] * 2 + [10.0] * 4 + [11.0] * 2 + [12.0] * 2
    wilder = [7.0] * 4 + [10.0] * 4 + [13.0] * 4
    its = judged(pair() + turns(ARM, [3 * ms for ms in wilder]))
    assert (its.verdict, its.spread) == ("unstable", pytest.approx(0.6))
    assert its.reason is not None
    assert (its.reason.code, its.reason.value) == ("arm_spread", pytest.approx(0.6))
    of_baseline = judged(turns(BASE, wilder) + turns(COPY, wilder) + still(ARM, ms=30))
    assert of_baseline.reason is not None
    assert (of_baseline.reason.code, of_baseline.reason.value) == ("baseline_spread", pytest.approx(0.6))
    assert judged(pair() + turns(ARM, [3 * ms for ms in wild])).verdict == "slower"


def test_ratio_that_scatters_more_than_it_differs_from_one_is_unstable() -> None:
    scattered = np.array([0.94] * 4 + [1.0] * 4 + [1.06] * 4)
    near = judged(pair() + turns(ARM, 10.5 * scattered))
    assert near.verdict == "unstable"
    assert near.reason is not None
    assert (near.reason.code, near.reason.value) == ("ratio_scatter", pytest.approx(1.06 / 0.94 - 1))
    assert judged(pair() + turns(ARM, 15 * scattered)).verdict == "slower"


def test_spread_that_both_arms_share_is_told_and_does_not_spoil_the_ratio() -> None:
    shared = np.array([0.9, 1.1] * 6)
    found = analysed(turns(BASE, 10 * shared) + turns(COPY, 10 * shared) + turns(ARM, 11 * shared))
    assert (row(found, ARM).verdict, row(found, ARM).ratio) == ("slower", pytest.approx(1.1))
    (note,) = (note for note in found.notes if note.code == "wide_spread")
    assert (note.runtime, note.threads, note.value, note.rows) == ("torch", 1, pytest.approx(0.2), 2)


def test_quiet_and_complete_times_need_no_note() -> None:
    assert analysed(simulate(traces.exponential(0.05))).notes == ()


def test_coarse_resolution_and_missing_percentiles_are_told_with_what_to_do() -> None:
    copies = turns(COPY, [10.19] * 12, [9.82] * 12, [10.1] * 12)
    notes = analysed(still(BASE, 3) + copies + still(ARM, 3)).notes
    (coarse,) = (note for note in notes if note.code == "coarse_resolution")
    assert (coarse.runtime, coarse.stage) == ("torch", "forward")
    assert 0.03 < coarse.value < 0.04
    assert FewBlocks(rows=2, blocks=36) in notes


# Error rates on simulated machines

TRACES = 200
MACHINES = {
    "delays of 5 %": traces.exponential(0.05),
    "gaussian noise of 2 %": traces.gaussian(0.02),
    "bursts": traces.times(traces.exponential(0.02), traces.bursts(0.05, 8, 1.0)),
    "correlated noise": traces.correlated(0.03, 0.98),
    "offsets of 0.5 %": traces.times(traces.exponential(0.05), traces.offsets(0.005)),
}


@cache
def on(machine: str, ratio: float, count: int = TRACES) -> tuple[LatencyRow, ...]:
    return tuple(judged(simulate(MACHINES[machine], ratio, seed)) for seed in range(count))


@pytest.mark.parametrize("machine", MACHINES)
def test_equal_arms_are_told_apart_in_at_most_one_of_twenty_traces(machine: str) -> None:
    verdicts = Counter(row.verdict for row in on(machine, 1.0))
    assert verdicts["same"] + verdicts["unresolved"] >= 0.95 * TRACES, verdicts


@pytest.mark.parametrize(("ratio", "verdict"), [(1.03, "slower"), (1 / 1.03, "faster")])
@pytest.mark.parametrize(("machine", "least"), [("delays of 5 %", 90), ("offsets of 0.5 %", 80)])
def test_three_percent_are_found_under_delays_of_five(machine: str, least: int, ratio: float, verdict: str) -> None:
    verdicts = Counter(row.verdict for row in on(machine, ratio, 100))
    assert verdicts[verdict] >= least, verdicts


@pytest.mark.parametrize("machine", ["delays of 5 %", "gaussian noise of 2 %", "bursts", "offsets of 0.5 %"])
def test_interval_holds_the_true_ratio(machine: str) -> None:
    held = [row.ratio_low <= 1 <= row.ratio_high for row in on(machine, 1.0) if row.ratio_low and row.ratio_high]
    assert np.mean(held) >= 0.92


def test_sessions_that_differ_by_two_percent_raise_the_resolution_instead_of_findings() -> None:
    machine = traces.times(traces.exponential(0.02), traces.offsets(0.02))
    rows = [judged(simulate(machine, 1.0, seed)) for seed in range(60)]
    assert sum(row.verdict in ("faster", "slower") for row in rows) <= 3
    assert np.median([row.resolution for row in rows if row.resolution]) > 0.025


@pytest.mark.parametrize(
    "disturbance",
    [traces.quiet, traces.drift(0.06), traces.step(0.04), traces.clock_rates(0.15)],
    ids=["quiet", "drift of 6 %", "step of 4 %", "two clock rates"],
)
def test_what_slows_all_arms_alike_leaves_verdict_and_ratio_alone(disturbance: traces.Disturbance) -> None:
    machine = traces.times(traces.exponential(0.02), disturbance)
    assert judged(simulate(machine, 1.0)).verdict == "same"
    found = judged(simulate(machine, 1.05))
    assert (found.verdict, found.ratio) == ("slower", pytest.approx(1.05, abs=0.004))


def test_session_in_which_the_machine_turned_slower_is_left_out() -> None:
    trace = simulate(traces.exponential(0.02), 1.05, by_session={1: traces.step(0.3)})
    found = analysed(trace)
    assert [bool(found.sessions[number].contaminated) for number in range(8)] == [False, True] + [False] * 6
    assert (row(found, ARM).verdict, len(row(found, ARM).ratio_sessions)) == ("slower", 7)
    everywhere = judged(simulate(traces.times(traces.exponential(0.02), traces.step(0.3)), 1.05))
    assert (everywhere.verdict, len(everywhere.ratio_sessions)) == ("suppressed", 8)


def test_turns_at_one_of_two_speeds_are_unstable_or_the_same() -> None:
    machine = traces.times(traces.exponential(0.01), traces.bimodal(0.4))
    far = Counter(judged(simulate(machine, 1.0, seed)).verdict for seed in range(40))
    assert set(far) <= {"unstable", "suppressed"}
    assert far["unstable"] > 10
    machine = traces.times(traces.exponential(0.01), traces.bimodal(0.08))
    near = Counter(judged(simulate(machine, 1.0, seed)).verdict for seed in range(40))
    assert set(near) <= {"unstable", "suppressed", "same"}
    assert near["same"] > 20
