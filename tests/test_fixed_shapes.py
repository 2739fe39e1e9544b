"""The loss in fixed shapes: the values and gradients of ultralytics' own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import SIDE, images
from torch import Tensor

from mnv4bench.models import detector
from mnv4bench.models.yolo import Detector, fix_shapes, hyperparameters, padded
from mnv4bench.spec.model import ModelSpec
from mnv4bench.spec.run import LossSpec

COUNTS = {"some": [3, 0, 9], "one image without": [0, 1, 2], "none": [0, 0, 0], "a crowd": [1, 40, 0]}


def batch_with(counts: list[int]) -> dict[str, Any]:
    random = torch.Generator().manual_seed(0)
    total = sum(counts)
    centres, sides = torch.rand(total, 2, generator=random), torch.rand(total, 2, generator=random)
    index = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)).float()
    return {
        "img": images(len(counts), SIDE),
        "cls": torch.randint(0, 3, (total, 1), generator=random).float(),
        "bboxes": torch.cat([0.2 + 0.6 * centres, 0.02 + 0.38 * sides], dim=1),
        "batch_idx": index,
    }


def network(**fields: Any) -> Detector:
    model = detector.build(ModelSpec(**fields), 3)
    model.args = hyperparameters()
    return model.train()


def guessed(model: Detector, pictures: Tensor) -> Any:
    """Return raw predictions of random scores, and of boxes about as large as the objects."""
    random = torch.Generator().manual_seed(1)
    preds = model(pictures)
    fall = 0.7 * torch.arange(model.head.reg_max).repeat(4)[None, :, None]
    for branch in preds.values() if "one2one" in preds else [preds]:
        for name, offset in (("boxes", fall), ("scores", 0.0)):
            branch[name] = (torch.randn(branch[name].shape, generator=random) - offset).requires_grad_()
    return preds


def values(model: Detector, spec: LossSpec, batch: dict[str, Any], fixed: bool) -> tuple[Tensor, list[Tensor]]:
    """Return the three terms and the gradients of their sum by all raw predictions."""
    criterion = model.init_criterion(spec, 4)
    if fixed:
        fix_shapes(criterion, lambda function: function)  # type: ignore[arg-type]
        batch = padded(batch)
    preds = guessed(model, batch["img"])
    branches = list(preds.values()) if "one2one" in preds else [preds]
    raw = [branch[name] for branch in branches for name in ("boxes", "scores")]
    terms, items = criterion(preds, batch)
    assert list(items) == ["box_loss", "cls_loss", "dfl_loss"]
    torch.testing.assert_close(torch.stack(list(items.values())) * len(batch["img"]), terms.detach())
    return terms, list(torch.autograd.grad(terms.sum(), raw))


@pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS)
@pytest.mark.parametrize("head", ["dual", "one_to_many", "one_to_one"])
def test_values_and_gradients_are_ultralytics_own(head: Any, counts: list[int]) -> None:
    model, batch = network(head=head), batch_with(counts)
    wanted, gradients = values(model, LossSpec(), batch, fixed=False)
    found, same = values(model, LossSpec(), batch, fixed=True)
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=0)
    torch.testing.assert_close(same, gradients, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    "spec",
    [LossSpec(candidates=7, alpha=1.0), LossSpec(weights="decaying"), LossSpec(enlarge_small=True)],
    ids=["seven candidates", "decaying weights", "small objects enlarged"],
)
def test_every_setting_of_the_loss_is_kept(spec: LossSpec) -> None:
    model, batch = network(), batch_with([3, 0, 9])
    wanted, gradients = values(model, spec, batch, fixed=False)
    found, same = values(model, spec, batch, fixed=True)
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=0)
    torch.testing.assert_close(same, gradients, rtol=1e-5, atol=1e-8)
    assert not torch.equal(wanted, values(model, LossSpec(), batch, fixed=False)[0])


def test_a_box_of_no_extent_far_from_every_object_has_a_finite_gradient() -> None:
    model, batch = network(), batch_with([1])
    criterion: Any = model.init_criterion()
    fix_shapes(criterion, lambda function: function)
    preds = model(batch["img"])
    for branch in preds.values():
        branch["boxes"] = torch.full_like(branch["boxes"], -1e4).requires_grad_()
        branch["boxes"].data[:, ::16] = 1e4  # all sides are 0
    terms, _ = criterion(preds, padded(batch))
    terms.sum().backward()
    for branch in preds.values():
        assert torch.isfinite(branch["boxes"].grad).all()


def test_padding_keeps_each_images_objects_in_order() -> None:
    batch = {
        "img": images(3, SIDE),
        "cls": torch.tensor([[2.0], [1.0], [0.0]]),
        "bboxes": torch.arange(12.0).reshape(3, 4),
        "batch_idx": torch.tensor([0.0, 2.0, 2.0]),
    }
    rows = padded(batch)
    assert rows["batch_idx"].tolist() == [0.0] * 8 + [1.0] * 8 + [2.0] * 8
    assert rows["bboxes"].reshape(3, 8, 4)[2, :3].tolist() == [[4, 5, 6, 7], [8, 9, 10, 11], [0, 0, 0, 0]]
    assert rows["cls"].reshape(3, 8)[0].tolist() == [2.0] + [0.0] * 7
    assert padded(batch_with([9, 17]))["cls"].shape == (2 * 32, 1)
