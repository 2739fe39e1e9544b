"""What is timed: a network with the weights that it was scored with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import nn

from mnv4bench.evaluate.settings import TRAINED, Settings
from mnv4bench.latency.measure.agreement import Rows
from mnv4bench.latency.runtimes.outputs import DEPLOYED, Thresholds
from mnv4bench.spec.latency import INT8, float_form
from mnv4bench.spec.model import ModelSpec, Read


class Source(Protocol):
    """Where a network comes from; travels to the process that times it."""

    @property
    def trained(self) -> bool:
        """Whether its detections mean something: post-processing is timed on real ones or not at all."""

    def load(self) -> nn.Module:
        """Return the network unfused, in eval mode."""


@dataclass(frozen=True)
class Run:
    """One of our own runs."""

    model: ModelSpec
    classes: int
    read: Read
    weights: Path
    trained: bool = True
    recorded: str | None = None
    """Digest of the weights in the run's status."""

    def load(self) -> nn.Module:
        from mnv4bench.models import detector, weights

        model = detector.build(self.model, self.classes, read=self.read)
        weights.load(model, self.weights, self.recorded)
        trained: nn.Module = model.eval()
        return trained


@dataclass(frozen=True)
class Checkpoint:
    """A detection checkpoint of ultralytics."""

    path: Path
    trust: bool = False
    """Whether code in the file may run."""
    trained: bool = True

    def load(self) -> nn.Module:
        from mnv4bench.models.yolo import load_checkpoint

        model: nn.Module = load_checkpoint(self.path, self.trust)[0]
        return model


@dataclass(frozen=True)
class Catalogued:
    """A network of the catalogue with fresh weights: only its forward pass can be timed."""

    name: str
    classes: int = 80
    trained: bool = False

    def load(self) -> nn.Module:
        from mnv4bench.models.published import networks

        model: nn.Module = networks.build(self.name, self.classes).eval()
        return model


@dataclass(frozen=True)
class Candidate:
    """One network to time."""

    label: str
    read: Read
    source: Source
    scored: Mapping[int, Rows] | None = None
    """Image id → what evaluation found with these weights; None where they were not evaluated."""
    imgsz: int | None = None
    """Side in pixels; None for the task's."""
    thresholds: Thresholds = DEPLOYED
    settings: Settings = TRAINED
    """What int8 runtimes are scored with."""
    quantised: bool = True
    """Whether int8 runtimes take it; one of several settings of a network is enough."""
    forward: bool = True
    """Whether its forward pass is timed by itself; one of several settings of a network is enough."""
    int8: str | None = None
    """The int8 runtime whose form of the network this is; it is timed in that library alone, beside float32 ones."""
    calibration: tuple[Path, ...] | None = None
    """Images for int8 runtimes; None for the task's."""

    def runtime(self, name: str) -> str | None:
        """Return the runtime that computes it where `name` is timed; None where it is not timed there."""
        if self.int8:
            return self.int8 if name == float_form(self.int8) else None
        return name if self.quantised or not name.endswith(INT8) else None
