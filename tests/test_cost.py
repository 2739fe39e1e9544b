"""Costs against another counter, and against the formulas of the papers."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mnv4bench.cost import count, deployed
from mnv4bench.models import build, detector
from mnv4bench.spec import ModelSpec, Read


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
