"""Who chooses: independent logits for each choice, moved by REINFORCE (TuNAS, Bender et al. 2020, section 3 and code).

The constants are those of the released code (google-research, tunas/mobile_architecture_search.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mnv4bench.search.space import Space

COST_WEIGHT = 0.10
"""Of the relative distance from the target, in the reward."""
BASELINE_MEMORY = 0.95
BETAS = (0.0, 0.999)
"""Of Adam."""
GROWTH = 10.0
"""From its first step to its last, the learning rate grows by this factor, exponentially."""
TRAVEL = 3e-4 * 0.75 * 90 * 1_231_121 / 256
"""First learning rate × number of steps: TuNAS's 3e-4 for every 256 images of a batch, over the last three quarters of
90 epochs of the images that weights learn from. A shorter search gets a higher rate, so that its logits can move as
far."""


def reward(accuracy: float, cost: float, target: float) -> float:
    """Return accuracy (0–1) less a penalty for costing more, or less, than the target (absolute reward)."""
    return accuracy - COST_WEIGHT * abs(cost / target - 1)


class Controller:
    """A distribution over the architectures of a space."""

    def __init__(self, space: Space, steps: int) -> None:
        """Start uniform.

        Args:
            steps: number of updates that will be made.
        """
        self.space, self.steps = space, steps
        self.logits = nn.ParameterList([nn.Parameter(torch.zeros(len(choice.options))) for choice in space.choices])
        self.optimizer = torch.optim.Adam(self.logits.parameters(), lr=TRAVEL / max(steps, 1), betas=BETAS)
        self.baseline: float | None = None
        self.step = 0

    @torch.no_grad()
    def sample(self, generator: torch.Generator) -> list[int]:
        """Return an option's index for each choice."""
        return [int(torch.multinomial(logits.softmax(0), 1, generator=generator)) for logits in self.logits]

    def best(self) -> list[int]:
        """Return the most probable option of each choice; of equal ones the first."""
        return [int(logits.argmax()) for logits in self.logits]

    @torch.no_grad()
    def probabilities(self) -> list[list[float]]:
        """Return those of each choice's options."""
        return [logits.double().softmax(0).tolist() for logits in self.logits]

    def log_probability(self, picks: Sequence[int]) -> Tensor:
        """Return the logarithm of the probability of what was picked; choices of empty places do not count."""
        terms = [
            logits.log_softmax(0)[pick]
            for logits, pick, active in zip(self.logits, picks, self.space.active(picks), strict=True)
            if active
        ]
        return torch.stack(terms).sum()

    def update(self, picks: Sequence[int], gained: float) -> None:
        """Make what was picked more probable if it was rewarded above the moving average, else less."""
        memory = BASELINE_MEMORY
        self.baseline = gained if self.baseline is None else memory * self.baseline + (1 - memory) * gained
        for group in self.optimizer.param_groups:
            group["lr"] = TRAVEL / self.steps * GROWTH ** (self.step / self.steps)
        self.optimizer.zero_grad()
        (-(gained - self.baseline) * self.log_probability(picks)).backward()
        self.optimizer.step()
        self.step += 1

    def state(self) -> dict[str, Any]:
        return {
            "logits": self.logits.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "baseline": self.baseline,
            "step": self.step,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.logits.load_state_dict(state["logits"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.baseline, self.step = state["baseline"], state["step"]
