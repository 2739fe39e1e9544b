"""benchmarks/time_to_answer.py: how many seeds each side needs, and what they cost."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks.time_to_answer import Side, question, seeds_until
from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import write_text
from mnv4bench.results.benchmark import cpu_seconds
from mnv4bench.results.comparison import Comparison, Difference
from mnv4bench.statistics.small_samples import minimum_detectable

COMPARISON = Comparison(
    level=0.95, alpha=0.05, family=1, power=0.8, bootstrap=1000, bootstrap_seed=0, images=1000, differences=()
)


def test_the_seeds_are_the_fewest_whose_mde_is_small_enough() -> None:
    """Without noise of the images the MDE is that of a paired t test."""
    found = seeds_until(0.005, 0.004, 0.0, COMPARISON)
    assert found is not None

    def mde(seeds: int) -> float:
        return minimum_detectable(0.004 / math.sqrt(seeds), seeds - 1, 0.05, 0.8)

    assert mde(found) <= 0.005 < mde(found - 1)
    # (1.96 + 0.84)² (4 / 5)² = 5.0 by the normal approximation, and two or so more for Student's t
    assert found == 8


def test_two_seeds_at_least_and_none_where_the_images_forbid_it() -> None:
    assert seeds_until(0.005, 1e-9, 0.0001, COMPARISON) == 2
    assert seeds_until(0.005, 0.0, 0.0019, COMPARISON) is None  # 2.8 × 0.0019 = 0.0053


def test_a_question_costs_its_arms_and_the_trunks_and_theirs_two_trainings_a_seed() -> None:
    d = Difference(
        ablation="psa", arm="psa", baseline="none", seeds={}, seed_sd=0.004, image_se=0.0, smallest_effect=0.005
    )
    found = question(d, COMPARISON, 0.005, ours=(200.0, 2000.0), theirs=(0.004, 3600.0))
    assert found.ours == Side(0.004, 8, pytest.approx((8 * 200 + 2000) / 2 / 3600))
    apart = seeds_until(0.005, math.sqrt(2) * 0.004, 0.0, COMPARISON)
    assert apart is not None
    assert found.theirs == Side(math.sqrt(2) * 0.004, apart, pytest.approx(apart))  # two hours on two cores
    assert found.ratio == pytest.approx(apart / 0.5)


def test_cpu_time_is_snakemakes(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    write_text(path, "s\th:m:s\tcpu_time\n2.5\t0:00:02\t1.75\n")
    assert cpu_seconds(path) == 1.75
    write_text(path, "s\th:m:s\n2.5\t0:00:02\n")
    with pytest.raises(Mnv4benchError, match=r"a\.tsv: not one of Snakemake's benchmark files"):
        cpu_seconds(path)
