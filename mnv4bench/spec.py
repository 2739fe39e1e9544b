"""What a run is: model, data, training and seed; its content digest is its identity.

Everything that can change a run's weights is a field here, and nothing else is. Equal specs are one run, whichever
ablations ask for them.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

PROTOCOL = 1
"""Version of what specs mean. Raise it when code changes what an unchanged spec trains: every run gets a new name."""

Read = Literal["nms", "nms_free"]
"""How detections are read: non-maximum suppression over a one-to-many head, or a one-to-one head's top scores."""


class Spec(BaseModel):
    """A frozen record that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Backbone = Literal[
    "mnv4_conv_small",
    "mnv4_conv_small_as_printed",
    "mnv4_conv_medium",
    "mnv4_conv_large",
    "mnv4_hybrid_medium",
    "mnv4_hybrid_large",
]
"""Names of mnv4bench.models.variants.VARIANTS."""

TAPS: dict[Backbone, tuple[int, ...]] = {
    "mnv4_conv_small": (128, 960),
    "mnv4_conv_small_as_printed": (128, 960, 1280),
    "mnv4_conv_medium": (256, 960),
    "mnv4_conv_large": (512, 960),
    "mnv4_hybrid_medium": (256, 960),
    "mnv4_hybrid_large": (512, 960),
}
"""Backbone → the channel counts that its stages and convolutions of stride 32 end in."""


class ModelSpec(Spec):
    """The detector: a MobileNetV4 backbone with YOLOv10's neck and head (arXiv 2404.10518, 2405.14458)."""

    backbone: Backbone = "mnv4_conv_small"
    scale: Literal["n", "s"] = "n"
    p5_tap: int = 960
    """Channels of the backbone's stride-32 output: its last stage, or a 1×1 convolution after it; one of its TAPS."""
    attention: Literal["none", "psa"] = "psa"
    downsample: Literal["conv", "scdown"] = "scdown"
    """The neck's P4 → P5 down-sampling."""
    p5_block: Literal["c2f", "c2fcib"] = "c2fcib"
    large_kernel: bool = True
    """7×7 depthwise kernel inside CIB (YOLOv10, section 3.3); without meaning, and so False, where there is no CIB."""
    head: Literal["one_to_many", "one_to_one", "dual"] = "dual"

    @field_validator("p5_tap")
    @classmethod
    def _tap_of_the_backbone(cls, value: int, info: ValidationInfo) -> int:
        backbone = info.data.get("backbone")  # an unknown one is missing here, and reported by itself
        if backbone is not None and value not in TAPS[backbone]:
            *others, last = TAPS[backbone]
            raise ValueError(f"Input should be {', '.join(map(str, others))} or {last} with backbone {backbone}")
        return value

    @model_validator(mode="before")
    @classmethod
    def _no_kernel_without_cib(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("p5_block") == "c2f":
            return {**data, "large_kernel": False}
        return data


PartName = Literal[
    "backbone", "sppf", "attention", "p4_mid", "p3_out", "p4_down", "p4_out", "p5_down", "p5_out", "head"
]
"""The parts of the network that hold weights (mnv4bench.models.detector)."""

PARTS_OF: dict[str, tuple[PartName, ...]] = {
    "attention": ("attention",),
    "downsample": ("p5_down",),
    "p5_block": ("p5_out",),
    "large_kernel": ("p5_out",),
    "head": ("head",),
    "p5_tap": ("backbone", "sppf"),
}
"""ModelSpec field → the parts of the network (mnv4bench.models.detector) it decides; a field not here decides all."""


class DataSpec(Spec):
    """Which images, and the side in pixels that they are letterboxed to."""

    name: Literal["scenes", "bccd", "coco"] = "scenes"
    imgsz: int = Field(160, ge=32, multiple_of=32)
    train: int | None = Field(None, ge=1)
    """Number of training images; scenes makes as many, other sets take the first ones; None is all of them."""
    val: int | None = Field(None, ge=1)
    seed: int = 0
    """Seed of generated data; without meaning for photographs."""
    folder: str | None = None
    """coco only: the folder in COCO 2017's layout, looked for in $MNV4BENCH_DATA first, then as a path."""


class AugmentSpec(Spec):
    """ultralytics' augmentations by their own names (probabilities and relative amounts)."""

    mosaic: float = Field(0.0, ge=0, le=1)
    close_mosaic: int = Field(0, ge=0)
    """The last epochs, in which mosaic is off."""
    mixup: float = Field(0.0, ge=0, le=1)
    copy_paste: float = Field(0.0, ge=0, le=1)
    scale: float = Field(0.0, ge=0, lt=1)
    translate: float = Field(0.0, ge=0, le=1)
    fliplr: float = Field(0.5, ge=0, le=1)
    flipud: float = Field(0.0, ge=0, le=1)
    hsv_h: float = Field(0.0, ge=0, le=1)
    hsv_s: float = Field(0.0, ge=0, le=1)
    hsv_v: float = Field(0.0, ge=0, le=1)


class TrainSpec(Spec):
    """The optimisation: AdamW or SGD with gradient clipping at 10 and an exponential moving average of the weights."""

    epochs: int = Field(..., ge=1)
    batch: int = Field(16, ge=1)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(2e-3, gt=0)
    final_lr: float = Field(0.01, gt=0, le=1)
    """The last learning rate, as a fraction of `lr`."""
    schedule: Literal["one_cycle", "linear", "cosine"] = "one_cycle"
    """one_cycle: per step (arXiv 1708.07120); linear, cosine: per epoch after a warm-up, as in ultralytics."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """AdamW's first beta, or SGD's Nesterov momentum."""
    weight_decay: float = Field(0.01, ge=0)
    warmup_epochs: float = Field(3.0, ge=0)
    warmup_momentum: float = Field(0.8, ge=0, lt=1)
    warmup_bias_lr: float = Field(0.0, ge=0)
    ema_decay: float = Field(0.9999, ge=0, lt=1)
    ema_tau: float = Field(2000, gt=0)
    augment: AugmentSpec = AugmentSpec()
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["fp32", "amp"] = "fp32"
    """amp: float16 autocast with loss scaling, on CUDA only."""
    threads: int = Field(1, ge=1)
    """Threads of one training job; part of the spec, because it changes the order of additions and so the bits."""
    workers: int = Field(0, ge=0)
    """Data-loading processes; 0 loads in the training process."""

    @model_validator(mode="after")
    def _mixed_precision_needs_cuda(self) -> TrainSpec:
        if self.precision == "amp" and self.device != "cuda":
            raise ValueError("precision amp needs device: cuda")
        return self


class DistillSpec(Spec):
    """Gains of the terms that compare the student with its teacher; all zero is no distillation."""

    logits: float = Field(0.0, ge=0)
    """Binary cross-entropy to the teacher's class probabilities, over all anchors."""
    boxes: float = Field(0.0, ge=0)
    """Kullback-Leibler divergence to the teacher's distance distributions (arXiv 2102.12252)."""

    @property
    def wanted(self) -> bool:
        return self.logits > 0 or self.boxes > 0


class RunSpec(Spec):
    """One training run. `start` and `teacher` are names of other runs, so a digest covers its whole history."""

    model: ModelSpec = ModelSpec()
    data: DataSpec = DataSpec()
    train: TrainSpec
    distill: DistillSpec = DistillSpec()
    seed: int = Field(0, ge=0)
    start: str | None = None
    """Run whose weights are loaded into every part that `fresh` does not name; None trains from scratch."""
    fresh: tuple[str, ...] = ()
    """Parts of the network (names of mnv4bench.models.detector) that start from the seed although `start` is given."""
    teacher: str | None = None

    def canonical(self) -> str:
        """Return the one JSON text of this spec: keys sorted, no spaces, all defaults spelled out."""
        return json.dumps({"protocol": PROTOCOL, **self.model_dump(mode="json")}, sort_keys=True, separators=(",", ":"))

    def digest(self) -> str:
        """Return the hexadecimal SHA-256 of the canonical text."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()


def default_read(model: ModelSpec) -> Read:
    """Return how a model is read unless an arm says otherwise: NMS only where a one-to-many head stands alone."""
    return "nms" if model.head == "one_to_many" else "nms_free"


def readings(model: ModelSpec) -> tuple[Read, ...]:
    """Return every way in which one forward pass of `model` can be read."""
    of_head: dict[str, tuple[Read, ...]] = {
        "one_to_many": ("nms",),
        "one_to_one": ("nms_free",),
        "dual": ("nms_free", "nms"),
    }
    return of_head[model.head]


def derive_seed(*names: object) -> int:
    """Return a 32-bit seed for a named random stream; equal names give equal streams on every machine and run."""
    text = "|".join(str(name) for name in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
