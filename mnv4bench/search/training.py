"""Training classifiers on crops, the same way for every network that is compared.

Seed k gives each network the same order of images, the same flips and the same initial values in every layer that it
shares with another; all three depend on names and numbers alone, so that nothing needs to be remembered over a kill.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mnv4bench.data.crops import Crops
from mnv4bench.io.errors import Diverged
from mnv4bench.models.mobilenetv4.network import Classifier
from mnv4bench.models.mobilenetv4.variants import Variant
from mnv4bench.spec.run import TrainSpec, derive_seed
from mnv4bench.train.optimizer import make_optimizer
from mnv4bench.train.schedule import rates

SMOOTHING = 0.1
"""Of hard labels (TuNAS)."""
CLIP = 10.0


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
        return images, self.targets[chosen]


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
        raise Diverged(f"loss is {value.item()}")
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.zero_grad()
    value.backward()
    nn.utils.clip_grad_norm_(network.parameters(), CLIP)
    optimizer.step()


def recipe(steps: int, lr: float, batch: int) -> TrainSpec:
    """Return AdamW with one cycle over `steps` steps, as the suite trains detectors."""
    return TrainSpec(epochs=steps, lr=lr, batch=batch)


def trained(variant: Variant, lesson: Lesson, classes: int, spec: TrainSpec, seed: int) -> Classifier:
    """Return a network trained from scratch; an epoch of `spec` is one step."""
    network = Classifier(variant, classes)
    initialise(network, seed)
    optimizer = make_optimizer(network, spec)
    network.train()
    for number in range(spec.epochs):
        images, targets = lesson.batch(spec.batch, "train", seed, number)
        step(network, optimizer, loss(network(images), targets), rates(spec, number, 1).lr)
    return network.eval()


@torch.inference_mode()
def accuracy(network: nn.Module, crops: Crops, batch: int = 256) -> float:
    """Return top-1 accuracy (0–1)."""
    lesson = hard(crops)
    hits = 0
    for start in range(0, len(crops.labels), batch):
        images = lesson.images[start : start + batch].float() / 255
        hits += int((network(images).argmax(1) == lesson.targets[start : start + batch]).sum())
    return hits / len(crops.labels)
