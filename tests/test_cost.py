"""Costs against another counter, and against the formulas of the papers."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import get_args

import pytest
import torch
from helpers import ROOT
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mnv4bench.cost.arms import count, deployed, write_cost
from mnv4bench.cost.counting import activations, macs
from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.models import alternatives, build, detector
from mnv4bench.spec.model import ModelSpec, PartName, Read
from mnv4bench.spec.plan import load


@pytest.mark.parametrize("read", ["nms", "nms_free"])
def test_flops_equal_torchs_own_counter(read: Read) -> None:
    model = build("mnv4-yolov10n", 3, read=read)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        deployed(model)(torch.zeros(1, 3, 128, 128))
    assert count(model, 128).flops == counter.get_total_flops()


def test_convolutions_alone_are_the_papers_convention() -> None:
    row = count(build("mnv4-yolov10n", 3), 128)
    without = count(detector.build(ModelSpec(attention="none"), 3), 128)
    assert without.flops == without.conv_flops  # no matrix products but attention's
    assert row.flops > row.conv_flops


def test_scdown_saves_what_its_formula_says() -> None:
    """YOLOv10, section 3.2, at equal channels C: 9 C² against C² + 9 C weights, and one more folded bias."""
    conv, scdown = (count(detector.build(ModelSpec(downsample=way), 3), 128) for way in ("conv", "scdown"))  # type: ignore[arg-type]
    channels, side = 128, 128 // 16
    assert conv.params - scdown.params == 9 * channels**2 - (channels**2 + 9 * channels) - channels
    macs = 9 * channels**2 * (side // 2) ** 2 - (channels**2 * side**2 + 9 * channels * (side // 2) ** 2)
    assert conv.flops - scdown.flops == 2 * macs


def test_only_the_branch_that_is_read_is_deployed() -> None:
    model = build("mnv4-yolov10n", 3)
    nms_free, nms = (count(build("mnv4-yolov10n", 3, read=read), 128) for read in ("nms_free", "nms"))
    single = count(detector.build(ModelSpec(head="one_to_many"), 3), 128)
    assert nms_free.params == nms.params == single.params < nms.train_params
    assert count(model, 128).train_params == sum(p.numel() for p in model.parameters())
    assert model.head.one2one_cv2 is not None  # counting leaves the model as it was


@pytest.mark.parametrize("spec", [ModelSpec(), ModelSpec(peer="yolov8n")], ids=["ours", "peer"])
def test_the_parts_add_up_to_the_whole(spec: ModelSpec) -> None:
    row = count(detector.build(spec, 3), 128)
    assert sum(part.params for part in row.parts.values()) == row.params
    assert sum(part.flops for part in row.parts.values()) == row.flops


def test_parts_are_named_as_the_network_is() -> None:
    """SCDown against a convolution differs in p5_down alone; what a peer is made of is told by position."""
    conv, scdown = (count(detector.build(ModelSpec(downsample=way), 3), 128) for way in ("conv", "scdown"))  # type: ignore[arg-type]
    assert list(conv.parts) == list(get_args(PartName))
    differing = {name for name, part in conv.parts.items() if part != scdown.parts[name]}
    assert differing == {"p5_down"}
    assert conv.parts["p5_down"].params == 9 * 128**2 + 128
    assert conv.parts["p5_down"].flops == 2 * 9 * 128**2 * (128 // 32) ** 2
    peer = count(detector.build(ModelSpec(peer="yolov8n"), 3), 128)
    assert list(peer.parts) == ["backbone", "neck", "head"]
    # The detection head reads three maps of 64, 128 and 256 channels at 16, 8 and 4 positions a side.
    assert peer.parts["head"].flops == 2 * sum(
        side**2 * (9 * c * (64 + 64) + 9 * 64 * 64 + 9 * 64 * 64 + 64 * 64 + 64 * 3)
        for c, side in ((64, 16), (128, 8), (256, 4))
    ) + 2 * 16 * 4 * (16**2 + 8**2 + 4**2)


class _Products(nn.Module):
    """One product of two inputs, made of the image's first rows."""

    def __init__(self, product: Callable[[Tensor, Tensor], Tensor], left: tuple[int, ...], right: tuple[int, ...]):
        super().__init__()
        self.product, self.left, self.right = product, left, right

    def forward(self, x: Tensor) -> Tensor:
        left, right = (x.flatten()[: prod(shape)].reshape(shape) for shape in (self.left, self.right))
        return self.product(left, right)


