"""A published network by name, its classes in words, and which of another data set's classes they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mnv4bench.data.coco_classes import COCO, VOC_NAMES
from mnv4bench.data.weights import TENSORS, locate
from mnv4bench.io.errors import SpecError
from mnv4bench.io.words import first
from mnv4bench.models.peers import definition
from mnv4bench.models.published import rtdetr
from mnv4bench.models.yolo import Detector, load_stored, load_tensors
from mnv4bench.spec.model import ModelSpec, Read, default_read

LINEAR = "yolo26"
"""The one family that was released after ultralytics took the activation out of SPPF."""

RTDETR = "rtdetr-r18"
"""The one network that is not ultralytics'."""


def build(spec: ModelSpec, read: Read | None = None) -> Detector:
    """Return the network that a spec names in `weights`, from its file.

    Raises:
        Missing: the file, or a package that its network needs, is not on this machine.
        Mnv4benchError: the file is damaged, or not what its name says.
    """
    assert spec.weights is not None
    path = locate(spec.weights)
    if spec.weights == RTDETR:
        return rtdetr.load(path, COCO)
    if path.suffix == TENSORS:
        family, scale = spec.weights[:-1], spec.weights[-1]
        model = load_tensors(path, definition(family, scale), COCO, spec.head, "linear" if family == LINEAR else "silu")
    else:
        model = load_stored(path, spec.head)
    if all(name.isdigit() for name in model.names.values()) and len(model.names) == len(COCO):
        model.names = dict(enumerate(COCO))
    model.read = read or default_read(spec)
    return model


@dataclass(frozen=True)
class ClassMap:
    """A network's classes as a data set's."""

    columns: tuple[int | None, ...]
    """For each class of the data set, the network's class; None where it has none."""
    ignored: tuple[str, ...]
    """The network's classes that the data set does not have."""
    missing: tuple[str, ...]
    """The data set's classes that the network does not know, and so never detects."""


def class_map(names: Mapping[int, str], classes: Sequence[str]) -> ClassMap:
    """Return how a network's classes are a data set's: by equal names, else by VOC's names for COCO's classes.

    Raises:
        SpecError: they have no class in common.
    """
    index = {name: place for place, name in names.items()}
    columns = tuple(index.get(name, index.get(VOC_NAMES.get(name, ""))) for name in classes)
    missing = tuple(name for name, column in zip(classes, columns, strict=True) if column is None)
    if len(missing) == len(classes):
        raise SpecError(
            f"classes: none of the data set's ({first(classes)}) is one of the checkpoint's "
            f"({first(list(names.values()))}); choose data that it was trained for"
        )
    used = set(columns)
    return ClassMap(columns, tuple(name for place, name in names.items() if place not in used), missing)
