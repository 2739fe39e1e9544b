"""MobileNetV4: the paper's table as it stands, timm's network bit for bit in structure, and its blocks by hand."""

from __future__ import annotations

import pytest
import torch
from helpers import images, spread
from torch import nn

from mnv4bench import torchvision_ops
from mnv4bench.errors import SpecError
from mnv4bench.models.mobilenetv4 import UIB, UIBRow, backbone, make_divisible

SMALL = "mnv4_conv_small"


def test_trunk_has_the_parameters_and_tensors_of_the_published_one() -> None:
    trunk = backbone(SMALL, 960)
    assert sum(p.numel() for p in trunk.parameters()) == 1_261_664
    assert len(trunk.state_dict()) == 270


@pytest.mark.parametrize("tap", [128, 960])
def test_levels_lie_at_strides_4_to_32_and_tap_chooses_the_last_ones_channels(tap: int) -> None:
    trunk = backbone(SMALL, tap).eval()
    levels = trunk(images(1, 96))
    assert [tuple(level.shape[1:]) for level in levels] == [(32, 24, 24), (64, 12, 12), (96, 6, 6), (tap, 3, 3)]
    assert trunk.channels == [32, 64, 96, tap]


def test_taps_share_every_tensor_but_the_last_convolutions() -> None:
    short, long = (set(backbone(SMALL, tap).state_dict()) for tap in (128, 960))
    assert short < long
    assert {name.rsplit(".", 2)[0] for name in long - short} == {"blocks.17"}


def test_tap_1280_is_refused_with_the_allowed_ones() -> None:
    with pytest.raises(SpecError, match="p5_tap 1280: this backbone offers 128, 960 channels at stride 32"):
        backbone(SMALL, 1280)


@pytest.fixture(scope="module")
def timm_models() -> tuple[nn.Module, nn.Module]:
    torchvision_ops.provide()  # timm imports torchvision
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    whole = timm.create_model("mobilenetv4_conv_small", pretrained=False).eval()
    spread(whole)
    features = timm.create_model("mobilenetv4_conv_small", pretrained=False, features_only=True).eval()
    assert not features.load_state_dict(whole.state_dict(), strict=False).missing_keys
    return whole, features


def test_every_level_equals_timms_with_timms_weights(timm_models: tuple[nn.Module, nn.Module]) -> None:
    whole, features = timm_models
    trunk = backbone(SMALL, 960).eval()
    trunk.load_timm(whole.state_dict())
    x = images(2, 96)
    with torch.no_grad():
        ours, theirs = trunk(x), features(x)[1:]  # timm's first level has stride 2
    assert len(ours) == len(theirs) == 4
    for mine, wanted in zip(ours, theirs, strict=True):
        assert wanted.abs().max() > 0.1
        torch.testing.assert_close(mine, wanted, rtol=1e-5, atol=1e-5)


def test_timms_checkpoint_fills_the_shorter_tap_too(timm_models: tuple[nn.Module, nn.Module]) -> None:
    whole, _ = timm_models
    short, long = (backbone(SMALL, tap).eval() for tap in (128, 960))
    short.load_timm(whole.state_dict())
    long.load_timm(whole.state_dict())
    assert all(torch.equal(value, long.state_dict()[name]) for name, value in short.state_dict().items())


def test_a_checkpoint_of_another_network_is_refused() -> None:
    trunk = backbone(SMALL, 960)
    with pytest.raises(SpecError, match="holds 1 tensors of a trunk, this backbone needs 270"):
        trunk.load_timm({"conv_stem.weight": torch.zeros(32, 3, 3, 3)})
    state = {f"blocks.{i}": value for i, value in enumerate(trunk.state_dict().values())}
    state["blocks.0"] = torch.zeros(24, 3, 3, 3)
    with pytest.raises(SpecError, match=r"blocks.0 has shape \(24, 3, 3, 3\), .* \(32, 3, 3, 3\)"):
        trunk.load_timm(state)


def uib(in_channels: int, *row: float) -> UIB:
    block = UIB(in_channels, UIBRow(*row)).eval()  # type: ignore[arg-type]
    spread(block)
    return block


def zero_projection(block: UIB) -> None:
    norm = block.pw_project.bn
    for tensor in (block.pw_project.conv.weight, norm.bias, norm.running_mean):
        nn.init.zeros_(tensor)


@pytest.mark.parametrize("row", [(3, 3, 16, 1, 4.0), (0, 5, 16, 1, 2.0), (3, 0, 16, 1, 4.0), (0, 0, 16, 1, 4.0)])
def test_a_block_that_keeps_its_shape_adds_its_input(row: tuple[float, ...]) -> None:
    block = uib(16, *row)
    x = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(block(x), x)
    zero_projection(block)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(("row", "shape"), [((3, 3, 16, 2, 4.0), (1, 16, 4, 4)), ((3, 3, 24, 1, 4.0), (1, 24, 8, 8))])
def test_a_block_that_changes_its_shape_adds_nothing(row: tuple[float, ...], shape: tuple[int, ...]) -> None:
    block = uib(16, *row)
    zero_projection(block)
    assert torch.equal(block(torch.ones(1, 16, 8, 8)), torch.zeros(shape))


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


def test_depthwise_convolutions_have_one_filter_per_channel() -> None:
    block = uib(16, 3, 5, 24, 1, 3.0)
    assert block.dw_start.conv.weight.shape == (16, 1, 3, 3)
    assert block.dw_middle.conv.weight.shape == (48, 1, 5, 5)


@pytest.mark.parametrize(("value", "channels"), [(8, 8), (3, 8), (12, 16), (11, 16), (17, 16), (256 * 0.25, 64)])
def test_channels_are_rounded_to_multiples_of_8_and_never_by_more_than_a_tenth_down(
    value: float, channels: int
) -> None:
    assert make_divisible(value) == channels
