"""compare.json: pairs of seeds, one family of tests, and the verdicts that follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mnv4bench.io.errors import DataError
from mnv4bench.io.files import read_json
from mnv4bench.results import matches
from mnv4bench.results.comparison import Comparison, Difference
from mnv4bench.results.environment import Environment
from mnv4bench.results.matches import AREAS, IOU_THRESHOLDS, MatchRecords
from mnv4bench.results.metrics import Metrics, Reading, Scores
from mnv4bench.results.run import Status
from mnv4bench.spec import plan as planning
from mnv4bench.spec.arms import Arm
from mnv4bench.spec.model import readings
from mnv4bench.spec.plan import Plan
from mnv4bench.spec.run import derive_seed
from mnv4bench.statistics import bootstrap as resampling
from mnv4bench.statistics import small_samples as stats
from mnv4bench.statistics.compare import compare

IMAGES = 40
PRESET = """\
title: made up
data: {{name: scenes, imgsz: 64, train: 20, val: {images}}}
train: {{epochs: 1}}
seeds: {seeds}
ablations: [{ablations}]
bootstrap: 100
{more}
"""
ABLATIONS = {
    "attention": "baseline: psa\nfresh: [attention]\narms: {psa: {}, none: {model.attention: none}}",
    "block": "baseline: cib\narms: {cib: {model.block: c2fcib}, c2f: {model.block: c2f}}",
    "reading": "baseline: nms\narms: {nms: {read: nms}, nms_free: {read: nms_free}}",
    "scale": "baseline: n\narms: {n: {model.scale: n}, s: {model.scale: s}}",
    "again": "baseline: with\narms: {with: {model.attention: psa}, without: {model.attention: none}}",
    "turned": "baseline: none\narms: {psa: {model.attention: psa}, none: {model.attention: none}}",
}
"""The first arm of each, but for `turned`, is the default network."""
MACHINE = Environment(
    cpu="made up", cpu_flags="", gpu=None, cores=1, platform="", python="", packages={}, threads=1, commit=None
)

Score = Callable[[Arm, int], float]
"""(arm, seed) → AP; of its network and reading alone, because arms share runs."""


def make_plan(root: Path, seeds: int, *ablations: str, more: str = "") -> Plan:
    for folder in ("config", "ablations"):
        (root / folder).mkdir()
    text = PRESET.format(images=IMAGES, seeds=list(range(seeds)), ablations=", ".join(ablations), more=more)
    (root / "config/small.yaml").write_text(text)
    for name in ablations:
        body = f"title: {name}\nquestion: Does it pay?\n{ABLATIONS[name]}\nsmallest_effect: 0.005\n"
        (root / f"ablations/{name}.yaml").write_text(body)
    return planning.load("small", root=root)


def effects(none: float = 0.0, c2f: float = 0.0, wobble: float = 0.05) -> Score:
    """AP 0.3, plus what the network's parts bring, which wobbles from seed to seed by a share of itself."""

    def score(arm: Arm, seed: int) -> float:
        effect = none * (arm.model.attention == "none") + c2f * (arm.model.block == "c2f")
        return 0.3 + effect * (1 + wobble * (-1) ** seed)

    return score


def right_or_wrong(right: np.ndarray) -> MatchRecords:
    """One object and one detection in each image, right at every threshold or at none, all scores equal."""
    count = len(right)
    tp = np.broadcast_to(right[None, :, None], (len(AREAS), count, IOU_THRESHOLDS)).copy()
    return MatchRecords(
        image_ids=np.arange(1, count + 1, dtype=np.int64),
        slices=np.array([""] * count),
        category_ids=np.array([1], np.int64),
        image=np.arange(count, dtype=np.int32),
        category=np.zeros(count, np.int32),
        score=np.full(count, 0.5),
        tp=tp,
        ignored=np.zeros_like(tp),
        objects=np.ones((len(AREAS), count, 1), np.int32),
    )


ALL_RIGHT = right_or_wrong(np.ones(IMAGES, bool))


