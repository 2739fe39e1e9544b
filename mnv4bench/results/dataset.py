"""data/<key>/dataset.json: a checked data set, ready to train on."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from mnv4bench.results.record import Record, read_record

RECORD = "dataset.json"

STAYING = ("coco", "voc")
"""Sets whose photographs have other owners' terms, so that this project uses them and does not pass them on."""


class Split(Record):
    """One half of a data set; paths are absolute or relative to the folder of dataset.json."""

    annotations: str
    """COCO JSON. Each image record may carry "slice", the name of the diagnostic slice it belongs to."""
    images: str
    """Folder that the annotations' file names are relative to."""
    count: int
    """Images."""
    objects: int
    slices: dict[str, int] = {}
    """Images of each diagnostic slice."""


class Dataset(Record):
    """data/<key>/dataset.json: a checked data set, ready to train on."""

    remedy: ClassVar[str] = "delete the folder {folder} and start again"

    name: str
    digest: str
    """SHA-256 over the annotations and the sums of all image files, in order."""
    classes: tuple[str, ...]
    """By training index; COCO category ids are 1 + index unless the set brings its own."""
    category_ids: tuple[int, ...]
    slices: tuple[str, ...] = ()
    train: Split
    val: Split
    notes: tuple[str, ...] = ()
    """What was dropped or changed on the way in, a sentence each."""

    @property
    def stays(self) -> bool:
        """Whether its images do not leave this machine."""
        return self.name in STAYING

    def path(self, folder: Path, relative: str) -> Path:
        """Resolve a path of this record, which lies in `folder`."""
        return Path(folder) / relative


def beside(run: Path, digest: str | None) -> Path | None:
    """Return the folder of the prepared data set that a run was trained on, where it still lies beside it."""
    for path in sorted((run.absolute().parent.parent / "data").glob(f"*/{RECORD}")):
        if read_record(path, Dataset).digest == digest:
            return path.parent
    return None
