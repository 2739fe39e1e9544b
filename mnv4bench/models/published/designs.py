"""The steps from YOLOv8 to YOLOv10 (arXiv 2405.14458, Tables 2, 5 and 10) and the variants beside them, as data.

A `Design` says what each contested part of the network is; `designs` names those that the paper's tables hold. The last
step of each scale is the released network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

COMPACT = {"n": (8,), "s": (8, 4), "m": (8, 4, 7), "b": (8, 4, 7, 5), "l": (8, 4, 7, 5), "x": (8, 4, 7, 5, 3)}
"""The stages that hold CIB: as many of the least-ranked ones as leave the accuracy (section 3.2, rank-guided design).

Stages 1–4 are the backbone's at strides 4–32; 5–8 the neck's in order of computation: P4, P3, P4, P5.
"""

LARGE_KERNEL = ("n", "s")
"""The scales with large kernels: larger networks see enough as they are (section 3.2, Table 12)."""

DEEP = (4, 8)
"""The stages at stride 32, where large kernels are used."""


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
