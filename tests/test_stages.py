"""Blocks and backbones that only some arms have: what they are made of, and that deploying them changes nothing."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn

from mnv4bench.cost.counting import deployed, macs
from mnv4bench.models import alternatives, detector, stages
from mnv4bench.models.mobilenetv4 import uniform
from mnv4bench.models.mobilenetv4.blocks import UIB, UIBRow
from mnv4bench.models.mobilenetv4.network import MobileNetV4
from mnv4bench.models.mobilenetv4.variants import VARIANTS
from mnv4bench.models.yolo import C2fCIB, DetectionLoss, network, released
from mnv4bench.models.yolov10 import YOLOv10Backbone
from mnv4bench.spec.model import Block, ModelSpec, UIBForm
from mnv4bench.spec.run import LossSpec


def widths(stage: nn.Module) -> list[tuple[int, int, int]]:
    """Kernel, output channels and groups of every convolution inside the first inner block."""
    convolutions = [m for m in stage.m[0].modules() if isinstance(m, nn.Conv2d)]
    return [(m.kernel_size[0], m.out_channels, m.groups) for m in convolutions]


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("c2f", [(3, 8, 1), (3, 8, 1)]),
        ("c2fcib", [(3, 8, 8), (1, 16, 1), (3, 16, 16), (1, 8, 1), (3, 8, 8)]),
        ("c2firb", [(1, 16, 1), (3, 16, 16), (1, 8, 1)]),
        ("c2firb_dw", [(1, 16, 1), (3, 16, 16), (1, 8, 1), (3, 8, 8)]),
        ("c2fuib", [(3, 8, 8), (1, 16, 1), (3, 16, 16), (1, 8, 1)]),
    ],
)
def test_the_inner_block_is_the_one_that_was_asked_for(block: Block, expected: list[tuple[int, int, int]]) -> None:
    stage = stages.build(block, 24, 16, repeats=2)
    assert len(stage.m) == 2
    assert widths(stage) == expected
    assert stage(torch.zeros(1, 24, 5, 5)).shape == (1, 16, 5, 5)


def test_every_block_is_tried() -> None:
    assert set(get_args(Block)) == {"c2f", "c2fcib", "c2firb", "c2firb_dw", "c2fuib"}


@pytest.mark.parametrize("kernel", [5, 7, 9])
@pytest.mark.parametrize("reparameterised", [True, False])
def test_a_larger_kernel_stands_in_the_middle_of_cib(kernel: int, reparameterised: bool) -> None:
    stage = stages.build("c2fcib", 24, 16, 1, kernel, reparameterised)
    middle = [kernel, 3] if reparameterised else [kernel]
    assert [size for size, _, _ in widths(stage)] == [3, 1, *middle, 1, 3]


def test_the_default_stage_is_the_released_one_value_for_value() -> None:
    torch.manual_seed(0)
    ours = stages.build("c2fcib", 24, 16, 1, 7).state_dict()
    torch.manual_seed(0)
    theirs = C2fCIB(24, 16, 1, True, True).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    "fields",
    [
        {"attention": "psa2"},
        {"attention": "transformer"},
        {"attention": "mqa"},
        {"downsample": "dw_first"},
        {"block": "c2firb_dw"},
        {"block": "c2fuib"},
        {"kernel": 9},
        {"kernel": 5, "reparameterised": False},
        {"block_stages": ("p4_mid", "p3_out", "p4_out", "p5_out")},
        {"class_branch": "full"},
        {"uib": "ffn"},
        {"backbone": "yolov10", "p5_tap": 256},
        {"p5_tap": 1280},
    ],
    ids=lambda fields: "-".join(map(str, fields.values())),
)
def test_what_is_deployed_computes_what_was_trained(fields: dict[str, object]) -> None:
    model = detector.build(ModelSpec(**fields), 3).eval()  # type: ignore[arg-type]
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, found = model(image)[0], deployed(model)(image)
        found = found[0] if isinstance(found, tuple) else found
    # Rows that only reach the list of the 300 best by a tie may change places.
    torch.testing.assert_close(found[..., :50, :5], expected[..., :50, :5], atol=1e-3, rtol=1e-4)


def test_mobile_mqa_shares_one_key_and_value() -> None:
    attention = alternatives.mobile_mqa(256).attention
    assert attention.query[0].out_channels == 256
    assert attention.key[0].out_channels == attention.value[0].out_channels == 64


@pytest.mark.parametrize("scale", ["n", "s"])
def test_the_backbone_of_yolov10_is_the_released_one(scale: str) -> None:
    ours = YOLOv10Backbone(scale)  # type: ignore[arg-type]
    theirs = network(released(f"v10/yolov10{scale}.yaml", scale), 80).model[:9]
    shapes = [[tuple(value.shape) for value in model.state_dict().values()] for model in (ours, theirs)]
    assert shapes[0] == shapes[1]
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        levels, x = ours.eval()(image), image
        for index, layer in enumerate(theirs.eval()):
            x = layer(x)
            if index in (2, 4, 6, 8):
                torch.testing.assert_close(levels[index // 2 - 1], x, atol=0, rtol=0)
    assert [level.shape[1] for level in levels] == ours.channels


# One form of the universal inverted bottleneck


def test_multiply_accumulates_of_a_table_are_those_that_are_counted() -> None:
    variant = VARIANTS["mnv4_conv_small"]
    trunk = MobileNetV4(variant, 128).eval()
    side = 64
    counted = macs(trunk, torch.zeros(1, 3, side, side))
    blocks = [name for name, module in trunk.named_modules() if isinstance(module, UIB)]
    assert sum(counted[name].conv for name in blocks) == uniform.macs(variant.rows) * side**2


@pytest.mark.parametrize("form", ["extra_dw", "ib", "convnext", "ffn"])
def test_every_block_takes_the_form_at_the_published_cost(form: UIBForm) -> None:
    published = VARIANTS["mnv4_conv_small"]
    changed = uniform.uniform(published, form)
    assert abs(uniform.macs(changed.rows) / uniform.macs(published.rows) - 1) < 0.02
    has = {"extra_dw": (True, True), "ib": (False, True), "convnext": (True, False), "ffn": (False, False)}[form]
    for row, before in zip(changed.rows, published.rows, strict=True):
        if isinstance(row, UIBRow) and not (form == "ffn" and row.stride > 1):
            assert (row.dw_start > 0, row.dw_middle > 0) == has
        else:
            assert row == before


def test_mixed_is_the_variant_itself() -> None:
    assert uniform.uniform(VARIANTS["mnv4_conv_small"], "mixed") is VARIANTS["mnv4_conv_small"]


# The loss


def test_decaying_weights_go_from_one_branch_to_the_other() -> None:
    model = detector.build(ModelSpec(), 2)
    loss = DetectionLoss(model, LossSpec(weights="decaying"), epochs=8)
    weights = []
    for _ in range(8):
        weights.append((loss.weight("one2many"), loss.weight("one2one")))
        loss.update()
    assert weights[0] == pytest.approx((0.8, 0.2))
    assert weights[-1] == pytest.approx((0.1, 0.9))
    assert [one for one, _ in weights] == pytest.approx([0.8 - 0.1 * epoch for epoch in range(8)])
    assert all(sum(pair) == pytest.approx(1.0) for pair in weights)


def test_the_plain_sum_weighs_both_alike_in_every_epoch() -> None:
    loss = DetectionLoss(detector.build(ModelSpec(), 2), LossSpec(), epochs=3)
    assert {loss.weight(branch) for branch in ("one2many", "one2one")} == {1.0}


def test_the_exponents_are_the_one_to_one_branchs_alone() -> None:
    loss = DetectionLoss(detector.build(ModelSpec(), 2), LossSpec(alpha=1.0, beta=12.0), epochs=1)
    assert (loss.terms["one2many"].assigner.alpha, loss.terms["one2many"].assigner.beta) == (0.5, 6.0)
    assert (loss.terms["one2one"].assigner.alpha, loss.terms["one2one"].assigner.beta) == (1.0, 12.0)
