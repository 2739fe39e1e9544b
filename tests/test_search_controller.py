"""The search's controller and its costs, on spaces whose best network is known."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from mnv4bench.cost import counting
from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.models.mobilenetv4.network import Classifier
from mnv4bench.search import space as spaces
from mnv4bench.search.controller import Controller, reward
from mnv4bench.search.cost import NEAR, Costs, macs_of, pieces, random_architecture
from mnv4bench.search.space import Architecture

TINY = spaces.tiny()


def test_the_reward_falls_on_both_sides_of_the_target() -> None:
    assert reward(0.8, 100, 100) == pytest.approx(0.8)
    assert reward(0.8, 150, 100) == pytest.approx(0.75)
    assert reward(0.8, 50, 100) == pytest.approx(0.75)


@pytest.mark.parametrize("seed", range(3))
def test_the_controller_finds_the_known_best_of_a_toy_space(seed: int) -> None:
    """Accuracy grows with every 5×5 kernel and nothing else, so the best network has them everywhere."""
    first = spaces.coarse(TINY).architecture([0] * len(spaces.coarse(TINY).choices))
    space = spaces.fine(TINY, first)
    controller = Controller(space, steps=1500)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(controller.steps):
        picks = controller.sample(generator)
        controller.update(picks, large_kernels(space.architecture(picks)))
    best = space.architecture(controller.best())
    assert large_kernels(best) == 1.0


@cache
def large_kernels(architecture: Architecture) -> float:
    kernels = [kernel for stage in architecture for block in stage.blocks for kernel in block.kernels]
    return sum(kernel == 5 for kernel in kernels) / len(kernels)


def test_the_controller_meets_a_budget_that_accuracy_pulls_away_from() -> None:
    """The wider a network, the more accurate; the target lies between the widest and a narrow, short one."""
    space = spaces.coarse(TINY)
    costs = Costs(TINY, 64, 4, macs_of)
    widths = [choice.aspect == "channels" for choice in space.choices]
    last = [len(choice.options) - 1 for choice in space.choices]
    wide = space.architecture([end if width else 0 for end, width in zip(last, widths, strict=True)])
    narrow = space.architecture([0 if width else end for end, width in zip(last, widths, strict=True)])
    target = (costs.of(wide) + costs.of(narrow)) / 2
    controller = Controller(space, steps=1500)
    generator = torch.Generator().manual_seed(0)
    for _ in range(controller.steps):
        picks = controller.sample(generator)
        cost = costs.of(space.architecture(picks))
        controller.update(picks, reward(0.5 + 0.02 * cost / target, cost, target))
    assert costs.of(space.architecture(controller.best())) == pytest.approx(target, rel=0.03)


def test_choices_of_an_empty_place_learn_nothing() -> None:
    space = spaces.joint(TINY)
    controller = Controller(space, steps=10)
    picks = [0] * len(space.choices)
    position = next(i for i, c in enumerate(space.choices) if len(c.options) == 2)
    picks[position] = space.choices[position].options.index(False)
    controller.update(picks, 0.5)  # sets the baseline
    controller.update(picks, 1.0)
    moved = [bool(logits.abs().sum() > 0) for logits in controller.logits]
    inactive = [not active for active in space.active(picks)]
    assert any(inactive)
    assert not any(move for move, off in zip(moved, inactive, strict=True) if off)
    assert controller.logits[position][picks[position]] > 0


def test_a_resumed_controller_goes_on_as_one_that_was_never_stopped() -> None:
    space = spaces.joint(TINY)
    whole, first, second = (Controller(space, steps=20) for _ in range(3))
    for step in range(20):
        generator = torch.Generator().manual_seed(step)
        if step == 9:
            second.load_state(first.state())
        for controller in (whole, first if step < 9 else second):
            generator = torch.Generator().manual_seed(step)
            controller.update(controller.sample(generator), float(step % 3))
    assert all(torch.equal(a, b) for a, b in zip(whole.logits, second.logits, strict=True))


@pytest.mark.parametrize("pick", [0, 1])
def test_the_sum_of_the_pieces_is_the_whole_networks_count(pick: int) -> None:
    skeleton = spaces.conv_small()
    space = spaces.joint(skeleton)
    architecture = space.architecture([min(pick, len(choice.options) - 1) for choice in space.choices])
    network = Classifier(spaces.variant(skeleton, architecture), 4).eval()
    counted = counting.macs(network, torch.zeros(1, 3, 64, 64))[""].total
    assert Costs(skeleton, 64, 4, macs_of).of(architecture) == counted


def test_pieces_name_rows_as_the_tables_do() -> None:
    network = spaces.rows(TINY, spaces.coarse(TINY).architecture([0] * len(spaces.coarse(TINY).choices)))
    lines = [piece.line for piece in pieces(network, 64, 7)]
    assert lines[:4] == ["conv 3x3 8 /2", "conv 3x3 8 /2", "conv 3x3 16 /2", "uib 0 3 8 /2 x4"]
    assert lines[-1] == "classifier 7"


def test_a_random_network_costs_the_target_and_another_seed_draws_another() -> None:
    space, costs = spaces.joint(TINY), Costs(TINY, 64, 4, macs_of)
    target = costs.of(space.architecture([0] * len(space.choices)))
    drawn = [random_architecture(space, costs, target, seed) for seed in (0, 0, 1)]
    assert all(abs(costs.of(architecture) / target - 1) <= NEAR for architecture in drawn)
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_budget_outside_the_space_is_refused_with_what_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnv4bench.search.cost.TRIES", 50)
    with pytest.raises(Mnv4benchError, match=r"budget 10: .* cost .* to "):
        random_architecture(spaces.coarse(TINY), Costs(TINY, 64, 4, macs_of), 10, 0)
