"""Searching one space: weight steps and controller steps by turns (TuNAS, Bender et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, pvariance
from typing import Any

import torch
from safetensors.torch import save_file

from mnv4bench.io.errors import SpecError
from mnv4bench.io.files import write_json, write_with
from mnv4bench.results.record import read_record
from mnv4bench.results.search import SearchStage
from mnv4bench.search.controller import Controller, reward
from mnv4bench.search.cost import Costs, check_budget, likeliest, near
from mnv4bench.search.progress import finish, forget
from mnv4bench.search.space import Architecture, Space
from mnv4bench.search.supernet import Place, Supernet
from mnv4bench.search.training import Lesson, Teaching, initialise, loss, recipe, step
from mnv4bench.spec.run import derive_seed
from mnv4bench.spec.search import SearchSpec
from mnv4bench.train.checkpoint import Identity
from mnv4bench.train.optimizer import make_optimizer
from mnv4bench.train.schedule import rates

WARM_UP = 0.25
"""Share of the steps in which choices warm up and the controller rests."""
SHARED = "supernet.safetensors"


@dataclass(frozen=True)
class Material:
    """What a search learns from and is rewarded by."""

    train: Teaching
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
        """Return what is chosen and how the controller came to it."""
        best, probabilities = self.chosen(), self.controller.probabilities()
        last = self.rewards[-max(self.steps // 4, 1) :]
        return SearchStage(
            name=self.name,
            chosen=tuple(best),
            confidence=tuple(p[pick] for p, pick in zip(probabilities, best, strict=True)),
            expected_cost=self.costs.of(self.space.architecture(best)),
            reward_mean=fmean(last),
            reward_variance=pvariance(last),
        )

    def chosen(self) -> list[int]:
        """Return the most probable option of each choice; if that is not within 2 % of the budget, the most probable
        one of the networks drawn from the controller that are.

        Raises:
            SpecError: none is.
        """
        best, budget = self.controller.best(), self.spec.budget
        if near(self.costs.of(self.space.architecture(best)), budget):
            return best
        names = ("choice", self.name, self.spec.seed)
        logits = [values.detach().double().numpy() for values in self.controller.logits]
        found = likeliest(self.space, self.costs, budget, logits, *names)
        if found is None:
            raise SpecError(f"budget {budget:g}: no network of stage {self.name} costs that within 2 %; choose another")
        return found

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


def search_space(stage: StageSearch, identity: Identity, folder: Path, keep: bool = False) -> SearchStage:
    """Search from where `folder` stands to the end; write `folder`/stage.json last, and return its content.

    Args:
        keep: also write the shared weights, as supernet.safetensors.

    Raises:
        SpecError: no network of the space costs the budget.
        FileError: a file cannot be written, or is damaged.
        Diverged: the supernet's loss is not finite.
    """
    path = folder / "stage.json"
    if not path.exists():
        check_budget(stage.space, stage.costs, stage.spec.budget)
        finish(stage, identity, folder)
        if keep:
            write_with(folder / SHARED, partial(save_file, stage.supernet.state_dict()))
        write_json(path, stage.result())
    forget(folder)
    return read_record(path, SearchStage)
