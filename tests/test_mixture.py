"""Mixtures of image sets: who is drawn when, that images without ground truth add the teacher's terms alone, resume."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from helpers import CLASSES, ROOT, SIDE, batch_of, images, spread, tiny_dataset, tiny_run, train_until_killed
from torch import Tensor

from mnv4bench.data import scenes
from mnv4bench.data.prepared import load
from mnv4bench.io.errors import PairingError, SpecError
from mnv4bench.models import detector
from mnv4bench.models.yolo import Detector
from mnv4bench.spec import plan
from mnv4bench.spec.model import ModelSpec
from mnv4bench.spec.run import AugmentSpec, DataSpec, DistillSpec, MixtureSpec, RunSpec, TrainSpec, derive_seed
from mnv4bench.train import pairing
from mnv4bench.train.batches import Batches, training_mixture, training_set
from mnv4bench.train.checkpoint import FILE as CHECKPOINT
from mnv4bench.train.distillation import Distillation
from mnv4bench.train.loop import Trainer
from mnv4bench.train.mixture import Mixture, with_ground_truth
from mnv4bench.train.run import train

pytestmark = pytest.mark.usefixtures("process_settings")

ALL = ("mild", "heavy", "unlabelled")
OUTPUTS = DistillSpec(logits=1.0, boxes=1.0)
MILD = AugmentSpec()


def run(*sets: str, epochs: int = 1, **fields: Any) -> RunSpec:
    mixture = MixtureSpec(sets=sets, **fields.pop("mixture", {"unlabelled": 6}))
    return tiny_run(epochs, mixture=mixture, **{"distill": OUTPUTS, "teacher": "teacher", **fields})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("mixture"))


# Order


def mixed(count: int, images: int, *sets: str, **shares: int) -> Mixture:
    """Return a mixture whose sets, `images` without labels, have a size and nothing else."""
    sizes = {"mild": count, "heavy": count, "unlabelled": images}
    return Mixture({name: range(sizes[name]) for name in sets}, dict.fromkeys(sets, MILD), count, shares)  # type: ignore


@pytest.mark.parametrize(
    ("sets", "shares"),
    [(("mild", "heavy"), {}), (("heavy", "unlabelled"), {}), (ALL, {}), (ALL, {"unlabelled": 2})],
)
def test_sets_are_drawn_by_their_shares(sets: tuple[str, ...], shares: dict[str, int]) -> None:
    count, lots = 6000, {name: shares.get(name, 1) for name in sets}
    found = Counter(name for name, _ in mixed(count, count, *sets, **shares).order(0, 0))
    assert set(found) == set(sets)
    for name in sets:
        share = lots[name] / sum(lots.values())
        assert abs(found[name] - count * share) < 4 * math.sqrt(count * share * (1 - share))


def test_labelled_images_keep_their_turn_whatever_they_are_mixed_with() -> None:
    alone = mixed(500, 300, "mild").order(3, 2)
    stream = np.random.Generator(np.random.PCG64(derive_seed("order", 3, 2)))  # the order of runs without mixtures
    assert alone == [("mild", index) for index in stream.permutation(500).tolist()]
    for sets in (("heavy",), ("mild", "heavy"), ALL):
        for (_, plain), (name, index) in zip(alone, mixed(500, 300, *sets).order(3, 2), strict=True):
            assert name == "unlabelled" or index == plain


def test_unlabelled_images_come_once_each_before_any_comes_again() -> None:
    enough = [index for _, index in mixed(500, 700, "unlabelled").order(0, 0)]
    assert len(set(enough)) == 500
    assert max(enough) > 500
    short = Counter(index for _, index in mixed(500, 200, "unlabelled").order(0, 0))
    assert set(short) == set(range(200))
    assert set(short.values()) == {2, 3}


def test_an_epochs_order_depends_on_seed_and_epoch_alone() -> None:
    one, other = mixed(50, 50, *ALL), mixed(50, 50, *ALL)
    assert [one.order(0, epoch) for epoch in (0, 1, 2)][2] == other.order(0, 2)
    assert len({str(one.order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


# Batches


def batches(data: Path, spec: RunSpec) -> Batches:
    return Batches(training_mixture(load(data), data, spec), spec.train, derive_seed("run", spec.seed))


NAMES = ("img", "cls", "bboxes", "batch_idx")


def alike(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    return all(torch.equal(a[name], b[name]) for a, b in zip(one, other, strict=True) for name in NAMES)


def test_the_default_mixture_is_what_is_trained_without_one(data: Path) -> None:
    spec = tiny_run()
    plain = Batches(training_set(load(data), data, spec.data, spec.train), spec.train, derive_seed("run", 0))
    found = list(batches(data, spec)(0))
    assert alike(found, list(plain(0)))
    assert not any("labelled" in batch for batch in found)


def test_batches_tell_which_images_have_ground_truth_and_keep_their_number(data: Path) -> None:
    source = batches(data, run(*ALL, train={"batch": 3}))
    assert len(source) == 3
    seen = set()
    for epoch in range(4):
        found = list(source(epoch))
        assert [len(batch["img"]) for batch in found] == [3, 3, 2]
        for batch in found:
            assert batch["labelled"].tolist() == ["unlabelled" not in file for file in batch["im_file"]]
            assert batch["labelled"][batch["batch_idx"].long()].all()
            seen.update(batch["labelled"].tolist())
    assert seen == {True, False}


def test_heavy_images_are_the_mild_ones_in_the_same_order_under_their_own_augmentation(data: Path) -> None:
    heavy = {"heavy": AugmentSpec(fliplr=0.0, flipud=1.0)}
    plain = {"augment": AugmentSpec(fliplr=0.0)}
    mild, upside_down = (list(batches(data, run(name, mixture=heavy, train=plain))(0)) for name in ("mild", "heavy"))
    for one, other in zip(mild, upside_down, strict=True):
        assert one["im_file"] == other["im_file"]
        assert torch.equal(one["img"].flip(2), other["img"])


def test_the_default_heavy_augmentation_blends_about_half_of_the_images(data: Path) -> None:
    spec = run("heavy", mixture={"heavy": AugmentSpec(mixup=MixtureSpec().heavy.mixup, fliplr=0.0)})
    source = batches(data, spec)
    plain = {path.name: cv2.imread(str(path))[:, :, ::-1] for path in (data / "images" / "train").glob("*.png")}
    blended = [
        not np.array_equal(image.numpy().transpose(1, 2, 0), plain[Path(file).name])
        for epoch in range(10)
        for batch in source(epoch)
        for image, file in zip(batch["img"], batch["im_file"], strict=True)
    ]
    assert sum(blended) / len(blended) == pytest.approx(0.5, abs=4 * math.sqrt(0.25 / len(blended)))


def test_each_set_closes_its_mosaic_at_its_own_time(data: Path) -> None:
    mosaic = {"heavy": AugmentSpec(mosaic=1.0, close_mosaic=1)}
    spec = run("heavy", epochs=3, mixture=mosaic, train={"augment": AugmentSpec(mosaic=1.0, close_mosaic=2)})
    never = run("heavy", epochs=3, mixture={"heavy": AugmentSpec()})
    closing, plain = batches(data, spec), batches(data, never)
    assert [alike(list(closing(epoch)), list(plain(epoch))) for epoch in range(3)] == [False, False, True]
    assert alike(list(batches(data, spec)(2)), list(plain(2)))


# Unlabelled scenes


def test_unlabelled_scenes_are_a_split_of_their_own_and_drawn_where_they_are_missing(tmp_path: Path) -> None:
    spec = DataSpec(imgsz=SIDE, train=4, val=2, seed=3)
    first = scenes.unlabelled(spec, 2, tmp_path)
    times = [path.stat().st_mtime_ns for path in first]
    files = scenes.unlabelled(spec, 4, tmp_path)
    assert files[:2] == first
    assert [path.stat().st_mtime_ns for path in first] == times
    for index, file in enumerate(files):
        picture = cv2.imread(str(file))[:, :, ::-1]
        assert np.array_equal(picture, scenes.scene(3, "unlabelled", index, SIDE)[0])
        assert not any(np.array_equal(picture, scenes.scene(3, split, index, SIDE)[0]) for split in ("train", "val"))
    files[1].unlink()
    assert scenes.unlabelled(spec, 4, tmp_path)[1].is_file()


# No supervision


def network(seed: int) -> Detector:
    model = detector.build(ModelSpec(), len(CLASSES), seed=seed)
    spread(model, seed)
    return model


def three(labelled: list[bool]) -> dict[str, Tensor]:
    """Return three images in a batch, an object in each of the labelled ones."""
    count = sum(labelled)
    batch = batch_of([[0.4 + 0.1 * k, 0.5, 0.4, 0.3] for k in range(count)], [k % 2 for k in range(count)], SIDE)
    index = torch.tensor([float(k) for k in range(3) if labelled[k]])
    return {**batch, "img": images(3), "batch_idx": index, "labelled": torch.tensor(labelled)}


def test_images_with_ground_truth_are_renumbered_by_hand() -> None:
    scores = torch.arange(4.0)[:, None, None]
    batch = {
        "img": torch.arange(4.0)[:, None],
        "cls": torch.tensor([[5.0], [6.0], [7.0]]),
        "bboxes": torch.zeros(3, 4),
        "batch_idx": torch.tensor([1.0, 3.0, 3.0]),
        "labelled": torch.tensor([False, True, False, True]),
    }
    predictions = {"one2many": {"scores": scores, "feats": [scores + 10, scores + 20]}}
    mine, kept = with_ground_truth(predictions, batch)
    assert mine["one2many"]["scores"].flatten().tolist() == [1.0, 3.0]
    assert [level.flatten().tolist() for level in mine["one2many"]["feats"]] == [[11.0, 13.0], [21.0, 23.0]]
    assert kept["batch_idx"].tolist() == [0.0, 1.0, 1.0]
    assert kept["cls"].flatten().tolist() == [5.0, 6.0, 7.0]
    assert kept["img"].flatten().tolist() == [1.0, 3.0]


def test_no_supervised_gradient_comes_from_an_unlabelled_image_and_empty_labels_would_give_some() -> None:
    trainer = Trainer(network(0).train(), TrainSpec(epochs=1))
    batch = three([True, False, True])

    def gradients(given: dict[str, Tensor]) -> list[float]:
        predictions = trainer.model(batch["img"])
        raw = [predictions[branch][name] for branch in ("one2many", "one2one") for name in ("scores", "boxes")]
        loss = trainer._supervised(predictions, given)[0].sum()
        found = torch.autograd.grad(loss, raw)
        return [sum(float(gradient[image].abs().sum()) for gradient in found) for image in range(3)]

    first, second, third = gradients(batch)
    assert second == 0.0
    assert min(first, third) > 0
    empty = {name: value for name, value in batch.items() if name != "labelled"}
    assert gradients(empty)[1] > 0


def test_the_supervised_loss_is_that_of_a_batch_of_the_labelled_images_alone() -> None:
    model = network(0).eval()  # batch norms see no difference
    trainer = Trainer(model, TrainSpec(epochs=1))
    batch = three([True, False, True])
    loss, items = trainer._supervised(model(batch["img"])[1], batch)
    alone = {**batch, "img": batch["img"][[0, 2]], "batch_idx": torch.tensor([0.0, 1.0])}
    wanted, values = trainer.criterion(model(alone["img"])[1], alone)
    torch.testing.assert_close(loss, wanted)
    torch.testing.assert_close(list(items.values()), list(values.values()))


def test_a_batch_without_any_ground_truth_is_learned_from_the_teacher_alone() -> None:
    student = network(0)
    before = {name: value.clone() for name, value in student.part_state().items()}
    trainer = Trainer(student.train(), TrainSpec(epochs=1), Distillation(network(1), OUTPUTS, 0.5, 7.5))
    batch = three([False, False, False])
    terms = trainer.step_on({**batch, "img": (batch["img"] * 255).to(torch.uint8)})
    assert terms[:3].tolist() == [0.0, 0.0, 0.0]
    assert float(terms[3]) > 0
    after = student.part_state()
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved >= {"backbone", "p5_out", "head"}


# Specs and plans


def test_the_default_mixture_leaves_a_specs_digest_alone_and_equal_mixtures_have_one_spelling() -> None:
    assert "mixture" not in tiny_run().canonical()
    assert MixtureSpec(heavy=AugmentSpec(mixup=1.0), unlabelled=7) == MixtureSpec()
    assert MixtureSpec(sets=("heavy", "mild")) == MixtureSpec(sets=("mild", "heavy"))
    assert MixtureSpec(sets=("heavy",), heavy=AugmentSpec(mixup=1.0)) != MixtureSpec(sets=("heavy",))
    digests = {run(*sets).digest() for sets in (("mild",), ("heavy",), ("mild", "heavy"), ("unlabelled",))}
    assert len(digests) == 4


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mixture": MixtureSpec(sets=("unlabelled",))}, "teach nothing without a teacher"),
        (
            {"mixture": MixtureSpec(sets=ALL), "distill": OUTPUTS, "data": DataSpec(name="bccd")},
            "bccd has no unlabelled images",
        ),
        ({"mixture": {"sets": ("mild", "mild")}}, "each set may stand once"),
        ({"mixture": {"sets": ()}}, "at least 1 item"),
        ({"mixture": {"sets": ("mild", "heavy"), "shares": {"unlabelled": 2}}}, "unlabelled is not mixed with"),
        ({"mixture": {"shares": {"mild": 2}}}, "mild is not mixed with anything"),
        ({"mixture": {"sets": ("mild", "heavy"), "shares": {"heavy": 1}}}, "a share is 2 or more"),
        ({"mixture": {"sets": ("strong",)}}, "'mild', 'heavy' or 'unlabelled'"),
    ],
)
def test_a_mixture_that_cannot_be_is_refused_with_the_reason(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RunSpec(train=TrainSpec(epochs=1), **fields)


PRESET = """\
title: tiny
data: {name: NAME, imgsz: 64}
train: {epochs: 2}
trunk: {}
teacher: {from_trunk: true}
seeds: [0]
ablations: [distillation_data]
arms: WHICH
"""


def planned(folder: Path, name: str, which: str) -> plan.Plan:
    (folder / "config").mkdir()
    (folder / "ablations").symlink_to(ROOT / "ablations")
    (folder / "config" / "tiny.yaml").write_text(PRESET.replace("NAME", name).replace("WHICH", which))
    return plan.load("tiny", root=folder)


def test_photographs_have_the_labelled_arms_and_refuse_the_others_when_the_plan_is_read(tmp_path: Path) -> None:
    for name in ("bccd", "more"):
        (tmp_path / name).mkdir()
    assert [arm.name for arm in planned(tmp_path / "bccd", "bccd", "core").arms] == ["D1", "D2", "D1_D2"]
    with pytest.raises(SpecError, match=r"distillation_data.yaml:\d+: arms.D3.mixture: bccd has no unlabelled images"):
        planned(tmp_path / "more", "bccd", "all")


def test_the_ablation_has_the_papers_six_mixtures_on_scenes_with_a_teacher_in_each(tmp_path: Path) -> None:
    found = planned(tmp_path, "scenes", "all")
    runs = {arm.name: found.run(arm.runs[0]) for arm in found.arms}
    names = {"D1": "mild", "D2": "heavy", "D3": "unlabelled"}
    assert len(runs) == 6
    for arm, spec in runs.items():
        assert spec.mixture.sets == tuple(names[part] for part in arm.split("_"))
        assert spec.mixture.shares == ({"unlabelled": 2} if arm == "D1_D2_D3" else {})
        assert spec.distill == OUTPUTS
        assert spec.teacher is not None


# Pairing


def test_pairing_compares_batches_among_equal_mixtures_and_initial_values_among_all(data: Path, tmp_path: Path) -> None:
    state = network(0).part_state()

    def prove(name: str, spec: RunSpec, state: dict[str, Tensor], batch: dict[str, Tensor]) -> None:
        pairing.prove(name, spec, "0" * 64, pairing.fingerprint(state, batch, spec), tmp_path)

    arms = {"mild": tiny_run(), "heavy": run("heavy"), "mixed": run(*ALL)}
    first = {name: next(iter(batches(data, spec)(0))) for name, spec in arms.items()}
    for name, spec in arms.items():
        prove(name, spec, state, first[name])
    prove("mixed_again", arms["mixed"], state, first["mixed"])
    with pytest.raises(PairingError, match=r"tampered and mixed.* share a seed, but their first batch of .* differs"):
        prove("tampered", arms["mixed"], state, {**first["mixed"], "labelled": ~first["mixed"]["labelled"]})
    changed = {**state, "p4_mid.cv1.conv.weight": state["p4_mid.cv1.conv.weight"] + 1}
    with pytest.raises(PairingError, match=r"tampered and \w+ share a seed, but their p4_mid.* differs"):
        prove("tampered", run("unlabelled"), changed, first["mixed"])


# Resume


def test_a_mixed_and_distilled_run_that_is_killed_ends_with_the_same_bytes(data: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    assert train("teacher", tiny_run(), data, runs).state == "done"
    spec = run(*ALL, epochs=2, distill=DistillSpec(logits=1.0, boxes=1.0, features=6.0))
    assert train("undisturbed", spec, data, runs).state == "done"
    train_until_killed(runs / "killed", spec, data, step=3)
    assert (runs / "killed" / CHECKPOINT).exists()
    assert train("killed", spec, data, runs).state == "done"
    for name in ("weights.safetensors", "curve.csv", "pairing.json"):
        assert (runs / "killed" / name).read_bytes() == (runs / "undisturbed" / name).read_bytes()
