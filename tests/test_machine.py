"""How busy the machine is, from counters that stand still."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from mnv4bench.machine import load as machine
from mnv4bench.machine.environment import environment
from mnv4bench.machine.load import CoreTime, Moment


@pytest.fixture
def counters(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def use(*readings: CoreTime | None) -> None:
        following = iter(readings)
        monkeypatch.setattr(machine, "core_time", lambda: next(following))

    return use


def test_busy_cores_counts_what_was_at_work_meanwhile(counters: Callable[..., None]) -> None:
    counters(CoreTime(10, 150, cores=2), CoreTime(60, 350, cores=2))
    assert machine.busy_cores(0) == pytest.approx(0.5)  # 50 of 200 core seconds, on two cores


@pytest.mark.parametrize("readings", [(None, None), (CoreTime(1, 5, 2), CoreTime(1, 5, 2))])
def test_load_average_stands_in_where_core_time_is_not_counted(
    counters: Callable[..., None], monkeypatch: pytest.MonkeyPatch, readings: tuple[CoreTime | None, ...]
) -> None:
    counters(*readings)
    monkeypatch.setattr(os, "getloadavg", lambda: (1.25, 0, 0))
    assert machine.busy_cores(0) == 1.25


def test_own_work_is_not_counted_as_a_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    start = Moment(clock=0, own=3, cores=CoreTime(100, 1000, 2), switches=0)
    monkeypatch.setattr(machine, "now", lambda: Moment(10, 12, CoreTime(113, 1020, 2), 5))
    assert machine.busy_since(start) == pytest.approx(0.4)  # 13 busy seconds, 9 of them ours, in 10
    monkeypatch.setattr(machine, "now", lambda: Moment(10, 12, CoreTime(108, 1020, 2), 5))
    assert machine.busy_since(start) == 0  # the counters tick coarsely
    monkeypatch.setattr(machine, "now", lambda: Moment(10, 12, None, 5))
    assert machine.busy_since(start) is None


@pytest.mark.skipif(not os.path.exists("/proc/stat"), reason="the kernel does not count core time")  # noqa: PTH110
def test_kernel_counts_the_cores_that_this_process_may_use() -> None:
    found = machine.core_time()
    assert found is not None
    assert found.cores == environment().cores
    assert 0 < found.busy < found.total


def test_fingerprint_moves_with_whatever_moves_times(monkeypatch: pytest.MonkeyPatch) -> None:
    here = environment()
    first = machine.fingerprint(here)
    assert len(first) == 12
    assert machine.fingerprint(here.model_copy(update={"python": "0"})) == first
    for change in ({"cpu": "other"}, {"cores": 99}, {"packages": {**here.packages, "onnxruntime": "0"}}):
        assert machine.fingerprint(here.model_copy(update=change)) != first
    monkeypatch.setattr(machine, "_governor", lambda: "powersave of another machine")
    assert machine.fingerprint(here) != first
