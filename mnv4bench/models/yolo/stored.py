"""A published network as one of our detectors: its own structure and weights, read by either of its heads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ultralytics.nn.tasks import DetectionModel

from mnv4bench.io.errors import Mnv4benchError, SpecError
from mnv4bench.models.yolo.checkpoints import load_checkpoint
from mnv4bench.models.yolo.dataset import hyperparameters
from mnv4bench.models.yolo.definitions import has_one_to_one
from mnv4bench.models.yolo.detector import Detector
from mnv4bench.spec.run import LossSpec


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
    network, _, names = load_checkpoint(path)
    if type(network) is not DetectionModel:
        raise Mnv4benchError(f"{path}: holds a {type(network).__name__}, not a network as ultralytics publishes them")
    head: Any = network.model[-1]
    if getattr(head, "cv2", None) is None or not hasattr(network.model[0], "bn"):
        raise Mnv4benchError(f"{path}: its network is fused for one head; give the checkpoint of the release")
    held = "dual" if has_one_to_one(head) else "one_to_many"
    if held != assignment:
        raise Mnv4benchError(
            f"{path}: its head is {held}, that of the named network is {assignment}; give its own file"
        )
    vars(network).pop("end2end", None)
    network.__class__ = StoredDetector
    assert isinstance(network, StoredDetector)
    network.parts = tuple(f"layer{index}" for index in range(len(network.model)))
    network.assignment = assignment
    network.args = hyperparameters()
    network.names = dict(enumerate(names))
    network.read = "nms_free" if assignment == "dual" else "nms"
    network.eval()
    return network