def write_runs(
    plan: Plan, results: Path, score: Score, diverged: frozenset[str] = frozenset(), noisy: bool = False
) -> None:
    """Write what compare reads.

    Args:
        diverged: Runs that ended so.
        noisy: Which images are right depends on the run; otherwise all are, so that there is no image noise.
    """
    by_run: dict[str, dict[str, Reading]] = {}
    for arm in plan.arms:
        for seed, run in arm.runs.items():
            ap = score(arm, seed)
            scores = Scores(AP=ap, AP50=None, AP75=None, APs=None, APm=None, APl=None)
            slices = {"crowd": scores.model_copy(update={"AP": ap / 2})}
            by_run.setdefault(run, {})[arm.read] = Reading(scores=scores, slices=slices, detections_per_image=1.0)
    for run, found in by_run.items():
        folder = results / "runs" / run
        folder.mkdir(parents=True)
        state = "diverged" if run in diverged else "done"
        status = Status(run=run, state=state, epochs=1, steps=1, seconds=1.0, environment=MACHINE)
        (folder / "status.json").write_text(status.model_dump_json())
        if state == "done":
            metrics = Metrics(run=run, state="done", readings=found)  # type: ignore[arg-type]
            (folder / "metrics.json").write_text(metrics.model_dump_json())
            write_matches(folder, readings(plan.runs[run].model), noisy)


def write_matches(folder: Path, reads: tuple[str, ...], noisy: bool) -> None:
    found = {read: drawn_records(folder.name, read) if noisy else ALL_RIGHT for read in reads}
    matches.save(folder / "matches.npz", found)


def drawn_records(run: str, read: str) -> MatchRecords:
    """Records in which about seven images of ten, drawn by run and reading, are right."""
    return right_or_wrong(np.random.default_rng(derive_seed(run, read)).random(IMAGES) < 0.7)


def compared(plan: Plan, results: Path) -> Comparison:
    compare(plan, results)
    return Comparison.model_validate(read_json(results / "compare.json"))


def row(comparison: Comparison, label: str) -> Difference:
    found = comparison.find(*label.split("/"))
    assert found is not None
    return found


def verdicts(comparison: Comparison) -> dict[str, tuple[str | None, float | None, float | None]]:
    return {f"{d.ablation}/{d.arm}": (d.verdict, d.p, d.p_holm) for d in comparison.differences}


def paired_bootstrap(
    ours: Sequence[MatchRecords], theirs: Sequence[MatchRecords], replicates: int, seed: int
) -> NDArray[np.float64]:
    """Return (replicates,) seed-averaged differences of AP, each on one resample of the images for all records."""
    weights = resampling.bootstrap_weights(len(ours[0].image_ids), replicates, seed)
    first, second = ([resampling.bootstrap_ap(records, weights) for records in arm] for arm in (ours, theirs))
    return np.asarray(np.mean(np.subtract(first, second), axis=0))


def test_seeds_are_paired_and_both_arms_see_the_same_resampled_images(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 3, "attention", "reading")
    aps = np.random.default_rng(0).uniform(0.3, 0.4, (2, 3))
    write_runs(plan, tmp_path, lambda arm, seed: aps[int(arm.model.attention == "none"), seed], noisy=True)
    record = compared(plan, tmp_path)
    assert record.images == IMAGES
    assert [(d.ablation, d.arm, d.baseline) for d in record.differences] == [
        ("attention", "none", "psa"),
        ("reading", "nms_free", "nms"),
    ]
    ours, theirs = (
        [matches.load(tmp_path / "runs" / run / "matches.npz")["nms_free"] for run in arm.runs.values()]
        for arm in reversed(plan.arms_of("attention"))
    )
    replicates = paired_bootstrap(ours, theirs, record.bootstrap, record.bootstrap_seed)
    d, deltas = row(record, "attention/none"), aps[1] - aps[0]
    assert list(d.seeds.values()) == list(deltas)
    for level, low, high in ((0.90, d.equivalence_low, d.equivalence_high), (0.95, d.low, d.high)):
        interval = stats.combined_interval(deltas, replicates, IMAGES, level)
        assert (d.mean, low, high) == pytest.approx((interval.mean, interval.low, interval.high), abs=1e-12)
    assert (d.seed_sd, d.image_se) == pytest.approx((np.std(deltas, ddof=1), np.std(replicates, ddof=1)))
    assert interval.se > np.std(replicates, ddof=1) > 0
    assert d.mde == pytest.approx(stats.minimum_detectable(interval.se, interval.df, 0.05, 0.8), rel=1e-6)
    assert d.agreeing == sum(np.sign(deltas) == np.sign(deltas.mean()))
    assert list(d.slices["crowd"].seeds.values()) == pytest.approx(deltas / 2)


def test_eight_seeds_that_agree_pass_a_test_that_is_charged_for_its_family(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 8, "attention", "block", "reading")
    write_runs(plan, tmp_path, effects(none=-0.02, c2f=0.02))
    record = compared(plan, tmp_path)
    assert (record.family, record.alpha, record.level, record.power) == (3, 0.05, 0.95, 0.8)
    # The smallest p is charged three times over; the next, as small, no less. Equal arms: every pattern reaches 0.
    assert verdicts(record) == {
        "attention/none": ("worse", 2 / 256, 6 / 256),
        "block/c2f": ("better", 2 / 256, 6 / 256),
        "reading/nms_free": ("equivalent", 1, 1),
    }


