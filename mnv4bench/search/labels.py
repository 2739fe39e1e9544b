"""A teacher's labels, made once and stored (MobileNetV4, section 8: distillation without ground truth).

A teacher learns the training objects with their own labels. D1, D2 and D3 are then drawn, labelled by it and written;
whoever learns from them reads images and probabilities, and never sees ground truth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from mnv4bench.data.crops import SPLITS, Crops, Split, from_scenes
from mnv4bench.data.slices import SHAPES
from mnv4bench.io.errors import DataError, FileError
from mnv4bench.io.files import write_json, write_with
from mnv4bench.io.locks import exclusive
from mnv4bench.io.signals import ending_in_order
from mnv4bench.machine.environment import environment
from mnv4bench.machine.process import set_up_process
from mnv4bench.models import torchvision_ops
from mnv4bench.models.mobilenetv4.network import Classifier
from mnv4bench.models.mobilenetv4.variants import VARIANTS
from mnv4bench.results.classifier import TEACHER, TeacherRecord
from mnv4bench.results.record import read_record
from mnv4bench.search.progress import forget
from mnv4bench.search.training import (
    Lesson,
    Mixture,
    Teaching,
    Training,
    accuracy,
    hard,
    probabilities,
    recipe,
    trained,
)
from mnv4bench.spec.classifier import ClassifiersSpec, LabelSet
from mnv4bench.spec.run import derive_seed

OBJECTS = "objects.safetensors"
"""The three splits, so that not every classifier cuts them anew."""
PARTS = ("images", "labels")

OPERATIONS = 2
MAGNITUDES = {"D1": 9, "D3": 5}
LEVELS = 11
"""RandAugment (Cubuk et al. 2020): so many operations, at these magnitudes of 0 to 10, the scale of its first code."""
RELEVANT = 0.3
"""Probability of a class that an unlabelled image has to exceed to stand for it in D3."""
DRAWN_FOR_EACH = 2
"""Unlabelled images that D3 is chosen from, for each that it holds."""
SHARES: dict[int, tuple[int, ...]] = {1: (1,), 2: (1, 1), 3: (1, 1, 2)}
"""How sets are mixed (Table 8), by their number."""


def objects(settings: ClassifiersSpec, folder: Path) -> dict[Split, Crops]:
    """Return the three splits with their own labels, as they lie in `folder`, or else cut anew.

    Raises:
        FileError: the file in `folder` is damaged.
    """
    path = folder / OBJECTS
    if not path.exists():
        return {split: from_scenes(split, getattr(settings, split)) for split in SPLITS}
    content = _loaded(path, [f"{split}.{name}" for split in SPLITS for name in PARTS])
    crops = {s: Crops(content[f"{s}.images"].numpy(), content[f"{s}.labels"].numpy(), SHAPES) for s in SPLITS}
    with safe_open(path, "pt") as file:
        written = file.metadata()
    if written != _digests(crops):
        raise FileError(f"{path}: changed since it was written; delete {path.parent} and start again")
    return crops


def _store(crops: Mapping[Split, Crops], folder: Path) -> None:
    content = {f"{s}.{name}": torch.from_numpy(getattr(crops[s], name)) for s in SPLITS for name in PARTS}
    write_with(folder / OBJECTS, partial(save_file, content, metadata=_digests(crops)))


def _digests(crops: Mapping[Split, Crops]) -> dict[str, str]:
    return {split: hard(crops[split]).digest for split in SPLITS}


def write_labels(settings: ClassifiersSpec, folder: Path) -> TeacherRecord:
    """Train the teacher and write D1, D2 and D3 as it labels them, and teacher.json last.

    Raises:
        DataError: the teacher finds no further image relevant.
        FileError: a file cannot be written.
        Diverged: the teacher's loss is not finite.
    """
    with exclusive(folder / ".lock"), ending_in_order():
        set_up_process(settings.threads)
        if (folder / TEACHER).exists():
            forget(folder)
            return read_record(folder / TEACHER, TeacherRecord)
        crops = objects(settings, folder)
        _store(crops, folder)
        train, test = crops["train"], crops["test"]
        teacher = _teacher(settings, train, folder)
        copies = np.tile(train.images, (settings.teacher.copies, 1, 1, 1))
        further = from_scenes("unlabelled", DRAWN_FOR_EACH * len(copies)).images
        chosen, relevant = balanced(probabilities(teacher, torch.from_numpy(further)).numpy(), len(copies))
        if not len(chosen):
            raise DataError(
                f"{folder}: the teacher gives no further image a probability above {RELEVANT}; "
                "raise classifiers.teacher.steps in the preset"
            )
        sets: dict[LabelSet, Tensor] = {
            "D1": augmented(copies, "D1"),
            "D2": mixed_up(copies),
            "D3": augmented(further[chosen], "D3"),
        }
        digests: dict[LabelSet, str] = {}
        for name, images in sets.items():
            lesson = Lesson(images, probabilities(teacher, images))
            content = {"images": lesson.images, "probabilities": lesson.targets}
            write_with(folder / f"{name}.safetensors", partial(save_file, content))
            digests[name] = lesson.digest
        record = TeacherRecord(
            classes=train.classes,
            accuracy=accuracy(teacher, test),
            images={name: len(images) for name, images in sets.items()},
            digests=digests,
            relevant=dict(zip(train.classes, relevant, strict=True)),
            environment=environment(),
        )
        write_json(folder / TEACHER, record)
        forget(folder)
        return record


def _teacher(settings: ClassifiersSpec, train: Crops, folder: Path) -> Classifier:
    lesson, schedule = hard(train), recipe(settings.teacher.steps, settings.lr, settings.batch)
    training = Training(VARIANTS["mnv4_conv_medium"], lesson, len(train.classes), schedule, seed=0)
    training.name = "teacher"
    return trained(training, {"labels": settings.labels_name(), "data": lesson.digest}, folder)


def augmented(images: NDArray[np.uint8], name: LabelSet) -> Tensor:
    """Return images (n, 3, side, side) uint8 under RandAugment, each by a stream of its own."""
    torchvision_ops.declare()
    from torchvision.transforms import RandAugment  # takes seconds, and torchvision_ops has to come first

    augment = RandAugment(OPERATIONS, MAGNITUDES[name], LEVELS)
    with torch.random.fork_rng(devices=[]):
        made = []
        for index, image in enumerate(torch.from_numpy(images)):
            torch.manual_seed(derive_seed("RandAugment", name, index))
            made.append(augment(image))
    return torch.stack(made)


def mixed_up(images: NDArray[np.uint8]) -> Tensor:
    """Return each image mixed with another one, by any share between all and nothing (Beyer et al. 2022)."""
    generator = np.random.Generator(np.random.PCG64(derive_seed("Mixup")))
    others = generator.permutation(len(images))
    shares = generator.random(len(images))
    made = [
        np.rint(share * image + (1 - share) * images[other]).astype(np.uint8)
        for image, other, share in zip(images, others, shares, strict=True)
    ]
    return torch.from_numpy(np.stack(made))


def balanced(probable: NDArray[np.float32], count: int) -> tuple[NDArray[np.int64], list[int]]:
    """Return (count or a few less,) indices of images, as many for each class, and how many were relevant to each.

    Args:
        probable: (images, classes) a teacher's probabilities. An image is relevant to a class above RELEVANT; a class
            with too few takes them repeatedly, one with none takes none.
    """
    relevant = [np.flatnonzero(column > RELEVANT) for column in probable.T]
    each = count // len(relevant)
    chosen = [np.resize(indices, each) for indices in relevant if len(indices)]
    return np.concatenate([np.empty(0, np.int64), *chosen]), [len(indices) for indices in relevant]


def lesson_of(sets: Sequence[LabelSet], folder: Path, train: Crops) -> Teaching:
    """Return what `sets` teach, as they lie in `folder`; the training objects with their own labels for no set.

    Raises:
        FileError: a set is missing, or is not the one that was written.
    """
    if not sets:
        return hard(train)
    record = read_record(folder / TEACHER, TeacherRecord)
    lessons = tuple(_stored(folder / f"{name}.safetensors", record.digests[name]) for name in sets)
    return lessons[0] if len(lessons) == 1 else Mixture(lessons, SHARES[len(lessons)])


def _loaded(path: Path, names: Sequence[str]) -> dict[str, Tensor]:
    try:
        content = load_file(path)
        return {name: content[name] for name in names}
    except (OSError, SafetensorError, KeyError) as error:
        raise FileError(f"{path}: cannot be read ({error}); delete {path.parent} and start again") from error


def _stored(path: Path, digest: str) -> Lesson:
    content = _loaded(path, ("images", "probabilities"))
    lesson = Lesson(content["images"], content["probabilities"])
    if lesson.digest != digest:
        raise FileError(f"{path}: changed since {TEACHER} was written; delete {path.parent} and start again")
    return lesson
