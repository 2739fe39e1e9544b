"""What every runtime takes and gives.

A runtime turns one letterboxed image into the network's raw output. Taking the image in and handing the output back
as NumPy arrays is part of its work, as it is wherever it is deployed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from torch import nn

from mnv4bench.latency.runtimes.outputs import DEPLOYED, Image, Output, Thresholds
from mnv4bench.spec.model import Read

Precision = Literal["float32", "int8"]


@dataclass(frozen=True)
class Deployment:
    """A network to run, and how."""

    model: nn.Module
    """Fused and in eval mode, the runtime's to keep; a call returns a tuple that begins with the raw output."""
    imgsz: int
    """Side in pixels of the square images."""
    threads: int
    read: Read
    calibration: Sequence[Image] = ()
    """What int8 runtimes take their ranges from."""
    nms_in_graph: bool = False
    """Whether suppression is part of the graph; for read "nms", in a runtime with `graph_nms`."""
    thresholds: Thresholds = DEPLOYED
    """Of that suppression."""
    key: str | None = None
    """Names the network and its weights: what was exported of them once in a process serves again; None: never."""


class Runtime(Protocol):
    """Holds one network at a time; every arm has an instance of its own.

    Making one raises ImportError or Mnv4benchError, with the reason, where this machine lacks the runtime.
    """

    precision: ClassVar[Precision]
    graph_nms: ClassVar[bool]
    """Whether suppression can be part of its graph."""

    def load(self, network: Deployment) -> None:
        """Take over a network."""

    def __call__(self, image: Image) -> Output:
        """Return what the network says of one image: an array of the caller's own.

        That is its raw output; with suppression in the graph (k, 6) rows, the same as outputs.detections finds in it.
        """
