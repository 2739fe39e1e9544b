"""The detector, composed from named parts: MobileNetV4 trunk, YOLOv10's neck and head.

Layout (the article's; YOLOv10 section 3): backbone → SPPF → attention; top-down C2f at P4 and P3; Conv to P4 and C2f;
down-sampling to P5 and its block; head on P3, P4, P5. A contested part is a field of ModelSpec and one entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import nn

from mnv4bench.models import alternatives, peers, stages, yolo
from mnv4bench.models.mobilenetv4.attention import Kind
from mnv4bench.models.mobilenetv4.blocks import make_divisible
from mnv4bench.models.mobilenetv4.network import MobileNetV4, backbone
from mnv4bench.models.published import stored
from mnv4bench.models.sharing import share
from mnv4bench.models.yolov10 import SCALES, YOLOv10Backbone
from mnv4bench.spec.model import ModelSpec, Read, Stage, default_read
from mnv4bench.spec.run import derive_seed


@dataclass(frozen=True)
class Part:
    """A layer with a name: what it is made from, and the parts whose outputs it reads."""

    name: str
    inputs: tuple[str, ...]
    build: Callable[[], nn.Module]


def parts(spec: ModelSpec, classes: int, read: Read) -> list[Part]:
    """Return the network's layers in order of computation."""
    depth, width, widest = SCALES[spec.scale]

    def wide(channels: int) -> int:
        return make_divisible(min(channels, widest) * width)

    repeats = max(round(3 * depth), 1)
    c3, c4, c5 = wide(256), wide(512), wide(1024)
    with torch.device("meta"):  # for its channels alone: draws no values
        _, b3, b4, b5 = trunk(spec).channels

    def stage(name: Stage, inputs: tuple[str, ...], in_channels: int, out_channels: int) -> Part:
        block = spec.block if name in spec.block_stages else "c2f"
        kernel = spec.kernel if name == "p5_out" else 3
        return Part(
            name, inputs, lambda: stages.build(block, in_channels, out_channels, repeats, kernel, spec.reparameterised)
        )

    attention = None if spec.attention == "none" else alternatives.ATTENTION[spec.attention]
    p5 = "attention" if attention else "sppf"
    full = spec.class_branch == "full"

    return [
        Part("backbone", (), lambda: trunk(spec)),
        Part("p3", ("backbone",), lambda: Level(1)),
        Part("p4", ("backbone",), lambda: Level(2)),
        Part("p5", ("backbone",), lambda: Level(3)),
        Part("sppf", ("p5",), lambda: alternatives.sppf(b5, c5, spec.sppf)),
        *([Part("attention", ("sppf",), partial(attention, c5))] if attention else []),
        Part("p4_up", (p5,), Upsample),
        Part("p4_cat", ("p4_up", "p4"), yolo.Concat),
        stage("p4_mid", ("p4_cat",), c5 + b4, c4),
        Part("p3_up", ("p4_mid",), Upsample),
        Part("p3_cat", ("p3_up", "p3"), yolo.Concat),
        stage("p3_out", ("p3_cat",), c4 + b3, c3),
        Part("p4_down", ("p3_out",), lambda: yolo.Conv(c3, c3, 3, 2)),
        Part("p4_cat_out", ("p4_down", "p4_mid"), yolo.Concat),
        stage("p4_out", ("p4_cat_out",), c3 + c4, c4),
        Part("p5_down", ("p4_out",), lambda: alternatives.DOWNSAMPLE[spec.downsample](c4)),
        Part("p5_cat", ("p5_down", p5), yolo.Concat),
        stage("p5_out", ("p5_cat",), c4 + c5, c5),
        Part("head", ("p3_out", "p4_out", "p5_out"), lambda: yolo.Head(classes, spec.head, read, (c3, c4, c5), full)),
    ]


def trunk(spec: ModelSpec) -> MobileNetV4 | YOLOv10Backbone:
    """Return the backbone: images (B, 3, H, W) → its maps at strides 4, 8, 16 and 32, whose `channels` it names."""
    if spec.backbone == "yolov10":
        return YOLOv10Backbone(spec.scale)
    kind: Kind | Literal["none"] = "mqa" if spec.mobile_attention == "as_published" else spec.mobile_attention
    downsampled = spec.mobile_attention == "as_published"
    return backbone(spec.backbone, spec.p5_tap, kind, kv_downsampling=downsampled, uib=spec.uib, rows=spec.rows)


class Level(nn.Module):
    """One of the backbone's feature maps."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index

    def forward(self, levels: list[torch.Tensor]) -> torch.Tensor:
        return levels[self.index]


def Upsample() -> nn.Module:  # noqa: N802 - reads as the layer that it makes
    return nn.Upsample(scale_factor=2, mode="nearest")


def build(spec: ModelSpec, classes: int, *, seed: int = 0, read: Read | None = None) -> yolo.Detector:
    """Return the detector of a spec, a peer where it names one, its weights drawn from `seed`.

    A published checkpoint comes with its own weights and its own number of classes.

    Every part draws from a stream of its own, named by seed and part, and a layer that the default detector (of a
    backbone: its published form) has in the same place and shapes gets the values that it draws there: models that
    share a layer share its initial values, whatever else they hold. The caller's random state is left as it was.
    """
    read = read or default_read(spec)
    if spec.weights is not None:
        return stored.build(spec, read)
    if spec.peer is not None:
        return peers.build(spec.peer, classes, seed=seed, read=read)
    layers = parts(spec, classes, read)
    built = _drawn(layers, seed)
    if spec != ModelSpec():
        published = spec.model_copy(update={"uib": "mixed", "mobile_attention": "as_published"})
        trunks = [part for part in parts(published, classes, read) if part.name == "backbone"]
        originals = _drawn(parts(ModelSpec(), classes, read), seed) | _drawn(trunks, seed)
        for name in built.keys() & originals.keys():
            share(name, built[name], originals[name])
    wiring = {part.name: part.inputs for part in layers}
    return yolo.Composed(built, wiring, classes, description=spec.model_dump(mode="json"))


def _drawn(layers: Sequence[Part], seed: int) -> dict[str, nn.Module]:
    built = {}
    with torch.random.fork_rng(devices=[]):
        for part in layers:
            torch.manual_seed(derive_seed("initial values", seed, part.name))
            built[part.name] = part.build()
    return built
