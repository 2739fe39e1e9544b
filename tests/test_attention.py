"""Attention on maps: against a loop over heads and positions, against timm's, and its cost against formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import spread
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mnv4bench.cost.arms import count
from mnv4bench.cost.counting import Macs, deployed, macs, parameters
from mnv4bench.io.errors import SpecError
from mnv4bench.models import detector, torchvision_ops
from mnv4bench.models.mobilenetv4.attention import Attention, AttentionBlock, AttentionRow, Kind
from mnv4bench.models.mobilenetv4.blocks import EmptyRow, Style
from mnv4bench.models.mobilenetv4.network import backbone
from mnv4bench.models.mobilenetv4.variants import VARIANTS, variant
from mnv4bench.spec.model import ModelSpec

KINDS: tuple[Kind, ...] = ("mqa", "mhsa")


def feature_map(channels: int, height: int = 4, width: int = 6) -> Tensor:
    return torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(3))


def attention(channels: int, heads: int, head_channels: int, **options: Any) -> Attention:
    torch.manual_seed(0)
    module = Attention(channels, AttentionRow(channels, heads, head_channels, **options)).eval()
    spread(module)
    return module


# Values


def by_loops(module: Attention, x: Tensor, kind: Kind, head_channels: int) -> Tensor:
    """Compute attention one head and one position at a time."""
    query, key, value = (part(x).flatten(2) for part in (module.query, module.key, module.value))
    result = torch.empty_like(query)
    for image in range(len(x)):
        for head in range(module.heads):
            own = slice(head * head_channels, (head + 1) * head_channels)
            shared = slice(0, head_channels) if kind == "mqa" else own
            for position in range(query.shape[2]):
                likeness = torch.stack(
                    [query[image, own, position] @ key[image, shared, other] for other in range(key.shape[2])]
                )
                weights = (likeness / head_channels**0.5).exp()
                result[image, own, position] = value[image, shared] @ (weights / weights.sum())
    return module.output(result.reshape(len(x), -1, *x.shape[2:]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kv_stride", [1, 2])
def test_attention_equals_a_loop_over_heads_and_positions(kind: Kind, kv_stride: int) -> None:
    module, x = attention(8, 2, 4, kind=kind, kv_stride=kv_stride), feature_map(8)
    with torch.no_grad():
        wanted = by_loops(module, x, kind, 4)
        torch.testing.assert_close(module(x), wanted, rtol=1e-5, atol=1e-5)
    assert wanted.std() > 0.05


@pytest.mark.parametrize(("kv_stride", "query_stride"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_mobile_mqa_equals_timms(kv_stride: int, query_stride: int) -> None:
    torchvision_ops.provide()  # timm imports torchvision
    layers = pytest.importorskip("timm.layers")
    options = {"num_heads": 3, "key_dim": 5, "value_dim": 5, "kv_stride": kv_stride, "query_strides": query_stride}
    torch.manual_seed(0)
    reference = layers.MultiQueryAttention2d(8, **options).eval()
    spread(reference)
    ours = attention(8, 3, 5, kv_stride=kv_stride, query_stride=query_stride)
    ours.load_state_dict(dict(zip(ours.state_dict(), reference.state_dict().values(), strict=True)))
    x = feature_map(8)
    with torch.no_grad():
        wanted = reference(x)
        torch.testing.assert_close(ours(x), wanted, rtol=1e-5, atol=1e-5)
    assert wanted.std() > 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_equal_keys_give_every_position_the_mean_value(kind: Kind) -> None:
    module, x = attention(8, 2, 4, kind=kind), feature_map(8)
    nn.init.zeros_(module.key[-1].weight)
    with torch.no_grad():
        mean = module.value(x).mean(dim=(2, 3), keepdim=True).repeat(1, module.heads // module.kv_heads, 1, 1)
        torch.testing.assert_close(module(x), module.output(mean).expand_as(x), rtol=1e-5, atol=1e-6)


def test_multi_head_attention_with_equal_heads_is_multi_query_attention() -> None:
    shared, separate = attention(8, 3, 4, kv_stride=2), attention(8, 3, 4, kv_stride=2, kind="mhsa")
    state = shared.state_dict()
    for name in ("key.1.weight", "value.1.weight"):
        state[name] = state[name].repeat(3, 1, 1, 1)
    separate.load_state_dict(state)
    x = feature_map(8)
    with torch.no_grad():
        torch.testing.assert_close(separate(x), shared(x), rtol=1e-5, atol=1e-6)


def test_a_block_adds_its_input_also_at_odd_sides() -> None:
    row = AttentionRow(8, 2, 4, kv_stride=2, query_stride=2)
    block, x = AttentionBlock(8, row, Style(layer_scale=1e-5)).eval(), feature_map(8, 5, 7)
    nn.init.zeros_(block.layer_scale.gamma)
    with torch.no_grad():
        assert torch.equal(block(x), x)
        nn.init.ones_(block.layer_scale.gamma)
        torch.testing.assert_close(block(x), x + block.attention(block.norm(x)))


# Cost


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kv_stride", [1, 2])
def test_multiply_accumulates_are_those_of_the_formula(kind: Kind, kv_stride: int) -> None:
    channels, heads, depth, side = 16, 4, 8, 8
    positions, others = side**2, (side // kv_stride) ** 2
    own = heads if kind == "mhsa" else 1
    projections = 2 * channels * heads * depth * positions + 2 * channels * own * depth * others
    reduction = 2 * 9 * channels * others if kv_stride == 2 else 0
    products = 2 * heads * positions * others * depth
    module = attention(channels, heads, depth, kind=kind, kv_stride=kv_stride)
    counted = macs(module, torch.zeros(1, channels, side, side))
    assert counted[""] == Macs(conv=projections + reduction, linear=0, matmul=products, upsampled=0)


def test_flops_of_a_hybrid_detector_equal_torchs_own_counter() -> None:
    model = detector.build(ModelSpec(backbone="mnv4_hybrid_medium"), 2)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        deployed(model)(torch.zeros(1, 3, 64, 64))
    assert count(model, 64).flops == counter.get_total_flops()


# Choices in a variant


def size(name: str, **options: Any) -> int:
    with torch.device("meta"):
        return parameters(backbone(name, 960, **options))


@pytest.mark.parametrize("name", ["mnv4_hybrid_medium", "mnv4_hybrid_large"])
def test_sharing_keys_and_values_saves_a_projection_per_head_but_one(name: str) -> None:
    rows = [row for row in VARIANTS[name].rows if isinstance(row, AttentionRow)]
    saved = sum(2 * row.channels * (row.heads - 1) * row.head_channels for row in rows)
    assert size(name, attention="mhsa") - size(name) == saved > 0


@pytest.mark.parametrize("name", ["mnv4_hybrid_medium", "mnv4_hybrid_large"])
def test_kv_down_sampling_adds_two_depthwise_convolutions_with_batch_norm_to_four_blocks(name: str) -> None:
    rows = [row for row in VARIANTS[name].rows if isinstance(row, AttentionRow) and row.kv_stride == 2]
    assert len(rows) == 4
    added = sum(2 * (9 + 2) * row.channels for row in rows)
    assert size(name) - size(name, kv_downsampling=False) == added


def test_a_hybrid_without_attention_keeps_every_other_row() -> None:
    whole, bare = VARIANTS["mnv4_hybrid_medium"], variant("mnv4_hybrid_medium", attention="none")
    kept = [isinstance(row, AttentionRow) or row == other for row, other in zip(whole.rows, bare.rows, strict=True)]
    assert all(kept)
    assert sum(isinstance(row, EmptyRow) for row in bare.rows) == 8
    assert not any(isinstance(row, AttentionRow) for row in bare.rows)
    assert bare.style == whole.style


@pytest.mark.parametrize("options", [{"attention": "mhsa"}, {"attention": "none"}, {"kv_downsampling": False}])
def test_a_backbone_without_attention_refuses_every_choice_of_it(options: dict[str, Any]) -> None:
    with pytest.raises(
        SpecError,
        match="mnv4_conv_large has no attention blocks to change; those with attention: "
        "mnv4_hybrid_medium, mnv4_hybrid_large",
    ):
        variant("mnv4_conv_large", **options)
