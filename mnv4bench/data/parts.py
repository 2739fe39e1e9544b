"""What every source of images hands over, before it is checked: COCO documents and the folders of their images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

Document = dict[str, Any]
"""COCO's "images", "annotations" and "categories"."""


SPLITS = ("train", "val")


@dataclass(frozen=True)
class Part:
    """One split."""

    document: Document
    images: Path
    """Folder that the file names are relative to."""
    origin: str
    """Where the annotations came from, for messages."""
    root: Path | None = None
    """No image may be outside this folder; `images` where None."""


@dataclass(frozen=True)
class Source:
    """A data set as its owner left it, apart from what `notes` says."""

    train: Part | None
    """None where nothing is trained."""
    val: Part
    slices: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def halves(self) -> dict[str, Part]:
        """Return those that are there, by name."""
        return {"val": self.val} if self.train is None else {"train": self.train, "val": self.val}