def test_three_seeds_cannot_be_tested_and_say_so_where_a_test_is_needed(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 3, "attention", "block", "reading")
    write_runs(plan, tmp_path, effects(none=-0.02, c2f=0.003))
    record = compared(plan, tmp_path)
    assert verdicts(record) == {
        "attention/none": ("untestable", None, None),
        "block/c2f": ("tiny", None, None),
        "reading/nms_free": ("equivalent", None, None),
    }
    assert all(d.mde is not None for d in record.differences)


def test_an_interval_that_excludes_zero_is_not_enough_where_the_test_fails(tmp_path: Path) -> None:
    # Seven of eight seeds agree: the mean is reached by 4 patterns of 256, and 4 × 4/256 > 0.05.
    def score(arm: Arm, seed: int) -> float:
        return 0.3 + (0.02 if seed else -0.001) * (arm.model.attention == "none")

    plan = make_plan(tmp_path, 8, "attention", "block", "reading", "scale")
    write_runs(plan, tmp_path, score)
    d = row(compared(plan, tmp_path), "attention/none")
    assert d.low is not None
    assert d.low > 0
    assert (d.verdict, d.p, d.p_holm) == ("inconclusive", 4 / 256, 16 / 256)


def test_one_seed_is_untestable_whatever_it_shows(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 1, "attention", "reading")
    write_runs(plan, tmp_path, effects(none=0.02), noisy=True)
    for d in compared(plan, tmp_path).differences:
        assert (d.verdict, d.p, d.p_holm, d.mde, d.seed_sd) == ("untestable", None, None, None, None)
        assert d.image_se is not None
        assert d.image_se > 0


def test_a_comparison_without_runs_counts_in_the_family_and_gets_no_verdict(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 7, "attention", "block", "reading")
    lost = frozenset(plan.arms_of("block")[1].runs.values())
    write_runs(plan, tmp_path, effects(none=0.02), diverged=lost)
    record = compared(plan, tmp_path)
    assert record.family == 3
    assert row(record, "block/c2f") == Difference(
        ablation="block", arm="c2f", baseline="cib", seeds={}, smallest_effect=0.005
    )
    assert verdicts(record)["attention/none"] == ("better", 2 / 128, 6 / 128)


def test_a_comparison_that_lost_seeds_is_tested_by_those_it_has(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 8, "attention", "block", "reading")
    none, c2f = plan.arms_of("attention")[1], plan.arms_of("block")[1]
    write_runs(
        plan,
        tmp_path,
        effects(none=0.02, c2f=0.02),
        diverged=frozenset({none.runs[1], none.runs[5], c2f.runs[3]}),
    )
    record = compared(plan, tmp_path)
    assert list(row(record, "attention/none").seeds) == [0, 2, 3, 4, 6, 7]
    found = verdicts(record)
    assert found["attention/none"] == ("untestable", None, None)  # 3 × 2/64 > 0.05
    assert found["block/c2f"] == ("better", 2 / 128, 6 / 128)


def test_two_names_for_the_same_two_arms_are_charged_once(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 8, "attention", "block", "again", "turned")
    write_runs(plan, tmp_path, effects(none=0.02, c2f=0.03))
    record = compared(plan, tmp_path)
    assert record.family == 2
    assert verdicts(record) == {
        "attention/none": ("better", 2 / 256, 4 / 256),
        "block/c2f": ("better", 2 / 256, 4 / 256),
        "again/without": ("better", 2 / 256, 4 / 256),
        "turned/psa": ("worse", 2 / 256, 4 / 256),
    }


TWO_TRUNKS = "trunk: {blocks: {first: {}, second: {downsample: conv}}}"


def write_trunks(plan: Plan, results: Path, ap: float) -> None:
    scores = Scores(AP=ap, AP50=None, AP75=None, APs=None, APm=None, APl=None)
    for trunk in plan.trunks:
        reading = Reading(scores=scores, detections_per_image=1.0)
        metrics = Metrics(run=trunk.name, state="done", readings={"nms_free": reading})
        (results / "runs" / trunk.name).mkdir(exist_ok=True)
        (results / "runs" / trunk.name / "metrics.json").write_text(metrics.model_dump_json())


