"""All contact with ultralytics' internals (release 8.4.190), and the only file that imports it.

What differs here from its defaults, and why:
- a model is wired from named parts instead of a YAML list of layer numbers, so parts keep their names in the weights;
- a dual head reads NMS-free: `end2end` follows the model's own `read`, not the caller's `nms` argument;
- the dual loss is YOLOv10's plain sum, with 10 and 1 assigned anchors (arXiv 2405.14458, section 3.1);
- nothing is looked up on the network and nothing is written to the user's configuration.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mnv4bench.io.errors import Mnv4benchError, SpecError
from mnv4bench.models import torchvision_ops
from mnv4bench.spec.model import Read
from mnv4bench.spec.run import AugmentSpec, LossSpec

FONT = "Arial.ttf"
"""What ultralytics draws labels with, and looks for on the network where it finds none of that name."""


def _private_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="mnv4bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _link_font(folder: Path) -> Path | None:
    """Offer matplotlib's own sans-serif font under the name that ultralytics looks for; None without matplotlib."""
    matplotlib = importlib.util.find_spec("matplotlib")
    if matplotlib is None or matplotlib.origin is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FONT).symlink_to(Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf")
    return folder / FONT


if "YOLO_CONFIG_DIR" not in os.environ:
    # Importing ultralytics writes a settings file; a private folder keeps the user's own untouched.
    os.environ["YOLO_CONFIG_DIR"] = str(_private_folder())
    _link_font(Path(os.environ["YOLO_CONFIG_DIR"]) / "Ultralytics")
os.environ.setdefault("YOLO_OFFLINE", "1")
os.environ.setdefault("YOLO_AUTOINSTALL", "0")
os.environ.setdefault("YOLO_VERBOSE", "False")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ultralytics' export imports ONNX Runtime, which sends statistics

import numpy as np
from ultralytics import YOLO
from ultralytics.cfg import get_cfg
from ultralytics.data.dataset import YOLODataset
from ultralytics.nn import tasks
from ultralytics.nn.modules import C2PSA, PSA, SPPF, C2f, C2fCIB, Concat, Conv, Detect, SCDown, v10Detect
from ultralytics.nn.modules.block import PSABlock, RepVGGDW
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils import DEFAULT_CFG_DICT, ROOT, USER_CONFIG_DIR, YAML
from ultralytics.utils.events import events
from ultralytics.utils.loss import E2ELoss, v8DetectionLoss
from ultralytics.utils.torch_utils import ModelEMA, fuse_conv_and_bn, initialize_weights

torchvision_ops.declare()

__all__ = [
    "C2PSA",
    "PSA",
    "SPPF",
    "C2f",
    "C2fCIB",
    "CocoDataset",
    "Composed",
    "Concat",
    "Conv",
    "Detect",
    "DetectionModel",
    "Detector",
    "E2ELoss",
    "Head",
    "ModelEMA",
    "PSABlock",
    "RepVGGDW",
    "SCDown",
    "as_yolo",
    "fuse_conv_and_bn",
    "initialize_weights",
    "v8DetectionLoss",
]


class Head(v10Detect):
    """YOLOv10's decoupled head with its light classification branch (section 3.2), for either or both assignments.

    Args:
        full_class_branch: two full 3×3 convolutions in the classification branch, as in YOLOv8, in place of depthwise
            separable ones.
        assignment: one_to_many and one_to_one hold one branch; dual holds both, the one-to-one branch fed by features
            through which no gradient flows back.
        read: how `eval` output is read. "nms_free": (B, 300, 6) rows of x1, y1, x2, y2, score, class in pixels;
            "nms": (B, 4 + classes, anchors), centre-format boxes for non-maximum suppression.

    Raises:
        SpecError: an assignment that cannot be read so.
    """

    legacy = False  # ultralytics keeps this per class and other models in the process may set it

    def __init__(
        self, classes: int, assignment: str, read: Read, channels: Sequence[int], full_class_branch: bool = False
    ) -> None:
        _check_read(assignment, read)
        super().__init__(classes, tuple(channels))
        if full_class_branch:
            wide = max(channels[0], min(classes, 100))
            self.cv3 = nn.ModuleList(
                nn.Sequential(Conv(c, wide, 3), Conv(wide, wide, 3), nn.Conv2d(wide, classes, 1)) for c in channels
            )
            self.one2one_cv3 = deepcopy(self.cv3)
        self.assignment = assignment
        self.read = read
        if assignment != "dual":
            del self.one2one_cv2, self.one2one_cv3

    @property
    def end2end(self) -> bool:
        """Whether `eval` output is final detections."""
        return self.read == "nms_free"

    @end2end.setter
    def end2end(self, value: bool) -> None:
        """Ignore what ultralytics' predictor, validator and exporter ask for: `read` decides."""


READS = {"one_to_many": ("nms",), "one_to_one": ("nms_free",), "dual": ("nms_free", "nms")}


def _check_read(assignment: str, read: str) -> None:
    if read not in READS[assignment]:
        raise SpecError(f"a {assignment} head cannot be read {read!r}; allowed: {', '.join(READS[assignment])}")


class Criterion(Protocol):
    """The loss that a detector is trained with."""

    epoch: int
    """Epochs that are over; whoever trains keeps it up to date."""

    def __call__(self, preds: Any, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return three terms (box, class, distance) times the batch size, and three detached values in that order."""


class DetectionLoss:
    """The loss of a head: one term per branch, by default added with equal weight (YOLOv10, section 3.1).

    A one-to-many branch is assigned the 10 best anchors of each object, ranked by score^0.5 × IoU^6, a one-to-one
    branch the best by the exponents of `spec`. Called with predictions and a batch, it returns the terms (box, class,
    distance) times the batch size, and the same as a mapping of detached values.
    """

    def __init__(self, model: Detector, spec: LossSpec, epochs: int) -> None:
        """Make the terms.

        Args:
            epochs: of the whole training, over which decaying weights change.
        """
        self.spec, self.epochs = spec, epochs
        self.epoch = 0
        assignment = model.assignment
        self.terms: dict[str | None, v8DetectionLoss] = {}
        if assignment != "one_to_one":
            self.terms["one2many" if assignment == "dual" else None] = v8DetectionLoss(model, tal_topk=10)
        if assignment != "one_to_many":
            one_to_one = v8DetectionLoss(model, tal_topk=1)
            one_to_one.assigner.alpha, one_to_one.assigner.beta = spec.alpha, spec.beta
            self.terms["one2one" if assignment == "dual" else None] = one_to_one

    def __call__(self, preds: Any, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        preds = preds[1] if isinstance(preds, tuple) else preds  # eval mode returns detections first
        results = [
            (self.weight(branch), *term(preds[branch] if branch else preds, batch))
            for branch, term in self.terms.items()
        ]
        total = sum(weight * loss for weight, loss, _ in results)
        items = {name: sum(weight * values[name] for weight, _, values in results) for name in results[0][2]}
        return total, items

    def weight(self, branch: str | None) -> float:
        """Return a branch's weight in this epoch."""
        if branch is None or self.spec.weights == "sum":
            return 1.0
        one_to_many = 0.8 - 0.7 * min(self.epoch / max(self.epochs - 1, 1), 1.0)
        return one_to_many if branch == "one2many" else 1.0 - one_to_many

    def update(self) -> None:
        """Move on to the next epoch; ultralytics' trainer calls this after each one."""
        self.epoch += 1


class Detector(DetectionModel):
    """An ultralytics DetectionModel of named parts: all that training, scoring, counting and timing ask of a network.

    - Its tensors: `parts` names the layers in order; `part_state` and `load_part_state` use those names as prefixes.
    - Training: `init_criterion` gives its loss; `args` are ultralytics' settings, `names` the classes.
    - Reading: `read` is one of those that `assignment` allows; `branches` decodes what `head` returns.
    - Deployment: `fuse`.
    """

    parts: tuple[str, ...]
    assignment: str
    """Which branches the head holds: one_to_many, one_to_one, or dual."""

    @property
    def head(self) -> Detect:
        return self.model[-1]

    @property
    def head_channels(self) -> tuple[int, ...]:
        """Channels of the feature maps that the head reads, P3 to P5; without meaning once it is fused."""
        return tuple(branch[0].conv.in_channels for branch in self.head.cv2)

    @property
    def read(self) -> Read:
        """How detections are read; assign "nms" to a dual model to use its one-to-many branch."""
        return "nms_free" if self.head.end2end else "nms"

    @read.setter
    def read(self, value: Read) -> None:
        _check_read(self.assignment, value)
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

    def init_criterion(self, spec: LossSpec | None = None, epochs: int | None = None) -> Criterion:
        """Return the model's loss; ultralytics calls this without arguments.

        Args:
            epochs: of the whole training, over which weights may change; by default those that `args` name.
        """
        return DetectionLoss(self, spec or LossSpec(), epochs or self.args.epochs)

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


class _WrappedYOLO(YOLO):
    """ultralytics' interface around a detector that no YAML of its own describes."""

    def __init__(self, detector: Detector, imgsz: int) -> None:
        self._imgsz = imgsz
        super().__init__(detector.yaml["yaml_file"], task="detect")
        self.model = detector
        detector.args = {**DEFAULT_CFG_DICT, **self.overrides}

    def _new(self, cfg: str, task: str | None = None, verbose: bool = False) -> None:
        self.cfg = self.model_name = cfg
        self.task = task
        self.overrides = {"model": cfg, "task": task, "imgsz": self._imgsz}

    def train(self, *args: Any, **kwargs: Any) -> Any:
        raise Mnv4benchError(
            "ultralytics' trainer would build another model from YAML; train with mnv4bench.train.train"
        )


def as_yolo(model: Detector, imgsz: int = 640) -> YOLO:
    """Wrap a copy of a detector as an ultralytics YOLO object: predict, val, export, save.

    It reads as the model's `read` says, NMS-free for a dual head, whatever `nms` argument it is called with, and
    contacts no network.

    Args:
        imgsz: default side of images in pixels.
    """
    torchvision_ops.provide()
    events.enabled = False  # usage statistics
    if not (USER_CONFIG_DIR / FONT).exists():
        _register_font()
    return _WrappedYOLO(deepcopy(model).eval(), imgsz)


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


@cache
def _register_font() -> None:
    """Make ultralytics find a font without writing to a configuration folder that is not ours."""
    from matplotlib import font_manager

    if link := _link_font(_private_folder()):
        font_manager.fontManager.addfont(link)


def branches(model: Detector, images: Tensor) -> dict[Read, tuple[Tensor, Tensor]]:
    """Run an unfused model in eval mode once and decode every branch.

    Args:
        images: (B, 3, H, W) in 0–1.

    Returns:
        Reading → boxes (B, A, 4) as x1, y1, x2, y2 in pixels of `images`, and class probabilities (B, A, classes).
    """
    _, preds = model(images)
    head = model.head
    raw = {"nms": preds["one2many"], "nms_free": preds["one2one"]} if "one2one" in preds else {model.read: preds}
    decoded: dict[Read, tuple[Tensor, Tensor]] = {}
    xyxy, head.xyxy = head.xyxy, True
    try:
        for read, branch in raw.items():
            boxes, scores = head._inference(branch).permute(0, 2, 1).split((4, head.nc), dim=-1)
            decoded[read] = boxes, scores  # type: ignore[index]
    finally:
        head.xyxy = xyxy
    return decoded


def hyperparameters(augment: AugmentSpec | None = None, **more: Any) -> Any:
    """Return ultralytics' settings namespace; every augmentation that AugmentSpec does not name is off."""
    off = {"degrees": 0.0, "shear": 0.0, "perspective": 0.0, "cutmix": 0.0, "bgr": 0.0, "erasing": 0.0}
    values = augment.model_dump() if augment else {}
    return get_cfg(overrides={**off, **values, "deterministic": False, "augmentations": [], **more})


class CocoDataset(YOLODataset):
    """ultralytics' augmenting data set over in-memory labels: no label files, no cache files, no scan.

    Args:
        files: image paths.
        sizes: (n, 2) heights and widths of the files.
        boxes: per image (k, 4) centre x, centre y, width, height, relative to the image.
        labels: per image (k,) class indices.
    """

    MEMORY = 512 * 2**20
    """Resized images are kept decoded while all of them fit into this many bytes."""

    def __init__(
        self,
        files: Sequence[Path],
        sizes: np.ndarray,
        boxes: Sequence[np.ndarray],
        labels: Sequence[np.ndarray],
        names: Mapping[int, str],
        imgsz: int,
        augment: AugmentSpec | None,
    ) -> None:
        self._files = [str(file) for file in files]
        self._labels: list[dict[str, Any]] = [
            {
                "im_file": str(file),
                "shape": tuple(int(side) for side in size),
                "cls": np.asarray(cls, np.float32).reshape(-1, 1),
                "bboxes": np.asarray(box, np.float32).reshape(-1, 4),
                "segments": [],
                "keypoints": None,
                "normalized": True,
                "bbox_format": "xywh",
            }
            for file, size, box, cls in zip(files, sizes, boxes, labels, strict=True)
        ]
        settings = hyperparameters(augment)
        super().__init__(
            img_path="", imgsz=imgsz, cache=None, augment=augment is not None, hyp=settings, data={"names": dict(names)}
        )
        # Mosaic takes its partners from all images instead of a buffer of recent ones: no state between epochs, so a
        # resumed run draws what an undisturbed one does.
        self.cache = "ram"
        self.transforms = self.build_transforms(settings)
        self._settings = settings
        self._keep = len(self._files) * imgsz * imgsz * 3 <= self.MEMORY
        self._kept: dict[int, tuple[np.ndarray, tuple[int, int], tuple[int, int]]] = {}

    def without_mosaic(self) -> None:
        """Turn off mosaic and the augmentations that paste images together, for the last epochs."""
        self.close_mosaic(self._settings)

    def get_img_files(self, img_path: Any) -> list[str]:
        return self._files

    def get_labels(self) -> list[dict[str, Any]]:
        return self._labels

    def load_image(self, i: int, *args: Any, **kwargs: Any) -> tuple[np.ndarray, tuple[int, int], tuple[int, int]]:
        if i not in self._kept:
            loaded: tuple[np.ndarray, tuple[int, int], tuple[int, int]] = super().load_image(i, *args, **kwargs)
            if not self._keep:
                return loaded
            self._kept[i] = loaded
        image, original, resized = self._kept[i]
        return image.copy(), original, resized  # some augmentations write in place
