"""From YAML to runs: what resolves to what, and that every mistake is named with its place and its remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

from mnv4bench.io.errors import SpecError
from mnv4bench.spec import plan
from mnv4bench.spec.model import TAPS, ModelSpec, readings
from mnv4bench.spec.naming import slug
from mnv4bench.spec.plan import Plan
from mnv4bench.spec.run import PROTOCOL, AugmentSpec, DistillSpec, LossSpec, RunSpec, TrainSpec, derive_seed

ROOT = Path(__file__).parent.parent

PRESET = """\
title: tiny
data: {name: scenes, imgsz: 64, train: 8, val: 4}
train: {epochs: 2}
seeds: [0, 1]
ablations: [block]
"""

TRUNK = """\
trunk: {train: {epochs: 5}}
teacher: {from_trunk: true, train: {epochs: 3}}
"""

BLOCKS = """\
trunk:
  train: {epochs: 5}
  blocks:
    default: {}
    plain: {block: c2f, downsample: conv, attention: none}
"""

BLOCK = """\
title: C2fCIB vs C2f
question: Does it pay?
baseline: c2f
arms:
  c2f: {model.block: c2f}
  c2fcib: {model.block: c2fcib}
smallest_effect: 0.005
"""

FRESH = BLOCK.replace("c2fcib}", "c2fcib, model.block_stages: [p5_out], model.kernel: 7}") + "fresh: [p5_out]\n"


def project(folder: Path, preset: str = PRESET, **ablations: str) -> Path:
    (folder / "config").mkdir()
    (folder / "ablations").mkdir()
    (folder / "config" / "tiny.yaml").write_text(preset)
    for name, text in {"block": BLOCK, **ablations}.items():
        (folder / "ablations" / f"{name}.yaml").write_text(text)
    return folder


def load(folder: Path, preset: str = PRESET, *, only: str | None = None, **ablations: str) -> Plan:
    return plan.load("tiny", only, project(folder, preset, **ablations))


def test_an_arm_may_not_contest_a_part_that_the_others_load_trained(tmp_path: Path) -> None:
    other = FRESH.replace("model.block: c2f}", "model.downsample: conv}")
    with pytest.raises(SpecError, match=r"block.yaml:5: .*downsample: decides p5_down.*this file's `fresh`"):
        load(tmp_path, PRESET + TRUNK, block=other)


def test_a_misspelt_fresh_part_is_refused_before_the_trunk_is_trained(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"block.yaml:8: fresh.0: .*'p5_out'.*got 'p5out'"):
        load(tmp_path, PRESET + TRUNK, block=FRESH.replace("[p5_out", "[p5out"))


def test_seeds_narrow_to_the_first_ones(tmp_path: Path) -> None:
    folder = project(tmp_path)
    assert [list(arm.runs) for arm in plan.load("tiny", root=folder, seeds=1).arms] == [[0], [0]]
    with pytest.raises(SpecError, match=r"seeds=3: .*tiny.yaml has 2; allowed: 1 to 2"):
        plan.load("tiny", root=folder, seeds=3)


def arms(text: str) -> str:
    """Return the ablation with other arms, each a line of YAML; the first is in line 5."""
    return re.sub(r"  c2f: .*\n  c2fcib: .*\n", "".join(f"  {line.strip()}\n" for line in text.splitlines()), BLOCK)


# What resolves to what


def test_each_arm_is_trained_once_per_seed(tmp_path: Path) -> None:
    found = load(tmp_path)
    assert [(arm.label, arm.read, sorted(arm.runs)) for arm in found.arms] == [
        ("block/c2f", "nms_free", [0, 1]),
        ("block/c2fcib", "nms_free", [0, 1]),
    ]
    assert len(found.runs) == 4
    assert found.baseline("block").name == "c2f"
    for arm in found.arms:
        for seed, name in arm.runs.items():
            spec = found.run(name)
            assert (spec.seed, spec.model, spec.start, spec.teacher) == (seed, arm.model, None, None)
            assert name.endswith(f"-{spec.digest()[:12]}-s{seed}")


def test_arms_of_different_ablations_with_one_spec_share_its_runs(tmp_path: Path) -> None:
    preset = PRESET.replace("[block]", "[block, head]")
    head = arms("a: {model.head: dual}\nb: {model.head: one_to_many}").replace("baseline: c2f", "baseline: a")
    found = load(tmp_path, preset, head=head)
    shared = {arm.label: arm.runs for arm in found.arms}
    assert shared["block/c2fcib"] == shared["head/a"]
    assert len(found.runs) == 6


def test_readings_of_one_model_share_its_runs(tmp_path: Path) -> None:
    head = arms("c2f: {read: nms}\nfree: {read: nms_free}")
    found = load(tmp_path, block=head)
    assert [arm.read for arm in found.arms] == ["nms", "nms_free"]
    assert len(found.runs) == 2


def test_trunk_is_a_run_that_every_arm_names_as_its_start(tmp_path: Path) -> None:
    found = load(tmp_path, PRESET + TRUNK, block=FRESH)
    (trunk,) = found.trunks
    assert found.run(trunk.name) == trunk.spec
    assert (trunk.spec.train.epochs, trunk.spec.train.half_weights, trunk.spec.start) == (5, True, None)
    runs = {name: run for name, run in found.runs.items() if name != trunk.name}
    assert len(runs) == 4
    assert {(run.start, run.fresh, run.train.half_weights) for run in runs.values()} == {
        (trunk.name, ("p5_out",), False)
    }


def test_seeds_take_turns_between_trunks_and_keep_the_parts_of_theirs(tmp_path: Path) -> None:
    preset = PRESET.replace("[0, 1]", "[0, 1, 2, 5]") + BLOCKS
    found = load(tmp_path, preset, block=FRESH)
    default, plain = found.trunks
    assert [(trunk.block, trunk.spec.seed, trunk.spec.train.epochs) for trunk in found.trunks] == [
        ("default", 0, 5),
        ("plain", 1, 5),
    ]
    assert default.spec.model == ModelSpec()
    assert plain.spec.model == ModelSpec(block="c2f", downsample="conv", attention="none")
    for arm in found.arms:
        runs = {seed: found.run(name) for seed, name in arm.runs.items()}
        assert {seed: run.seed for seed, run in runs.items()} == {0: 0, 1: 1, 2: 2, 5: 5}
        for seed, trunk in ((0, default), (2, default), (1, plain), (5, plain)):
            assert runs[seed].start == trunk.name
            # The rest is the trunk's; what the ablation contests is the arm's.
            others = {} if trunk is default else {"downsample": "conv", "attention": "none"}
            assert runs[seed].model == ModelSpec(**others, block=arm.name)
    assert len(found.runs) == 2 * 4 + 2


def test_the_teacher_starts_from_the_first_trunk(tmp_path: Path) -> None:
    text = arms("c2f: {}\ndistilled: {distill.logits: 1.0}")
    found = load(tmp_path, PRESET + BLOCKS + "teacher: {from_trunk: true}\n", block=text)
    teachers = {found.run(name).teacher for name in found.arms[1].runs.values()}
    assert len(teachers) == 1
    assert found.run(str(teachers.pop())).start == found.trunks[0].name


def test_a_part_is_fresh_beside_one_trunk_as_beside_the_other(tmp_path: Path) -> None:
    """Both arms have the default trunk's down-sampling; it is the plain trunk's that they contest."""
    text = arms("c2f: {model.downsample: scdown}\nother: {model.downsample: scdown, loss.alpha: 1}")
    with pytest.raises(SpecError, match=r"block.yaml:5: arms\.c2f\.model\.downsample: decides p5_down"):
        load(tmp_path, PRESET + BLOCKS, block=text)
    assert load_again(tmp_path, block=text + "fresh: [p5_down]\n").arms


def test_a_trunk_that_no_seed_starts_from_is_not_trained(tmp_path: Path) -> None:
    folder = project(tmp_path, PRESET + BLOCKS, block=FRESH)
    one = plan.load("tiny", root=folder, seeds=1)
    assert [trunk.block for trunk in one.trunks] == ["default"]
    assert len(one.runs) == 2 + 1


def with_trunks(folder: Path, trunks: str, preset: str = PRESET) -> Path:
    """Return a project whose preset takes the trunks that another one trains."""
    project(folder, preset + "trunk: {preset: trunks}\n", block=FRESH)
    (folder / "config" / "trunks.yaml").write_text(trunks)
    return folder


TRUNKS = PRESET.replace("[block]", "[]").replace("[0, 1]", "[0]") + BLOCKS


def test_a_preset_without_ablations_trains_its_trunks_for_others(tmp_path: Path) -> None:
    folder = with_trunks(tmp_path, TRUNKS)
    trunks, ours = plan.load("trunks", root=folder), plan.load("tiny", root=folder)
    assert (trunks.arms, trunks.published, trunks.takes_trunks, ours.takes_trunks) == ((), False, False, True)
    assert list(trunks.runs) == [trunk.name for trunk in trunks.trunks]
    assert ours.trunks == trunks.trunks
    assert trunks.runs.items() < ours.runs.items()


@pytest.mark.parametrize("other", ["imgsz: 96, train: 8, val: 4", "imgsz: 64, train: 8, val: 5", "imgsz: 64, seed: 1"])
def test_trunks_that_learned_from_other_data_are_refused(other: str, tmp_path: Path) -> None:
    other = TRUNKS.replace("imgsz: 64, train: 8, val: 4", other)
    with pytest.raises(SpecError, match=r"tiny.yaml:6: trunk\.preset: the trunks of .*trunks\.yaml learned from other"):
        plan.load("tiny", root=with_trunks(tmp_path, other))


def test_trunks_of_other_networks_are_refused(tmp_path: Path) -> None:
    folder = with_trunks(tmp_path, TRUNKS, PRESET + "model: {scale: s}\n")
    with pytest.raises(SpecError, match=r"tiny.yaml:7: trunk\.preset: the trunks of .*trunks\.yaml are other networks"):
        plan.load("tiny", root=folder)


@pytest.mark.parametrize(
    ("preset", "trunks"), [("quick", "trunks"), ("standard", "trunks"), ("full", "trunks"), ("bccd", "trunks_bccd")]
)
def test_presets_of_the_project_take_the_trunks_that_another_trains(preset: str, trunks: str) -> None:
    found = plan.load(preset, root=ROOT)
    assert found.takes_trunks
    assert {trunk.name for trunk in found.trunks} <= set(plan.load(trunks, root=ROOT).runs)


def test_a_distilled_arm_names_a_teacher_that_starts_from_the_whole_trunk(tmp_path: Path) -> None:
    text = arms("c2f: {}\ndistilled: {distill.logits: 1.0}")
    found = load(tmp_path, PRESET + TRUNK, block=text)
    plain, distilled = (found.run(arm.runs[1]) for arm in found.arms)
    assert plain.teacher is None
    assert distilled.teacher is not None
    teacher = found.run(distilled.teacher)
    assert (teacher.start, teacher.fresh, teacher.train.epochs) == (distilled.start, (), 3)
    assert len(found.runs) == 2 + 2 + 2  # two arms of two seeds, the trunk, one teacher for both seeds


def test_an_ablation_from_scratch_has_its_own_schedule_and_needs_no_trunk(tmp_path: Path) -> None:
    text = arms("c2f: {model.backbone: mnv4_conv_medium}\nother: {}") + "start: scratch\n"
    found = load(tmp_path, PRESET + TRUNK + "scratch: {train: {epochs: 9}}\n", block=text)
    assert {(run.start, run.fresh, run.train.epochs) for run in found.runs.values()} == {(None, (), 9)}
    assert len(found.runs) == 4


def test_an_ablation_may_name_the_parts_that_start_fresh(tmp_path: Path) -> None:
    text = arms("c2f: {model.downsample: conv}\nother: {}") + "fresh: [p5_down, head]\n"
    found = load(tmp_path, PRESET + TRUNK, block=text)
    assert {run.fresh for run in found.runs.values() if run.start} == {("p5_down", "head")}
    nothing = load_again(tmp_path, block=arms("c2f: {read: nms}\nother: {}"))
    assert {run.fresh for run in nothing.runs.values()} == {()}
    with pytest.raises(SpecError, match=r"block.yaml:\d+: .*only arms from a trunk have fresh parts; drop `fresh`"):
        load_again(tmp_path, block=text + "start: scratch\n")


def load_again(folder: Path, **ablations: str) -> Plan:
    for name, text in ablations.items():
        (folder / "ablations" / f"{name}.yaml").write_text(text)
    return plan.load("tiny", None, folder)


def test_what_all_arms_have_in_common_is_written_once(tmp_path: Path) -> None:
    text = arms("c2f: {model.block: c2f}\nother: {model.attention: psa}") + "common: {model.attention: none}\n"
    found = load(tmp_path, block=text)
    assert [arm.model.attention for arm in found.arms] == ["none", "psa"]
    with pytest.raises(SpecError, match=r"block.yaml:\d+: common\.model\.attentoin: unknown field"):
        load_again(tmp_path, block=text.replace("common: {model.attention", "common: {model.attentoin"))


def test_what_all_arms_are_read_by_is_written_once(tmp_path: Path) -> None:
    text = arms("c2f: {model.block: c2f}\nfree: {read: nms_free}\none_to_one: {model.head: one_to_one, read: nms_free}")
    found = load(tmp_path, block=text + "common: {read: nms}\n")
    assert [arm.read for arm in found.arms] == ["nms", "nms_free", "nms_free"]
    with pytest.raises(SpecError, match=r"block.yaml:\d+: common\.read: a one_to_one head cannot be read 'nms'"):
        load_again(tmp_path, block=text.replace("one_to_one, read: nms_free", "one_to_one") + "common: {read: nms}\n")


def test_core_arms_are_those_that_most_presets_run(tmp_path: Path) -> None:
    text = arms("c2f: {model.block: c2f}\nb: {}\nc: {model.kernel: 5}") + "core: [c2f, b]\n"
    assert [arm.name for arm in load(tmp_path, block=text).arms] == ["c2f", "b"]
    (tmp_path / "config" / "tiny.yaml").write_text(PRESET + "arms: all\n")
    assert [arm.name for arm in plan.load("tiny", root=tmp_path).arms] == ["c2f", "b", "c"]
    for core, told in (("[b, c]", "the baseline 'c2f' must be among them"), ("[c2f, d]", "core: 'd' is not an arm")):
        with pytest.raises(SpecError, match=told):
            load_again(tmp_path, block=text.replace("[c2f, b]", core))


def test_an_arm_is_called_by_its_title_or_its_name(tmp_path: Path) -> None:
    text = arms("c2f: {model.block: c2f}\nno_bias: {}") + "titles: {c2f: C2f}\n"
    assert [arm.title for arm in load(tmp_path, block=text).arms] == ["C2f", "no bias"]
    for titles, told in (
        ("{c3f: C3f}", "titles: 'c3f' is not an arm"),
        ("{c2f: no bias}", "two arms are called 'no bias'"),
    ):
        with pytest.raises(SpecError, match=told):
            load_again(tmp_path, block=text.replace("{c2f: C2f}", titles))


def test_published_figures_are_of_arms(tmp_path: Path) -> None:
    text = BLOCK + "published: {place: Table 1, figures: {c2g: {AP: a/b/c}}}\n"
    with pytest.raises(SpecError, match=r"published\.figures: 'c2g' is not an arm; did you mean 'c2f'\?"):
        load(tmp_path, block=text)


def test_only_picks_an_ablation_that_the_preset_does_not_name(tmp_path: Path) -> None:
    found = load(tmp_path, only="other", other=BLOCK)
    assert {arm.ablation for arm in found.arms} == {"other"}


@pytest.mark.parametrize("preset", sorted(path.stem for path in (ROOT / "config").glob("*.yaml")))
def test_every_preset_of_the_project_resolves(preset: str) -> None:
    found = plan.load(preset, root=ROOT)
    assert {arm.ablation for arm in found.arms} == set(found.ablations)
    assert set(found.names) == set(found.preset.ablations)
    for spec in found.runs.values():
        assert spec.start is None or spec.start in found.runs
        assert spec.teacher is None or spec.teacher in found.runs


@pytest.mark.parametrize("preset", ["quick", "standard", "bccd", "full", "scratch"])
def test_every_ablation_that_trains_can_be_asked_of_every_preset(preset: str) -> None:
    """An arm that only some trunk's parts make different from the next one would be the same run beside the others."""
    for path in sorted((ROOT / "ablations").glob("*.yaml")):
        if not path.stem.startswith("published_"):
            found = plan.load(preset, path.stem, ROOT)
            assert len(found.arms) >= 2 or found.classifiers.arms


