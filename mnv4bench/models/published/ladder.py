"""The designs between YOLOv8 and YOLOv10 (mnv4bench.models.published.designs) as networks: `rows` writes one down in
ultralytics' form, `build` makes it.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from mnv4bench.models.alternatives import DepthwiseFirstDown, InvertedResidual, set_middle_kernel, transformer
from mnv4bench.models.published.designs import Design
from mnv4bench.models.yolo import C2PSA, DetectionModel, initialize_weights, network
from mnv4bench.models.yolov10 import SCALES

Row = list[Any]
"""Where its input comes from, repeats, class, arguments: one line of a network in ultralytics' form."""

STAGE_LAYER = {1: 2, 2: 4, 3: 6, 4: 8, 5: 13, 6: 16, 7: 19, 8: 22}
"""Stage → layer number in `rows`."""

DOWN_LAYERS = (5, 7, 20)
"""The down-samplings that SCDown replaces; the neck's first one, to P4, stays a convolution."""

ATTENTION_LAYER = 10


def rows(design: Design) -> dict[str, Any]:
    """Return the network in ultralytics' form; what that has no class for stands as the part that it replaces."""

    def stage(number: int, repeats: int, channels: int) -> Row:
        if number in design.compact:
            return [-1, repeats, "C2fCIB", [channels, True, number in design.large]]
        return [-1, repeats, "C2f", [channels, number <= 4]]  # the neck's bottlenecks have no shortcut

    def down(channels: int) -> Row:
        return [-1, 1, "Conv" if design.down == "conv" else "SCDown", [channels, 3, 2]]

    attention: Row = [-1, 1, "nn.Identity", []] if design.attention == "none" else [-1, 1, "PSA", [1024]]
    return {
        "scales": SCALES,
        "scale": design.scale,
        "end2end": design.dual,
        "backbone": [
            [-1, 1, "Conv", [64, 3, 2]],
            [-1, 1, "Conv", [128, 3, 2]],
            stage(1, 3, 128),
            [-1, 1, "Conv", [256, 3, 2]],
            stage(2, 6, 256),
            down(512),
            stage(3, 6, 512),
            down(1024),
            stage(4, 3, 1024),
            [-1, 1, "SPPF", [1024, 5]],
            attention,
        ],
        "head": [
            *_joined(6),
            stage(5, 3, 512),
            *_joined(4),
            stage(6, 3, 256),
            [-1, 1, "Conv", [256, 3, 2]],
            [[-1, 13], 1, "Concat", [1]],
            stage(7, 3, 512),
            down(512),
            [[-1, ATTENTION_LAYER], 1, "Concat", [1]],
            stage(8, 3, 1024),
            [[16, 19, 22], 1, "v10Detect" if design.light_head else "Detect", ["nc"]],
        ],
    }


def _joined(layer: int) -> list[Row]:
    return [[-1, 1, "nn.Upsample", [None, 2, "nearest"]], [[-1, layer], 1, "Concat", [1]]]


def build(design: Design, classes: int) -> DetectionModel:
    """Return a design's network with random weights."""
    model = network(rows(design), classes)
    if design.down == "dw_first":
        for layer in DOWN_LAYERS:
            pointwise, depthwise = model.model[layer].cv1.conv, model.model[layer].cv2.conv
            _put(model, layer, DepthwiseFirstDown(pointwise.in_channels, depthwise.out_channels))
    for stage in design.compact:
        _replace_blocks(model.model[STAGE_LAYER[stage]], design, large=stage in design.large)
    _replace_attention(model, design)
    initialize_weights(model)  # batch norms' constants
    return model


def _replace_blocks(stage: Any, design: Design, large: bool) -> None:
    for index, cib in enumerate(stage.m):
        if design.block != "cib":
            stage.m[index] = InvertedResidual(stage.c, append_depthwise=design.block == "irb_dw")
        elif large:
            set_middle_kernel(cib, design.kernel, design.reparameterised)


def _replace_attention(model: DetectionModel, design: Design) -> None:
    if design.attention == "none" or (design.attention == "psa" and design.attention_blocks == 1):
        return
    channels = model.model[ATTENTION_LAYER].cv2.conv.out_channels
    if design.attention == "transformer":
        _put(model, ATTENTION_LAYER, transformer(channels))
    else:
        _put(model, ATTENTION_LAYER, C2PSA(channels, channels, design.attention_blocks))


def _put(model: DetectionModel, layer: int, module: nn.Module) -> None:
    """Put a module into a layer's place, with what ultralytics' forward pass reads of it."""
    old = model.model[layer]
    vars(module).update({"i": old.i, "f": old.f, "type": type(module).__name__, "np": old.np})
    model.model[layer] = module
