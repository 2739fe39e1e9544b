"""Every detector that is counted or timed, by name: the catalogue.

- "yolov8n" s m l x, "yolov10n" s m b l x, "yolo11n" s m l x, "yolo26n" s m l x: ultralytics' definitions.
- "yolov9t" s m c e: the inference form with the release's head (mnv4bench.models.published.yolov9).
- "rtdetr-r18": needs transformers (the extra `peers`).
- "mnv4-yolov10n" and the other names of mnv4bench.models.DETECTORS: ours.
- "yolov10<scale>+<step>", scale n, s or m: the cumulative steps from YOLOv8 to YOLOv10 in the paper's order: nms (the
  one-to-many head alone: YOLOv8), base (dual head), cls, downs, block, lk (n and s), psa (the released network).
- "yolov10<scale>+<step>=<variant>": what a step is compared with. yolov10s+downs=dw-first (Table 7);
  yolov10s+block=irb, =irb-dw (Table 8), =8, =8-4-7 (the stages with CIB, Table 9); yolov10s+lk=5, =9 (kernels), =norep
  (without the 3×3 branch; Table 11); yolov10s+psa=transformer, =2 (blocks; Table 13).
- "yolov10m+lk": the medium scale with large kernels, which the release leaves out (Table 12).

Names and readings are known without torch, which only building needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

from mnv4bench.io.errors import SpecError
from mnv4bench.models import DETECTORS
from mnv4bench.models.published.designs import Design, designs
from mnv4bench.spec.model import ModelSpec, Read, default_read
from mnv4bench.spec.problems import nearest
from mnv4bench.spec.run import derive_seed

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Entry:
    """How a network is read, and what builds it for a number of classes."""

    read: Read
    build: Callable[[int], nn.Module]


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
    import torch

    entry = _entry(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("initial values", seed, name))
        return entry.build(classes)


def _entry(name: str) -> Entry:
    entries = _entries()
    if name not in entries:
        raise SpecError(f"no model {name!r} in the catalogue; {nearest(name, tuple(entries))}")
    return entries[name]


@cache
def _entries() -> dict[str, Entry]:
    return {
        **_ultralytics("yolov8", "nsmlx", "nms"),
        **{f"yolov9{scale}": Entry("nms", partial(_yolov9, scale)) for scale in "tsmce"},
        **_ultralytics("yolov10", "nsmblx", "nms_free"),
        **_ultralytics("yolo11", "nsmlx", "nms"),
        **_ultralytics("yolo26", "nsmlx", "nms_free"),
        "rtdetr-r18": Entry("nms_free", _rtdetr),
        **{name: Entry(default_read(model), partial(_ours, model)) for name, model in DETECTORS.items()},
        **{
            name: Entry("nms_free" if design.dual else "nms", partial(_step, design))
            for name, design in designs().items()
        },
    }


def _ultralytics(family: str, scales: str, read: Read) -> dict[str, Entry]:
    return {f"{family}{scale}": Entry(read, partial(_definition, family, scale)) for scale in scales}


def _definition(family: str, scale: str, classes: int) -> nn.Module:
    from mnv4bench.models import peers
    from mnv4bench.models.yolo import network

    made: nn.Module = network(peers.definition(family, scale), classes)
    return made


def _yolov9(scale: str, classes: int) -> nn.Module:
    from mnv4bench.models.published import yolov9

    made: nn.Module = yolov9.build(scale, classes)
    return made


def _rtdetr(classes: int) -> nn.Module:
    from mnv4bench.models.published import rtdetr

    return rtdetr.build(classes)


def _ours(model: ModelSpec, classes: int) -> nn.Module:
    from mnv4bench.models import detector

    return detector.build(model, classes)


def _step(design: Design, classes: int) -> nn.Module:
    from mnv4bench.models.published import ladder

    made: nn.Module = ladder.build(design, classes)
    return made
