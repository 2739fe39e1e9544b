"""benchmarks/coverage.py: the simulation finds what is known of linear noise, and reads a preset's folder."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from test_compare import compared, drawn_records, make_plan, write_runs

from mnv4bench.io.errors import DataError
from mnv4bench.io.files import read_json, write_json
from mnv4bench.statistics.bootstrap import average_precision


def load() -> ModuleType:
    path = Path(__file__).parents[1] / "benchmarks/coverage.py"
    spec = importlib.util.spec_from_file_location("coverage_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their annotations up
    spec.loader.exec_module(module)
    return module


coverage = load()


def linear_noise(seed_noise: float, image_noise: float, trials: int = 250) -> tuple[np.ndarray, np.ndarray]:
    """Difference of seed s on a trial's images = seed effect + image effect; a resample adds as much image noise again.

    Returns (trials, 3, 1 + 60) differences and the (3,) seed effects, of standard deviation `seed_noise`.
    """
    rng = np.random.default_rng(5)
    effects = seed_noise * np.array([-1.0, 0.0, 1.0])
    image = image_noise * rng.normal(size=(trials, 1, 61))
    image[:, :, 1:] += image[:, :, :1]
    return effects[:, None] + image, effects


def held(mode: str, seeds: int, seed_noise: float, image_noise: float) -> dict[str, float]:
    samples, truth = linear_noise(seed_noise, image_noise)
    rng = np.random.default_rng(6)
    shares, widths = coverage.simulate(samples, truth, 200, seeds, mode, 2, rng)
    assert shares.shape == widths.shape == (len(samples), len(coverage.INTERVALS))
    return dict(zip(coverage.INTERVALS, shares.mean(axis=0), strict=True))


def test_each_interval_covers_where_its_own_noise_is_the_only_one() -> None:
    seeds_only, images_only = held("gaussian", 5, 1.0, 1e-6), held("gaussian", 5, 1e-6, 1.0)
    for found in (seeds_only, images_only):
        assert found["combined"] == pytest.approx(0.95, abs=0.04)
    assert seeds_only["seeds alone"] == pytest.approx(0.95, abs=0.04)
    assert seeds_only["images alone"] < 0.05
    assert images_only["images alone"] == pytest.approx(0.95, abs=0.04)
    assert images_only["seeds alone"] < 0.05
    # The spread of five values falls short of their population's, and percentiles make nothing up for it.
    assert seeds_only["two-level"] < 0.9


def test_three_observed_seeds_are_all_the_same_in_one_trial_of_nine() -> None:
    # Drawn from −1, 0 and 1: what is drawn thrice alike has no spread, and holds the truth, 0, only if it is 0.
    found = held("observed", 3, 1.0, 0.0)
    assert found["seeds alone"] == pytest.approx(1 - 2 / 27, abs=0.04)
    assert found["combined"] == found["seeds alone"]


def test_gaussian_seeds_keep_their_response_to_the_images_and_change_their_level() -> None:
    samples, truth = linear_noise(1.0, 0.3)
    drawn = coverage.drawn_seeds(samples[0], truth, 4000, "gaussian", np.random.default_rng(1))
    levels = drawn - samples[0, 1]  # of the seed whose effect is zero: what the images alone do
    assert np.ptp(levels, axis=1).max() < 1e-9
    assert (levels[:, 0].mean(), levels[:, 0].std()) == pytest.approx((0.0, 1.0), abs=0.06)
    assert np.abs(levels[:, 0]).max() > 3


def test_a_folder_of_results_becomes_tables_and_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, results = make_plan(tmp_path, 3, "attention", "reading", "again"), tmp_path / "results/small"
    write_runs(plan, results, lambda arm, seed: average_precision(drawn_records(arm.runs[seed], arm.read)), noisy=True)
    comparison = compared(plan, results)
    monkeypatch.chdir(tmp_path)
    coverage.main(["results/small", "--trials", "6", "--replicates", "20", "--draws", "2", "--seeds", "3"])
    found = read_json(tmp_path / "results/benchmarks/coverage.json")
    assert list(found["comparisons"]) == ["attention/none", "reading/nms_free"]  # `again` is `attention`
    one, row = found["comparisons"]["attention/none"], comparison.differences[0]
    assert (one["difference"], one["seed_sd"]) == pytest.approx((row.mean, row.seed_sd), abs=1e-12)
    assert [(r["mode"], r["seeds"], r["interval"]) for r in found["rows"]] == [
        (mode, 3, interval) for mode in coverage.MODES for interval in coverage.INTERVALS
    ]
    for r in found["rows"]:
        assert r["coverage"] == pytest.approx(np.mean(list(r["by_comparison"].values())))
    text = capsys.readouterr().out
    assert f"{found['rows'][0]['coverage']:.3f} ±" in text

    moved = row.model_copy(update={"seeds": {seed: delta + 0.01 for seed, delta in row.seeds.items()}})
    write_json(results / "compare.json", comparison.model_copy(update={"differences": (moved,)}))
    with pytest.raises(DataError, match="attention/none is not what the match records give"):
        coverage.main(["results/small"])
