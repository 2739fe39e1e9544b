"""The committed references and a preset's own results: which there are, and where they disagree."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import fake_results as fake
import pytest

from mnv4bench.io.files import write_json
from mnv4bench.report import formatting as fmt
from mnv4bench.report.replication import published, replicate
from mnv4bench.report.results import Results, collect
from mnv4bench.results.comparison import Comparison, Difference, Verdict
from mnv4bench.results.reference import RECORD, Reference, read_reference
from mnv4bench.statistics.replication import opposed


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    root = tmp_path_factory.mktemp("replication")
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


def verdicts_in(sentence: str) -> set[str]:
    return set(re.findall(rf"\b({'|'.join(get_args(Verdict))})\b", sentence))


def test_there_may_be_none_and_the_presets_own_is_left_out(results: Results, tmp_path: Path) -> None:
    assert replicate(results, tmp_path) is None
    publish(tmp_path / "own", results, results.comparison, preset="fake")
    assert published(results, tmp_path) == []


def test_equal_differences_are_shown_and_nothing_is_said(results: Results, tmp_path: Path) -> None:
    publish(tmp_path / "photographs", results, results.comparison)
    shared = replicate(results, tmp_path)
    assert shared is not None
    assert shared.disagreements == ()
    assert shared.table.header == ("ablation", "comparison", "here", "photographs")
    assert [row[2] for row in shared.table.rows] == [row[3] for row in shared.table.rows]
    (passage,) = shared.references
    assert [name for name in ("photographs", "Other & data", "scenes") if name not in passage] == []
    assert sorted(re.findall(r"\d+", passage)) == ["10", "10", "3", "4"]


def test_a_reference_without_a_common_comparison_is_left_out(results: Results, tmp_path: Path) -> None:
    rows = tuple(d.model_copy(update={"ablation": "uib"}) for d in results.comparison.differences)
    publish(tmp_path / "full-backbones", results, results.comparison.model_copy(update={"differences": rows}))
    assert replicate(results, tmp_path) is None


def test_runs_that_stand_in_both_are_no_independent_evidence(results: Results, tmp_path: Path) -> None:
    publish(tmp_path / "full", results, results.comparison)
    path = tmp_path / "full" / RECORD
    sums = {**dict.fromkeys(list(results.plan.runs)[:2], ""), "another": ""}
    write_json(path, read_reference("full", tmp_path).model_copy(update={"matches": sums}))
    shared = replicate(results, tmp_path, here="scenes")
    assert shared is not None
    last = shared.references[0].split(". ")[-1]
    assert re.findall(r"\d+", last) == ["2"]
    assert "in scenes" in last


def test_another_sign_on_the_same_data_leaves_the_weaker_verdict(results: Results, tmp_path: Path) -> None:
    ours = difference(results, "psa")
    assert ours.mean is not None
    mean = -ours.mean
    flipped = changed(results, "psa", mean=mean, low=mean - 0.001, high=mean + 0.001, verdict="untestable")
    publish(tmp_path / "scratch", results, flipped)
    shared = replicate(results, tmp_path)
    assert shared is not None
    (sentence,) = shared.disagreements
    weaker = "inconclusive" if ours.verdict == "inconclusive" else "untestable at 3 seeds"
    values = (fmt.points(ours.mean, 2, sign=True), fmt.points(mean, 2, sign=True))
    assert [text for text in ("psa/psa", "here", "in scratch", *values) if text not in sentence] == []
    assert verdicts_in(sentence) == {weaker.split()[0]}


@pytest.mark.parametrize("theirs", ["worse", "tiny"])
def test_verdicts_that_contradict_hold_neither(results: Results, tmp_path: Path, theirs: Verdict) -> None:
    ours = difference(results, "psa")
    better = ours.model_copy(update={"mean": 0.02, "low": 0.01, "high": 0.03, "verdict": "better"})
    rows = tuple(better if d.arm == "psa" else d for d in results.comparison.differences)
    here = replace(results, comparison=results.comparison.model_copy(update={"differences": rows}))
    publish(tmp_path / "scratch", results, changed(results, "psa", mean=-0.02, low=-0.03, high=-0.01, verdict=theirs))
    shared = replicate(here, tmp_path)
    assert shared is not None
    (sentence,) = shared.disagreements
    assert verdicts_in(sentence) == {"better", theirs}
    assert f"better here, {theirs} in scratch" in sentence


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
    shared = replicate(results, tmp_path)
    assert shared is not None
    (sentence,) = shared.disagreements
    assert verdicts_in(sentence) == set()


def test_the_results_may_have_a_name(results: Results, tmp_path: Path) -> None:
    ours = difference(results, "psa")
    assert ours.mean is not None
    publish(tmp_path / "bccd", results, changed(results, "psa", mean=-ours.mean))
    shared = replicate(results, tmp_path, here="scenes")
    assert shared is not None
    assert shared.table.header == ("ablation", "comparison", "scenes", "bccd")
    (sentence,) = shared.disagreements
    assert " in scenes" in sentence
    assert " in bccd" in sentence


@pytest.mark.parametrize(
    ("groups", "found"),
    [
        ({"a": [3.0, 3.1, 2.9], "b": [-3.0, -3.1, -2.9]}, True),
        ({"a": [3.0, 3.1, 2.9], "b": [3.0, 3.1, 2.9]}, False),
        ({"a": [3.0, 3.1, 2.9], "b": [-3.0, 1.0, 0.5]}, False),  # within its seeds' noise
        ({"a": [3.0, 3.1, 2.9], "b": [-3.0]}, False),  # of unknown noise
        ({"a": [3.0, 3.1, 2.9], "b": [0.0, 0.0, 0.0]}, False),
        ({"a": [3.0, 3.1, 2.9]}, False),
        ({}, False),
    ],
)
def test_trunks_are_opposed_where_each_is_clear_of_zero_on_another_side(
    groups: dict[str, list[float]], found: bool
) -> None:
    assert opposed(groups, 0.95) is found
    assert opposed({name: [-value for value in values] for name, values in groups.items()}, 0.95) is found
