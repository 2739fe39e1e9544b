"""Training images from several sets, mixed anew in every epoch (MobileNetV4, section 8: dynamic data-set mixing).

The epoch's order of the labelled images is the same whatever they are mixed with; so is its number of steps.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mnv4bench.models.yolo import CocoDataset
from mnv4bench.spec.run import AugmentSpec, ImageSet, derive_seed

Item = tuple[ImageSet, int] | tuple[ImageSet, int, int]
"""A set, the index of an image there, and the seed of its augmentation where it has one of its own."""


class Mixture(Dataset[dict[str, Any]]):
    """The sets that an epoch's images are drawn from."""

    def __init__(
        self,
        sets: Mapping[ImageSet, CocoDataset],
        augment: Mapping[ImageSet, AugmentSpec],
        count: int,
        shares: Mapping[ImageSet, int],
    ) -> None:
        """Join the sets.

        Args:
            augment: each set's augmentation, which says when its mosaic ends.
            count: images of an epoch, which is also how many the labelled sets hold.
            shares: how often a set is drawn from, where that is not 1.
        """
        self.sets, self.augment, self.count = dict(sets), augment, count
        self._lots = [name for name in sets for _ in range(shares.get(name, 1))]
        self._with_mosaic = [name for name in sets if augment[name].mosaic > 0]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, item: Item) -> dict[str, Any]:
        name, index, *seeds = item
        for seed in seeds:
            random.seed(seed)
            np.random.seed(seed)
        sample: dict[str, Any] = self.sets[name][index]
        return {**sample, "labelled": name != "unlabelled"}

    def collate(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """Make a batch; where images without ground truth may be among them, `labelled` (B,) tells which have some."""
        batch: dict[str, Any] = CocoDataset.collate_fn(samples)
        labelled = torch.tensor(batch.pop("labelled"))
        return {**batch, "labelled": labelled} if "unlabelled" in self.sets else batch

    def order(self, seed: int, epoch: int) -> list[Item]:
        """Return an epoch's images: every labelled one in its turn, or an unlabelled one in its place.

        Unlabelled images come from a permutation of their own, and again from its beginning where it is too short.
        """
        permutation = _stream("order", seed, epoch).permutation(self.count)
        draws = _stream("mixture", seed, epoch)
        chosen = [self._lots[position] for position in draws.integers(len(self._lots), size=self.count)]
        others = permutation
        if "unlabelled" in self.sets:
            others = np.resize(draws.permutation(len(self.sets["unlabelled"])), self.count)
        pairs = zip(chosen, permutation.tolist(), others.tolist(), strict=True)
        return [(name, other if name == "unlabelled" else index) for name, index, other in pairs]

    def enter(self, epoch: int, epochs: int) -> None:
        """Turn off each set's mosaic from its last epochs on."""
        for name in list(self._with_mosaic):
            if epoch >= epochs - self.augment[name].close_mosaic:
                self.sets[name].without_mosaic()
                self._with_mosaic.remove(name)


def _stream(name: str, seed: int, epoch: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(derive_seed(name, seed, epoch)))


def with_ground_truth(predictions: Any, batch: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return raw predictions and batch of the images that have ground truth, for a supervised loss.

    Empty labels would not do instead: they teach that an image shows background alone.
    """
    labelled: Tensor = batch["labelled"]
    position = labelled.cumsum(0) - 1  # of each labelled image among the labelled ones
    image = batch["batch_idx"].long()  # the others have no objects
    return _rows(predictions, labelled), {
        **{name: batch[name] for name in ("cls", "bboxes")},
        "batch_idx": position[image].to(batch["batch_idx"].dtype),
        "img": batch["img"][labelled],
    }


def _rows(predictions: Any, chosen: Tensor) -> Any:
    if isinstance(predictions, Tensor):
        return predictions[chosen]
    if isinstance(predictions, Mapping):
        return {name: _rows(value, chosen) for name, value in predictions.items()}
    return [_rows(value, chosen) for value in predictions]