def test_what_fails_a_gate_keeps_its_numbers_and_gets_one_word(tmp_path: Path) -> None:
    """The baseline's AP is 0.3: 0.97 × 0.309 = 0.29973, 0.97 × 0.31 = 0.3007."""
    plan = make_plan(tmp_path, 8, "attention", more=TWO_TRUNKS)
    write_runs(plan, tmp_path, effects(none=0.02))
    write_trunks(plan, tmp_path, 0.309)
    passed = row(compared(plan, tmp_path), "attention/none")
    write_trunks(plan, tmp_path, 0.31)
    failed = row(compared(plan, tmp_path), "attention/none")
    assert (passed.verdict, failed.verdict) == ("better", "under-trained")
    assert passed.gate is not None
    assert failed.gate is not None
    assert (passed.gate.passed, failed.gate.passed) == (True, False)
    assert failed.gate.trunk_ap == pytest.approx(0.31)
    assert failed.p_holm == 2 / 256
    same = {"verdict", "gate"}
    assert passed.model_dump(exclude=same) == failed.model_dump(exclude=same)


def test_a_class_that_is_not_learned_fails_by_the_objects_of_the_images(tmp_path: Path) -> None:
    """One object in each of the forty images, and as many in the gate's default as in half of them."""
    plan = make_plan(tmp_path, 8, "attention")
    write_runs(plan, tmp_path, effects(none=0.02))
    for run in plan.arms[1].runs.values():
        path = tmp_path / "runs" / run / "metrics.json"
        content = read_json(path)
        scores = content["readings"]["nms_free"]["scores"]
        content["readings"]["nms_free"]["classes"] = {"disc": scores | {"AP": 0.04}}
        path.write_text(Metrics.model_validate(content).model_dump_json())
    d = row(compared(plan, tmp_path), "attention/none")
    assert d.verdict == "under-trained"
    assert d.gate is not None
    assert [(weak.arm, weak.name, weak.objects) for weak in d.gate.weak] == [("none", "disc", IMAGES)]


def test_given_weights_pass_no_gate_and_need_none(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 1, "attention", more="trunk: {}")
    write_runs(plan, tmp_path, effects(none=0.02))
    write_trunks(plan, tmp_path, 0.9)
    assert row(compared(plan, tmp_path), "attention/none").verdict == "under-trained"
    given = replace(plan, arms=tuple(replace(arm, published=True) for arm in plan.arms))
    d = row(compared(given, tmp_path), "attention/none")
    assert d.gate is None
    assert d.verdict not in (None, "under-trained")


def test_the_difference_is_shown_per_trunk_where_seeds_started_from_several(tmp_path: Path) -> None:
    def score(arm: Arm, seed: int) -> float:
        return 0.3 + (0.03 if seed % 2 else 0.02) * (arm.model.attention == "none")

    plan = make_plan(tmp_path, 3, "attention", more=TWO_TRUNKS)
    write_runs(plan, tmp_path, score)
    write_trunks(plan, tmp_path, 0.3)
    d = row(compared(plan, tmp_path), "attention/none")
    assert d.trunks == {"first": pytest.approx(0.02), "second": pytest.approx(0.03)}
    assert d.mean == pytest.approx((2 * 0.02 + 0.03) / 3)


@pytest.mark.parametrize("more", ["", "trunk: {}"])
def test_without_several_trunks_there_is_nothing_to_show_per_trunk(more: str, tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 2, "attention", more=more)
    write_runs(plan, tmp_path, effects(none=0.02))
    write_trunks(plan, tmp_path, 0.3)
    assert row(compared(plan, tmp_path), "attention/none").trunks == {}


def test_runs_that_were_scored_on_other_images_are_refused(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 2, "attention")
    write_runs(plan, tmp_path, effects())
    odd = plan.arms[0].runs[1]
    matches.save(tmp_path / "runs" / odd / "matches.npz", {"nms_free": right_or_wrong(np.ones(11, bool))})
    with pytest.raises(DataError, match=rf"{odd}.*other images or objects than"):
        compare(plan, tmp_path)


def test_runs_of_two_data_sets_are_refused_by_both_digests(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 2, "attention")
    write_runs(plan, tmp_path, effects())
    odd = plan.arms[0].runs[1]
    for run in plan.runs:
        path = tmp_path / "runs" / run / "metrics.json"
        metrics = Metrics.model_validate(read_json(path))
        digest = "b" * 64 if run == odd else "a" * 64
        path.write_text(metrics.model_copy(update={"data_digest": digest}).model_dump_json())
    with pytest.raises(DataError) as error:
        compare(plan, tmp_path)
    assert all(part in str(error.value) for part in ("a" * 64, "b" * 64, odd, "start again"))
    assert not (tmp_path / "compare.json").exists()
