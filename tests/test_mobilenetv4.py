"""MobileNetV4: the released networks' sizes, timm's outputs with timm's weights, and the convolutional blocks."""

from __future__ import annotations

import re
from typing import get_args

import pytest
import torch
from helpers import images, spread
from pydantic import ValidationError
from torch import nn

from mnv4bench.cost.counting import macs, parameters
from mnv4bench.io.errors import SpecError
from mnv4bench.models import torchvision_ops
from mnv4bench.models.mobilenetv4.blocks import UIB, FusedRow, LayerScale, Style, UIBRow, make_divisible
from mnv4bench.models.mobilenetv4.network import Classifier, backbone, classifier
from mnv4bench.models.mobilenetv4.pretrained import load_timm
from mnv4bench.models.mobilenetv4.variants import VARIANTS, variant
from mnv4bench.spec.model import TAPS, Backbone, ModelSpec

SMALL, AS_PRINTED = "mnv4_conv_small", "mnv4_conv_small_as_printed"

# timm's parameters; parameters of TensorFlow's release, as its own test states them; mega-multiply-accumulates at the
# paper's input side, counted from the released networks.
RELEASED = {
    "mnv4_conv_small": (3_774_024, 2_518_112, 186.0),
    "mnv4_conv_medium": (9_715_512, 8_502_416, 1080.2),
    "mnv4_conv_large": (32_590_864, 31_459_416, 6376.2),
    "mnv4_hybrid_medium": (11_074_648, 9_869_488, 1271.2),
    "mnv4_hybrid_large": (37_764_624, 36_648_024, 7711.9),
}


# Sizes


def meta_classifier(name: str) -> Classifier:
    with torch.device("meta"):
        return classifier(name).eval()


@pytest.mark.parametrize("name", RELEASED)
def test_classifiers_have_the_released_networks_parameters(name: str) -> None:
    whole = meta_classifier(name)
    statistics = sum(value.numel() for key, value in whole.named_buffers() if "running" in key)
    timm, tensorflow, _ = RELEASED[name]
    assert parameters(whole) == timm
    # TensorFlow's count has no classifier, and has the batch norms' running statistics.
    assert parameters(whole) - parameters(whole.linear) + statistics == tensorflow


@pytest.mark.parametrize("name", RELEASED)
def test_classifiers_cost_what_the_released_networks_cost(name: str) -> None:
    side = VARIANTS[name].input_side
    counted = macs(classifier(name).eval(), torch.zeros(1, 3, side, side))[""]
    assert counted.total / 1e6 == pytest.approx(RELEASED[name][2], abs=0.05)
    assert (counted.matmul > 0) is ("hybrid" in name)


def test_trunk_has_the_parameters_and_tensors_of_the_published_one() -> None:
    trunk = backbone(SMALL, 960)
    assert parameters(trunk) == 1_261_664
    assert len(trunk.state_dict()) == 270


def test_as_printed_the_network_has_as_many_parameters_and_another_function_from_its_first_bottleneck_on() -> None:
    torch.manual_seed(0)
    published, printed = classifier(SMALL).eval(), classifier(AS_PRINTED).eval()
    spread(published)
    printed.load_state_dict(published.state_dict())
    with torch.no_grad():
        levels = zip(published.trunk(images(1)), printed.trunk(images(1)), strict=True)
        difference = [float((ours - theirs).abs().max() / ours.abs().max()) for ours, theirs in levels]
    assert difference[:2] == [0, 0]  # P2 and P3 lie before it
    assert min(difference[2:]) > 0.1


# Levels and taps

OURS = {name: taps for name, taps in TAPS.items() if name in VARIANTS}


def test_the_spec_knows_every_variant_and_the_taps_that_it_offers() -> None:
    assert set(get_args(Backbone)) - {"searched"} == set(TAPS) == {*VARIANTS, "yolov10"}
    for name, taps in OURS.items():
        with pytest.raises(SpecError, match=f"offers {', '.join(map(str, taps))} channels at stride 32"):
            backbone(name, 7)


@pytest.mark.parametrize(("name", "tap"), [(name, tap) for name, taps in OURS.items() for tap in taps])
def test_levels_lie_at_strides_4_to_32_and_tap_chooses_the_last_ones_channels(name: str, tap: int) -> None:
    trunk = backbone(name, tap).eval()
    with torch.no_grad():
        levels = trunk(images(1, 96))
    assert [tuple(level.shape[2:]) for level in levels] == [(24, 24), (12, 12), (6, 6), (3, 3)]
    assert [level.shape[1] for level in levels] == trunk.channels
    family = next(channels for part, channels in LEVELS.items() if part in name)
    assert trunk.channels == [*family, tap]


