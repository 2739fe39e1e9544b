"""A published network as one of our detectors: its own structure and weights, read by either of its heads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from ultralytics.nn.modules import SPPF
from ultralytics.nn.tasks import DetectionModel

from mnv4bench.io.errors import Mnv4benchError, SpecError
from mnv4bench.models.yolo.checkpoints import load_checkpoint
from mnv4bench.models.yolo.dataset import hyperparameters
from mnv4bench.models.yolo.definitions import has_one_to_one, network
from mnv4bench.models.yolo.detector import Detector
from mnv4bench.spec.run import LossSpec

COUNTER = "num_batches_tracked"
"""Ends the name of a tensor that only training uses."""

LAYER = re.compile(r"^(model\.)+")


class StoredDetector(Detector):
    """A network from a checkpoint; its parts are its layers by number: "layer0", "layer1", and so on.

    The modules keep the structure that they were saved with, which may differ from today's definitions: YOLOv10's
    release has an activation in SPPF that ultralytics no longer has.
    """

    def init_criterion(self, spec: LossSpec | None = None, epochs: int | None = None) -> Any:
        """Published weights are not trained here.

        Raises:
            SpecError: always.
        """
        raise SpecError("published weights are not trained; name a peer to train its network")


def load_stored(path: Path, assignment: str) -> StoredDetector:
    """Return the network in a checkpoint as a detector, in eval mode.

    Args:
        assignment: the branches that the head has to hold, "dual" or "one_to_many".

    Raises:
        Mnv4benchError: the file is damaged, could run code, holds no detection network, or one with another head.
    """
    model, _, names = load_checkpoint(path)
    if type(model) is not DetectionModel:
        raise Mnv4benchError(f"{path}: holds a {type(model).__name__}, not a network as ultralytics publishes them")
    head: Any = model.model[-1]
    if getattr(head, "cv2", None) is None or not hasattr(model.model[0], "bn"):
        raise Mnv4benchError(f"{path}: its network is fused for one head; give the checkpoint of the release")
    held = "dual" if has_one_to_one(head) else "one_to_many"
    if held != assignment:
        raise Mnv4benchError(
            f"{path}: its head is {held}, that of the named network is {assignment}; give its own file"
        )
    return _as_detector(model, assignment, names)


def load_tensors(
    path: Path, definition: Mapping[str, Any], names: Sequence[str], assignment: str, sppf: Literal["linear", "silu"]
) -> StoredDetector:
    """Return the network of a definition with the tensors of a safetensors file, in eval mode.

    Their names are the layers' ("model.0.conv.weight"), however many times "model." stands before them.

    Args:
        definition: rows in ultralytics' form.
        names: the classes.
        assignment: as for `load_stored`.
        sppf: what stood behind SPPF's first convolution when the network was released.

    Raises:
        Mnv4benchError: the file is damaged, or its tensors are another network's; names the first of them.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise Mnv4benchError(f"{path}: damaged, or no safetensors file ({error}); fetch it again") from error
    model = network(definition, len(names))
    for layer in model.model:
        if isinstance(layer, SPPF) and sppf == "silu":
            layer.cv1.act = nn.SiLU()
    expected = {name: value.shape for name, value in model.state_dict().items() if not name.endswith(COUNTER)}
    found = {LAYER.sub("model.", name): value.float() for name, value in tensors.items() if not name.endswith(COUNTER)}
    for name in sorted(expected.keys() | found.keys()):
        if name not in expected or name not in found or found[name].shape != expected[name]:
            what = "has no such tensor" if name not in found else f"is {tuple(found[name].shape)} there"
            raise Mnv4benchError(
                f"{path}: {name}: {what}, unlike in the network of that name; give that network's file"
            )
    model.load_state_dict(found, strict=False)
    return _as_detector(model, assignment, names)


def _as_detector(model: DetectionModel, assignment: str, names: Sequence[str]) -> StoredDetector:
    vars(model).pop("end2end", None)
    model.__class__ = StoredDetector
    assert isinstance(model, StoredDetector)
    model.parts = tuple(f"layer{index}" for index in range(len(model.model)))
    model.assignment = assignment
    model.args = hyperparameters()
    model.names = dict(enumerate(names))
    model.read = "nms_free" if assignment == "dual" else "nms"
    model.eval()
    return model
