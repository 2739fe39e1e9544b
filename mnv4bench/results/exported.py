"""<name>.json beside exported files: what each holds, and how it compares with the network that it was made from."""

from __future__ import annotations

from mnv4bench.results.environment import Environment
from mnv4bench.results.record import Record
from mnv4bench.spec.model import Read


class ExportedFile(Record):
    """One file, loaded again and held against the network."""

    format: str
    file: str
    """Name of the file, or of the folder where the format has several; beside this record."""
    bytes: int
    detections_kept: float | None
    """Share of the network's detections above the confidence that the file finds too: the same class and an overlap of
    at least 0.5; None where the network finds none."""
    difference: float | None
    """Largest difference of a score, or of a coordinate relative to the image's side, before any suppression; None in
    int8, where it has no limit."""
    AP: float | None
    """COCO's, on 0–1, of what the file detects; None where no labelled images were at hand."""
    ms: float
    """Median of one image's forward pass, suppression included where it is inside."""


class Exported(Record):
    """What was exported from a network."""

    source: str
    """As the user named it."""
    classes: tuple[str, ...]
    imgsz: int
    read: Read
    nms: bool
    """Whether suppression is inside the files."""
    confidence: float
    iou: float
    """Of suppression; without meaning where the network needs none."""
    images: int
    """That each file was compared on."""
    scored: int
    """Images behind AP; 0 where there were no labels."""
    AP: float | None
    """Of the network itself, scored in the same way."""
    ms: float
    """Of the network itself, in PyTorch."""
    threads: int
    quiet: bool
    """Whether the machine was idle when it was timed."""
    files: tuple[ExportedFile, ...]
    failed: dict[str, str] = {}
    """Format → why there is no file."""
    replaced: tuple[str, ...] = ()
    """Those of the files that took the place of an earlier export's."""
    earlier: tuple[str, ...] = ()
    """Files of an earlier export of this name that still lie beside this record, which does not describe them."""
    environment: Environment
