"""Runs are told apart from the code that stands there now: a spec names parts and does not hold them."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import drawn_run

from mnv4bench.io.files import read_json, write_json
from mnv4bench.models import code, detector
from mnv4bench.models.yolo import Detector
from mnv4bench.spec.model import ModelSpec
from mnv4bench.train.recoded import recoded

TABLES = """
KERNEL = 3


def separable(channels):
    return Separable(channels, KERNEL)


class Separable:
    pass


class Other:
    pass


INNER: dict = {"c2firb": lambda channels: Other()}
INNER["c2fsep"] = separable
"""


def recorded(model: Detector) -> dict[str, str]:
    return code.code_of(model.modules(), model.yaml["mnv4bench"])


def test_the_code_of_a_network_is_its_classes_and_what_the_tables_hold_for_it() -> None:
    found = recorded(detector.build(ModelSpec(attention="mqa", block="c2firb"), 3))
    assert {
        "alternatives.py:ATTENTION[mqa]",
        "alternatives.py:DOWNSAMPLE[scdown]",
        "alternatives.py:InvertedResidual",
        "mobilenetv4/attention.py:AttentionBlock",
        "stages.py:INNER[c2firb]",
        "yolo/detector.py:Detector",
    } <= set(found)
    assert not any("psa" in name for name in found)
    assert code.changed(found) == []
    assert code.changed({"alternatives.py:ATTENTION[gone]": "0", "gone.py:Class": "0"}) != []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("KERNEL = 3", "KERNEL = 5", True),  # what the entry uses, by way of a function
        ("class Separable:\n    pass", "class Separable:\n    x = 1", True),
        ("class Other:\n    pass", "class Other:\n    x = 1", False),
        ('"c2firb": lambda channels: Other()', '"c2firb": lambda channels: Separable()', False),
        ('INNER["c2fsep"] = separable', 'INNER["c2fsep"] = Separable', True),
        ('INNER["c2fsep"] = separable', "", True),
    ],
)
def test_an_edit_is_told_where_a_network_uses_it(
    old: str, new: str, told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "__file__", str(tmp_path / "code.py"))
    for text in (TABLES, TABLES.replace(old, new)):
        (tmp_path / "stages.py").write_text(text)
        code._definitions.cache_clear()
        if text == TABLES:
            before = code.code_of([], {"block": "c2fsep"})
    assert list(before) == ["stages.py:INNER[c2fsep]"]
    assert code.changed(before) == (list(before) if told else [])
    code._definitions.cache_clear()


def test_runs_of_other_code_are_named_with_the_remedy(tmp_path: Path) -> None:
    runs = [drawn_run(tmp_path, name) for name in ("one", "two")]
    names = ["one", "two", "absent"]
    assert recoded(names, tmp_path / "runs") == []  # older files say nothing of it
    for run in runs:
        path = run / "status.json"
        write_json(path, read_json(path) | {"code": {"alternatives.py:ATTENTION[psa]": "0"}})
    [warning] = recoded(names, tmp_path / "runs")
    assert warning == (
        f"{tmp_path / 'runs' / 'one'} and 1 other run: trained with another ATTENTION[psa] than stands in "
        "mnv4bench/models/alternatives.py now; delete their folders to train again, or undo the change"
    )
