"""Time to an answer: hours on two cores until each question's MDE is half a point of AP, by this suite and without it.

    python -m benchmarks.time_to_answer results/standard [--seeds 3] [--points 0.5]

Ours is read from a finished preset: the noise of each paired comparison (compare.json), and the CPU time of every
training with its scoring. The trunks count as if they were trained for each question alone.

Theirs is what one would do without the suite: train both arms from random weights by ultralytics' own trainer, each
seed by itself, and compare the means. It is measured here: the first trunk's network, images, batch size and optimiser,
for as many images as a trunk and an arm see together, with several seeds. The spread of their AP is the noise of one
arm; the other arm is taken to have the same.

Both sides then have a formula for the MDE (the one of compare.json) and a price for a seed. The number of seeds is
extrapolated from a standard deviation that a few seeds know roughly: three know it to between half and six times its
value (95 % confidence). Two things favour theirs: the noise of the images is the paired comparison's, which is smaller
than that of networks that were trained apart, and an arm with a teacher costs them what a plain one does.

CPU time, so that other work on the machine changes little; a core is taken to do one training at a time. Prints a line
a question and writes results/benchmarks/time_to_answer.json.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.time_to_table import settings_of, train, validate
from benchmarks.train_throughput import yolo_labels
from mnv4bench.data.prepared import key
from mnv4bench.data.prepared import load as load_data
from mnv4bench.io.files import write_json
from mnv4bench.machine.environment import environment
from mnv4bench.results.benchmark import cpu_seconds
from mnv4bench.results.comparison import Comparison, Difference
from mnv4bench.results.record import read_record
from mnv4bench.results.run import read_status
from mnv4bench.spec.plan import Plan, load
from mnv4bench.statistics.small_samples import minimum_detectable, satterthwaite

ROOT = Path(__file__).resolve().parent.parent
CORES = 2
MOST = 10_000
"""Seeds at which a search ends."""


@dataclass(frozen=True)
class Side:
    """What one side needs for one question."""

    seed_sd: float
    """Of a seed's difference, AP on 0–1."""
    seeds: int | None
    """None where the images' noise alone leaves the MDE above what is asked."""
    hours: float | None
    """On two cores."""


@dataclass(frozen=True)
class Question:
    ablation: str
    arm: str
    image_se: float
    ours: Side
    theirs: Side

    @property
    def ratio(self) -> float | None:
        """Their hours over ours."""
        return self.theirs.hours / self.ours.hours if self.theirs.hours and self.ours.hours else None


def seeds_until(wanted: float, seed_sd: float, image_se: float, comparison: Comparison) -> int | None:
    """Return the fewest seeds, two at least, at which a comparison's MDE is `wanted` (AP on 0–1) or less."""

    def mde(seeds: int) -> float:
        parts = [(image_se**2, comparison.images - 1), (seed_sd**2 / seeds, seeds - 1)]
        se = math.sqrt(sum(part for part, _ in parts))
        return minimum_detectable(se, satterthwaite(parts), 1 - comparison.level, comparison.power)

    if mde(MOST) > wanted:
        return None
    low, high = 1, MOST  # the MDE falls as seeds are added
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if mde(middle) <= wanted else (middle, high)
    return high


def question(
    d: Difference, comparison: Comparison, wanted: float, ours: tuple[float, float], theirs: tuple[float, float]
) -> Question:
    """Return what each side needs for one comparison.

    Args:
        ours: CPU seconds of a seed of both arms, and once for the trunks.
        theirs: standard deviation of one arm's AP over seeds, and CPU seconds of one training.
    """
    assert d.seed_sd is not None
    assert d.image_se is not None
    spread, each = theirs
    paired = seeds_until(wanted, d.seed_sd, d.image_se, comparison)
    apart = seeds_until(wanted, math.sqrt(2) * spread, d.image_se, comparison)
    return Question(
        d.ablation,
        d.arm,
        d.image_se,
        Side(d.seed_sd, paired, None if paired is None else (paired * ours[0] + ours[1]) / CORES / 3600),
        Side(math.sqrt(2) * spread, apart, None if apart is None else 2 * apart * each / CORES / 3600),
    )


