"""Labelled images to score named models on: the data that a run was trained on, or a folder that the user names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mnv4bench.data.letterbox import Fit
from mnv4bench.data.prepare import prepare
from mnv4bench.data.prepared import intact
from mnv4bench.evaluate.settings import TRAINED, Settings
from mnv4bench.io.errors import SpecError
from mnv4bench.latency.campaign import calibration_images, first_images
from mnv4bench.latency.measure.accuracy import Split
from mnv4bench.latency.named import Named
from mnv4bench.models.published.stored import class_map
from mnv4bench.results.dataset import Dataset
from mnv4bench.spec.run import DataSpec


@dataclass(frozen=True)
class Labelled:
    """A prepared data set; its validation half is scored."""

    folder: Path
    dataset: Dataset

    def images(self, count: int) -> tuple[Path, ...]:
        """Return the first validation images, by id."""
        return tuple(path for _, path in first_images(self.dataset, self.folder, "val", count))

    def calibration(self, count: int) -> tuple[Path, ...]:
        return calibration_images(self.dataset, self.folder, count)

    def split(self, imgsz: int, settings: Settings = TRAINED, fit: Fit = "letterbox") -> Split:
        annotations = self.dataset.path(self.folder, self.dataset.val.annotations)
        images = self.dataset.path(self.folder, self.dataset.val.images)
        return Split(annotations, images, self.dataset.category_ids, imgsz, settings, fit)

    def settings(self, classes: Sequence[str]) -> Settings:
        """Return how a network with these classes is scored here: by the classes that both have, by name.

        Raises:
            SpecError: they have no class in common.
        """
        if not classes or tuple(classes) == self.dataset.classes:
            return TRAINED
        return replace(TRAINED, classes=class_map(dict(enumerate(classes)), self.dataset.classes))


def labelled(model: Named, folder: Path | None, out: Path, imgsz: int, remedy: str) -> Labelled:
    """Return the labelled images in a folder in COCO 2017's layout, or without one those that a run was trained on.

    Args:
        out: folder in which a record of the checked images is kept.
        imgsz: side in pixels that images of a folder are checked for.
        remedy: how the user names a folder.

    Raises:
        SpecError: no folder is named, and the model's own data are not beside it.
        DataError: lists what is wrong with the folder.
    """
    if folder is not None:
        prepared = out / "data"
        spec = DataSpec(name="folder", path=str(folder.resolve()), train=0, imgsz=imgsz)
        return Labelled(prepared, prepare(spec, prepared))
    if model.data is None:
        raise SpecError(f"{model.candidate.label}: the images that it was trained on are not beside it; {remedy}")
    return Labelled(model.data, intact(model.data))
