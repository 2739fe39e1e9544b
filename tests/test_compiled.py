"""A training whose network and loss are compiled: traced whole, and on a CPU the same steps."""

from __future__ import annotations

import pytest
import torch
from helpers import SIDE, batch_of, images, spread

from mnv4bench.models import detector
from mnv4bench.models.yolo import Detector, hyperparameters
from mnv4bench.spec.model import ModelSpec
from mnv4bench.spec.run import TrainSpec
from mnv4bench.train.loop import Trainer

SPEC = TrainSpec(epochs=1)
COMPILED = SPEC.model_copy(update={"compile": True})
"""As no preset may say: it asks for a GPU."""


def network() -> Detector:
    model = detector.build(ModelSpec(head="one_to_many"), 3)
    spread(model)
    model.args = hyperparameters()
    return model.train()


def test_the_traced_network_and_loss_take_the_same_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def traced(function: object, **settings: object) -> object:
        asked.append(settings)
        return compiler(function, backend="eager", fullgraph=True, dynamic=False)

    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", traced)
    plain, compiled = Trainer(network(), SPEC), Trainer(network(), COMPILED)
    settings = {"mode": "reduce-overhead", "dynamic": False, "fullgraph": True, "recompile_limit": 64}
    assert asked == [settings] * 2  # the network and its branch's loss
    for _ in range(2):
        batch = {**batch_of([[0.4, 0.5, 0.4, 0.3]], [1], SIDE), "img": images(2, SIDE)}
        torch.testing.assert_close(plain.step_on(dict(batch)), compiled.step_on(dict(batch)), rtol=1e-6, atol=0)
    torch.testing.assert_close(compiled.model.state_dict(), plain.model.state_dict(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(compiled.ema.ema.state_dict(), plain.ema.ema.state_dict(), rtol=1e-5, atol=1e-6)


def test_images_without_labels_are_left_to_the_plain_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    plain, compiled = Trainer(network(), SPEC), Trainer(network(), COMPILED)
    batch = {**batch_of([[0.4, 0.5, 0.4, 0.3]], [1], SIDE), "img": images(2, SIDE)}
    batch["labelled"] = torch.tensor([True, False])
    assert torch.equal(plain.step_on(dict(batch)), compiled.step_on(dict(batch)))
