"""The search's space, and a supernet whose every part is the network that it stands for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from mnv4bench.models.mobilenetv4.blocks import EmptyRow, UIBRow, make_divisible
from mnv4bench.models.mobilenetv4.network import HEAD_CHANNELS, Classifier
from mnv4bench.models.mobilenetv4.variants import CONV_SMALL, VARIANTS, as_line, parse
from mnv4bench.models.yolo import Conv
from mnv4bench.search import space as spaces
from mnv4bench.search.space import Architecture, Block, Space
from mnv4bench.search.supernet import MaskedConv, MaskedUIB, Supernet

TINY = spaces.tiny()
COARSE = spaces.coarse(TINY)
FIRST = COARSE.architecture([0] * len(COARSE.choices))
SPACES = {"coarse": COARSE, "fine": spaces.fine(TINY, FIRST), "joint": spaces.joint(TINY)}


def random_picks(space: Space, seed: int) -> list[int]:
    generator = np.random.default_rng(seed)
    return [int(generator.integers(len(choice.options))) for choice in space.choices]


@torch.no_grad()
def extracted(supernet: Supernet, space: Space, architecture: Architecture) -> Classifier:
    """Return one architecture as a network of its own, with the supernet's weights."""
    network = Classifier(spaces.variant(space.skeleton, architecture), supernet.linear.out_features)
    first = len(space.skeleton.head)
    trunk = list(network.trunk.blocks)
    for layer, source in zip(trunk[:first], supernet.head, strict=True):
        layer.load_state_dict(source.state_dict(), strict=False)
    channels = space.skeleton.head[-1].channels
    rows = iter(trunk[first:])
    for blocks, stage in zip(supernet.stages, architecture, strict=True):
        for masked, setting in zip(blocks, stage.blocks, strict=True):
            block = next(rows)
            if setting.present:
                copy_block(masked, block, setting, channels)
                channels = stage.channels
    for masked, layer in zip(supernet.tail, rows, strict=True):
        copy_layer(masked, layer, channels)
    copy_layer(supernet.features, network.head, HEAD_CHANNELS)
    network.linear.load_state_dict(supernet.linear.state_dict())
    return network


def copy_block(masked: MaskedUIB, block: nn.Module, setting: Block, channels: int) -> None:
    start, middle = setting.kernels
    expanded = make_divisible(channels * setting.expansion)
    layers = [(masked.expand, "pw_expand", channels), (masked.project, "pw_project", expanded)]
    if start:
        layers.append((masked.start[f"{start}x{start}/{masked.start_stride(middle)}"], "dw_start", channels))
    if middle:
        layers.append((masked.middle[f"{middle}x{middle}/{masked.stride}"], "dw_middle", expanded))
    for source, name, inputs in layers:
        copy_layer(source, getattr(block, name), inputs)


def copy_layer(masked: MaskedConv, layer: Conv, inputs: int) -> None:
    """Write the weights that a layer of `inputs` channels and of the layer's outputs uses into it."""
    outputs = layer.conv.weight.shape[0]
    layer.conv.weight.copy_(masked.weight[:outputs] if masked.depthwise else masked.weight[:outputs, :inputs])
    layer.bn.weight.copy_(masked.bn.weight[:outputs])
    layer.bn.bias.copy_(masked.bn.bias[:outputs])


def test_a_table_is_written_as_it_is_read() -> None:
    for variant in VARIANTS.values():
        lines = [as_line(row) for row in variant.rows]
        assert parse("\n".join(lines)) == variant.rows


def test_the_skeleton_is_conv_smalls() -> None:
    skeleton = spaces.conv_small()
    assert skeleton.stages == ((96, 6), (128, 6))
    assert skeleton.head[-1].channels == 64
    assert [as_line(row) for row in skeleton.tail] == ["conv 1x1 960 /1"]
    assert len(skeleton.head) + 12 + len(skeleton.tail) == len(CONV_SMALL.rows)


