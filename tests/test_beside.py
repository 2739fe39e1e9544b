"""The committed reference results beside a preset's own: which there are, and where they say something else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fake_results as fake
import pytest

from mnv4bench.io.files import write_json
from mnv4bench.report.beside import beside, others, weaker_verdict
from mnv4bench.report.results import Results, collect
from mnv4bench.results.comparison import Comparison, Difference, Verdict
from mnv4bench.results.reference import RECORD, Reference, read


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    root = tmp_path_factory.mktemp("beside")
    plan = fake.make_plan(root)
    fake.write_results(plan, root / "results/fake")
    return collect(plan, root / "results/fake")


def publish(folder: Path, results: Results, comparison: Comparison, preset: str = "bccd", digest: str = "") -> None:
    record = results.data.record
    write_json(folder / "data/x/dataset.json", record.model_copy(update={"digest": digest or record.digest}))
    write_json(folder / "compare.json", comparison)
    made = Reference(preset=preset, only=None, seeds=None, title="Other & data", trunk=False, files={}, matches={})
    write_json(folder / RECORD, made)


def changed(results: Results, arm: str, **fields: object) -> Comparison:
    rows = [d.model_copy(update=fields) if d.arm == arm else d for d in results.comparison.differences]
    return results.comparison.model_copy(update={"differences": tuple(rows)})


def difference(results: Results, arm: str) -> Difference:
    return next(d for d in results.comparison.differences if d.arm == arm)


def test_there_may_be_none_and_the_presets_own_is_left_out(results: Results, tmp_path: Path) -> None:
    assert beside(results, tmp_path) is None
    publish(tmp_path / "own", results, results.comparison, preset="fake")
    assert others(results, tmp_path) == []


def test_equal_differences_are_shown_and_nothing_is_said(results: Results, tmp_path: Path) -> None:
    publish(tmp_path / "photographs", results, results.comparison)
    found = beside(results, tmp_path)
    assert found is not None
    assert found.apart == ()
    assert found.table.header == ("ablation", "comparison", "here", "photographs")
    assert [row[2] for row in found.table.rows] == [row[3] for row in found.table.rows]
    assert found.which == (
        "photographs: Other & data; scenes, 10 images to train on and 10 to score; 3 seeds, from random weights; "
        "4 comparisons.",
    )


def test_a_reference_without_a_common_comparison_is_left_out(results: Results, tmp_path: Path) -> None:
    rows = tuple(d.model_copy(update={"ablation": "uib"}) for d in results.comparison.differences)
    publish(tmp_path / "full-backbones", results, results.comparison.model_copy(update={"differences": rows}))
    assert beside(results, tmp_path) is None


def test_runs_that_stand_in_both_are_no_independent_evidence(results: Results, tmp_path: Path) -> None:
    publish(tmp_path / "full", results, results.comparison)
    path = tmp_path / "full" / RECORD
    sums = {**dict.fromkeys(list(results.plan.runs)[:2], ""), "another": ""}
    write_json(path, read("full", tmp_path).model_copy(update={"matches": sums}))
    found = beside(results, tmp_path, here="scenes")
    assert found is not None
    assert found.which[0].startswith("full: Other & data; scenes, ")
    assert found.which[0].endswith("4 comparisons. 2 runs of it also stand in scenes: no independent evidence.")


def test_another_sign_on_the_same_data_leaves_the_weaker_verdict(results: Results, tmp_path: Path) -> None:
    ours = difference(results, "psa")
    assert ours.mean is not None
    mean = -ours.mean
    flipped = changed(results, "psa", mean=mean, low=mean - 0.001, high=mean + 0.001, verdict="untestable")
    publish(tmp_path / "scratch", results, flipped)
    found = beside(results, tmp_path)
    assert found is not None
    (sentence,) = found.apart
    assert sentence.startswith("psa/psa: the signs differ (")
    weaker = "inconclusive" if ours.verdict == "inconclusive" else "untestable at 3 seeds"
    assert sentence.endswith(f"The weaker verdict holds for both: {weaker}.")


@pytest.mark.parametrize(
    ("here", "there", "holds"),
    [
        ("better", "better", "better"),
        ("better", "untestable", "untestable"),
        ("inconclusive", "worse", "inconclusive"),
        ("untestable", "inconclusive", "inconclusive"),
        ("tiny", "better", "tiny"),
        ("worse", "tiny", "tiny"),
        ("tiny", "equivalent", "equivalent"),
        ("better", "worse", None),
        ("equivalent", "better", None),
    ],
)
def test_the_weaker_of_two_verdicts_or_none_where_they_contradict(
    here: Verdict, there: Verdict, holds: Verdict | None
) -> None:
    assert weaker_verdict(here, there) == holds


@pytest.mark.parametrize("theirs", ["worse", "tiny"])
def test_verdicts_that_contradict_hold_neither(results: Results, tmp_path: Path, theirs: Verdict) -> None:
    ours = difference(results, "psa")
    better = ours.model_copy(update={"mean": 0.02, "low": 0.01, "high": 0.03, "verdict": "better"})
    rows = tuple(better if d.arm == "psa" else d for d in results.comparison.differences)
    here = replace(results, comparison=results.comparison.model_copy(update={"differences": rows}))
    publish(tmp_path / "scratch", results, changed(results, "psa", mean=-0.02, low=-0.03, high=-0.01, verdict=theirs))
    found = beside(here, tmp_path)
    assert found is not None
    (sentence,) = found.apart
    assert sentence.endswith(f"contradict each other, so neither is held: better here, {theirs} in scratch.")


def test_another_size_on_other_data_is_said_and_no_verdict_is_weakened(results: Results, tmp_path: Path) -> None:
    ours = difference(results, "psa")
    assert ours.mean is not None
    mean = ours.mean + (0.5 if ours.mean > 0 else -0.5)
    publish(
        tmp_path / "bccd",
        results,
        changed(results, "psa", mean=mean, low=mean - 0.01, high=mean + 0.01),
        digest="e" * 64,
    )
    found = beside(results, tmp_path)
    assert found is not None
    (sentence,) = found.apart
    assert "the sizes differ, the intervals do not meet" in sentence
    assert "weaker" not in sentence


def test_the_results_may_have_a_name(results: Results, tmp_path: Path) -> None:
    ours = difference(results, "psa")
    assert ours.mean is not None
    publish(tmp_path / "bccd", results, changed(results, "psa", mean=-ours.mean))
    found = beside(results, tmp_path, here="scenes")
    assert found is not None
    assert found.table.header == ("ablation", "comparison", "scenes", "bccd")
    (sentence,) = found.apart
    assert " in scenes, " in sentence
    assert " in bccd)" in sentence