@pytest.mark.parametrize(
    ("product", "left", "right", "expected", "elements"),
    [
        (torch.matmul, (3, 4), (5, 4, 2), 5 * 3 * 4 * 2, 5 * 3 * 2),  # the left input is used five times
        (torch.matmul, (5, 3, 4), (4, 2), 5 * 3 * 4 * 2, 5 * 3 * 2),
        (torch.matmul, (3, 4), (4,), 3 * 4, 3),
        (torch.mm, (3, 4), (4, 2), 3 * 4 * 2, 3 * 2),
        (torch.mv, (3, 4), (4,), 3 * 4, 3),
        (torch.dot, (4,), (4,), 4, 1),
        (torch.bmm, (5, 3, 4), (5, 4, 2), 5 * 3 * 4 * 2, 5 * 3 * 2),
        (lambda a, b: torch.baddbmm(a[:, :, :2], a, b), (5, 3, 4), (5, 4, 2), 5 * 3 * 4 * 2, 5 * 3 * 2),
    ],
    ids=["left broadcast", "right broadcast", "vector", "mm", "mv", "dot", "bmm", "baddbmm"],
)
def test_products_of_two_inputs_are_counted(
    product: Callable[[Tensor, Tensor], Tensor],
    left: tuple[int, ...],
    right: tuple[int, ...],
    expected: int,
    elements: int,
) -> None:
    module, image = _Products(product, left, right), torch.zeros(1, 3, 8, 8)
    assert macs(module, image)[""].matmul == expected
    assert activations(module, image) == elements


@pytest.mark.parametrize(
    "product", [torch.inner, lambda a, b: torch.tensordot(a, b, 1), lambda a, b: torch.addmv(a[:, 0], a, b[0])]
)
def test_products_that_are_not_counted_are_refused(product: Callable[[Tensor, Tensor], Tensor]) -> None:
    with pytest.raises(Mnv4benchError, match="not counted: write it as matmul"):
        macs(_Products(product, (4, 4), (4, 4)), torch.zeros(1, 3, 8, 8))


@pytest.mark.filterwarnings("ignore:Using padding")  # of even kernels: PyTorch itself pads
@pytest.mark.parametrize("kernel", [(3, 3), (2, 4), (1, 5)])
@pytest.mark.parametrize("dilation", [1, (2, 3)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_may_be_a_word(kernel: tuple[int, int], dilation: int | tuple[int, int], padding: str) -> None:
    layer = nn.Conv2d(3, 5, kernel, padding=padding, dilation=dilation)
    image = torch.zeros(1, 3, 16, 20)
    expected = layer(image).numel() * 3 * prod(kernel)
    assert macs(nn.Sequential(layer), image)[""].conv == expected


class _Inner(nn.Module):
    """The image itself, times one."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.inner(x.flatten()[:1] * 0 + 1, torch.ones(1))


def _never() -> nn.Module:
    raise ZeroDivisionError("no heads")


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (
            lambda channels: _Products(torch.add, (1, channels, 2), (1, channels, 1)),
            r"cannot be computed in the part p4_cat, at mnv4bench/models/\S+\.py:\d+: RuntimeError: ",
        ),
        (
            lambda channels: nn.Conv2d(2 * channels, channels, 1),
            r"cannot be computed in the part attention, at mnv4bench/models/\S+\.py:\d+: RuntimeError: .*channels",
        ),
        (lambda channels: _never(), r"cannot be computed, at mnv4bench/\S+\.py:\d+: ZeroDivisionError: no heads"),
        (lambda channels: _Inner(), "aten::inner, which is not counted"),
    ],
    ids=["axes", "channels", "raises", "uncounted"],
)
def test_a_network_that_cannot_be_computed_is_one_error_of_its_arm(
    part: Callable[[int], nn.Module], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(alternatives.ATTENTION, "psa", part)
    with pytest.raises(Mnv4benchError, match=rf"^ablations/psa\.yaml: arms\.(none|psa): .*{message}"):
        write_cost(load("smoke", "psa", root=ROOT), 3, tmp_path / "cost.json")
    assert not (tmp_path / "cost.json").exists()
