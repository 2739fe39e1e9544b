"""Detection networks from checkpoints of ultralytics, of YOLOv10's own repository, and of `as_yolo(...).save`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn
from ultralytics.nn import tasks
from ultralytics.nn.modules import Detect, v10Detect
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils import DEFAULT_CFG_DICT

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.models.yolo import unpickling
from mnv4bench.models.yolo.definitions import has_one_to_one
from mnv4bench.models.yolo.detector import Detector
from mnv4bench.models.yolo.head import Head
from mnv4bench.spec.model import Read


def load_checkpoint(path: Path, trust: bool = False) -> tuple[DetectionModel, Read, tuple[str, ...]]:
    """Load a detection checkpoint: its float32 network in eval mode, how it is read, its classes.

    A network with a one-to-one head is read by it.

    Args:
        trust: read the file as Python does, which runs whatever code it holds, in place of refusing what a network
            does not need (unpickling.py).

    Raises:
        Mnv4benchError: the file does not exist, is damaged, could run code, or holds no network that ends in a
            detection head.
    """
    if not path.is_file():
        raise Mnv4benchError(f"{path}: no such checkpoint")
    content = _run(path) if trust else unpickling.read(path)
    model = _network(path, content)
    try:
        model = _ready(model)
        head = model.model[-1] if isinstance(model, DetectionModel) else model
        if type(head) not in (Detect, v10Detect, Head):
            raise Mnv4benchError(
                f"{path}: holds a network for {getattr(model, 'task', None)!r} that ends in {type(head).__name__}; "
                "allowed: detection networks that end in Detect or v10Detect"
            )
        return model, _reading(model, head), _classes(model)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise Mnv4benchError(f"{path}: its network lacks a part ({error}); name a whole checkpoint") from error


def _run(path: Path) -> Any:
    try:
        return tasks.torch_safe_load(str(path), safe_only=False)[0]
    except Exception as error:  # a file from elsewhere may fail anywhere in unpickling
        raise Mnv4benchError(f"{path}: not a checkpoint of ultralytics ({error})") from error


def _network(path: Path, content: Any) -> nn.Module:
    """Return the moving average of a training's weights where there is one, as ultralytics does."""
    networks = (content.get(name) for name in ("ema", "model")) if isinstance(content, dict) else ()
    network = next((value for value in networks if value is not None), None)
    if not isinstance(network, nn.Module):
        raise Mnv4benchError(f"{path}: holds no network, so is no checkpoint of ultralytics; tensors alone will not do")
    return network


def _ready(model: Any) -> Any:
    """Return a network in float32 and eval mode, with what its saved form lacks or should not keep."""
    vars(model).pop("criterion", None)  # the loss of the training
    model.args = dict(DEFAULT_CFG_DICT)
    module: Any
    for module in model.modules():
        if hasattr(module, "inplace"):
            module.inplace = True
        if isinstance(module, nn.Upsample) and not hasattr(module, "recompute_scale_factor"):
            module.recompute_scale_factor = None  # from before torch 1.11
    return model.float().eval()


def _reading(model: Any, head: Any) -> Read:
    if isinstance(model, Detector):
        return model.read
    model.end2end = has_one_to_one(head)
    return "nms_free" if model.end2end else "nms"


def _classes(model: Any) -> tuple[str, ...]:
    known = model.names if isinstance(model.names, dict) else dict(enumerate(model.names))
    return tuple(str(known[index]) for index in sorted(known))
