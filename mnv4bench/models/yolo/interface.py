"""A detector as an ultralytics YOLO object: predict, val, export and save, offline."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from ultralytics import YOLO
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils import DEFAULT_CFG_DICT, USER_CONFIG_DIR
from ultralytics.utils.events import events

from mnv4bench.io.errors import Mnv4benchError, SpecError
from mnv4bench.machine.telemetry import without_openvino_telemetry
from mnv4bench.models import torchvision_ops
from mnv4bench.models.yolo.offline import FONT, register_font

SIDE = 640
"""Side in pixels where the model does not say another."""


class _WrappedYOLO(YOLO):
    """ultralytics' interface around a detector that no YAML of its own describes."""

    def __init__(self, detector: DetectionModel, imgsz: int) -> None:
        self._imgsz = imgsz
        super().__init__(detector.yaml["yaml_file"], task="detect")
        self.model = detector
        detector.args = {**DEFAULT_CFG_DICT, **self.overrides}

    def _new(self, cfg: str, task: str | None = None, verbose: bool = False) -> None:
        self.cfg = self.model_name = cfg
        self.task = task
        self.overrides = {"model": cfg, "task": task, "imgsz": self._imgsz}
        self.ckpt = {"train_args": {"task": task, "imgsz": self._imgsz}}  # what is read of a file that `save` wrote

    # By default the whole square, as the suite trains and scores, and as exported files take it; ultralytics' own
    # default, rect=True, pads to a multiple of 32 alone.

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        return super().predict(*args, **{"rect": False, **kwargs})

    def val(self, *args: Any, **kwargs: Any) -> Any:
        self._check_data(kwargs, "validation")
        return super().val(*args, **{"rect": False, **kwargs})

    def export(self, **kwargs: Any) -> Any:
        if kwargs.get("int8"):
            self._check_data(kwargs, "calibration for int8")
        without_openvino_telemetry()
        return super().export(**kwargs)

    def _check_data(self, settings: Mapping[str, Any], purpose: str) -> None:
        """Refuse what ultralytics would fetch a data set of its own for."""
        if not (settings.get("data") or self.overrides.get("data")):
            raise Mnv4benchError(f"data: missing; {purpose} needs images, name them with data='….yaml'")

    def train(self, *args: Any, **kwargs: Any) -> Any:
        raise Mnv4benchError(
            "ultralytics' trainer would build another model from YAML; train with mnv4bench.train.train"
        )


def as_yolo(model: DetectionModel, imgsz: int | None = None) -> YOLO:
    """Wrap a copy of a detector as an ultralytics YOLO object: predict, val, export, save.

    Images are padded to a square, unless `rect=True` is asked for. One of ours reads as its `read` says, NMS-free for a
    dual head, whatever `nms` argument it is called with. Nothing contacts a network.

    Args:
        imgsz: default side of images in pixels; None takes the one that the model was trained at, where it was loaded
            by `mnv4bench.load` and says so, else 640.

    Raises:
        SpecError: the network is not ultralytics', as RT-DETR.
    """
    if getattr(model, "yaml", None) is None:
        raise SpecError(
            f"{type(model).__name__} is no network of ultralytics, so as_yolo cannot wrap it; call it on images "
            "(B, 3, H, W) in 0–1, stretched to a square, or let `mnv4bench export` write it as files"
        )
    torchvision_ops.provide()
    events.enabled = False  # usage statistics
    if not (USER_CONFIG_DIR / FONT).exists():
        register_font()
    copy: Any = deepcopy(model).eval()
    if imgsz:
        copy.imgsz = imgsz  # by which `mnv4bench.load` knows it again in a file that `save` wrote
    return _WrappedYOLO(copy, getattr(copy, "imgsz", None) or SIDE)
