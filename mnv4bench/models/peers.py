"""Detectors that a user might pick instead: ultralytics' definitions, each with its own head and loss.

YOLOv8 (ultralytics, 2023), YOLOv10 (arXiv 2405.14458), YOLO11 (2024), YOLO26 (2025). They are trained by our loop on
the same data and schedule as every other arm; the hyperparameters of their losses are ultralytics' defaults. That small
objects count as 16 pixels wide, which came with YOLO26, holds for YOLO26 alone.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from mnv4bench.io.errors import SpecError
from mnv4bench.models.yolo import Criterion, Detector, E2ELoss, Term, Total, hyperparameters, own_head_form, released
from mnv4bench.spec.model import DUAL_FAMILIES, Read
from mnv4bench.spec.run import LossSpec, derive_seed

DEFINITIONS = {
    "yolov8": "v8/yolov8.yaml",
    "yolov10": "v10/yolov10{scale}.yaml",
    "yolo11": "11/yolo11.yaml",
    "yolo26": "26/yolo26.yaml",
}
"""Family → file among ultralytics' definitions."""


def definition(family: str, scale: str) -> dict[str, Any]:
    """Return the rows of a family's network in ultralytics' form."""
    return released(DEFINITIONS[family].format(scale=scale), scale)


class PeerDetector(Detector):
    """A peer; its parts are its layers by number: "layer0", "layer1", and so on."""

    def __init__(self, peer: str, classes: int) -> None:
        family, scale = peer[:-1], peer[-1]
        named = {"nc": classes, "yaml_file": f"{peer}.yaml"}  # exported files are named after it
        with own_head_form():
            super().__init__({**definition(family, scale), **named}, verbose=False)
        self.family = family
        self.parts = tuple(f"layer{index}" for index in range(len(self.model)))
        self.assignment = "dual" if family in DUAL_FAMILIES else "one_to_many"
        self.task = "detect"
        self.args = hyperparameters()

    def init_criterion(self, spec: LossSpec | None = None, epochs: int | None = None) -> Criterion:
        """Return the peer's own loss: YOLOv8's and YOLO11's, YOLOv10's plain sum, or YOLO26's.

        Args:
            epochs: of the whole training; by default those that `args` name.

        Raises:
            SpecError: `spec` asks for another loss.
        """
        if spec not in (None, LossSpec()):
            raise SpecError(f"loss: the peer {self.family} keeps its own loss; drop the fields of `loss`")
        if self.family == "yolo26":
            return MovingLoss(self, epochs or self.args.epochs)
        return super().init_criterion(None, epochs)


class MovingLoss:
    """YOLO26's loss (ultralytics' E2ELoss): the one-to-many term's weight falls as the one-to-one term's rises.

    A one-to-many branch is assigned the 10 best anchors of each object, a one-to-one branch the best of its 7 best. The
    items are the one-to-one branch's alone, unweighted, as ultralytics reports them. The third is the L1 distance of
    the sides, which a head with one bin per side has in the place of a distribution's loss; it is logged in the
    `dfl_loss` column.
    """

    def __init__(self, model: PeerDetector, epochs: int) -> None:
        self._loss = E2ELoss(model, Term)
        settings = copy.copy(model.args)
        settings.epochs = epochs
        self._loss.one2one.hyp = settings  # where it looks for the number of epochs

    def __call__(self, preds: Any, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        terms: tuple[Tensor, dict[str, Tensor]] = self._loss(preds, batch)
        return terms

    def normalise_over(self, total: Total) -> None:
        """See Criterion."""
        for term in (self._loss.one2many, self._loss.one2one):
            term.normalise_over(total)

    @property
    def epoch(self) -> int:
        """Epochs that are over."""
        return int(self._loss.updates)

    @epoch.setter
    def epoch(self, value: int) -> None:
        self._loss.updates = value - 1
        self._loss.update()

    def update(self) -> None:
        """Move on to the next epoch; ultralytics' trainer calls this after each one."""
        self._loss.update()


def build(peer: str, classes: int, *, seed: int = 0, read: Read) -> PeerDetector:
    """Return a peer, its weights drawn from `seed`; the caller's random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        model = PeerDetector(peer, classes)
        _draw(model, seed)
    model.read = read
    return model


def _draw(model: PeerDetector, seed: int) -> None:
    """Draw every convolution from a stream of its own, named by seed, part and place in the part.

    Peers number their layers alike, so that what two of them name and shape alike has to start alike, whatever each
    holds before it (mnv4bench.train.pairing). Both branches of a dual head start alike, as ultralytics makes them.
    """
    for part, layer in zip(model.parts, model.model, strict=True):
        for place, module in layer.named_modules():
            if isinstance(module, nn.Conv2d) and module.weight.requires_grad:  # not the decoder of a distribution
                torch.manual_seed(derive_seed("initial values", seed, part, place.replace("one2one_", "")))
                module.reset_parameters()
    model.head.bias_init()
