"""The steps from YOLOv8 to YOLOv10 (arXiv 2405.14458, Tables 2, 5 and 10) and the variants beside them, as data.

A `Design` says what each contested part of the network is; `designs` names those that the paper's tables hold, and
`rows` writes one down in ultralytics' form. The last step of each scale is the released network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import nn

from mnv4bench.models.alternatives import DepthwiseFirstDown, InvertedResidual, set_middle_kernel, transformer
from mnv4bench.models.yolo import C2PSA, DetectionModel, initialize_weights, network
from mnv4bench.models.yolov10 import SCALES

Row = list[Any]
"""Where its input comes from, repeats, class, arguments: one line of a network in ultralytics' form."""

COMPACT = {"n": (8,), "s": (8, 4), "m": (8, 4, 7), "b": (8, 4, 7, 5), "l": (8, 4, 7, 5), "x": (8, 4, 7, 5, 3)}
"""The stages that hold CIB: as many of the least-ranked ones as leave the accuracy (section 3.2, rank-guided design).

Stages 1–4 are the backbone's at strides 4–32; 5–8 the neck's in order of computation: P4, P3, P4, P5.
"""

LARGE_KERNEL = ("n", "s")
"""The scales with large kernels: larger networks see enough as they are (section 3.3, Table 12)."""

STAGE_LAYER = {1: 2, 2: 4, 3: 6, 4: 8, 5: 13, 6: 16, 7: 19, 8: 22}
"""Stage → layer number in `rows`."""

DEEP = (4, 8)
"""The stages at stride 32, where large kernels are used."""

DOWN_LAYERS = (5, 7, 20)
"""The down-samplings that SCDown replaces; the neck's first one, to P4, stays a convolution."""

ATTENTION_LAYER = 10


@dataclass(frozen=True)
class Design:
    """One network between YOLOv8 (the defaults, but for the second head) and YOLOv10."""

    scale: str
    dual: bool = True
    """A one-to-one head beside the one-to-many head: read NMS-free (section 3.1)."""
    light_head: bool = False
    """Depthwise separable convolutions in the classification branch; such a head is always dual."""
    down: Literal["conv", "scdown", "dw_first"] = "conv"
    compact: tuple[int, ...] = ()
    """Stages whose bottlenecks are `block`s."""
    block: Literal["cib", "irb", "irb_dw"] = "cib"
    large: tuple[int, ...] = ()
    """Stages, out of the compact ones, whose CIBs have a large kernel."""
    kernel: int = 7
    reparameterised: bool = True
    """A 3×3 branch beside the large kernel while training."""
    attention: Literal["none", "psa", "transformer"] = "none"
    attention_blocks: int = 1


def designs() -> dict[str, Design]:
    """Return every design that the paper compares, by name: "yolov10s+cls", "yolov10s+block=irb"."""
    named = {f"yolov10{scale}+{step}": design for scale in "nsm" for step, design in steps(scale).items()}
    s, m = steps("s"), steps("m")
    return named | {
        "yolov10m+lk": with_large_kernels(m["block"]),
        "yolov10s+downs=dw-first": replace(s["downs"], down="dw_first"),
        "yolov10s+block=irb": replace(s["block"], block="irb"),
        "yolov10s+block=irb-dw": replace(s["block"], block="irb_dw"),
        "yolov10s+block=8": replace(s["block"], compact=(8,)),
        "yolov10s+block=8-4-7": replace(s["block"], compact=(8, 4, 7)),
        "yolov10s+lk=5": replace(s["lk"], kernel=5),
        "yolov10s+lk=9": replace(s["lk"], kernel=9),
        "yolov10s+lk=norep": replace(s["lk"], reparameterised=False),
        "yolov10s+psa=transformer": replace(s["psa"], attention="transformer"),
        "yolov10s+psa=2": replace(s["psa"], attention_blocks=2),
    }


def steps(scale: str) -> dict[str, Design]:
    """Return the cumulative steps of a scale in the paper's order.

    nms: one-to-many head alone (Table 2, first row of a scale); base: dual head; cls, downs, block: the efficiency
    design (Table 5); lk, psa: the accuracy design (Table 10). A scale without large kernels has no lk.
    """
    base = Design(scale)
    cls = replace(base, light_head=True)
    downs = replace(cls, down="scdown")
    block = replace(downs, compact=COMPACT[scale])
    lk = {"lk": with_large_kernels(block)} if scale in LARGE_KERNEL else {}
    psa = replace(lk.get("lk", block), attention="psa")
    return {
        "nms": replace(base, dual=False),
        "base": base,
        "cls": cls,
        "downs": downs,
        "block": block,
        **lk,
        "psa": psa,
    }


def with_large_kernels(design: Design) -> Design:
    """Return the design with large kernels in every CIB at stride 32 (for scale m, our reading of Table 12)."""
    return replace(design, large=tuple(stage for stage in design.compact if stage in DEEP))


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