def questions(results: Path, plan: Plan, wanted: float, theirs: tuple[float, float]) -> list[Question]:
    """Return every comparison of a finished preset that has several seeds.

    Raises:
        Mnv4benchError: a record is missing or damaged.
    """
    comparison = read_record(results / "compare.json", Comparison)
    trunks = sum(read_status(results / "runs" / trunk.name).seconds for trunk in plan.trunks)
    found = []
    for d in comparison.differences:
        if d.seed_sd is None:
            continue
        runs = [
            arm.runs[seed] for arm in plan.arms_of(d.ablation) if arm.name in (d.arm, d.baseline) for seed in d.seeds
        ]
        each = sum(cpu_seconds(results / "benchmarks" / "train" / f"{run}.tsv") for run in dict.fromkeys(runs)) / len(
            d.seeds
        )
        found.append(question(d, comparison, wanted, (each, trunks), theirs))
    return found


def without(plan: Plan, data: Path, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Train by ultralytics from random weights, a process a seed and two at once; return AP and CPU seconds of each."""
    trunk, count = plan.trunks[0].spec, load_data(data).train.count
    images = sum(train.epochs * (train.images or count) for train in (trunk.train, plan.preset.train))
    settings = {**settings_of(plan), "epochs": math.ceil(images / count)}
    job = {"model": trunk.model.model_dump(mode="json"), "epochs": settings["epochs"]}
    with multiprocessing.get_context("spawn").Pool(CORES, maxtasksperchild=1) as pool:
        return pool.starmap(one_training, [({**job, "seed": seed}, data, settings) for seed in seeds], chunksize=1)


def one_training(job: Mapping[str, Any], data: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    from mnv4bench.models.torchvision_ops import provide

    provide()  # ultralytics' trainer imports torchvision

    import torch
    import ultralytics.utils.torch_utils as torch_utils

    torch_utils.NUM_THREADS = 1
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        begin, used = time.perf_counter(), os.times()
        weights = train({**job, "reads": {}}, data, dict(settings), Path(folder))
        ap = validate(weights, "nms_free", data, dict(settings))
        now = os.times()
    cpu = now.user + now.system + now.children_user + now.children_system
    before = used.user + used.system + used.children_user + used.children_system
    return {"seed": job["seed"], "AP": ap, "cpu_seconds": cpu - before, "seconds": time.perf_counter() - begin}


def line(found: Question) -> str:
    """Return a question's outcome for the terminal."""
    sides = [
        "never, the images are too few" if side.hours is None else f"{side.hours:7.1f} h with {side.seeds} seeds"
        for side in (found.ours, found.theirs)
    ]
    times = "" if found.ratio is None else f"  {found.ratio:.0f} ×"
    return f"{found.ablation}/{found.arm}: ours {sides[0]}, theirs {sides[1]}{times}"


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder of a finished preset with trunks")
    parser.add_argument("--seeds", type=int, default=3, help="of theirs (default: 3)")
    parser.add_argument("--points", type=float, default=0.5, help="the MDE that is asked for (default: 0.5)")
    options = parser.parse_args(None if arguments is None else list(arguments))
    if options.seeds < 2:
        parser.error("--seeds: a spread needs two at least")
    plan = load(options.results.name)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        shutil.copytree(options.results / "data" / key(plan.preset.data), data)
        yolo_labels(data)
        trained = without(plan, data, range(options.seeds))
    spread = statistics.stdev(row["AP"] for row in trained)
    each = statistics.fmean(row["cpu_seconds"] for row in trained)
    found = questions(options.results, plan, options.points / 100, (spread, each))
    for row in found:
        print(line(row), flush=True)
    write_json(
        ROOT / "results" / "benchmarks" / "time_to_answer.json",
        {
            "preset": plan.preset_name,
            "points": options.points,
            "theirs": trained,
            "questions": [{**asdict(row), "ratio": row.ratio} for row in found],
            "environment": environment().model_dump(mode="json"),
        },
    )


if __name__ == "__main__":
    main()