def test_each_stage_of_the_search_leaves_open_what_the_paper_says() -> None:
    skeleton = spaces.conv_small()
    coarse, joint = spaces.coarse(skeleton), spaces.joint(skeleton)
    chosen = coarse.architecture([0] * len(coarse.choices))
    fine = spaces.fine(skeleton, chosen)
    open_aspects = {
        name: {choice.aspect for choice in space.choices if len(choice.options) > 1}
        for name, space in {"coarse": coarse, "fine": fine, "joint": joint}.items()
    }
    assert open_aspects == {
        "coarse": {"channels", "present"},
        "fine": {"kernels"},
        "joint": {"channels", "present", "kernels", "expansion"},
    }
    assert coarse.options(0, None, "channels") == (48, 64, 72, 96, 120, 144, 192)
    assert joint.options(1, 3, "expansion") == (2, 3, 4, 6)
    assert len(joint.options(1, 3, "kernels")) == 9
    assert (0, 0) not in joint.options(1, 0, "kernels"), "a stride needs a depthwise convolution"
    assert joint.options(1, 0, "present") == (True,)


def test_what_is_left_out_keeps_its_place_and_ends_its_choices() -> None:
    joint = spaces.joint(TINY)
    picks = [0] * len(joint.choices)
    position = next(i for i, c in enumerate(joint.choices) if (c.stage, c.block, c.aspect) == (0, 1, "present"))
    picks[position] = joint.choices[position].options.index(False)
    rows = spaces.rows(TINY, joint.architecture(picks))
    assert [type(row) for row in rows[len(TINY.head) :][:3]] == [UIBRow, EmptyRow, UIBRow]
    inactive = [c.name for c, active in zip(joint.choices, joint.active(picks), strict=True) if not active]
    assert inactive == ["stage 1 block 2 kernels", "stage 1 block 2 expansion"]
    assert len(spaces.as_table(rows)) == len(rows) - 1


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("seed", range(6))
def test_masked_weights_equal_a_network_built_small(name: str, seed: int) -> None:
    space = SPACES[name]
    torch.manual_seed(seed)
    supernet = Supernet(space, 5).double()
    for module in supernet.modules():  # norms that are not the identity
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    architecture = space.architecture(random_picks(space, seed))
    network: Classifier = extracted(supernet, space, architecture).double().train()
    images = torch.rand(4, 3, 64, 64, dtype=torch.float64)
    expected, logits = network(images), supernet(images, architecture)
    assert torch.allclose(logits, expected, atol=1e-6, rtol=0)
    assert float(expected.detach().std()) > 1e-2, "outputs that vary, so that equality says something"


def test_gradients_reach_only_what_was_sampled() -> None:
    space = SPACES["joint"]
    supernet = Supernet(space, 5)
    architecture = space.architecture([0] * len(space.choices))
    supernet(torch.rand(4, 3, 64, 64), architecture).sum().backward()
    block = supernet.stages[0][0]  # type: ignore[index]
    used = space.options(0, None, "channels")[0]
    assert float(block.project.weight.grad[used:].abs().sum()) == 0.0
    assert float(block.project.weight.grad[:used].abs().sum()) > 0.0
    unused = [p for m in (block.start, block.middle) for name, p in m.named_parameters() if p.grad is None]
    assert unused, "a kernel that was not sampled keeps its weights"


def test_averaged_blocks_use_every_kernel() -> None:
    space = SPACES["joint"]
    supernet = Supernet(space, 5)
    architecture = space.architecture([0] * len(space.choices))
    supernet(torch.rand(4, 3, 64, 64), architecture, averaged=[(0, 1)]).sum().backward()
    block = supernet.stages[0][1]  # type: ignore[index]
    assert all(p.grad is not None for p in (*block.start.parameters(), *block.middle.parameters()))


@pytest.mark.parametrize(("drawn", "stride"), [((0, 3), 1), ((3, 0), 2)])
def test_at_a_stride_those_kernels_are_averaged_that_stride_where_the_drawn_one_does(
    drawn: tuple[int, int], stride: int
) -> None:
    block = MaskedUIB(8, 8, 2, space_kernels(), (4,))
    block(torch.rand(4, 8, 8, 8), Block(True, drawn, 4), 8, True).sum().backward()
    used = {name.split(".")[0] for name, p in block.start.named_parameters() if p.grad is not None}
    assert used == {f"{size}x{size}/{stride}" for size in (3, 5)}
    assert all((p.grad is not None) == bool(drawn[1]) for p in block.middle.parameters())


def space_kernels() -> list[tuple[int, int]]:
    """Return what a block of stride 2 may have."""
    return [kernels for kernels in spaces.KERNELS if any(kernels)]
