"""ultralytics' augmenting data set over this project's in-memory labels, and the settings that augmentation reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from ultralytics.cfg import get_cfg
from ultralytics.data.dataset import YOLODataset

from mnv4bench.data.decode import read_image
from mnv4bench.spec.run import AugmentSpec


def hyperparameters(augment: AugmentSpec | None = None, **more: Any) -> Any:
    """Return ultralytics' settings namespace; every augmentation that AugmentSpec does not name is off."""
    off = {"degrees": 0.0, "shear": 0.0, "perspective": 0.0, "cutmix": 0.0, "bgr": 0.0, "erasing": 0.0}
    values = augment.model_dump() if augment else {}
    return get_cfg(overrides={**off, **values, "deterministic": False, "augmentations": [], **more})


class CocoDataset(YOLODataset):
    """ultralytics' augmenting data set over in-memory labels: no label files, no cache files, no scan.

    Args:
        files: image paths.
        sizes: (n, 2) heights and widths of the files.
        boxes: per image (k, 4) centre x, centre y, width, height, relative to the image.
        labels: per image (k,) class indices.
    """

    MEMORY = 512 * 2**20
    """Resized images are kept decoded while all of them fit into this many bytes."""

    def __init__(
        self,
        files: Sequence[Path],
        sizes: np.ndarray,
        boxes: Sequence[np.ndarray],
        labels: Sequence[np.ndarray],
        names: Mapping[int, str],
        imgsz: int,
        augment: AugmentSpec | None,
    ) -> None:
        self._files = [str(file) for file in files]
        self._labels: list[dict[str, Any]] = [
            {
                "im_file": str(file),
                "shape": tuple(int(side) for side in size),
                "cls": np.asarray(cls, np.float32).reshape(-1, 1),
                "bboxes": np.asarray(box, np.float32).reshape(-1, 4),
                "segments": [],
                "keypoints": None,
                "normalized": True,
                "bbox_format": "xywh",
            }
            for file, size, box, cls in zip(files, sizes, boxes, labels, strict=True)
        ]
        settings = hyperparameters(augment)
        super().__init__(
            img_path="", imgsz=imgsz, cache=None, augment=augment is not None, hyp=settings, data={"names": dict(names)}
        )
        # Mosaic takes its partners from all images instead of a buffer of recent ones: no state between epochs, so a
        # resumed run draws what an undisturbed one does.
        self.cache = "ram"
        self.transforms = self.build_transforms(settings)
        self._settings = settings
        self._keep = len(self._files) * imgsz * imgsz * 3 <= self.MEMORY
        self._kept: dict[int, tuple[np.ndarray, tuple[int, int], tuple[int, int]]] = {}

    def without_mosaic(self) -> None:
        """Turn off mosaic and the augmentations that paste images together, for the last epochs."""
        self.close_mosaic(self._settings)

    def get_img_files(self, img_path: Any) -> list[str]:
        return self._files

    def get_labels(self) -> list[dict[str, Any]]:
        return self._labels

    def load_image(self, i: int, *args: Any, **kwargs: Any) -> tuple[np.ndarray, tuple[int, int], tuple[int, int]]:
        if i not in self._kept:
            loaded = self._read(Path(self._files[i]))
            if not self._keep:
                return loaded
            self._kept[i] = loaded
        image, original, resized = self._kept[i]
        return image.copy(), original, resized  # some augmentations write in place

    def _read(self, path: Path) -> tuple[np.ndarray, tuple[int, int], tuple[int, int]]:
        """Return the BGR pixels with the longer side resized to imgsz, and their height and width before and after."""
        image = np.asarray(cv2.cvtColor(read_image(path), cv2.COLOR_RGB2BGR))
        height, width = image.shape[:2]
        ratio = self.imgsz / max(height, width)
        if ratio != 1:  # rounded up, as in BaseDataset.load_image
            size = min(math.ceil(width * ratio), self.imgsz), min(math.ceil(height * ratio), self.imgsz)
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR))
        return image, (height, width), (image.shape[0], image.shape[1])
