"""How far the stopwatch can be trusted: one network against copies of itself, on an idle machine and on a busy one.

    python benchmarks/latency_repeatability.py [--rounds 24] [--sessions 8] [--busy-sessions 5]

Three parts, one run:
- idle: the small detector and copies A′ of it in every CPU runtime, by the protocol of mnv4bench.latency. Wanted: the
  interval of A′/A contains 1, and its half-width is at most 1 %.
- busy: the same with a neighbour process that works and sleeps in turns of random length. Wanted: no verdict but
  "same", "unresolved", "unstable" or "suppressed" in 20 comparisons of a network with itself.
- sequential: what one sees without a protocol: each copy timed alone, one after the other, 10 warm-up runs and then the
  mean of 100 (the manner of `yolo benchmark`), on the idle and on the busy machine. Reported as the largest difference
  between copies of one network.

Prints a table and writes results/benchmarks/latency_repeatability.json. Run it on an otherwise idle machine: with two
cores, the neighbour takes one and disturbs the other.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import write_json
from mnv4bench.latency.analyse import analysis
from mnv4bench.latency.analyse.analysis import Judged
from mnv4bench.latency.measure.candidates import Candidate, Catalogued
from mnv4bench.latency.measure.protocol import Schedule
from mnv4bench.latency.measure.session import in_new_process
from mnv4bench.latency.measure.task import Task
from mnv4bench.latency.runtimes.registry import RUNTIMES as REGISTRY
from mnv4bench.machine.environment import environment
from mnv4bench.machine.load import BUSY, busy_cores
from mnv4bench.results.latency import LatencyRow
from mnv4bench.spec.latency import LatencySpec

MODEL = "mnv4-yolov10n"
SIDE = 160
COPIES = {"idle": 3, "busy": 7}
"""Per runtime, beside the baseline: few where precision is asked, 21 comparisons where a false verdict is."""
RUNTIMES = ("torch", "onnxruntime", "openvino")
FALSE = ("faster", "slower")


def neighbour() -> None:
    """Work and rest for random times, as another job on a shared machine does."""
    generator = random.Random(0)
    matrix = np.random.default_rng(0).standard_normal((600, 600))
    while True:
        end = time.perf_counter() + generator.uniform(0.05, 1.5)
        while time.perf_counter() < end:
            matrix @ matrix
        time.sleep(generator.uniform(0.0, 0.7))


@contextmanager
def busy_neighbour() -> Iterator[None]:
    process = multiprocessing.get_context("spawn").Process(target=neighbour, daemon=True)
    process.start()
    try:
        time.sleep(2)
        yield
    finally:
        process.kill()
        process.join()


def task(images: tuple[tuple[int, Path], ...], schedule: Schedule, number: int, copies: int) -> Task:
    candidates = tuple(
        Candidate(f"copy {k}" if k else "base", "nms_free", Catalogued(MODEL)) for k in range(copies + 1)
    )
    return Task(candidates, "base", RUNTIMES, images, SIDE, schedule, number=number, seed=number)


def by_protocol(images: tuple[tuple[int, Path], ...], schedule: Schedule, sessions: int, copies: int) -> dict[str, Any]:
    """Return every comparison of a copy with its original."""
    done = [in_new_process(task(images, schedule, number, copies)) for number in range(sessions)]
    blocks = [block for session in done for block in session.blocks]
    arms = [Judged("base", "base", "nms_free", None)]
    # Under another name each copy is a network of its own: nobody tells the analysis that they are the same.
    arms += [Judged(f"copy {k}", f"copy {k}", "nms_free", "base") for k in range(1, copies + 1)]
    result = analysis.analyse(blocks, arms, "base")
    return {
        "comparisons": [comparison(row) for row in result.rows if row.verdict],
        "sessions": {
            number: {
                "canary_drift": noise.canary_drift,
                "contaminated": [disturbance.model_dump(mode="json") for disturbance in noise.contaminated],
            }
            for number, noise in result.sessions.items()
        },
        "busy_during": [session.facts.busy_during for session in done],
    }


def comparison(row: LatencyRow) -> dict[str, Any]:
    names = {"runtime", "arm", "stage", "p50_ms", "ratio", "ratio_low", "ratio_high", "resolution", "verdict", "reason"}
    return row.model_dump(mode="json", include=names)


def sequential(images: tuple[tuple[int, Path], ...]) -> dict[str, float]:
    """Return runtime → largest relative difference between copies timed one after the other."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        times = pool.apply(_one_after_the_other, (images,))
    return {runtime: max(seconds) / min(seconds) - 1 for runtime, seconds in times.items()}


