"""A network whose forward and backward pass are compiled: traced whole, and on a CPU the same steps to the bit."""

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
    model = detector.build(ModelSpec(), 3)
    spread(model)
    model.args = hyperparameters()
    return model.train()


def test_the_traced_network_takes_the_same_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def traced(model: Detector, **settings: object) -> object:
        asked.append(settings)
        return compiler(model, backend="aot_eager", fullgraph=True, dynamic=False)

    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", traced)
    plain, compiled = Trainer(network(), SPEC), Trainer(network(), COMPILED)
    assert asked == [{"mode": "reduce-overhead", "dynamic": False, "fullgraph": True}]
    for _ in range(2):
        batch = {**batch_of([[0.4, 0.5, 0.4, 0.3]], [1], SIDE), "img": images(2, SIDE)}
        assert torch.equal(plain.step_on(dict(batch)), compiled.step_on(dict(batch)))
    theirs = compiled.model.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in plain.model.state_dict().items())
    averages = compiled.ema.ema.state_dict()
    assert all(torch.equal(value, averages[name]) for name, value in plain.ema.ema.state_dict().items())
