"""Every detector by name: to build, to count, to time.

- "yolov8n" s m l x, "yolov10n" s m b l x, "yolo11n" s m l x, "yolo26n" s m l x: ultralytics' definitions.
- "yolov9t" s m c e: the inference form with the release's head (mnv4bench.models.yolov9).
- "rtdetr-r18": needs transformers (the extra `peers`).
- "mnv4-yolov10n" and the other names of mnv4bench.models.CATALOGUE: ours.
- "yolov10<scale>+<step>", scale n, s or m: the cumulative steps from YOLOv8 to YOLOv10 in the paper's order: nms (the
  one-to-many head alone: YOLOv8), base (dual head), cls, downs, block, lk (n and s), psa (the released network).
- "yolov10<scale>+<step>=<variant>": what a step is compared with. yolov10s+downs=dw-first (Table 7);
  yolov10s+block=irb, =irb-dw (Table 8), =8, =8-4-7 (the stages with CIB, Table 9); yolov10s+lk=5, =9 (kernels), =norep
  (without the 3×3 branch; Table 11); yolov10s+psa=transformer, =2 (blocks; Table 13).
- "yolov10m+lk": the medium scale with large kernels, which the release leaves out (Table 12).

Counts are of the form that is deployed: fused, with the one branch of the head that is read.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.metadata
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch
from torch import nn

from mnv4bench import counting, spec, tracing
from mnv4bench.counting import deployed, macs, parameters
from mnv4bench.errors import SpecError
from mnv4bench.files import sha256
from mnv4bench.model_spec import Read, default_read
from mnv4bench.models import CATALOGUE, detector, ladder, peers, rtdetr, yolov9
from mnv4bench.models.formulas import LayerCost, scdown_cost, strided_cost
from mnv4bench.models.yolo import Detect, DetectionModel, network
from mnv4bench.spec import derive_seed

__all__ = [
    "BranchCost",
    "Counted",
    "HeadCost",
    "LayerCost",
    "build",
    "counted",
    "digest",
    "head_branches",
    "names",
    "read_of",
    "scdown_cost",
    "strided_cost",
]

PACKAGES = ("fvcore", "torch", "transformers", "ultralytics")
"""What defines or counts a network beside our own files."""


@dataclass(frozen=True)
class Entry:
    """How a network is read, and what builds it for a number of classes."""

    read: Read
    build: Callable[[int], nn.Module]


@dataclass(frozen=True)
class Counted:
    """Costs of a network; FLOPs are 2 × multiply-accumulates of one image."""

    params: int
    """As deployed."""
    train_params: int
    """With every branch of the head, before fusing."""
    conv_flops: int
    linear_flops: int
    matmul_flops: int
    """Products of two activations, which only attention has."""
    flops: int
    """All three."""
    profiled_flops: int
    """What the YOLO papers print, by a profiler (thop) of layers: convolutions, linear layers, and two operations for
    each element that an upsampling layer puts out; products of two activations are free."""


@dataclass(frozen=True)
class BranchCost:
    """Cost of one branch of a detection head, over all levels, as deployed."""

    params: int
    conv_flops: int


@dataclass(frozen=True)
class HeadCost:
    classification: BranchCost
    regression: BranchCost


def names() -> tuple[str, ...]:
    """Return every name of the catalogue."""
    return tuple(_entries())


def read_of(name: str) -> Read:
    """Return how a network's detections are read.

    Raises:
        SpecError: the catalogue has no such name.
    """
    return _entry(name).read


def build(name: str, classes: int = 80, *, seed: int = 0) -> nn.Module:
    """Return a network with random weights, drawn from `seed` and `name`; the caller's random state is left as it was.

    Raises:
        SpecError: the catalogue has no such name.
        Mnv4benchError: it needs a package that is not installed.
    """
    entry = _entry(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("initial values", seed, name))
        return entry.build(classes)


@cache
def counted(name: str, imgsz: int = 640, classes: int = 80) -> Counted:
    """Build a network and count one image of `imgsz` × `imgsz` pixels.

    Raises:
        SpecError: the catalogue has no such name.
        Mnv4benchError: it needs a package that is not installed.
    """
    model = build(name, classes)
    fused = deployed(model)
    by_part = macs(fused, torch.zeros(1, 3, imgsz, imgsz))
    whole = by_part[""]
    upsampled = sum(by_part[name].upsampled for name, part in fused.named_modules() if isinstance(part, nn.Upsample))
    return Counted(
        params=parameters(fused),
        train_params=parameters(model),
        conv_flops=2 * whole.conv,
        linear_flops=2 * whole.linear,
        matmul_flops=2 * whole.matmul,
        flops=2 * whole.total,
        profiled_flops=2 * (whole.conv + whole.linear + upsampled),
    )


def head_branches(name: str, imgsz: int = 640, classes: int = 80) -> HeadCost:
    """Count the two branches of a YOLO head apart.

    Raises:
        SpecError: the catalogue has no such name, or its network has no such head.
    """
    fused = deployed(build(name, classes))
    head = fused.model[-1] if isinstance(fused, DetectionModel) else fused
    if not isinstance(head, Detect):
        raise SpecError(f"{name} ends in {type(head).__name__}, which has no two branches; allowed: the YOLO networks")
    by_part = macs(fused, torch.zeros(1, 3, imgsz, imgsz))

    def branch(attribute: str) -> BranchCost:
        attribute = attribute if getattr(head, attribute) is not None else f"one2one_{attribute}"
        flops = 2 * by_part[f"model.{head.i}.{attribute}"].conv
        return BranchCost(parameters(getattr(head, attribute)), flops)

    return HeadCost(classification=branch("cv3"), regression=branch("cv2"))


def digest(name: str, imgsz: int = 640, classes: int = 80) -> str:
    """Return a hexadecimal SHA-256 that changes whenever `counted` might: of our files, packages and the arguments.

    Raises:
        SpecError: the catalogue has no such name.
    """
    _entry(name)
    return hashlib.sha256(json.dumps([name, imgsz, classes, *_provenance()]).encode()).hexdigest()


@cache
def _provenance() -> tuple[dict[str, str], dict[str, str | None]]:
    """Return what defines and counts networks: file → digest, package → version."""
    others = (Path(str(module.__file__)) for module in (counting, spec, tracing))
    files = [*sorted(Path(__file__).parent.glob("*.py")), *others]
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {file.name: sha256(file) for file in files}, versions


def _entry(name: str) -> Entry:
    entries = _entries()
    if name not in entries:
        close = difflib.get_close_matches(name, entries, n=1)
        guess = f"; did you mean {close[0]!r}?" if close else ""
        raise SpecError(
            f"no model {name!r} in the catalogue{guess}; its docstring (mnv4bench.models.catalog) explains the names"
        )
    return entries[name]


@cache
def _entries() -> dict[str, Entry]:
    return {
        **_ultralytics("yolov8", "nsmlx", "nms"),
        **{f"yolov9{scale}": Entry("nms", partial(yolov9.build, scale)) for scale in "tsmce"},
        **_ultralytics("yolov10", "nsmblx", "nms_free"),
        **_ultralytics("yolo11", "nsmlx", "nms"),
        **_ultralytics("yolo26", "nsmlx", "nms_free"),
        "rtdetr-r18": Entry(rtdetr.RTDetr.read, rtdetr.build),
        **{name: Entry(default_read(model), partial(detector.build, model)) for name, model in CATALOGUE.items()},
        **{
            name: Entry("nms_free" if design.dual else "nms", partial(ladder.build, design))
            for name, design in ladder.designs().items()
        },
    }


def _ultralytics(family: str, scales: str, read: Read) -> dict[str, Entry]:
    def build(scale: str, classes: int) -> DetectionModel:
        return network(peers.definition(family, scale), classes)

    return {f"{family}{scale}": Entry(read, partial(build, scale)) for scale in scales}
