"""One set of weights for all networks of a space (TuNAS, Bender et al. 2020, sections 3 and 4).

A pointwise convolution of fewer channels uses the first of the widest one's weights; a mask of zeros over the rest
would compute the same, more slowly. A depthwise kernel of another size has weights of its own. Norms use the statistics
of the batch, always, so no running averages of different networks mix.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mnv4bench.models.mobilenetv4.blocks import ConvRow, Row, Style, make_divisible
from mnv4bench.models.mobilenetv4.network import EPS, HEAD_CHANNELS
from mnv4bench.search.space import Architecture, Block, Kernels, Space

STYLE = Style()
Place = tuple[int, int]
"""Stage and block."""


class MaskedConv(nn.Module):
    """Convolution and batch norm of the first so many channels, [ReLU]."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, *, depthwise: bool = False, act: bool = False
    ) -> None:
        super().__init__()
        shape = (outputs, 1 if depthwise else inputs, kernel, kernel)
        self.weight = nn.Parameter(torch.empty(shape))
        self.bn = nn.BatchNorm2d(outputs, eps=EPS, track_running_stats=False)
        self.stride, self.depthwise, self.act = stride, depthwise, act
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights as torch's own convolutions do."""
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, x: Tensor, outputs: int) -> Tensor:
        inputs = x.shape[1]
        weight = self.weight[:outputs] if self.depthwise else self.weight[:outputs, :inputs]
        groups = inputs if self.depthwise else 1
        x = functional.conv2d(x, weight, None, self.stride, weight.shape[-1] // 2, groups=groups)
        gain, shift = self.bn.weight[:outputs], self.bn.bias[:outputs]
        x = functional.batch_norm(x, None, None, gain, shift, training=True, eps=EPS)
        return functional.relu(x) if self.act else x


class MaskedUIB(nn.Module):
    """Universal inverted bottleneck with all its options: see models.mobilenetv4.blocks.UIB."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, kernels: Sequence[Kernels], expansions: Sequence[int]
    ) -> None:
        super().__init__()
        expanded = make_divisible(inputs * max(expansions))
        self.stride, self.kernels = stride, tuple(kernels)
        self.start = nn.ModuleDict(
            {
                _key(size, step): MaskedConv(inputs, inputs, size, step, depthwise=True)
                for size, step in sorted({(start, self.start_stride(middle)) for start, middle in kernels if start})
            }
        )
        self.expand = MaskedConv(inputs, expanded, act=True)
        self.middle = nn.ModuleDict(
            {
                _key(size, stride): MaskedConv(expanded, expanded, size, stride, depthwise=True, act=True)
                for size in sorted({middle for _, middle in kernels if middle})
            }
        )
        self.project = MaskedConv(expanded, outputs)

    def start_stride(self, middle: int) -> int:
        """Return the stride of the first depthwise convolution: the block's, where there is no second one."""
        return 1 if middle else self.stride

    def forward(self, x: Tensor, block: Block, outputs: int, average: bool) -> Tensor:
        """Return the block's output; `average` takes the mean over the kernels of each place."""
        options = self.averaged(block.kernels) if average else [block.kernels]
        expanded = make_divisible(x.shape[1] * block.expansion)
        step = self.start_stride(options[0][1])
        y = _mean(self.start, sorted({start for start, _ in options}), step, x, x.shape[1])
        y = self.expand(y, expanded)
        y = _mean(self.middle, sorted({middle for _, middle in options}), self.stride, y, expanded)
        y = self.project(y, outputs)
        added: Tensor = x + y if self.stride == 1 and x.shape == y.shape else y
        return added

    def averaged(self, drawn: Kernels) -> list[Kernels]:
        """Return the options that are averaged when `drawn` is picked: all, but a stride has one place, and only those
        with theirs where it is in `drawn` compute maps of one size."""
        return [kernels for kernels in self.kernels if self.stride == 1 or bool(kernels[1]) == bool(drawn[1])]


class Supernet(nn.Module):
    """A classifier of every architecture of a space; `forward` takes the architecture beside the images."""

    def __init__(self, space: Space, classes: int) -> None:
        super().__init__()
        skeleton = space.skeleton
        self.head, channels = _fixed(skeleton.head, 3)
        self.stages = nn.ModuleList()
        for stage, (_, places) in enumerate(skeleton.stages):
            widest = max(space.options(stage, None, "channels"))
            blocks = nn.ModuleList()
            for block in range(places):
                kernels, expansions = (space.options(stage, block, aspect) for aspect in ("kernels", "expansion"))
                blocks.append(MaskedUIB(channels, widest, 1 if block else 2, kernels, expansions))
                channels = widest
            self.stages.append(blocks)
        self.tail = nn.ModuleList()
        for row in skeleton.tail:
            assert isinstance(row, ConvRow), "a skeleton's tail is of convolutions"
            self.tail.append(MaskedConv(channels, row.channels, row.kernel, row.stride, act=True))
            channels = row.channels
        self.widths = [row.channels for row in skeleton.tail]
        self.features = MaskedConv(channels, HEAD_CHANNELS, act=True)
        self.linear = nn.Linear(HEAD_CHANNELS, classes)

    def forward(self, x: Tensor, architecture: Architecture, averaged: Collection[Place] = ()) -> Tensor:
        """Return logits (B, classes) of images (B, 3, H, W).

        Args:
            averaged: blocks that run all their kernels at once, while weights warm up.
        """
        for layer in self.head:
            x = layer(x)
        for stage, (blocks, chosen) in enumerate(zip(self.stages, architecture, strict=True)):
            for place, (block, setting) in enumerate(zip(blocks, chosen.blocks, strict=True)):  # type: ignore[call-overload]
                if setting.present:
                    x = block(x, setting, chosen.channels, (stage, place) in averaged)
        for layer, width in zip(self.tail, self.widths, strict=True):
            x = layer(x, width)
        x = self.features(x.mean((2, 3), keepdim=True), HEAD_CHANNELS)
        logits: Tensor = self.linear(x.flatten(1))
        return logits


def _mean(layers: nn.ModuleDict, sizes: Sequence[int], stride: int, x: Tensor, channels: int) -> Tensor:
    """Return the mean over kernels of a depthwise place; 0 passes its input on."""
    outputs = [layers[_key(size, stride)](x, channels) if size else x for size in sizes]
    return outputs[0] if len(outputs) == 1 else torch.stack(outputs).mean(0)


def _key(kernel: int, stride: int) -> str:
    return f"{kernel}x{kernel}/{stride}"


def _fixed(rows: Sequence[Row], channels: int) -> tuple[nn.ModuleList, int]:
    """Return rows that no choice touches, built, and the channels behind them."""
    layers = nn.ModuleList()
    for layer, row in _built(rows, channels):
        layers.append(layer)
        channels = row.channels
    for module in layers.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps, module.track_running_stats = EPS, False
            module.running_mean = module.running_var = module.num_batches_tracked = None
    return layers, channels


def _built(rows: Sequence[Row], channels: int) -> Iterator[tuple[nn.Module, Row]]:
    for row in rows:
        yield row.build(channels, STYLE), row
        channels = row.channels
