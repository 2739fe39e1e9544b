"""Training classifiers on crops, the same way for every network that is compared.

Seed k gives each network the same order of images, the same flips and the same initial values in every layer that it
shares with another; all three depend on names and numbers alone, so that nothing needs to be remembered over a kill.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mnv4bench.data.crops import Crops
from mnv4bench.io.errors import Diverged
from mnv4bench.models.mobilenetv4.network import Classifier
from mnv4bench.models.mobilenetv4.variants import Variant
from mnv4bench.search.progress import finish
from mnv4bench.spec.run import TrainSpec, derive_seed
from mnv4bench.train.checkpoint import Identity
from mnv4bench.train.optimizer import make_optimizer
from mnv4bench.train.schedule import rates

SMOOTHING = 0.1
"""Of hard labels (TuNAS)."""
CLIP = 10.0


class Teaching(Protocol):
    """What a network can learn from."""

    @property
    def digest(self) -> str: ...

    def batch(self, size: int, *names: object) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class Lesson:
    """Images and what they teach."""

    images: Tensor
    """(n, 3, side, side) uint8."""
    targets: Tensor
    """(n,) int64 labels, or (n, classes) float32 probabilities of a teacher."""

    @property
    def digest(self) -> str:
        content = hashlib.sha256()
        for tensor in (self.images, self.targets):
            content.update(f"{tensor.dtype}|{tuple(tensor.shape)}|".encode())
            content.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return content.hexdigest()

    def batch(self, size: int, *names: object) -> tuple[Tensor, Tensor]:
        """Return images (size, 3, side, side) in 0–1, half of them flipped, and targets, drawn by a named stream."""
        generator = torch.Generator().manual_seed(derive_seed("crops", *names))
        chosen = torch.randint(len(self.images), (size,), generator=generator)
        flipped = torch.rand(size, generator=generator) < 0.5
        images = self.images[chosen].float() / 255
        images = torch.where(flipped[:, None, None, None], images.flip(3), images)
        return images.contiguous(memory_format=torch.channels_last), self.targets[chosen]


@dataclass(frozen=True)
class Mixture:
    """Lessons that every image of a batch is drawn from anew (MobileNetV4, section 8: dynamic data-set mixing)."""

    lessons: tuple[Lesson, ...]
    shares: tuple[int, ...]
    """How often a lesson is drawn from, relative to the others."""

    @property
    def digest(self) -> str:
        parts = [f"{lesson.digest}:{share}" for lesson, share in zip(self.lessons, self.shares, strict=True)]
        return hashlib.sha256("|".join(parts).encode()).hexdigest()

    def batch(self, size: int, *names: object) -> tuple[Tensor, Tensor]:
        """Return what `Lesson.batch` does; an image's place in the batch is the same in whichever lesson it is."""
        generator = torch.Generator().manual_seed(derive_seed("mixture", *names))
        drawn = torch.multinomial(torch.tensor(self.shares).float(), size, replacement=True, generator=generator)
        parts = [lesson.batch(size, *names) for lesson in self.lessons]
        images, targets = (torch.stack(columns) for columns in zip(*parts, strict=True))
        images = images[drawn, torch.arange(size)]
        return images.contiguous(memory_format=torch.channels_last), targets[drawn, torch.arange(size)]


def hard(crops: Crops) -> Lesson:
    """Return crops with their own labels."""
    return Lesson(torch.from_numpy(crops.images), torch.from_numpy(crops.labels))


def loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy; labels are smoothed, a teacher's probabilities taken as they are."""
    return functional.cross_entropy(logits, targets, label_smoothing=0.0 if targets.dim() == 2 else SMOOTHING)


def initialise(network: nn.Module, seed: int) -> None:
    """Draw every layer's values from a stream named by seed, layer and shapes: equal layers get equal values."""
    with torch.random.fork_rng(devices=[]):
        for name, module in network.named_modules():
            shapes = [tuple(parameter.shape) for parameter in module.parameters(recurse=False)]
            if shapes and hasattr(module, "reset_parameters"):
                torch.manual_seed(derive_seed("initial values", seed, name, shapes))
                module.reset_parameters()


def step(network: nn.Module, optimizer: torch.optim.Optimizer, value: Tensor, lr: float) -> None:
    """Take one optimisation step down a loss.

    Raises:
        Diverged: the loss is not finite.
    """
    if not torch.isfinite(value):
        raise Diverged(f"loss is {value.item()}; lower lr (classifiers.lr of a preset, --lr of a search)")
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.zero_grad()
    value.backward()
    nn.utils.clip_grad_norm_(network.parameters(), CLIP)
    optimizer.step()


def recipe(steps: int, lr: float, batch: int) -> TrainSpec:
    """Return AdamW with one cycle over `steps` steps, as the suite trains detectors."""
    return TrainSpec(epochs=steps, lr=lr, batch=batch)


class Training:
    """A network that is trained from scratch, and everything that changes on the way."""

    def __init__(self, variant: Variant, lesson: Teaching, classes: int, spec: TrainSpec, seed: int) -> None:
        """Start from a seed's initial values; an epoch of `spec` is one step."""
        self.name, self.lesson, self.spec, self.seed = "training", lesson, spec, seed
        self.network = Classifier(variant, classes)
        initialise(self.network, seed)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a quarter less time on a CPU
        self.network.train()
        self.optimizer = make_optimizer(self.network, spec)
        self.step, self.steps = 0, spec.epochs

    def run_step(self) -> None:
        images, targets = self.lesson.batch(self.spec.batch, "train", self.seed, self.step)
        value = loss(self.network(images), targets)
        step(self.network, self.optimizer, value, rates(self.spec, self.step, 1).lr)
        self.step += 1

    def state(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(), "step": self.step}

    def load_state(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]


def trained(training: Training, identity: Identity, folder: Path) -> Classifier:
    """Return the trained network, from the checkpoint in `folder` on where there is one.

    Raises:
        FileError: a checkpoint cannot be written or read.
        Diverged: the loss is not finite.
    """
    finish(training, identity, folder)
    return training.network.eval()


@torch.inference_mode()
def probabilities(network: Callable[[Tensor], Tensor], images: Tensor, batch: int = 256) -> Tensor:
    """Return (n, classes) float32 probabilities of images (n, 3, side, side) uint8."""
    parts = images.tensor_split(-(-len(images) // batch))  # of one size: a norm by the batch's statistics needs many
    ready = (part.float().contiguous(memory_format=torch.channels_last) / 255 for part in parts)
    return torch.cat([network(part).softmax(1) for part in ready])


def right(network: Callable[[Tensor], Tensor], crops: Crops) -> NDArray[np.bool_]:
    """Return (n,) whether the most probable class is the object's."""
    chosen = probabilities(network, torch.from_numpy(crops.images)).argmax(1).numpy()
    found: NDArray[np.bool_] = chosen == crops.labels
    return found


def accuracy(network: Callable[[Tensor], Tensor], crops: Crops) -> float:
    """Return top-1 accuracy (0–1)."""
    return float(right(network, crops).mean())
