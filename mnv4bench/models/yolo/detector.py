"""A detector of named parts: what training, scoring, counting and timing ask of a network.

Where it differs from ultralytics' DetectionModel, and why: it is wired from named parts instead of a YAML list of layer
numbers, so that parts keep their names in the weights; `end2end` follows its own `read`, not a caller's `nms` argument.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor, nn
from ultralytics.cfg import get_cfg
from ultralytics.nn.modules import Detect
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils.torch_utils import initialize_weights

from mnv4bench.data.letterbox import Fit
from mnv4bench.io.errors import SpecError
from mnv4bench.models import torchvision_ops
from mnv4bench.models.yolo.head import check_read
from mnv4bench.models.yolo.losses import Criterion, DetectionLoss
from mnv4bench.spec.model import Read
from mnv4bench.spec.run import LossSpec


class Detector(DetectionModel):
    """An ultralytics DetectionModel of named parts: all that training, scoring, counting and timing ask of a network.

    - Its tensors: `parts` names the layers in order; `part_state` and `load_part_state` use those names as prefixes.
    - Training: `init_criterion` gives its loss; `args` are ultralytics' settings, `names` the classes.
    - Reading: `read` is one of those that `assignment` allows; images are made square by `fit`; `decode` returns what
      each branch says.
    - Deployment: `fuse`.
    """

    parts: tuple[str, ...]
    assignment: str
    """Which branches the head holds: one_to_many, one_to_one, or dual."""
    fit: Fit = "letterbox"

    @property
    def head(self) -> Detect:
        return self.model[-1]

    @property
    def head_channels(self) -> tuple[int, ...]:
        """Channels of the feature maps that the head reads, P3 to P5.

        Raises:
            AttributeError: the model is fused, and its head may have lost the branch; whoever lists a module's
                attributes, as tracing does, passes over it then.
        """
        if self.head.cv2 is None:
            raise AttributeError("a fused head does not say what channels it reads")
        return tuple(branch[0].conv.in_channels for branch in self.head.cv2)

    @property
    def read(self) -> Read:
        """How detections are read; assign "nms" to a dual model to use its one-to-many branch."""
        return "nms_free" if self.head.end2end else "nms"

    @read.setter
    def read(self, value: Read) -> None:
        check_read(self.assignment, value)
        if value != self.read and self.is_fused():
            raise SpecError(f"this model was fused for {self.read!r}, which removed its other branch: set read first")
        self._read_by(value)

    def _read_by(self, value: Read) -> None:
        self.head.end2end = value == "nms_free"

    @property
    def end2end(self) -> bool:
        return bool(self.head.end2end)

    @end2end.setter
    def end2end(self, value: bool) -> None:
        """Ignore what ultralytics' predictor, validator and exporter ask for: `read` decides."""

    def fuse(self, verbose: bool = False, imgsz: int = 640) -> Detector:
        """Fold batch norms and remove the branch that is not read, in place; cannot be undone.

        ultralytics calls it before it predicts, validates or exports.
        """
        torchvision_ops.provide()
        super().fuse(verbose=verbose, imgsz=imgsz)
        return self

    def decode(self, images: Tensor) -> dict[Read, tuple[Tensor, Tensor]]:
        """Run the model, unfused and in eval mode, once and decode every branch.

        Args:
            images: (B, 3, H, W) in 0–1.

        Returns:
            Reading → boxes (B, A, 4) as x1, y1, x2, y2 in pixels of `images`, and class probabilities (B, A, classes).
        """
        _, preds = self(images)
        head = self.head
        raw = {"nms": preds["one2many"], "nms_free": preds["one2one"]} if "one2one" in preds else {self.read: preds}
        decoded: dict[Read, tuple[Tensor, Tensor]] = {}
        xyxy, head.xyxy = head.xyxy, True
        try:
            for read, branch in raw.items():
                boxes, scores = head._inference(branch).permute(0, 2, 1).split((4, head.nc), dim=-1)
                decoded[read] = boxes, scores  # type: ignore[index]
        finally:
            head.xyxy = xyxy
        return decoded

    def init_criterion(self, spec: LossSpec | None = None, epochs: int | None = None) -> Criterion:
        """Return the model's loss; ultralytics calls this without arguments.

        Args:
            epochs: of the whole training, over which weights may change; by default those that `args` name.
        """
        return DetectionLoss(self, spec or LossSpec(), epochs or self.args.epochs)

    def set_first_biases(self, box: float | None, prior_side: int, box_side: int) -> None:
        """Set the head's last biases as before any training.

        Args:
            box: of the distance logits; None leaves them as they are.
            prior_side: image side whose prior of a handful of objects the class logits get.
            box_side: image side of which the first boxes are the share that they are of 640 pixels: 15 cells of each
                stride wide there, and no wider above it.
        """
        head = self.head
        slope = slope_of(7.5 * min(box_side / 640, 1), head.reg_max) * torch.arange(head.reg_max)
        branches = [(head.cv2, head.cv3)]
        if getattr(head, "one2one_cv2", None) is not None:
            branches.append((head.one2one_cv2, head.one2one_cv3))
        with torch.no_grad():
            for boxes, classes in branches:
                for distance, label, stride in zip(boxes, classes, head.stride, strict=True):
                    if box is not None:
                        distance[-1].bias.fill_(box)
                    distance[-1].bias -= slope.repeat(4)
                    label[-1].bias[: head.nc] = math.log(5 / head.nc / (prior_side / float(stride)) ** 2)

    def part_state(self) -> dict[str, Tensor]:
        """Return the state dict with part names in place of layer numbers: "p5_out.cv1.conv.weight"."""
        return {self._part_name(key): value for key, value in self.state_dict().items()}

    def load_part_state(self, state: Mapping[str, Tensor]) -> None:
        """Load what `part_state` returned, whole and exactly."""
        names = {self._part_name(key): key for key in self.state_dict()}
        self.load_state_dict({names.get(name, name): value for name, value in state.items()}, strict=True)

    def _part_name(self, key: str) -> str:
        _, index, rest = key.split(".", 2)
        return f"{self.parts[int(index)]}.{rest}"


