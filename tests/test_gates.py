"""Whether networks have learned enough for a verdict: each gate, and each boundary, by hand-worked cases."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from mnv4bench.io.files import write_json
from mnv4bench.results.comparison import Gate, WeakClass
from mnv4bench.results.metrics import Metrics, Reading, Scores
from mnv4bench.results.runs import SeedResult
from mnv4bench.spec import plan as planning
from mnv4bench.spec.plan import Plan
from mnv4bench.spec.preset import GateSpec
from mnv4bench.statistics.gates import gate

PRESET = """\
title: made up
data: {{name: scenes, imgsz: 64, train: 20, val: 40}}
train: {{epochs: 1}}
seeds: [0, 1, 2]
ablations: [attention]
{more}
"""
ATTENTION = """\
title: attention
question: Does it pay?
fresh: [attention]
baseline: none
arms: {none: {model.attention: none}, psa: {model.attention: psa}}
smallest_effect: 0.005
"""
ONE = "trunk: {}"
TWO = "trunk: {blocks: {first: {}, second: {downsample: conv}}}"
DATA, OTHER = "a" * 64, "b" * 64

Classes = dict[str, float | None]


def make_plan(root: Path, more: str) -> Plan:
    for folder in ("config", "ablations"):
        (root / folder).mkdir()
    (root / "config/small.yaml").write_text(PRESET.format(more=more))
    (root / "ablations/attention.yaml").write_text(ATTENTION)
    return planning.load("small", root=root)


def scores(ap: float | None) -> Scores:
    return Scores(AP=ap, AP50=None, AP75=None, APs=None, APm=None, APl=None)


def reading(ap: float | None, classes: Classes | None = None) -> Reading:
    by_class = {name: scores(value) for name, value in (classes or {}).items()}
    return Reading(scores=scores(ap), classes=by_class, detections_per_image=1.0)


def write_trunk(folder: Path, ap: float | None, data: str = DATA, read: str = "nms_free") -> None:
    metrics = Metrics(run=folder.name, state="done", readings={read: reading(ap)}, data_digest=data)  # type: ignore[dict-item]
    write_json(folder / "metrics.json", metrics)


def judged(
    plan: Plan,
    root: Path,
    ours: list[float],
    theirs: list[float],
    classes: tuple[Classes, Classes] = ({}, {}),
    objects: tuple[int, ...] = (),
) -> Gate:
    """Judge `psa` against `none`.

    Args:
        ours: AP of psa, a seed each; theirs: of none.
        classes: AP of psa's classes and of none's, in every seed.
    """
    none, psa = plan.arms
    pairs = [
        tuple(
            SeedResult(seed, arm.runs[seed], "done", None, reading(ap, known), DATA)
            for arm, ap, known in zip((psa, none), both, classes, strict=True)
        )
        for seed, both in enumerate(zip(ours, theirs, strict=True))
    ]
    return gate(plan, root / "results", psa, pairs, objects, root / "shipped")  # type: ignore[arg-type]


def from_trunk(root: Path, *trunks: float | None, read: str = "nms_free", more: str = "") -> Plan:
    """Return a plan whose trunks have these AP."""
    plan = make_plan(root, (ONE if len(trunks) == 1 else TWO) + more)
    for trunk, ap in zip(plan.trunks, trunks, strict=True):
        write_trunk(root / "results" / "runs" / trunk.name, ap, read=read)
    return plan


# Recovery of the trunk


@pytest.mark.parametrize(("baseline", "passed"), [(0.485, True), (0.4849, False), (0.6, True), (0.0, False)])
def test_the_baseline_recovers_its_trunk_from_97_hundredths_on(baseline: float, passed: bool, tmp_path: Path) -> None:
    """0.97 × 0.5 = 0.485."""
    plan = from_trunk(tmp_path, 0.5)
    assert judged(plan, tmp_path, [0.9], [baseline]) == Gate(
        passed=passed, from_trunk=True, trunk_ap=0.5, baseline_ap=baseline, least_share=0.97, least_class_ap=0.05
    )


def test_the_arm_need_not_recover_the_trunk(tmp_path: Path) -> None:
    assert judged(from_trunk(tmp_path, 0.5), tmp_path, [0.1], [0.5]).passed


def test_recovery_is_that_of_the_mean_over_seeds(tmp_path: Path) -> None:
    plan = from_trunk(tmp_path, 0.5)
    assert judged(plan, tmp_path, [0.5, 0.5], [0.4, 0.6]).passed
    assert not judged(plan, tmp_path, [0.5, 0.5], [0.4, 0.5]).passed


def test_each_seed_is_held_against_the_trunk_that_it_started_from(tmp_path: Path) -> None:
    """Two seeds of three start from the first: (2 × 0.75 + 0.375) / 3 = 0.625; 0.97 × 0.625 = 0.60625."""
    plan = from_trunk(tmp_path, 0.75, 0.375)
    found = judged(plan, tmp_path, [0.5] * 3, [0.61, 0.61, 0.61])
    assert (found.trunk_ap, found.passed) == (0.625, True)
    assert not judged(plan, tmp_path, [0.5] * 3, [0.6, 0.6, 0.6]).passed
    assert judged(plan, tmp_path, [0.5], [0.75]).trunk_ap == 0.75  # a second seed that failed brings no trunk


def test_a_trunk_that_learned_nothing_lets_nothing_pass(tmp_path: Path) -> None:
    found = judged(from_trunk(tmp_path, 0.0), tmp_path, [0.5], [0.5])
    assert (found.trunk_ap, found.passed) == (0.0, False)


@pytest.mark.parametrize(("ap", "read"), [(0.5, "nms"), (None, "nms_free")])
def test_a_trunk_that_has_no_such_reading_asks_for_nothing(ap: float | None, read: str, tmp_path: Path) -> None:
    found = judged(from_trunk(tmp_path, ap, read=read), tmp_path, [0.5], [0.06])
    assert (found.trunk_ap, found.passed) == (None, True)


def test_gates_are_the_presets(tmp_path: Path) -> None:
    plan = from_trunk(tmp_path, 0.5, more="\ngates: {recovered: 0.5, class_ap: 0.2, class_objects: 5}")
    found = judged(plan, tmp_path, [0.9], [0.25], ({"disc": 0.3}, {"disc": 0.19}), objects=(5,))
    assert (found.least_share, found.least_class_ap) == (0.5, 0.2)
    assert found.weak == (WeakClass(arm="none", name="disc", AP=0.19, objects=5),)
    assert judged(plan, tmp_path, [0.9], [0.25]).passed
    for wrong in ({"recovered": 1.1}, {"from_scratch": -0.1}, {"class_ap": 2}, {"class_objects": 0}):
        with pytest.raises(ValidationError):
            GateSpec.model_validate(wrong)


# From random weights


@pytest.mark.parametrize(("baseline", "passed"), [(0.45, True), (0.4499, False)])
def test_a_baseline_from_scratch_is_held_against_the_best_shipped_trunk_of_its_data(
    baseline: float, passed: bool, tmp_path: Path
) -> None:
    """0.9 × 0.5 = 0.45."""
    plan = make_plan(tmp_path, "")
    for name, ap, data in (("worse", 0.3, DATA), ("best", 0.5, DATA), ("stranger", 0.9, OTHER)):
        write_trunk(tmp_path / "shipped" / name, ap, data)
    assert judged(plan, tmp_path, [0.9], [baseline]) == Gate(
        passed=passed, from_trunk=False, trunk_ap=0.5, baseline_ap=baseline, least_share=0.9, least_class_ap=0.05
    )


def test_trunks_of_other_data_or_another_reading_ask_nothing_of_a_baseline_from_scratch(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, "")
    assert judged(plan, tmp_path, [0.9], [0.06]).trunk_ap is None  # nothing is shipped
    write_trunk(tmp_path / "shipped" / "stranger", 0.9, OTHER)
    write_trunk(tmp_path / "shipped" / "otherwise", 0.9, read="nms")
    found = judged(plan, tmp_path, [0.9], [0.06])
    assert (found.trunk_ap, found.passed) == (None, True)


# Next to nothing


@pytest.mark.parametrize(("baseline", "passed"), [(0.05, True), (0.0499, False)])
@pytest.mark.parametrize("trunk", [None, 0.04])
def test_a_baseline_that_learned_next_to_nothing_does_not_pass_whatever_its_trunk_did(
    trunk: float | None, baseline: float, passed: bool, tmp_path: Path
) -> None:
    plan = from_trunk(tmp_path, trunk) if trunk else make_plan(tmp_path, "")
    assert judged(plan, tmp_path, [0.9], [baseline]).passed is passed


# Every class


@pytest.mark.parametrize(
    ("objects", "ours", "theirs", "weak"),
    [
        (20, 0.0499, 0.5, ["psa"]),
        (20, 0.5, 0.0499, ["none"]),
        (20, 0.0, 0.0, ["psa", "none"]),
        (20, 0.05, 0.05, []),
        (19, 0.0, 0.0, []),
        (20, None, 0.5, ["psa"]),  # no score at all, of a class that has objects
    ],
)
def test_a_class_of_twenty_objects_has_to_be_learned_in_both_arms(
    objects: int, ours: float | None, theirs: float | None, weak: list[str], tmp_path: Path
) -> None:
    plan = from_trunk(tmp_path, 0.5)
    classes: tuple[Classes, Classes] = ({"disc": 0.5, "bar": ours}, {"disc": 0.5, "bar": theirs})
    found = judged(plan, tmp_path, [0.5], [0.5], classes, (20, objects))
    aps = {"psa": ours or 0.0, "none": theirs or 0.0}
    assert found.weak == tuple(WeakClass(arm=arm, name="bar", AP=aps[arm], objects=objects) for arm in weak)
    assert found.passed is not bool(weak)


def test_counts_belong_to_the_classes_in_their_order(tmp_path: Path) -> None:
    plan = from_trunk(tmp_path, 0.5)
    both: tuple[Classes, Classes] = ({"disc": 0.0, "bar": 0.5}, {"disc": 0.0, "bar": 0.5})
    assert judged(plan, tmp_path, [0.5], [0.5], both, (19, 100)).passed
    assert not judged(plan, tmp_path, [0.5], [0.5], both, (100, 19)).passed
    with pytest.raises(ValueError, match="zip"):
        judged(plan, tmp_path, [0.5], [0.5], both, (100,))


def test_a_class_is_judged_by_its_mean_over_seeds(tmp_path: Path) -> None:
    plan = from_trunk(tmp_path, 0.5)
    none, psa = plan.arms

    def found(*aps: float) -> Gate:
        pairs = [
            (
                SeedResult(seed, psa.runs[seed], "done", None, reading(0.5, {"disc": ap}), DATA),
                SeedResult(seed, none.runs[seed], "done", None, reading(0.5, {"disc": 0.5}), DATA),
            )
            for seed, ap in enumerate(aps)
        ]
        return gate(plan, tmp_path / "results", psa, pairs, (20,))

    assert found(0.0, 0.125).passed
    assert found(0.0, 0.0625).weak == (WeakClass(arm="psa", name="disc", AP=0.03125, objects=20),)