def _one_after_the_other(images: tuple[tuple[int, Path], ...]) -> dict[str, list[float]]:
    import torch

    from mnv4bench.cost.arms import deployed
    from mnv4bench.data.letterbox import letterbox
    from mnv4bench.latency.runtimes.runtime import Deployment
    from mnv4bench.models import build

    torch.set_num_threads(1)
    pixels = [letterbox(path, SIDE).pixels for _, path in images]
    seconds: dict[str, list[float]] = {}
    for name in RUNTIMES:
        for _ in range(COPIES["busy"] + 1):
            runtime = REGISTRY[name]()
            runtime.load(Deployment(deployed(build(MODEL)), SIDE, 1, "nms_free"))
            for k in range(10):
                runtime(pixels[k % len(pixels)])
            start = time.perf_counter()
            for k in range(100):
                runtime(pixels[k % len(pixels)])
            seconds.setdefault(name, []).append((time.perf_counter() - start) / 100)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = LatencySpec()
    parser.add_argument("--rounds", type=int, default=default.rounds)
    parser.add_argument("--sessions", type=int, default=default.sessions, help="on the idle machine")
    parser.add_argument("--busy-sessions", type=int, default=5, help="beside the neighbour, where one takes longer")
    parser.add_argument("--blocks", type=int, default=default.blocks)
    parser.add_argument("--block-ms", type=float, default=default.block_ms)
    options = parser.parse_args()
    for name in RUNTIMES:
        REGISTRY[name]()  # one that is not installed says so before anything is timed
    schedule = Schedule(options.rounds, options.blocks, options.block_ms)
    sessions = {"idle": options.sessions, "busy": options.busy_sessions}
    load = busy_cores()
    here = environment()
    if load > BUSY * here.cores:
        raise Mnv4benchError(f"{load:.1f} cores are at work: this benchmark's idle part needs an idle machine")

    result: dict[str, Any] = {
        "environment": here.model_dump(mode="json"),
        "load_before": load,
        "options": vars(options),
    }
    with tempfile.TemporaryDirectory() as folder:
        images = pictures(Path(folder))
        for name, around in (("idle", nullcontext), ("busy", busy_neighbour)):
            with around():
                result[name] = by_protocol(images, schedule, sessions[name], COPIES[name])
                result[name]["sequential"] = sequential(images)
            report(name, result[name])
    write_json(Path("results/benchmarks/latency_repeatability.json"), result)


def pictures(folder: Path, count: int = 32) -> tuple[tuple[int, Path], ...]:
    """Write noise images: with fresh weights the forward pass alone is timed, whatever the images show."""
    generator = np.random.default_rng(0)
    for k in range(count):
        cv2.imwrite(str(folder / f"{k}.png"), generator.integers(0, 255, (SIDE, SIDE, 3), np.uint8))
    return tuple((k, folder / f"{k}.png") for k in range(count))


def report(name: str, part: dict[str, Any]) -> None:
    print(f"\n{name}: others kept {part['busy_during']} cores at work")
    for runtime in RUNTIMES:
        rows = [row for row in part["comparisons"] if row["runtime"] == runtime]
        halves = sorted((row["ratio_high"] - row["ratio_low"]) / 2 for row in rows)
        inside = sum(row["ratio_low"] <= 1 <= row["ratio_high"] for row in rows)
        print(
            f"  {runtime:12} A′/A: {inside} of {len(rows)} intervals contain 1; half-widths "
            f"{halves[0]:.2%} to {halves[-1]:.2%}; resolution {rows[0]['resolution']:.1%}"
        )
    verdicts = [row["verdict"] for row in part["comparisons"]]
    counts = {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(verdicts)}
    print(
        f"  {len(verdicts)} comparisons of a network with itself: {counts}; false: {sum(v in FALSE for v in verdicts)}"
    )
    worst = ", ".join(f"{runtime} {value:.1%}" for runtime, value in part["sequential"].items())
    print(f"  timed one after the other, copies of one network differ by up to: {worst}")


if __name__ == "__main__":
    main()
