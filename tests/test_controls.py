"""The positive controls of Scenes: windows put together again, and when a control counts as found."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from benchmarks.controls import MARGIN, STEP, WINDOW, data_set, in_windows, judge, on_a_grid, without
from mnv4bench.spec.run import DataSpec


def test_windows_keep_what_lies_in_their_middle_at_its_place() -> None:
    """Every window reports a box around its centre and one in its corner: the first ones tile the image."""

    def decode(images: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        assert images.shape[1:] == (3, WINDOW, WINDOW)
        middle, corner = torch.tensor([44.0, 44, 52, 52]), torch.tensor([2.0, 2, 10, 10])
        boxes = torch.stack([middle, corner]).expand(len(images), 2, 4)
        return {"nms_free": (boxes, torch.ones(len(images), 2, 1))}

    boxes, scores = in_windows(SimpleNamespace(decode=decode), torch.zeros(3, 160, 160), "nms_free")  # type: ignore[arg-type]
    kept = boxes[scores[:, 0] > 0]
    centres = ((kept[:, :2] + kept[:, 2:]) / 2).tolist()
    places = [STEP / 2 + STEP * k for k in range(5)]
    assert sorted(centres) == sorted([x, y] for x in places for y in places)


def row(low: float, high: float) -> dict[str, float]:
    return {"low": low, "high": high}


@pytest.mark.parametrize(
    ("aimed", "other", "found", "specific"),
    [
        (row(-0.2, -MARGIN - 0.001), row(-0.01, 0.01), True, True),
        (row(-0.2, -MARGIN), row(-0.01, 0.01), False, True),
        (row(-0.2, -0.1), row(-MARGIN, 0.0), True, False),
        (row(-0.2, -0.1), row(0.0, MARGIN), True, False),
        (row(-0.01, 0.01), row(-0.2, -0.1), False, False),
    ],
)
def test_a_control_is_found_where_it_is_aimed_and_nowhere_else(
    aimed: dict[str, float], other: dict[str, float], found: bool, specific: bool
) -> None:
    assert judge({"crowd": aimed, "plain": other}, ("crowd",)) == {"found": found, "specific": specific}


def test_without_a_stride_its_scores_are_zero_and_the_others_stay() -> None:
    """64 × 64 pixels: 64 places of stride 8, then 16 of stride 16, then 4 of stride 32."""
    model = SimpleNamespace(
        head=SimpleNamespace(stride=torch.tensor([8.0, 16.0, 32.0])),
        decode=lambda _: {"nms": (torch.zeros(1, 84, 4), torch.ones(1, 84, 2))},
    )
    for stride, places in ((8, range(64)), (16, range(64, 80)), (32, range(80, 84))):
        _, scores = without(stride)(model, torch.zeros(3, 64, 64), "nms")  # type: ignore[arg-type]
        assert [place for place, row in enumerate(scores) if not row.any()] == list(places)
        assert scores.sum() == 2 * (84 - len(places))


def test_boxes_are_rounded_to_the_grid() -> None:
    box = torch.tensor([[[0.9, 1.1, 6.2, 7.9]]])
    model = SimpleNamespace(decode=lambda _: {"nms_free": (box, torch.ones(1, 1, 1))})
    boxes, _ = on_a_grid(model, torch.zeros(3, 32, 32), "nms_free")  # type: ignore[arg-type]
    assert boxes.tolist() == [[0.0, 2.0, 6.0, 8.0]]


def test_data_whose_drawing_was_interrupted_are_drawn_again(tmp_path: Path) -> None:
    (tmp_path / "data" / "images").mkdir(parents=True)
    spec = DataSpec(name="scenes", imgsz=64, train=8, val=8)
    made = data_set(spec, tmp_path / "data")
    assert data_set(spec, tmp_path / "data") == made