def slope_of(mean: float, bins: int) -> float:
    """Return the fall per bin of logits 0, −s, −2s, … whose softmax over bins 0, 1, 2, … has this mean."""
    places = np.arange(bins)
    if mean >= (bins - 1) / 2:
        return 0.0

    def excess(fall: float) -> float:
        shares = np.exp(-fall * places)
        return float((shares * places).sum() / shares.sum() - mean)

    # Rounded, so that every processor's exponentials give the same first weights.
    return round(float(brentq(excess, 0, 700 / bins)), 6)


class Composed(Detector):
    """A detector wired from our own parts, which end in a Head."""

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        wiring: Mapping[str, Sequence[str]],
        classes: int,
        description: Mapping[str, Any],
    ) -> None:
        """Wire `layers` (name → module, in order) by `wiring` (name → names of its inputs).

        Args:
            description: plain values, kept in the model's `yaml` for the record.
        """
        nn.Module.__init__(self)
        self.parts = tuple(layers)
        position = {name: index for index, name in enumerate(self.parts)}
        self.save: list[int] = []
        for name, layer in layers.items():
            sources = [position[source] for source in wiring[name]]
            layout = {
                "i": position[name],
                "f": -1 if not sources else sources[0] if len(sources) == 1 else sources,
                "type": name,
                "np": sum(parameter.numel() for parameter in layer.parameters()),
            }
            vars(layer).update(layout)  # what BaseModel's forward pass reads of each layer
            self.save.extend(sources)
        self.save = sorted(set(self.save))
        self.model = nn.Sequential(*layers.values())
        self.assignment = self.head.assignment
        self.names = {index: str(index) for index in range(classes)}
        self.yaml = {"nc": classes, "channels": 3, "mnv4bench": dict(description)}
        # Exported files are named after it; there is no such file.
        self.yaml["yaml_file"] = f"mnv4-yolov10{description.get('scale', '')}.yaml"
        self.inplace = True
        self.task = "detect"
        self.args = get_cfg()
        self._finish()

    def _finish(self) -> None:
        """Give the head its strides and biases, and batch norms ultralytics' constants where they have torch's."""
        chosen = [(m, m.eps) for m in self.model[0].modules() if isinstance(m, nn.BatchNorm2d)]
        self.model.eval()
        self.head.training = True  # returns feature maps, whose sizes tell the strides
        side = 256
        with torch.no_grad():
            preds = self.forward(torch.zeros(1, 3, side, side))
        preds = preds.get("one2many", preds)
        self.head.stride = torch.tensor([side / level.shape[-2] for level in preds["feats"]])
        self.stride = self.head.stride
        self.model.train()
        self.head.bias_init()
        initialize_weights(self)
        for norm, eps in chosen:  # the backbone's own
            norm.eps = eps

    def _read_by(self, value: Read) -> None:
        self.head.read = value
