"""What a detector is made of: one field per question that an ablation may ask of it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, ValidationInfo, field_validator, model_validator

from mnv4bench.spec.backbone import check_rows, read_backbone, taps
from mnv4bench.spec.base import Spec

Read = Literal["nms", "nms_free"]
"""How detections are read: non-maximum suppression over a one-to-many head, or a one-to-one head's top scores."""

READINGS: dict[str, tuple[Read, ...]] = {
    "one_to_many": ("nms",),
    "one_to_one": ("nms_free",),
    "dual": ("nms_free", "nms"),
}
"""A head's assignment → the ways in which its output can be read."""


Backbone = Literal[
    "mnv4_conv_small",
    "mnv4_conv_small_as_printed",
    "mnv4_conv_medium",
    "mnv4_conv_large",
    "mnv4_hybrid_medium",
    "mnv4_hybrid_large",
    "yolov10",
    "searched",
]
"""Names of models.mobilenetv4.variants.VARIANTS, YOLOv10's own backbone, and one that has its rows in the spec."""

TAPS: dict[str, tuple[int, ...]] = {
    "mnv4_conv_small": (128, 960, 1280),
    "mnv4_conv_small_as_printed": (128, 960, 1280),
    "mnv4_conv_medium": (256, 960, 1280),
    "mnv4_conv_large": (512, 960, 1280),
    "mnv4_hybrid_medium": (256, 960, 1280),
    "mnv4_hybrid_large": (512, 960, 1280),
    "yolov10": (256, 512),
}
"""Backbone → the channel counts that a neck can tap at stride 32: the last stage's, and those of the classifier's 1×1
convolutions behind it."""

UIBForm = Literal["mixed", "extra_dw", "ib", "convnext", "ffn"]
"""Forms of the universal inverted bottleneck (MobileNetV4, section 4); mixed: in each place the published one."""

HYBRIDS = ("mnv4_hybrid_medium", "mnv4_hybrid_large")
"""The backbones with attention blocks."""

Peer = Literal["yolov8n", "yolov8s", "yolov10n", "yolov10s", "yolo11n", "yolo11s", "yolo26n", "yolo26s"]
"""Detectors that a user might pick instead, each with its own head and loss (mnv4bench.models.peers)."""

DUAL_FAMILIES = ("yolov10", "yolo26")
"""The families of networks with a one-to-one head beside the one-to-many head."""

HEADS = {"dual": DUAL_FAMILIES, "one_to_one": ("rtdetr",)}
"""A head's assignment → the families of networks that have it; all others are one_to_many."""

Weights = Literal[
    "yolov10n",
    "yolov10s",
    "yolov10m",
    "yolov10b",
    "yolov10l",
    "yolov10x",
    "yolov8n",
    "yolov8s",
    "yolov8m",
    "yolo11n",
    "yolo11s",
    "yolo26n",
    "yolo26s",
    "rtdetr-r18",
]
"""Published checkpoints (mnv4bench/data/weights.yaml)."""

Stage = Literal["p4_mid", "p3_out", "p4_out", "p5_out"]
"""The neck's stages, in order of computation."""

Block = Literal["c2f", "c2fcib", "c2firb", "c2firb_dw", "c2fuib"]
"""C2f with its own bottleneck, YOLOv10's compact inverted block, the inverted residual blocks that CIB was grown from
(YOLOv10, Table 8), MobileNetV4's universal inverted bottleneck in its ExtraDW form."""