LEVELS = {"small": [32, 64, 96], "medium": [48, 80, 160], "large": [48, 96, 192]}
"""Channels of P2, P3 and P4: the endpoints that TensorFlow's release states in its own test."""


def test_taps_share_every_tensor_but_the_last_convolutions() -> None:
    short, long = (set(backbone(SMALL, tap).state_dict()) for tap in (128, 960))
    assert short < long
    assert {name.rsplit(".", 2)[0] for name in long - short} == {"blocks.17"}


def test_a_tap_of_another_backbone_is_refused_with_the_allowed_ones() -> None:
    assert ModelSpec(backbone="mnv4_conv_medium", p5_tap=256).p5_tap == 256
    with pytest.raises(ValidationError, match="Input should be 256, 960 or 1280 with backbone mnv4_conv_medium"):
        ModelSpec(backbone="mnv4_conv_medium", p5_tap=128)
    with pytest.raises(ValidationError, match="Input should be 128, 960 or 1280 with backbone " + AS_PRINTED):
        ModelSpec(backbone=AS_PRINTED, p5_tap=256)


def test_an_unknown_backbone_is_reported_without_its_tap() -> None:
    with pytest.raises(ValidationError) as caught:
        ModelSpec.model_validate({"backbone": "mnv4_conv_tiny", "p5_tap": 7})
    assert [problem["loc"] for problem in caught.value.errors()] == [("backbone",)]


# timm


def timm_model(name: str) -> nn.Module:
    torchvision_ops.provide()  # timm imports torchvision
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    model: nn.Module = timm.create_model(name.replace("mnv4", "mobilenetv4"), pretrained=False).eval()
    spread(model)
    for key, parameter in model.named_parameters():
        if key.endswith("gamma"):  # 1e-5 at first, which would hide what it scales
            nn.init.uniform_(parameter, 0.5, 1.5)
    return model.double()  # the differences that remain are rounding


@pytest.mark.parametrize("name", RELEASED)
def test_every_level_and_the_logits_equal_timms_with_timms_weights(name: str) -> None:
    reference, whole = timm_model(name), classifier(name).double().eval()
    load_timm(whole, reference.state_dict())
    x = images(1, 64).double()
    with torch.no_grad():
        wanted = [*reference.forward_intermediates(x)[1][1:], reference(x)]  # timm's first level has stride 2
        ours = [*whole.trunk(x), whole(x)]
    assert len(ours) == len(wanted) == 5
    for mine, theirs in zip(ours, wanted, strict=True):
        scale = theirs.abs().max()
        assert scale > 0.1
        torch.testing.assert_close(mine / scale, theirs / scale, rtol=0, atol=1e-10)
    eps = {
        module.eps for model in (reference, whole) for module in model.modules() if isinstance(module, nn.BatchNorm2d)
    }
    assert eps == {1e-5}


def test_a_checkpoint_fills_the_shorter_tap_and_does_not_depend_on_its_order_or_counters() -> None:
    state = timm_model("mnv4_hybrid_medium").state_dict()
    shuffled = {key: state[key] for key in sorted(state) if not key.endswith("num_batches_tracked")}
    short, long = (backbone("mnv4_hybrid_medium", tap).double() for tap in (256, 960))
    load_timm(short, shuffled)
    load_timm(long, state)
    assert list(shuffled) != [key for key in state if key in shuffled]
    assert all(torch.equal(value, long.state_dict()[key]) for key, value in short.state_dict().items())


def test_a_checkpoint_of_another_network_is_refused() -> None:
    trunk = backbone(SMALL, 960)
    with pytest.raises(SpecError, match="holds 1 tensors, this network needs 225"):
        load_timm(trunk, {"conv_stem.weight": torch.zeros(32, 3, 3, 3)})
    tensors = [value for key, value in trunk.state_dict().items() if "num_batches" not in key]
    state = {f"blocks.{index}": value for index, value in enumerate(tensors)}
    with pytest.raises(SpecError, match=r"blocks.2 has shape \(24,\), blocks.0.bn.bias \(32,\)"):
        load_timm(trunk, {**state, "blocks.2": torch.zeros(24)})
    with pytest.raises(SpecError, match=r"layer4.0.weight is none of timm's MobileNetV4"):
        load_timm(trunk, {**state, "layer4.0.weight": torch.zeros(1)})


# Blocks


def uib(in_channels: int, *row: float, style: Style | None = None) -> UIB:
    block = UIB(in_channels, UIBRow(*row), style or Style()).eval()  # type: ignore[arg-type]
    spread(block)
    return block


