"""What differs between ultralytics today and the papers' releases is a field, and each does what its name says."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mnv4bench.models import detector, peers
from mnv4bench.models.yolo import hyperparameters
from mnv4bench.spec.model import ModelSpec, contested
from mnv4bench.spec.run import LossSpec, TrainSpec
from mnv4bench.train.loop import Trainer
from mnv4bench.train.schedule import YOLOV10_STEPS, average_constants

CLASSES = 3


def test_sppf_with_silu_has_the_same_weights_and_other_features() -> None:
    ours, released = (detector.build(ModelSpec(sppf=form), CLASSES, seed=1).eval() for form in ("linear", "silu"))
    assert [key for key, _ in contested(ModelSpec(sppf="linear"), ModelSpec(sppf="silu"))] == ["sppf"]
    assert all(
        torch.equal(a, b) for a, b in zip(ours.state_dict().values(), released.state_dict().values(), strict=True)
    )
    layers = [model.model[model.parts.index("sppf")] for model in (ours, released)]
    x = torch.randn(1, layers[0].cv1.conv.in_channels, 5, 5, generator=torch.Generator().manual_seed(0))
    linear = layers[0].cv1(x)
    assert torch.allclose(layers[1].cv1(x), nn.functional.silu(linear))


def test_the_defaults_are_the_published_forms() -> None:
    """YOLOv10's release: nn/modules/block.py, nn/modules/head.py, utils/tal.py, utils/torch_utils.py."""
    train = TrainSpec(epochs=1)
    assert (ModelSpec().sppf, LossSpec().enlarge_small) == ("silu", False)
    assert (train.box_bias, train.class_prior, train.first_boxes, train.ema_by_length) == (1.0, "image", "image", True)


def test_first_biases_follow_the_image_side() -> None:
    """log(5 / classes / cells): at 160 pixels there are 16 times fewer cells of a stride than at 640."""
    model = detector.build(ModelSpec(), CLASSES)
    before = {name: value.clone() for name, value in model.part_state().items()}
    model.set_first_biases(1.0, 160, 640)
    for branches in (model.head.cv3, model.head.one2one_cv3):
        for stride, branch in zip((8, 16, 32), branches, strict=True):
            assert branch[-1].bias.tolist() == pytest.approx([math.log(5 / CLASSES / (160 / stride) ** 2)] * CLASSES)
    assert all((branch[-1].bias == 1.0).all() for branch in (*model.head.cv2, *model.head.one2one_cv2))
    changed = {name for name, value in model.part_state().items() if not torch.equal(value, before[name])}
    assert {name.rpartition(".")[2] for name in changed} == {"bias"}
    assert len(changed) == 2 * 2 * 3  # branches, biases, levels
    model.set_first_biases(2.0, 640, 640)
    assert all(torch.equal(value, before[name]) for name, value in model.part_state().items())


@pytest.mark.parametrize("side", [96, 160, 224, 640, 1280])
def test_first_boxes_are_the_same_share_of_any_image(side: int) -> None:
    """The mean distance of untrained logits: 7.5 cells of 640 pixels, so a box of 3/16, 3/8 or 3/4 of the side."""
    model = detector.build(ModelSpec(), CLASSES)
    model.set_first_biases(1.0, 640, side)
    for branches in (model.head.cv2, model.head.one2one_cv2):
        for branch in branches:
            shares = branch[-1].bias.reshape(4, 16).softmax(1)
            assert (shares @ torch.arange(16.0)).tolist() == pytest.approx([7.5 * min(1, side / 640)] * 4, rel=1e-4)


def test_a_head_without_bins_has_no_first_boxes_to_set() -> None:
    model = peers.build("yolo26n", CLASSES, read="nms_free")
    assert model.head.reg_max == 1
    before = [branch[-1].bias.clone() for branch in model.head.cv2]
    model.set_first_biases(None, 640, 160)
    assert all(torch.equal(a, b[-1].bias) for a, b in zip(before, model.head.cv2, strict=True))


@pytest.mark.parametrize(("enlarge", "positives"), [(True, 1), (False, 0)])
def test_an_object_between_the_anchors_is_assigned_one_only_where_it_is_enlarged(enlarge: bool, positives: int) -> None:
    """6 × 6 pixels about (8, 8) hold no anchor: those of stride 8 lie at 4 and 12."""
    model = detector.build(ModelSpec(head="one_to_many"), CLASSES)
    model.args = hyperparameters()
    term = model.init_criterion(LossSpec(enlarge_small=enlarge), 1).terms[None]  # type: ignore[attr-defined]
    places = torch.tensor([[x, y] for y in range(4, 64, 8) for x in range(4, 64, 8)], dtype=torch.float32)
    inside = term.assigner.select_candidates_in_gts(
        places, torch.tensor([[[5.0, 5.0, 11.0, 11.0]]]), torch.ones(1, 1, 1)
    )
    assert bool(inside.any()) is bool(positives)


def test_the_averages_memory_is_yolov10s_share_of_a_run() -> None:
    spec = TrainSpec(epochs=10, ema_by_length=True)
    decay, tau = average_constants(spec, 100)
    share = 1000 / YOLOV10_STEPS
    assert 1 / (1 - decay) == pytest.approx(10_000 * share)
    assert tau == pytest.approx(2000 * share)
    assert average_constants(TrainSpec(epochs=10, ema_by_length=False), 100) == (0.9999, 2000)
    assert average_constants(TrainSpec(epochs=1, ema_by_length=True), 1)[0] == 0.0  # one step: its weights


def test_a_trainer_averages_by_the_length_of_its_run() -> None:
    model = detector.build(ModelSpec(), CLASSES)
    model.args = hyperparameters()
    spec = TrainSpec(epochs=4, ema_by_length=True)
    decay, tau = average_constants(spec, 250)
    average = Trainer(model, spec, steps=250).ema
    assert average.decay(10**6) == pytest.approx(decay)
    assert average.decay(tau) == pytest.approx(decay * (1 - math.exp(-1)))