class ModelSpec(Spec):
    """The detector: a MobileNetV4 backbone with YOLOv10's neck and head (arXiv 2404.10518, 2405.14458)."""

    peer: Peer | None = None
    """Another detector as its authors define it; all other fields are without meaning then, and stay as they are."""
    weights: Weights | None = None
    """A published checkpoint, structure and weights; it is not trained, and all other fields are without meaning."""
    backbone: Backbone = "mnv4_conv_small"
    """A published one; or a file that `mnv4bench search` wrote, FILE.json, which becomes `searched` with its rows."""
    rows: tuple[str, ...] = Field((), max_length=200, validate_default=True)
    """The rows of a searched backbone, so that the spec, and the digest of a run, hold the network and not a path."""
    uib: UIBForm = "mixed"
    """The form of the backbone's universal inverted bottlenecks: as published, or one form in all places at about the
    same multiply-accumulates (MobileNetV4, section 4 and Table 1)."""
    mobile_attention: Literal["as_published", "none", "mhsa", "mqa"] = "as_published"
    """A hybrid backbone's attention blocks: left out; multi-head; Mobile MQA without down-sampling of keys and values
    (MobileNetV4, Tables 2 and 3)."""
    scale: Literal["n", "s"] = "n"
    p5_tap: int = Field(960, ge=1, le=4096, validate_default=True)
    """Channels of the backbone's stride-32 output: its last stage, or a 1×1 convolution after it; one of its TAPS."""
    sppf: Literal["linear", "silu"] = "silu"
    """Behind SPPF's first convolution: nothing, as in ultralytics today, or SiLU, as in YOLOv10's release."""
    attention: Literal["none", "psa", "psa2", "transformer", "mqa"] = "psa"
    """After SPPF: partial self-attention with one or two blocks, a transformer block on all channels (YOLOv10, Table
    13), or Mobile MQA."""
    downsample: Literal["conv", "scdown", "dw_first"] = "scdown"
    """The neck's P4 → P5 down-sampling; dw_first has SCDown's convolutions in the other order (YOLOv10, Table 7)."""
    block: Block = "c2fcib"
    block_stages: tuple[Stage, ...] = ("p5_out",)
    """The neck's stages that `block` stands in; the others have C2f."""
    kernel: Literal[3, 5, 7, 9] = 7
    """Side of the middle depthwise kernel of a CIB at stride 32 (YOLOv10, section 3.2); 3 wherever there is none."""
    reparameterised: bool = True
    """A 3×3 branch beside a larger kernel while training (YOLOv10, Table 11)."""
    class_branch: Literal["light", "full"] = "light"
    """Depthwise separable convolutions in the head's classification branch, or full ones (YOLOv10, section 3.2)."""
    head: Literal["one_to_many", "one_to_one", "dual"] = "dual"

    @property
    def backbone_name(self) -> str:
        """The backbone's name, with a digest of its rows where it was searched."""
        mark = hashlib.sha256("\n".join(self.rows).encode()).hexdigest()[:8]
        return f"{self.backbone}_{mark}" if self.rows else self.backbone

    @field_validator("uib")
    @classmethod
    def _form_of_the_backbone(cls, value: str, info: ValidationInfo) -> str:
        if value != "mixed" and info.data.get("backbone") == "searched":
            raise ValueError("a searched backbone has its own forms; Input should be mixed")
        if value != "mixed" and info.data.get("backbone") == "yolov10":
            raise ValueError("YOLOv10's backbone has no universal inverted bottlenecks; Input should be mixed")
        return value

    @field_validator("mobile_attention")
    @classmethod
    def _attention_of_the_backbone(cls, value: str, info: ValidationInfo) -> str:
        backbone = info.data.get("backbone")  # an unknown one is missing here, and reported by itself
        if value != "as_published" and backbone is not None and backbone not in HYBRIDS:
            raise ValueError(
                f"{backbone} has no attention blocks to change; those with attention are {' and '.join(HYBRIDS)}"
            )
        return value

    @field_validator("p5_tap")
    @classmethod
    def _tap_of_the_backbone(cls, value: int, info: ValidationInfo) -> int:
        backbone, scale = info.data.get("backbone"), info.data.get("scale", "n")
        if backbone is None:
            return value
        if backbone == "searched":
            if not (rows := info.data.get("rows")):  # reported by themselves
                return value
            allowed_taps = taps(rows)
        else:
            allowed_taps = ({"n": 256, "s": 512}[scale],) if backbone == "yolov10" else TAPS[backbone]
        if value not in allowed_taps:
            *others, last = map(str, allowed_taps)
            allowed = f"{', '.join(others)} or {last}" if others else last
            raise ValueError(f"Input should be {allowed} with backbone {backbone}")
        return value

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, data: Any) -> Any:
        """Give what has no meaning beside the rest its one value, so that equal networks have equal specs."""
        if not isinstance(data, dict):
            return data
        data = dict(data)
        if isinstance(data.get("backbone"), str) and data["backbone"].endswith(".json"):
            data |= {"backbone": "searched", "rows": read_backbone(Path(data["backbone"])).rows}
        if named := data.get("peer") or data.get("weights"):
            data["head"] = next(
                (head for head, families in HEADS.items() if str(named).startswith(families)), "one_to_many"
            )
        stages = data.get("block_stages", ("p5_out",))
        if data.get("block") == "c2f":
            data["block_stages"] = ()
        elif not isinstance(stages, Collection):
            return data  # refused for its type
        elif isinstance(stages, list | tuple) and all(stage in get_args(Stage) for stage in stages):
            data["block_stages"] = tuple(stage for stage in get_args(Stage) if stage in stages)
        if data.get("block", "c2fcib") != "c2fcib" or "p5_out" not in data.get("block_stages", ("p5_out",)):
            data["kernel"] = 3
        if data.get("kernel", 7) == 3:
            data["reparameterised"] = True
        return data

    @field_validator("rows")
    @classmethod
    def _rows_of_a_searched_backbone(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if value and info.data.get("backbone") != "searched":
            raise ValueError("only a searched backbone has rows; name its file as backbone")
        if info.data.get("backbone") == "searched":
            check_rows(value)
        return value

    @model_validator(mode="after")
    def _possible(self) -> ModelSpec:
        if named := self.peer or self.weights:
            kind = "peer" if self.peer else "weights"
            default = ModelSpec(head=self.head)
            changed = [key for key, value in self if key != kind and value != getattr(default, key)]
            if changed:
                raise ValueError(
                    f"{changed[0]} has no meaning for the {kind} {named}, which is as its authors define it"
                )
            return self
        if self.block != "c2f" and not self.block_stages:
            raise ValueError(f"block_stages []: {self.block} stands nowhere; name stages, or write block: c2f")
        return self


PartName = Literal[
    "backbone", "sppf", "attention", "p4_mid", "p3_out", "p4_down", "p4_out", "p5_down", "p5_out", "head"
]
"""The parts of the network that hold weights (mnv4bench.models.detector)."""

_PARTS_OF: dict[str, tuple[PartName, ...]] = {
    "rows": ("backbone",),
    "uib": ("backbone",),
    "mobile_attention": ("backbone",),
    "p5_tap": ("backbone", "sppf"),
    "sppf": ("sppf",),
    "attention": ("attention",),
    "downsample": ("p5_down",),
    "kernel": ("p5_out",),
    "reparameterised": ("p5_out",),
    "class_branch": ("head",),
}


def contested(ours: ModelSpec, theirs: ModelSpec) -> Iterator[tuple[str, tuple[PartName, ...] | None]]:
    """Yield each field in which two models differ, with the parts that it decides; None for the whole network."""
    stages = tuple(
        stage
        for stage in get_args(Stage)
        if (ours.block if stage in ours.block_stages else "c2f")
        != (theirs.block if stage in theirs.block_stages else "c2f")
    )
    for field, value in ours:
        if value == getattr(theirs, field):
            continue
        if field == "head":
            # A dual head holds both others', trained.
            yield field, () if ours.head == "dual" else ("head",)
        else:
            yield field, stages if field in ("block", "block_stages") else _PARTS_OF.get(field)


def default_read(model: ModelSpec) -> Read:
    """Return how a model is read unless an arm says otherwise: NMS only where a one-to-many head stands alone."""
    return "nms" if model.head == "one_to_many" else "nms_free"


def readings(model: ModelSpec) -> tuple[Read, ...]:
    """Return every way in which one forward pass of `model` can be read."""
    return READINGS[model.head]
