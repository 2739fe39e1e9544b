"""Checkpoints of ultralytics."""

from __future__ import annotations

from pathlib import Path

from ultralytics.nn import tasks
from ultralytics.nn.modules import Detect, v10Detect
from ultralytics.nn.tasks import DetectionModel

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.models.yolo.definitions import has_one_to_one
from mnv4bench.models.yolo.detector import Detector
from mnv4bench.models.yolo.head import Head
from mnv4bench.spec.model import Read


def load_checkpoint(path: Path) -> tuple[DetectionModel, Read, tuple[str, ...]]:
    """Load a detection checkpoint of ultralytics: its float32 network in eval mode, how it is read, its classes.

    A network with a one-to-one head is read by it. A checkpoint is a pickle, which can run any code: load only files
    that you trust, or set ULTRALYTICS_SAFE_LOAD=1, which admits ultralytics' own classes alone.

    Raises:
        Mnv4benchError: the file does not exist, holds no ultralytics network, or one for another task.
    """
    if not path.is_file():
        raise Mnv4benchError(f"{path}: no such checkpoint")
    try:
        model, _ = tasks.load_checkpoint(str(path))
    except Exception as error:  # a file from elsewhere may fail anywhere in unpickling
        raise Mnv4benchError(f"{path}: not a checkpoint of ultralytics ({_first_line(error)})") from error
    head = model.model[-1] if isinstance(model, DetectionModel) else model
    if type(head) not in (Detect, v10Detect, Head):
        raise Mnv4benchError(
            f"{path}: holds a network for {model.task!r} that ends in {type(head).__name__}; "
            "allowed: detection networks that end in Detect or v10Detect"
        )
    known = model.names if isinstance(model.names, dict) else dict(enumerate(model.names))
    names = tuple(str(known[index]) for index in sorted(known))
    if isinstance(model, Detector):
        return model, model.read, names
    model.end2end = has_one_to_one(head)
    return model, "nms_free" if model.end2end else "nms", names


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