def zero_projection(block: UIB) -> None:
    norm = block.pw_project.bn
    for tensor in (block.pw_project.conv.weight, norm.bias, norm.running_mean):
        nn.init.zeros_(tensor)


@pytest.mark.parametrize("row", [(3, 3, 16, 1, 4.0), (0, 5, 16, 1, 2.0), (3, 0, 16, 1, 4.0), (0, 0, 16, 1, 4.0)])
def test_a_block_that_keeps_its_shape_adds_its_input(row: tuple[float, ...]) -> None:
    block, bare = uib(16, *row), uib(16, *row, style=Style(residual=False))
    bare.load_state_dict(block.state_dict())
    x = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block(x), x + bare(x))
    zero_projection(block)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(("row", "shape"), [((3, 3, 16, 2, 4.0), (1, 16, 4, 4)), ((3, 3, 24, 1, 4.0), (1, 24, 8, 8))])
def test_a_block_that_changes_its_shape_adds_nothing(row: tuple[float, ...], shape: tuple[int, ...]) -> None:
    block = uib(16, *row)
    zero_projection(block)
    assert torch.equal(block(torch.ones(1, 16, 8, 8)), torch.zeros(shape))


def test_layer_scale_multiplies_each_channel_before_the_input_is_added() -> None:
    block = uib(16, 3, 3, 16, 1, 4.0, style=Style(layer_scale=1e-5))
    bare = uib(16, 3, 3, 16, 1, 4.0, style=Style(residual=False))
    bare.load_state_dict({key: value for key, value in block.state_dict().items() if "gamma" not in key})
    assert torch.equal(block.layer_scale.gamma, torch.full((16,), 1e-5))
    factors = torch.arange(16.0)
    block.layer_scale.gamma.data.copy_(factors)
    x = images(1, 8).repeat(1, 6, 1, 1)[:, :16]
    torch.testing.assert_close(block(x), x + bare(x) * factors.reshape(16, 1, 1))


def test_only_the_hybrids_scale_and_only_the_large_one_has_gelu() -> None:
    for name in RELEASED:
        modules = list(meta_classifier(name).modules())
        scaled = any(isinstance(module, LayerScale) for module in modules)
        activations = {type(module) for module in modules if isinstance(module, nn.ReLU | nn.GELU)}
        assert scaled is ("hybrid" in name)
        assert activations == ({nn.GELU} if name == "mnv4_hybrid_large" else {nn.ReLU})


def test_block_forms_hold_the_papers_layers_strides_and_activations() -> None:
    def layers(*row: float) -> list[tuple[str, int, int, bool]]:
        return [
            (name, layer.conv.kernel_size[0], layer.conv.stride[0], isinstance(layer.act, nn.ReLU))
            for name, layer in uib(16, *row).named_children()
        ]

    expand, project = ("pw_expand", 1, 1, True), ("pw_project", 1, 1, False)
    assert layers(5, 3, 16, 2, 4.0) == [("dw_start", 5, 1, False), expand, ("dw_middle", 3, 2, True), project]
    assert layers(0, 3, 16, 2, 4.0) == [expand, ("dw_middle", 3, 2, True), project]
    assert layers(5, 0, 16, 2, 4.0) == [("dw_start", 5, 2, False), expand, project]
    assert layers(0, 0, 16, 1, 4.0) == [expand, project]


def test_a_fused_bottleneck_expands_with_its_full_convolution() -> None:
    expand, project = FusedRow(3, 48, 2, 4.0).build(32, Style(nn.GELU)).children()
    assert (expand.conv.weight.shape, expand.conv.stride, type(expand.act)) == ((128, 32, 3, 3), (2, 2), nn.GELU)
    assert (project.conv.weight.shape, project.conv.stride, type(project.act)) == ((48, 128, 1, 1), (1, 1), nn.Identity)


def test_depthwise_convolutions_have_one_filter_per_channel() -> None:
    block = uib(16, 3, 5, 24, 1, 3.0)
    assert block.dw_start.conv.weight.shape == (16, 1, 3, 3)
    assert block.dw_middle.conv.weight.shape == (48, 1, 5, 5)


@pytest.mark.parametrize(("value", "channels"), [(8, 8), (3, 8), (12, 16), (11, 16), (17, 16), (256 * 0.25, 64)])
def test_channels_are_rounded_to_multiples_of_8_and_never_by_more_than_a_tenth_down(
    value: float, channels: int
) -> None:
    assert make_divisible(value) == channels


def test_an_unknown_variant_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SpecError, match=re.escape("no backbone 'mnv4_conv_huge'; allowed: mnv4_conv_small, ")):
        variant("mnv4_conv_huge")
