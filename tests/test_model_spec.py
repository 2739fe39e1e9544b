"""One spelling for one network, no impossible combination, and the parts that a field contests."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mnv4bench.spec.model import ModelSpec, contested


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"block": "c2f", "kernel": 9, "reparameterised": False}, {"block": "c2f"}),
        ({"block": "c2fuib", "kernel": 9}, {"block": "c2fuib", "kernel": 3}),
        ({"kernel": 3, "reparameterised": False}, {"kernel": 3}),
        ({"block_stages": ("p4_out",)}, {"block_stages": ("p4_out",), "kernel": 3}),
        ({"block_stages": ("p5_out", "p4_mid")}, {"block_stages": ("p4_mid", "p5_out")}),
        ({"peer": "yolov8n", "head": "dual"}, {"peer": "yolov8n", "head": "one_to_many"}),
    ],
)
def test_what_has_no_meaning_beside_the_rest_has_one_value(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert ModelSpec(**one) == ModelSpec(**other)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"mobile_attention": "mqa"},
            "mnv4_conv_small has no attention blocks to change; those with attention are",
        ),
        ({"backbone": "yolov10"}, "Input should be 256 with backbone yolov10"),
        ({"backbone": "yolov10", "scale": "s", "p5_tap": 256}, "Input should be 512 with backbone yolov10"),
        ({"backbone": "yolov10", "p5_tap": 256, "uib": "ib"}, "has no universal inverted bottlenecks"),
        ({"p5_tap": 256}, "Input should be 128, 960 or 1280 with backbone mnv4_conv_small"),
        ({"block_stages": ()}, r"block_stages \[\]: c2fcib stands nowhere; name stages, or write block: c2f"),
        ({"block_stages": ("p2",)}, "p4_mid"),
        ({"peer": "yolov8n", "attention": "none"}, "attention has no meaning for the peer yolov8n"),
    ],
)
def test_an_impossible_combination_is_refused_with_the_reason(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        ModelSpec(**fields)


def test_stages_of_a_block_are_contested_where_they_differ() -> None:
    two = ModelSpec(block_stages=("p4_out", "p5_out"), kernel=3)
    assert dict(contested(ModelSpec(kernel=3), two)) == {"block_stages": ("p4_out",)}
    assert dict(contested(ModelSpec(block="c2f"), two)) == {
        "block": ("p4_out", "p5_out"),
        "block_stages": ("p4_out", "p5_out"),
    }


def test_a_backbone_or_a_peer_contests_everything() -> None:
    assert dict(contested(ModelSpec(), ModelSpec(backbone="mnv4_conv_medium"))) == {"backbone": None}
    assert dict(contested(ModelSpec(), ModelSpec(peer="yolov8n")))["peer"] is None
    assert not dict(contested(ModelSpec(), ModelSpec()))
