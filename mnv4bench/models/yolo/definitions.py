"""Networks from rows in ultralytics' form, its own definitions among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn
from ultralytics.nn.modules import Detect
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils import ROOT, YAML


def released(file: str, scale: str) -> dict[str, Any]:
    """Return one of ultralytics' own network definitions.

    Args:
        file: path under its folder of definitions, "v8/yolov8.yaml".
        scale: which of the file's scales, "n"; empty where it has none.
    """
    definition: dict[str, Any] = YAML.load(ROOT / "cfg" / "models" / file)
    return {**definition, "scale": scale, "yaml_file": Path(file).name}


def network(definition: Mapping[str, Any], classes: int) -> DetectionModel:
    """Build a network from rows in ultralytics' form, read NMS-free where it has a one-to-one head."""
    with own_head_form():
        model = DetectionModel({**definition, "nc": classes}, verbose=False)
    model.task = "detect"
    if has_one_to_one(model.model[-1]):
        model.end2end = True
    return model


@contextmanager
def own_head_form() -> Iterator[None]:
    """Keep what is built within from shaping the heads that are built after it, and be shaped by none before.

    ultralytics keeps a head's form per class, as whatever was built last sets it.
    """
    legacy, Detect.legacy = Detect.legacy, False
    try:
        yield
    finally:
        Detect.legacy = legacy


def has_one_to_one(head: nn.Module) -> bool:
    return getattr(head, "one2one_cv2", None) is not None
