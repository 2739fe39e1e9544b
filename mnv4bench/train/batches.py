"""Training batches: order, mixture and augmentation are functions of seed and epoch, and of nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from mnv4bench.data import scenes
from mnv4bench.io.errors import SpecError
from mnv4bench.io.files import read_json
from mnv4bench.models.yolo import CocoDataset
from mnv4bench.results.dataset import Dataset
from mnv4bench.spec.run import STRIDES, AugmentSpec, DataSpec, ImageSet, RunSpec, TrainSpec, derive_seed
from mnv4bench.train.mixture import Item, Mixture
from mnv4bench.train.ranks import ALONE, Ranks


class Batches:
    """Calling it with an epoch starts that epoch: seeds every random stream and returns the epoch's batches.

    A batch holds img (B, 3, side, side) uint8, cls (n, 1), bboxes (n, 4) relative centre format, batch_idx (n,), and
    labelled (B,) where some images have no ground truth. The last batch may be smaller. Restarting at an epoch draws
    what an undisturbed run draws there. Where several ranks train, it is this one's share of each batch.

    Raises:
        SpecError: the last batch has no image for some rank, or a single value for batch norm.
    """

    def __init__(self, dataset: CocoDataset | Mixture, spec: TrainSpec, seed: int, ranks: Ranks = ALONE) -> None:
        if isinstance(dataset, CocoDataset):
            dataset = Mixture({"mild": dataset}, {"mild": spec.augment}, len(dataset), {})
        self.mixture, self.spec, self.seed = dataset, spec, seed
        self._order = _Order(spec.images_of(len(dataset)), spec.batch, ranks)
        self._check_batch_norm(ranks)
        self.loader: DataLoader[Any] = DataLoader(
            dataset,
            batch_sampler=self._order,
            num_workers=spec.workers,
            collate_fn=dataset.collate,
            worker_init_fn=_seed_worker,
            generator=(generator := torch.Generator()),
            pin_memory=spec.device == "cuda",
        )
        self._worker_seeds = generator

    def _check_batch_norm(self, ranks: Ranks) -> None:
        """Refuse a last batch whose coarsest map is one value, which has no variance."""
        side = next(iter(self.mixture.sets.values())).imgsz
        images = self._order.last // (ranks.count if self.spec.batch_norm == "local" else 1)
        if images * (side // STRIDES[-1]) ** 2 < 2:
            raise SpecError(
                f"train.batch: the last of an epoch's {self._order.count} images, in batches of {self.spec.batch}, is "
                f"one, and at {side} pixels batch norm has one cell to take a variance from; choose another batch, or "
                "a larger data.imgsz"
            )

    def __len__(self) -> int:
        return len(self.loader)

    def __call__(self, epoch: int) -> Iterable[dict[str, Any]]:
        self.mixture.enter(epoch, self.spec.epochs)
        self._order.items = self._items(epoch)
        stream = derive_seed("augmentation", self.seed, epoch)
        random.seed(stream)
        np.random.seed(stream)  # ultralytics' augmentations draw from the global generators
        torch.manual_seed(stream)
        self._worker_seeds.manual_seed(stream)
        return self.loader

    def _items(self, epoch: int) -> list[Item]:
        """Return an epoch's images: the next ones of a pass through all of them, or of the passes that it touches."""
        whole, count = len(self.mixture), self._order.count
        start, end = epoch * count, (epoch + 1) * count
        passes = range(start // whole, (end - 1) // whole + 1)
        items = [item for number in passes for item in self.mixture.order(self.seed, number)]
        items = items[start - passes[0] * whole :][:count]
        if self.spec.draws == "worker":
            return items
        return [(*item[:2], derive_seed("image", self.seed, epoch, place)) for place, item in enumerate(items)]


class _Order(Sampler[list[Item]]):
    """An epoch's batches, or a rank's shares of them."""

    def __init__(self, count: int, batch: int, ranks: Ranks) -> None:
        self.count, self.batch, self.ranks = count, batch, ranks
        self.items: list[Item] = []
        self.last = count % batch or batch
        if self.last < ranks.count:
            raise SpecError(
                f"train.devices: the last of an epoch's {count} images, in batches of {batch}, are {self.last}, too "
                f"few for {ranks.count} devices; choose another batch"
            )

    def __len__(self) -> int:
        return ceil(self.count / self.batch)

    def __iter__(self) -> Iterator[list[Item]]:
        for start in range(0, self.count, self.batch):
            yield self.ranks.share(self.items[start : start + self.batch])


def _seed_worker(_: int) -> None:
    seed = torch.initial_seed() % 2**32
    random.seed(seed)
    np.random.seed(seed)


def training_mixture(dataset: Dataset, folder: Path, spec: RunSpec) -> Mixture:
    """Return what a run is trained on; unlabelled images are drawn where they are missing.

    Args:
        folder: where dataset.json lies.
    """
    sets: dict[ImageSet, CocoDataset] = {}
    augment: dict[ImageSet, AugmentSpec] = {}
    for name in spec.mixture.sets:
        augment[name] = spec.mixture.heavy if name == "heavy" else spec.train.augment
        if name == "unlabelled":
            files = scenes.unlabelled(spec.data, spec.mixture.unlabelled, folder)
            sets[name] = unlabelled_set(files, dataset.classes, spec.data.imgsz, augment[name])
        else:
            train = spec.train.model_copy(update={"augment": augment[name]})
            sets[name] = training_set(dataset, folder, spec.data, train)
    return Mixture(sets, augment, dataset.train.count, spec.mixture.shares)


def unlabelled_set(files: Sequence[Path], classes: Sequence[str], side: int, augment: AugmentSpec) -> CocoDataset:
    """Return the augmenting data set of square images without ground truth."""
    return CocoDataset(
        files=files,
        sizes=np.full((len(files), 2), side),
        boxes=[np.empty((0, 4))] * len(files),
        labels=[np.empty(0)] * len(files),
        names=dict(enumerate(classes)),
        imgsz=side,
        augment=augment,
    )


def training_set(dataset: Dataset, folder: Path, data: DataSpec, train: TrainSpec) -> CocoDataset:
    """Return the augmenting data set of a prepared data set's training half; crowd annotations are not trained on.

    Args:
        folder: where dataset.json lies.
    """
    coco = read_json(dataset.path(folder, dataset.train.annotations))
    index = {category: position for position, category in enumerate(dataset.category_ids)}
    rows: dict[int, list[tuple[int, list[float]]]] = {image["id"]: [] for image in coco["images"]}
    for annotation in coco["annotations"]:
        if not annotation.get("iscrowd", 0):
            rows[annotation["image_id"]].append((index[annotation["category_id"]], annotation["bbox"]))
    images_folder = dataset.path(folder, dataset.train.images)
    images = coco["images"]
    boxes, labels = [], []
    for image in images:
        objects = rows[image["id"]]
        corner = np.array([box for _, box in objects], np.float64).reshape(-1, 4)
        centre = np.concatenate([corner[:, :2] + corner[:, 2:] / 2, corner[:, 2:]], axis=1)
        boxes.append(centre / [image["width"], image["height"], image["width"], image["height"]])
        labels.append(np.array([label for label, _ in objects]))
    return CocoDataset(
        files=[images_folder / image["file_name"] for image in images],
        sizes=np.array([[image["height"], image["width"]] for image in images]),
        boxes=boxes,
        labels=labels,
        names=dict(enumerate(dataset.classes)),
        imgsz=data.imgsz,
        augment=train.augment,
    )
