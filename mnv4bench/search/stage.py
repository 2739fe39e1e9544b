"""Searching one space: weight steps and controller steps by turns (TuNAS, Bender et al. 2020)."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pvariance
from typing import Any

import torch

from mnv4bench.io.files import write_json
from mnv4bench.results.record import read_record
from mnv4bench.results.search import SearchStage
from mnv4bench.search.controller import Controller, reward
from mnv4bench.search.cost import Costs
from mnv4bench.search.space import Architecture, Space
from mnv4bench.search.supernet import Place, Supernet
from mnv4bench.search.training import Lesson, initialise, loss, recipe, step
from mnv4bench.spec.run import derive_seed
from mnv4bench.spec.search import SearchSpec
from mnv4bench.train import checkpoint
from mnv4bench.train.optimizer import make_optimizer
from mnv4bench.train.schedule import rates

WARM_UP = 0.25
"""Share of the steps in which choices warm up and the controller rests."""
SAVED_EVERY = 50
"""Steps between checkpoints."""
TOLD_EVERY = 30.0
"""Seconds between lines of progress."""


@dataclass(frozen=True)
class Material:
    """What a search learns from and is rewarded by."""

    train: Lesson
    held_out: Lesson
    """With hard labels: a reward is an accuracy."""
    classes: int


class StageSearch:
    """Everything that changes while a space is searched."""

    def __init__(self, name: str, space: Space, costs: Costs, material: Material, spec: SearchSpec, steps: int) -> None:
        self.name, self.space, self.costs, self.material, self.spec = name, space, costs, material, spec
        self.steps = steps
        self.recipe = recipe(steps, spec.lr, spec.batch)
        self.supernet = Supernet(space, material.classes)
        initialise(self.supernet, derive_seed("supernet", name, spec.seed))
        self.optimizer = make_optimizer(self.supernet, self.recipe)
        self.resting = round(WARM_UP * steps)
        self.controller = Controller(space, steps - self.resting)
        self.step = 0
        self.rewards: list[float] = []

    def run_step(self) -> None:
        """Sample a network, train the weights that it uses, and reward the controller for it on held-out images."""
        generator = torch.Generator().manual_seed(derive_seed("sample", self.name, self.spec.seed, self.step))
        picks = self.controller.sample(generator)
        picks, averaged = self._warmed_up(picks, generator)
        architecture = self.space.architecture(picks)
        names = (self.name, self.spec.seed, self.step)
        images, targets = self.material.train.batch(self.spec.batch, "search", *names)
        value = loss(self.supernet(images, architecture, averaged), targets)
        step(self.supernet, self.optimizer, value, rates(self.recipe, self.step, 1).lr)
        if self.step >= self.resting:
            images, targets = self.material.held_out.batch(self.spec.reward_batch, "reward", *names)
            gained = self.reward(architecture, images, targets)
            self.controller.update(picks, gained)
            self.rewards.append(gained)
        self.step += 1

    @torch.no_grad()
    def reward(self, architecture: Architecture, images: torch.Tensor, targets: torch.Tensor) -> float:
        """Return what a network with the shared weights is worth: accuracy less the penalty for its cost."""
        hits = (self.supernet(images, architecture).argmax(1) == targets).float().mean()
        return reward(float(hits), self.costs.of(architecture), self.spec.budget)

    def _warmed_up(self, picks: list[int], generator: torch.Generator) -> tuple[list[int], list[Place]]:
        """Return picks and the places that run all kernels, after one widened the picks with falling probability.

        TuNAS's warm-up of filters and of operations: with a probability that falls from 1 to 0, a size is the largest
        one, a place is filled, and a choice of kernels is the mean of all of them.
        """
        probability = max(1 - self.step / max(self.resting, 1), 0.0)
        chances = torch.rand(len(picks), generator=generator).tolist()
        averaged: list[Place] = []
        for index, (choice, chance) in enumerate(zip(self.space.choices, chances, strict=True)):
            if chance >= probability or len(choice.options) == 1:
                continue
            if choice.aspect == "kernels" and choice.block is not None:
                averaged.append((choice.stage, choice.block))
            else:
                picks[index] = choice.largest
        return picks, averaged

    def result(self) -> SearchStage:
        """Return what is chosen: the most probable option of each choice."""
        best = self.controller.best()
        last = self.rewards[-max(self.steps // 4, 1) :]
        probabilities = [logits.detach().softmax(0) for logits in self.controller.logits]
        return SearchStage(
            name=self.name,
            chosen=tuple(best),
            confidence=tuple(float(p[pick]) for p, pick in zip(probabilities, best, strict=True)),
            expected_cost=self.costs.of(self.space.architecture(best)),
            reward_mean=fmean(last),
            reward_variance=pvariance(last),
        )

    def state(self) -> dict[str, Any]:
        return {
            "supernet": self.supernet.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "controller": self.controller.state(),
            "step": self.step,
            "rewards": self.rewards,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.supernet.load_state_dict(state["supernet"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.controller.load_state(state["controller"])
        self.step, self.rewards = state["step"], list(state["rewards"])


def search_space(stage: StageSearch, identity: dict[str, str], folder: Path) -> SearchStage:
    """Search from where `folder` stands to the end; write `folder`/stage.json last, and return its content.

    Raises:
        FileError: a file cannot be written, or is damaged.
        Diverged: the supernet's loss is not finite.
    """
    path = folder / "stage.json"
    if path.exists():
        return read_record(path, SearchStage)
    if state := checkpoint.read(identity, folder):
        stage.load_state(state)
    for _ in _told(stage):
        stage.run_step()
        if stage.step % SAVED_EVERY == 0 and stage.step < stage.steps:
            checkpoint.save(stage, identity, folder)
    result = stage.result()
    write_json(path, result)
    (folder / checkpoint.FILE).unlink(missing_ok=True)
    return result


def _told(stage: StageSearch) -> Iterator[int]:
    """Yield the remaining steps, and print now and then how far the search is and how long the rest will take."""
    start, first = time.monotonic(), stage.step
    told = start
    for number in range(stage.step, stage.steps):
        now = time.monotonic()
        if now - told > TOLD_EVERY:
            left = (now - start) / (number - first) * (stage.steps - number) / 60
            print(f"{stage.name}: step {number} of {stage.steps}, {left:.0f} min left", file=sys.stderr, flush=True)
            told = now
        yield number