@pytest.mark.parametrize("ablation", ["c2fcib", "scdown", "psa", "nms_free", "distillation"])
def test_every_required_ablation_is_part_of_the_default_preset(ablation: str) -> None:
    assert plan.load("quick", root=ROOT).arms_of(ablation)


# Mistakes

MISTAKES = {
    "unknown key of a preset": (
        PRESET.replace("seeds:", "seed:"),
        BLOCK,
        [
            r"tiny\.yaml:4: seed: unknown key; did you mean 'seeds'\? allowed: ablations, ",
        ],
    ),
    "unknown key inside": (
        PRESET.replace("epochs: 2", "epoch: 2"),
        BLOCK,
        [
            r"tiny\.yaml:3: train\.epoch: unknown key; did you mean 'epochs'\? allowed: augment, batch",
        ],
    ),
    "unknown value": (
        PRESET.replace("scenes", "scene"),
        BLOCK,
        [r"tiny\.yaml:2: data\.name: .*'scenes', 'bccd', 'coco', 'voc' or 'folder' \(got 'scene'\)"],
    ),
    "number out of range": (
        PRESET.replace("epochs: 2", "epochs: 0"),
        BLOCK,
        [r"tiny\.yaml:3: train\.epochs: .*greater than or equal to 1"],
    ),
    "image side that is no multiple of the stride": (
        PRESET.replace("64", "65"),
        BLOCK,
        [r"tiny\.yaml:2: data\.imgsz: .*multiple of 32 \(got 65\)"],
    ),
    "a seed twice": (PRESET.replace("[0, 1]", "[1, 1]"), BLOCK, [r"tiny\.yaml:4: seeds: each entry may stand once"]),
    "unknown ablation": (
        PRESET.replace("[block]", "[blok]"),
        BLOCK,
        [r"tiny\.yaml:5: ablations\.0: no ablation 'blok' in .*; did you mean 'block'\? allowed: block"],
    ),
    "teacher from a trunk that is not there": (
        PRESET + "teacher: {from_trunk: true}\n",
        BLOCK,
        [r"tiny\.yaml:6: teacher\.from_trunk: there is no trunk; add `trunk:`"],
    ),
    "nothing to train": (
        PRESET.replace("[block]", "[]"),
        BLOCK,
        [r"tiny\.yaml:\d+: ablations: name some; only a preset that trains trunks of its own may have none"],
    ),
    "nothing but another preset's trunks": (
        PRESET.replace("[block]", "[]") + "trunk: {preset: trunks}\n",
        BLOCK,
        [r"tiny\.yaml:\d+: ablations: name some; only a preset that trains trunks of its own may have none"],
    ),
    "trunks of another preset and of one's own": (
        PRESET + "trunk: {preset: trunks, train: {epochs: 5}}\n",
        BLOCK,
        [r"tiny\.yaml:6: trunk: .*train, blocks: the trunks are those of preset trunks; drop one or the other"],
    ),
    "trunks of a preset that is not there": (
        PRESET + "trunk: {preset: tine}\n",
        BLOCK,
        [r"tiny\.yaml:6: trunk\.preset: no preset 'tine': .*did you mean 'tiny'\? allowed: tiny"],
    ),
    "trunks of a preset that has none": (
        PRESET + "trunk: {preset: tiny}\n",
        BLOCK,
        [r"tiny\.yaml:6: trunk\.preset: .*tiny\.yaml trains no trunks of its own; name a preset that does"],
    ),
    "trunk with an unknown part": (
        PRESET + BLOCKS.replace("attention: none", "attention: nune"),
        BLOCK,
        [r"tiny\.yaml:10: trunk\.blocks\.plain\.attention: .*'none', .*got 'nune'"],
    ),
    "bad syntax": (PRESET.replace("seeds: [0, 1]", "seeds: [0, 1"), BLOCK, [r"tiny\.yaml:5: not valid YAML: "]),
    "a key twice": (PRESET, BLOCK + "title: again\n", [r"block\.yaml:8: 'title' stands twice \(first in line 1\)"]),
    "an arm twice": (
        PRESET,
        arms("c2f: {}\nc2f: {model.block: c2f}"),
        [r"block\.yaml:6: 'c2f' stands twice \(first in line 5\); rename or drop one"],
    ),
    "two arms with one run": (
        PRESET,
        arms("c2f: {}\nsame: {model.block: c2fcib}"),
        [r"block\.yaml:6: arms\.same: resolves to the same run as arm 'c2f'"],
    ),
    "two arms that differ in a field without meaning": (
        PRESET,
        arms("c2f: {model.block: c2f}\nsame: {model.block: c2f, model.kernel: 7}"),
        [r"block\.yaml:6: arms\.same: resolves to the same run as arm 'c2f'"],
    ),
    "baseline that is no arm": (
        PRESET,
        BLOCK.replace("baseline: c2f", "baseline: c2"),
        [r"block\.yaml:\d+: .*baseline: 'c2' is not an arm; did you mean 'c2f'\? allowed: c2f, c2fcib"],
    ),
    "baseline missing": (PRESET, BLOCK.replace("baseline: c2f\n", ""), [r"block\.yaml:1: baseline: is required"]),
    "unknown field of an arm": (
        PRESET,
        arms("c2f: {}\nb: {model.p5_blok: c2f}"),
        [r"block\.yaml:6: arms\.b\.model\.p5_blok: unknown field; .*allowed: attention, backbone"],
    ),
    "field that no arm may contest": (
        PRESET,
        arms("c2f: {}\nb: {seed: 3}"),
        [r"block\.yaml:6: arms\.b\.seed: unknown field; .*allowed: distill\.boxes, .*, read"],
    ),
    "unknown value of an arm": (
        PRESET,
        arms("c2f: {}\nb: {model.block: c3f}"),
        [r"block\.yaml:6: arms\.b\.model\.block: did you mean 'c2f'\? Input should be .* \(got 'c3f'\)"],
    ),
    "stages that are no list": (
        PRESET,
        arms("c2f: {}\nb: {model.block_stages: 7}"),
        [r"block\.yaml:6: arms\.b\.model\.block_stages: Input should be a list, such as \[7\] \(got 7\)"],
    ),
    "a field beside the whole of its group": (
        PRESET,
        arms("c2f: {}\nb: {train.augment: 5, train.augment.mosaic: 1.0}"),
        [r"block\.yaml:6: arms\.b\.train\.augment\.mosaic: lies in train\.augment, which stands here too; drop one"],
    ),
    "a field before the whole of its group, which would undo it": (
        PRESET,
        arms("c2f: {}\nb: {train.augment.mosaic: 1.0, train.augment: {scale: 0.1}}"),
        [r"block\.yaml:6: arms\.b\.train\.augment\.mosaic: lies in train\.augment, which stands here too; drop one"],
    ),
    "more candidates than an image has places": (
        PRESET,
        arms("c2f: {}\nb: {loss.candidates: 85}"),
        [r"block\.yaml:6: arms\.b\.loss\.candidates: an image of 64 pixels has 84 places to choose from \(got 85\)"],
    ),
    "augmentation that needs outlines": (
        PRESET.replace("epochs: 2", "epochs: 2, augment: {copy_paste: 0.3}"),
        BLOCK,
        [r"tiny\.yaml:3: train\.augment\.copy_paste: pastes objects by their outlines, .*leave it out \(got 0\.3\)"],
    ),
    "tap that the backbone does not offer": (
        PRESET,
        arms("c2f: {}\nb: {model.p5_tap: 1000}"),
        [r"block\.yaml:6: arms\.b\.model\.p5_tap: Input should be 128, 960 or 1280 with backbone mnv4_conv_small"],
    ),
    "impossible reading": (
        PRESET,
        arms("c2f: {}\nb: {model.head: one_to_many, read: nms_free}"),
        [r"block\.yaml:6: arms\.b\.read: a one_to_many head cannot be read 'nms_free'; allowed: nms"],
    ),
    "unknown reading": (
        PRESET,
        arms("c2f: {}\nb: {read: softnms}"),
        [r"block\.yaml:6: arms\.b\.read: a dual head cannot be read 'softnms'; allowed: nms_free, nms"],
    ),
    "contested part that the trunk brings": (
        PRESET + TRUNK,
        arms("c2f: {}\nb: {model.downsample: conv}"),
        [r"block\.yaml:6: arms\.b\.model\.downsample: decides p5_down, .*this file's `fresh`, or write `start: scr"],
    ),
    "contested width": (
        PRESET + TRUNK,
        arms("c2f: {}\nb: {model.scale: s}"),
        [r"block\.yaml:6: arms\.b\.model\.scale: decides the whole network"],
    ),
    "one arm": (PRESET, arms("c2f: {}"), [r"block\.yaml:4: arms: name two at least, the baseline and another"]),
    "effect of nothing": (
        PRESET,
        BLOCK.replace("0.005", "0"),
        [r"block\.yaml:7: smallest_effect: .*greater than 0 \(got 0\)"],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_place_and_remedy(mistake: str, tmp_path: Path) -> None:
    preset, ablation, messages = MISTAKES[mistake]
    with pytest.raises(SpecError) as caught:
        load(tmp_path, preset, block=ablation)
    text = str(caught.value)
    assert len(text.splitlines()) == len(messages), text
    for message in messages:
        assert re.search(message, text), text


def test_what_is_wrong_under_one_preset_alone_names_its_file(tmp_path: Path) -> None:
    jitter = arms("c2f: {}\njitter: {train.augment.scale: 0.5}")
    assert load(tmp_path, block=jitter).arms
    (tmp_path / "config" / "tiny.yaml").write_text(PRESET.replace("epochs: 2", "epochs: 2, augment: {scale: 0.5}"))
    with pytest.raises(SpecError, match=r"'c2f'; .*write out that arm's values.* \(under .*config/tiny\.yaml\)$"):
        plan.load("tiny", root=tmp_path)
    with pytest.raises(SpecError, match=r"84 places to choose from \(got 85\) \(under .*config/tiny\.yaml\)$"):
        load_again(tmp_path, block=arms("c2f: {}\nb: {loss.candidates: 85}"))
    with pytest.raises(SpecError, match=r"b\.loss\.candidates: Input should be a whole number \(got 'x'\)$"):
        load_again(tmp_path, block=arms("c2f: {}\nb: {loss.candidates: x}"))


@pytest.mark.parametrize("name", ["", "a/b", "../x", "large-k", ".x", "_x", "x y", "ä"])
def test_an_arm_is_named_in_plain_letters(name: str, tmp_path: Path) -> None:
    told = rf"block\.yaml:\d: arms\.{re.escape(name)}: a name is .* \(got '{re.escape(name)}'\); rename the arm"
    with pytest.raises(SpecError, match=told):
        load(tmp_path, block=arms(f'c2f: {{}}\n"{name}": {{model.block: c2f}}'))


@pytest.mark.parametrize("ending", ["yml", "YAML"])
def test_a_file_of_another_ending_is_named_where_it_is_asked_for(ending: str, tmp_path: Path) -> None:
    folder = project(tmp_path)
    for path in ("ablations/other", "config/other"):
        (folder / f"{path}.{ending}").touch()
    for asked in ({"preset": "tiny", "only": "other"}, {"preset": "other"}):
        with pytest.raises(SpecError, match=rf"other\.{ending}: is not read; rename it to other\.yaml"):
            plan.load(**asked, root=folder)


def test_an_unknown_preset_is_named_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no preset 'tinny': .* did you mean 'tiny'\? allowed: tiny"):
        plan.load("tinny", root=project(tmp_path))


def test_only_picks_several_in_their_order_each_once(tmp_path: Path) -> None:
    folder = project(tmp_path, other=BLOCK)
    assert list(plan.load("tiny", "other,block,other", folder).ablations) == ["other", "block"]
    with pytest.raises(SpecError, match="no ablation 'blok'"):
        plan.load("tiny", "other,blok", folder)


def test_a_plan_says_what_was_asked_for(tmp_path: Path) -> None:
    folder = project(tmp_path, other=BLOCK)
    whole, part = plan.load("tiny", root=folder), plan.load("tiny", "other,block", folder, seeds=1)
    assert (whole.title, whole.config) == (whole.preset.title, "preset=tiny")
    assert (part.title, part.config) == (f"{whole.title} (other, block)", "preset=tiny only=other,block seeds=1")


def test_an_unknown_only_is_named_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no ablation 'blok' in .* did you mean 'block'\?"):
        load(tmp_path, only="blok")


def test_a_run_of_another_day_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="has no run default-000; `mnv4bench plan --runs` lists its runs"):
        load(tmp_path).run("default-000")


# Identity

PINNED = "eaeae2dafbde970acc12105628d3f8f6ca03a70cf8d00af6b14a63fcfbb8ceaa"
"""Digest of the default one-epoch run. It names folders of committed results: when it moves, raise spec.PROTOCOL."""


def one_epoch(**fields: Any) -> RunSpec:
    return RunSpec(train=TrainSpec(epochs=1), **fields)


def test_the_digest_of_an_unchanged_spec_stays() -> None:
    assert one_epoch().digest() == PINNED
    assert RunSpec.model_validate_json(one_epoch().model_dump_json()).digest() == PINNED


def leaves(record: BaseModel, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Yield place, annotation and value of every field that holds no record."""
    for name, field in type(record).model_fields.items():
        value = getattr(record, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, (*place, name))
        else:
            yield (*place, name), field.annotation, value


def another(annotation: Any, value: Any) -> Any:
    """Return a valid value other than `value`, or None where there is none."""
    if get_origin(annotation) is Literal:
        return next((choice for choice in get_args(annotation) if choice != value), None)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 32
    if isinstance(value, float):
        return value / 2 or 0.5
    if isinstance(value, tuple):
        return ("head",)
    if isinstance(value, dict):
        return {"unlabelled": 2}
    assert value is None
    return 5 if int in get_args(annotation) else "name"


LEAVES = {".".join(place): another(annotation, value) for place, annotation, value in leaves(one_epoch())}
LEAVES["model.rows"] = (*["conv 3x3 16 /2"] * 5, "conv 1x1 960 /1")
LEAVES["model.p5_tap"] = TAPS["mnv4_conv_small"][0]  # one of a few numbers
LEAVES["model.peer"] = "yolov8n"
LEAVES["model.weights"] = "yolov8n"
LEAVES |= {"deploy.confidence": 0.25}  # of published weights
LEAVES["model.block_stages"] = ("p4_out", "p5_out")
LEAVES["pretrained"] = {"file": "a.pt", "sha256": "0" * 64}
LEAVES["mixture.sets"] = ("heavy",)
LEAVES["train.devices"] = 2  # no more than a batch has images
LEAVES["data.name"] = "bccd"  # which needs no folder
for place in ("train.augment", "mixture.heavy"):
    del LEAVES[f"{place}.copy_paste"]  # has no other value, which a test of its own says
del LEAVES["model.mobile_attention"]  # has another value beside a hybrid backbone alone; a test of its own is below


@pytest.mark.parametrize("field", LEAVES)
def test_every_field_changes_the_digest(field: str) -> None:
    values = one_epoch().model_dump()
    if field in ("train.precision", "train.compile"):
        values["train"]["device"] = "cuda"
    if field == "train.devices":
        values["train"]["draws"] = "image"
    if field == "train.batch_norm":  # of several devices alone
        values["train"] |= {"draws": "image", "devices": 2}
    if field.startswith(("mixture.heavy.", "mixture.unlabelled", "mixture.shares")):  # of sets that are not drawn from
        values["mixture"]["sets"], values["distill"]["logits"] = ("heavy", "unlabelled"), 1.0
    if field.startswith("deploy."):
        values["model"]["weights"], values["train"]["epochs"] = "yolov10n", 0
    if field == "model.rows":  # of a searched backbone alone
        values["model"] |= {"backbone": "searched", "rows": (*["conv 3x3 8 /2"] * 5, "conv 1x1 960 /1")}
    for place, source in (("data.folder", "coco"), ("data.path", "folder")):  # of these sources alone
        if field == place:
            values["data"] |= {"name": source, place.removeprefix("data."): "elsewhere"}
    base = RunSpec.model_validate(values).digest()
    if field == "model.weights":
        values["train"]["epochs"] = 0
    *parents, last = field.split(".")
    owner = values
    for parent in parents:
        owner = owner[parent]
    owner[last] = LEAVES[field]
    assert RunSpec.model_validate(values).digest() != base


DEFAULTS = {
    "model": {
        "backbone": "mnv4_conv_small", "scale": "n", "p5_tap": 960, "sppf": "silu", "attention": "psa",
        "downsample": "scdown", "block": "c2fcib", "block_stages": ["p5_out"], "kernel": 7, "reparameterised": True,
        "class_branch": "light", "head": "dual", "peer": None, "weights": None, "uib": "mixed",
        "mobile_attention": "as_published",
    },
    "loss": {"alpha": 0.5, "beta": 6.0, "weights": "sum", "enlarge_small": False},
    "distill": {"logits": 0.0, "boxes": 0.0, "features": 0.0},
    "mixture": {
        "sets": ["mild"], "unlabelled": 2400,
        "heavy": {
            "mosaic": 0.0, "close_mosaic": 0, "mixup": 0.5, "copy_paste": 0.0, "scale": 0.5, "translate": 0.1,
            "fliplr": 0.5, "flipud": 0.0, "hsv_h": 0.015, "hsv_s": 0.7, "hsv_v": 0.4,
        },
    },
    "train": {
        "epochs": 1, "batch": 16, "optimizer": "adamw", "lr": 2e-3, "final_lr": 0.01, "schedule": "one_cycle",
        "momentum": 0.9, "weight_decay": 0.01, "warmup_epochs": 3.0, "warmup_momentum": 0.8, "warmup_bias_lr": 0.0,
        "ema_decay": 0.9999, "ema_tau": 2000.0, "ema_by_length": True, "box_bias": 1.0, "class_prior": "image",
        "first_boxes": "image",
        "device": "cpu", "precision": "fp32", "threads": 1, "workers": 0, "images": None, "half_weights": False,
    },
    "data": {"name": "scenes", "imgsz": 160, "train": None, "val": None, "seed": 0, "folder": None},
}  # fmt: skip
"""Of protocol 5. Specs' texts leave defaults out, so a default that changes changes what old digests mean: raise
spec.PROTOCOL with it. New fields may be added here."""


def test_the_defaults_that_digests_leave_out_stay() -> None:
    values = one_epoch().model_dump(mode="json")
    for part, defaults in DEFAULTS.items():
        assert {name: values[part][name] for name in defaults} == defaults
    assert PROTOCOL == 5


def test_attention_of_a_hybrid_backbone_changes_the_digest() -> None:
    hybrid = ModelSpec(backbone="mnv4_hybrid_medium")
    other = ModelSpec(backbone="mnv4_hybrid_medium", mobile_attention="mqa")
    assert one_epoch(model=hybrid).digest() != one_epoch(model=other).digest()


def test_a_text_holds_only_what_differs_from_the_defaults() -> None:
    assert one_epoch().canonical() == '{"protocol":5,"train":{"epochs":1}}'
    assert one_epoch(model=ModelSpec(attention="none"), seed=3).canonical() == (
        '{"model":{"attention":"none"},"protocol":5,"seed":3,"train":{"epochs":1}}'
    )


def test_every_field_has_another_value_to_try() -> None:
    assert None not in LEAVES.values()
    assert {"train.augment.mosaic", "distill.boxes", "seed", "start", "fresh", "teacher", "data.folder"} < set(LEAVES)


def test_a_kernel_without_cib_has_no_meaning() -> None:
    assert ModelSpec(block="c2f", kernel=7) == ModelSpec(block="c2f", kernel=3)
    assert one_epoch(model=ModelSpec(block="c2f", kernel=7)).digest() == (
        one_epoch(model=ModelSpec(block="c2f", kernel=3)).digest()
    )


def test_precision_that_needs_a_gpu_is_refused_without() -> None:
    with pytest.raises(ValueError, match="precision amp needs device: cuda"):
        TrainSpec(epochs=1, precision="amp")
    with pytest.raises(ValueError, match="compile needs device: cuda, and devices: 1"):
        TrainSpec(epochs=1, compile=True)


def test_slugs_say_what_differs_from_the_default() -> None:
    def named(**fields: Any) -> str:
        return slug(one_epoch(**fields))

    assert named() == "default"
    assert named(model=ModelSpec(block="c2f")) == "c2f"
    assert named(model=ModelSpec(downsample="conv", attention="none")) == "no_attention+conv"
    assert named(model=ModelSpec(reparameterised=False, kernel=5)) == "kernel_5+no_reparameterised"
    assert named(model=ModelSpec(block_stages=("p5_out", "p3_out"))) == "at_p3_out_p5_out"
    assert named(model=ModelSpec(peer="yolov8n")) == "yolov8n"
    assert named(distill=DistillSpec(boxes=1.0)) == "default+distilled"
    assert named(loss=LossSpec(alpha=1, beta=12, weights="decaying")) == "decaying+matching_1_12"


def test_a_head_is_read_as_its_branches_allow() -> None:
    assert readings(ModelSpec(head="one_to_many")) == ("nms",)
    assert readings(ModelSpec(head="one_to_one")) == ("nms_free",)
    assert set(readings(ModelSpec())) == {"nms_free", "nms"}


def test_streams_have_a_seed_of_their_own_that_does_not_move() -> None:
    assert derive_seed("order", 0, 1) == derive_seed("order", 0, 1) != derive_seed("order", 0, 2)
    assert derive_seed("order", 1, 1) != derive_seed("order", 11)
    assert derive_seed("a") == 0xCA978112  # the first word of SHA-256("a"), FIPS 180-4


def test_augmentation_is_off_unless_named() -> None:
    on = {name: value for name, value in AugmentSpec() if value}
    assert on == {"fliplr": 0.5}
