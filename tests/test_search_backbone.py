"""A searched backbone's file under a detector: `model.backbone: FILE`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from mnv4bench.models import detector
from mnv4bench.models.mobilenetv4.variants import CONV_SMALL, as_line
from mnv4bench.spec.model import ModelSpec
from mnv4bench.spec.naming import slug
from mnv4bench.spec.run import RunSpec, TrainSpec

ROWS = [as_line(row) for row in CONV_SMALL.rows]
CONTENT: dict[str, Any] = {
    "rows": ROWS,
    "side": 64,
    "cost": "macs",
    "budget": 1.7e7,
    "expected_cost": 1.7e7,
    "accuracy": 0.5,
}


def written(folder: Path, name: str = "backbone.json", **changes: Any) -> str:
    path = folder / name
    path.write_text(json.dumps({**CONTENT, **changes}))
    return str(path)


def test_the_file_becomes_rows_and_a_detector(tmp_path: Path) -> None:
    spec = ModelSpec(backbone=written(tmp_path))  # type: ignore[arg-type]
    assert spec.backbone == "searched"
    assert list(spec.rows) == ROWS
    ours, published = (detector.build(s, 3).eval() for s in (spec, ModelSpec()))
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(ours(image)[0], published(image)[0]), "Conv-S's rows, so Conv-S and its initial values"
    assert detector.build(spec.model_copy(update={"p5_tap": 128}), 3) is not None


def test_a_run_is_what_the_file_holds_and_not_where_it_lies(tmp_path: Path) -> None:
    narrow = [row.replace(" 96 ", " 72 ") for row in ROWS]
    runs = [
        RunSpec(model=ModelSpec(backbone=path), train=TrainSpec(epochs=1))  # type: ignore[arg-type]
        for path in (written(tmp_path), written(tmp_path, "again.json"), written(tmp_path, "c.json", rows=narrow))
    ]
    first, again, other = runs
    assert first.digest() == again.digest() != other.digest()
    assert slug(first).startswith("searched_")
    assert slug(first) != slug(other)
    assert RunSpec.model_validate(json.loads(first.model_dump_json())) == first


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": ["uib 9 9 8 /2 x4"]}, "is no row"),
        ({"rows": ["conv 3x3 0 /2", *ROWS[1:]]}, "is no row"),
        ({"rows": ROWS[:-1]}, "needs 960"),
        ({"rows": [*["conv 3x3 8 /2"] * 4, "conv 1x1 960 /2"]}, "last row reduces"),
        ({"rows": ROWS[1:]}, "reach stride 16"),
        ({"rows": [ROWS[0], "uib 0 0 32 /2 x4"]}, "needs a depthwise"),
        ({"colour": 1}, "colour"),
        ({"budget": "much"}, "budget"),
    ],
)
def test_a_file_that_holds_no_backbone_is_refused_by_name(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(ValidationError, match=message) as error:
        ModelSpec(backbone=path)  # type: ignore[arg-type]
    assert path in str(error.value)


def test_a_missing_file_and_rows_without_a_search_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="cannot be read"):
        ModelSpec(backbone=str(tmp_path / "none.json"))  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="needs rows"):
        ModelSpec(backbone="searched")
    with pytest.raises(ValidationError, match="only a searched backbone"):
        ModelSpec(rows=tuple(ROWS))
    with pytest.raises(ValidationError, match="should be 128, 960 or 1280"):
        ModelSpec(backbone=written(tmp_path), p5_tap=256)  # type: ignore[arg-type]
