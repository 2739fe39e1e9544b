"""Coverage of 95 % intervals on real match records: how often an interval holds the truth, where the truth is known.

    python benchmarks/coverage.py results/quick [--trials 200]

The validation images of a finished preset, with its trained networks' match records, are taken for the population, and
so are its seeds: the truth of a comparison is its difference in AP on all of these images, averaged over all of these
seeds. A trial draws as many images as there are, with replacement, and n seeds; makes the intervals that one would
make who had seen nothing but this sample; and looks which of them hold the truth. The combined interval is made by the
function that compare.json is made with, from fewer resamples. Beside it stand

- seeds alone: mean ± t(n − 1) s/√n, which takes the images for all there are;
- images alone: mean ± t(I − 1) SE over resampled images, which takes the seeds for all there are;
- two-level: the 2.5th and 97.5th percentile where seeds and images are both resampled.

What another seed would have given is known from a few seeds only, so there are two answers, and neither is the truth:

- observed: a seed is one of the real ones, drawn with replacement. Nothing is assumed, but the population of seeds has
  as many values as there were seeds. Of three values, three draws are all the same in one trial of nine, no interval
  can see any seed noise then, and even a sound one falls short; read this mode with care below eight real seeds.
- gaussian: a real seed's records lend their response to the images, and its level is replaced by the truth plus a
  Gaussian effect with the observed standard deviation. That assumes a shape, and takes for exact a standard deviation
  that three seeds know to between half and six times its value (95 % confidence). What it asks is whether the
  intervals work where the noise is of that size.

Neither mode speaks for images unlike the validation set's. A trial's images repeat, so AP on them is a little biased
against AP on the whole; the bias counts against every interval and is reported. Comparisons share a trial's images, so
the Monte Carlo error is the spread over trials, not over all intervals made.

Prints two tables and writes results/benchmarks/coverage.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnv4bench.io.errors import DataError
from mnv4bench.io.files import write_json
from mnv4bench.results import matches
from mnv4bench.results.comparison import Comparison
from mnv4bench.results.matches import MatchRecords
from mnv4bench.results.record import read_record
from mnv4bench.spec import plan
from mnv4bench.statistics import small_samples as stats
from mnv4bench.statistics.bootstrap import average_precision, bootstrap_ap
from mnv4bench.statistics.compare import LEVEL

Floats = NDArray[np.float64]
Key = tuple[str, str]
"""(run, reading)"""

MODES = ("observed", "gaussian")
UPPER = (1 + LEVEL) / 2
INTERVALS = ("combined", "seeds alone", "images alone", "two-level")
SEED_RESAMPLES = 10
"""Of the two-level interval, for each resample of the images."""


@dataclass(frozen=True)
class Pair:
    """One comparison: an arm's readings and its baseline's, seed by seed."""

    name: str
    ours: tuple[Key, ...]
    theirs: tuple[Key, ...]


def pairs_of(results: Path, preset: str) -> tuple[list[Pair], dict[Key, MatchRecords]]:
    """Return the comparisons of compare.json with at least two seeds, each pair of arms once, and their records.

    Raises:
        DataError: there is none, or a difference in compare.json is not that of the match records.
    """
    comparison = read_record(results / "compare.json", Comparison)
    arms = {(arm.ablation, arm.name): arm for arm in plan.load(preset).arms}
    pairs: dict[frozenset[tuple[Key, ...]], Pair] = {}
    records: dict[Key, MatchRecords] = {}
    for row in comparison.differences:
        if len(row.seeds) < 2:
            continue
        ours, theirs = (
            tuple((arm.runs[seed], str(arm.read)) for seed in row.seeds)
            for arm in (arms[row.ablation, row.arm], arms[row.ablation, row.baseline])
        )
        for run, read in {*ours, *theirs} - set(records):
            records[run, read] = matches.load(results / "runs" / run / "matches.npz")[read]
        pair = pairs.setdefault(frozenset((ours, theirs)), Pair(f"{row.ablation}/{row.arm}", ours, theirs))
        if pair.ours == ours and not np.allclose(truths(pair, records), list(row.seeds.values()), rtol=0, atol=1e-9):
            raise DataError(f"{results / 'compare.json'}: {pair.name} is not what the match records give; run compare")
    if not pairs:
        raise DataError(f"{results / 'compare.json'}: no comparison has two seeds, so seed noise is unknown")
    return list(pairs.values()), records


def truths(pair: Pair, records: Mapping[Key, MatchRecords]) -> Floats:
    """Return (seeds,) differences in AP on all images."""
    differences = [
        average_precision(records[a]) - average_precision(records[b])
        for a, b in zip(pair.ours, pair.theirs, strict=True)
    ]
    return np.array(differences)


def sampled_aps(
    records: Mapping[Key, MatchRecords], trials: int, replicates: int, generator: np.random.Generator
) -> dict[Key, Floats]:
    """Return each reading's (trials, 1 + replicates) AP: on a trial's images, then on resamples of those images."""
    images = len(next(iter(records.values())).image_ids)
    by_reading: dict[Key, list[Floats]] = {key: [] for key in records}
    for _ in range(trials):
        drawn = generator.multinomial(images, np.full(images, 1 / images))
        weights = np.vstack([drawn, generator.multinomial(images, drawn / images, size=replicates)])
        for key, record in records.items():
            by_reading[key].append(bootstrap_ap(record, weights))
    return {key: np.array(rows) for key, rows in by_reading.items()}


def drawn_seeds(sample: Floats, truth: Floats, seeds: int, mode: str, generator: np.random.Generator) -> Floats:
    """Return (seeds, 1 + replicates) differences of newly drawn seeds on one trial's images.

    Args:
        sample: (real seeds, 1 + replicates) differences on the trial's images.
        truth: (real seeds,) differences on all images.
        mode: One of MODES.
    """
    chosen = generator.integers(len(truth), size=seeds)
    if mode == "observed":
        return np.asarray(sample[chosen])
    levels = truth.mean() + truth.std(ddof=1) * generator.normal(size=seeds)
    return np.asarray(sample[chosen] + (levels - truth[chosen])[:, None])


@cache
def t_quantile(df: int) -> float:
    return stats.student_t_quantile(UPPER, df)


def intervals(drawn: Floats, images: int, generator: np.random.Generator) -> dict[str, tuple[float, float]]:
    """Return the bounds of each of INTERVALS, made from (seeds, 1 + replicates) differences."""
    deltas, resampled = drawn[:, 0], drawn[:, 1:]
    combined = stats.combined_interval(deltas, resampled.mean(axis=0), images, LEVEL)
    by_seeds = t_quantile(len(deltas) - 1) * deltas.std(ddof=1) / len(deltas) ** 0.5
    by_images = t_quantile(images - 1) * combined.image_se
    again = generator.integers(len(deltas), size=(SEED_RESAMPLES, len(deltas), resampled.shape[1]))
    both = np.take_along_axis(resampled[None], again, axis=1).mean(axis=1)
    low, high = np.quantile(both, [1 - UPPER, UPPER])
    mean = combined.mean
    return {
        "combined": (combined.low, combined.high),
        "seeds alone": (mean - by_seeds, mean + by_seeds),
        "images alone": (mean - by_images, mean + by_images),
        "two-level": (float(low), float(high)),
    }


def simulate(
    samples: Floats, truth: Floats, images: int, seeds: int, mode: str, draws: int, generator: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return (trials, intervals) shares of draws whose interval holds the truth, and mean half-widths.

    Args:
        samples: (trials, real seeds, 1 + replicates) differences, as `sampled_aps` gives them.
        truth: (real seeds,) differences on all images.
        draws: Draws of n seeds on each trial's images.
    """
    held = np.zeros((len(samples), len(INTERVALS)))
    widths = np.zeros_like(held)
    for trial, sample in enumerate(samples):
        for _ in range(draws):
            by_interval = intervals(drawn_seeds(sample, truth, seeds, mode, generator), images, generator)
            bounds = np.array([by_interval[name] for name in INTERVALS])
            held[trial] += (bounds[:, 0] <= truth.mean()) & (truth.mean() <= bounds[:, 1])
            widths[trial] += (bounds[:, 1] - bounds[:, 0]) / 2
    return held / draws, widths / draws


