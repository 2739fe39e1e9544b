"""How the parts came out in a few lines, and what it would take to tell apart those that could not be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fake_results as fake
import pytest

from mnv4bench.io.files import write_json
from mnv4bench.report.docs import generated
from mnv4bench.report.paper.outlook import TITLES, outcomes, takes
from mnv4bench.report.results import Results, collect
from mnv4bench.results.reference import RECORD, Reference


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose reference "scenes" is made up."""
    root = tmp_path_factory.mktemp("outlook")
    plan = fake.make_plan(root)
    folder = root / "results/reference/scenes"
    fake.write_results(plan, folder)
    record = Reference(
        preset="fake", only=None, seeds=None, title="x", trunk=True, files={}, matches=dict.fromkeys(plan.runs, "")
    )
    write_json(folder / RECORD, record)
    return root


@pytest.fixture(scope="module")
def results(root: Path) -> Results:
    return collect(fake.make_plan(root), root / "results/reference/scenes")


def test_every_comparison_has_one_outcome(results: Results) -> None:
    found = outcomes(results)
    assert set(found) <= set(TITLES.values())
    named = [text.split(":")[0] for arms in found.values() for text in arms]
    assert sorted(named) == sorted(arm.arm.label for arm in results.arms if not arm.is_baseline)


def test_what_it_would_take_by_hand(results: Results) -> None:
    """The standard error has to be 0.005 / 2.8016; half of its square for 0.01² / n, half for 0.005² · 10 / images."""
    d = results.comparison.differences[0].model_copy(
        update={"verdict": "inconclusive", "smallest_effect": 0.005, "seed_sd": 0.01, "image_se": 0.005}
    )
    assert takes(d, results.comparison) == "To detect 0.005 would take about 63 seeds and 157 validation images."
    quiet = d.model_copy(update={"seed_sd": 0.0001, "image_se": 0.0001})
    assert takes(quiet, results.comparison) == "To detect 0.005 would take about 2 seeds and 10 validation images."
    assert "more than 999 seeds" in takes(d.model_copy(update={"seed_sd": 0.1}), results.comparison)
    for verdict in ("better", "worse", "equivalent"):
        assert takes(d.model_copy(update={"verdict": verdict}), results.comparison) == ""


def test_a_lead_takes_the_seeds_that_can_pass_the_test(results: Results) -> None:
    """Of n seeds the smallest two-sided p is 2 / 2^n; six comparisons at 0.05 need it to be at most 0.05 / 6."""
    d = results.comparison.differences[0].model_copy(
        update={"verdict": "untestable", "low": 0.01, "high": 0.03, "seed_sd": 0.01, "image_se": 0.005}
    )
    assert takes(d, results.comparison.model_copy(update={"family": 6})) == "To test it takes 8 seeds."
    arms = {
        name: tuple(
            replace(arm, difference=d) if arm.arm.name == d.arm and name == d.ablation else arm for arm in group
        )
        for name, group in results.ablations.items()
    }
    (lead,) = outcomes(replace(results, ablations=arms))[TITLES["lead"]]
    assert lead.startswith(f"{d.ablation}/{d.arm}: ")


def test_the_passage_of_a_reference_names_every_comparison(root: Path, results: Results) -> None:
    text = generated.outcome(root / "results/reference/scenes" / RECORD)
    for arm in results.arms:
        if not arm.is_baseline:
            assert arm.arm.name.replace("_", "\\_") in text
    assert "| ablation | comparison |" in text