def study(
    pairs: Sequence[Pair],
    records: Mapping[Key, MatchRecords],
    seeds: Sequence[int],
    trials: int,
    draws: int,
    replicates: int,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """Return what the comparisons are like, and a row for each mode, number of seeds and interval."""
    images = len(next(iter(records.values())).image_ids)
    aps = sampled_aps(records, trials, replicates, generator)
    samples, truth, about = {}, {}, {}
    for pair in pairs:
        differences = [aps[a] - aps[b] for a, b in zip(pair.ours, pair.theirs, strict=True)]
        sample = samples[pair.name] = np.stack(differences, axis=1)
        real = truth[pair.name] = truths(pair, records)
        about[pair.name] = {
            "difference": real.mean(),
            "seeds": len(real),
            "seed_sd": real.std(ddof=1),
            "image_se": sample[:, :, 0].mean(axis=1).std(ddof=1),
            "bias": sample[:, :, 0].mean() - real.mean(),
        }
    rows = []
    for mode in MODES:
        for n in seeds:
            by_comparison = {
                name: simulate(samples[name], truth[name], images, n, mode, draws, generator) for name in samples
            }
            rows += _rows(mode, n, by_comparison)
    return {"images": images, "comparisons": about, "rows": rows}


def _rows(mode: str, seeds: int, simulated: Mapping[str, tuple[Floats, Floats]]) -> list[dict[str, Any]]:
    rows = []
    for place, interval in enumerate(INTERVALS):
        held = {name: shares[:, place] for name, (shares, _) in simulated.items()}
        by_trial = np.mean(list(held.values()), axis=0)
        rows.append(
            {
                "mode": mode,
                "seeds": seeds,
                "interval": interval,
                "coverage": by_trial.mean(),
                "error": by_trial.std(ddof=1) / len(by_trial) ** 0.5,
                "half_width": np.mean([widths[:, place] for _, widths in simulated.values()]),
                "by_comparison": {name: shares.mean() for name, shares in held.items()},
            }
        )
    return rows


def table(rows: Sequence[dict[str, Any]], cell: str) -> str:
    """Return one line for each mode and number of seeds, one column for each interval.

    Args:
        cell: Format of a cell, with a row's fields and `lowest` over the comparisons.
    """
    lines = [f"{'':<18}" + "".join(f"{name:>24}" for name in INTERVALS)]
    for start in range(0, len(rows), len(INTERVALS)):
        line = rows[start : start + len(INTERVALS)]
        cells = [cell.format(lowest=min(row["by_comparison"].values()), **row) for row in line]
        lines.append(f"{line[0]['mode']:<9} {line[0]['seeds']} seeds " + "".join(f"{text:>24}" for text in cells))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="?", type=Path, default=Path("results/quick"))
    parser.add_argument("--preset", help="default: the folder's name")
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 8], help="of a trial; default: 3 5 8")
    parser.add_argument("--trials", type=int, default=200, help="draws of images; default: 200")
    parser.add_argument("--draws", type=int, default=5, help="draws of seeds on each trial's images; default: 5")
    parser.add_argument("--replicates", type=int, default=100, help="resamples of the images; default: 100")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation; default: 0")
    options = parser.parse_args(arguments)
    if min(options.seeds) < 2 or min(options.trials, options.replicates) < 2 or options.draws < 1:
        parser.error("seeds, trials and replicates are at least 2, draws at least 1")
    preset = options.preset or options.results.name

    pairs, records = pairs_of(options.results, preset)
    settings = {name: getattr(options, name) for name in ("seeds", "trials", "draws", "replicates")}
    result = study(pairs, records, generator=np.random.Generator(np.random.PCG64(options.seed)), **settings)
    for name, comparison in result["comparisons"].items():
        print(
            f"{name}: {comparison['difference']:+.4f} AP over {comparison['seeds']} seeds, "
            f"SD over seeds {comparison['seed_sd']:.4f}, SE over images {comparison['image_se']:.4f}, "
            f"bias {comparison['bias']:+.5f}"
        )
    print(f"\nCoverage at nominal {LEVEL:.0%} ± Monte Carlo error (lowest comparison)")
    print(table(result["rows"], "{coverage:.3f} ± {error:.3f} ({lowest:.3f})"))
    print("\nMean half-width, AP on 0–1")
    print(table(result["rows"], "{half_width:.4f}"))
    write_json(
        Path("results/benchmarks/coverage.json"),
        {"preset": preset, "level": LEVEL, **settings, "seed": options.seed, **result},
    )


if __name__ == "__main__":
    main()
