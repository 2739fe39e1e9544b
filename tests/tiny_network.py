"""The smallest network that a runtime can be tried on, and the runtimes that need no GPU; without pytest."""

from __future__ import annotations

import copy
from importlib.util import find_spec

import numpy as np
import torch
from helpers import SIDE, images, spread
from torch import Tensor, nn

from mnv4bench.latency.runtimes import outputs
from mnv4bench.latency.runtimes.registry import RUNTIMES
from mnv4bench.latency.runtimes.runtime import Deployment, Runtime
from mnv4bench.models import detector
from mnv4bench.spec.model import ModelSpec, Read

CPU = ("torch", "onnxruntime", "openvino", "onnxruntime_int8", "openvino_int8")
NCNN = ("ncnn",) if find_spec("ncnn") and find_spec("pnnx") else ()
LITERT = ("litert",) if find_spec("ai_edge_litert") and find_spec("litert_torch") else ()
EXECUTORCH = ("executorch",) if find_spec("executorch") else ()
"""Where they are installed."""
PHOTOS = list(images(4, SIDE).numpy())


class Tiny(nn.Module):
    """The smallest network with all that a detector has: layers, last layers, a decoded distribution, joined outputs.

    One anchor for each 8 × 8 pixels, two classes, read "nms".
    """

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.stem = nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.SiLU(), nn.Conv2d(8, 8, 3, 1, 1), nn.SiLU())
            self.distances = nn.Conv2d(8, 2 * 4, 1)
            self.classes = nn.Conv2d(8, 2, 1)
        self.mean = nn.Conv2d(4, 1, 1, bias=False)
        self.mean.weight.data[:] = torch.arange(4.0).reshape(1, 4, 1, 1)
        nn.init.normal_(self.classes.weight, std=20, generator=torch.Generator().manual_seed(0))

    def forward(self, image: Tensor) -> tuple[Tensor, None]:
        features = self.stem(image)
        count = features.shape[-1] * features.shape[-2]
        bins = self.distances(features).reshape(1, 2, 4, count).transpose(1, 2).softmax(1)
        size = 8 * self.mean(bins).reshape(1, 2, count)
        place = 8 * torch.arange(count).reshape(1, 1, count).expand(1, 2, count) / 2
        scores = self.classes(features).reshape(1, 2, count).sigmoid()
        return torch.cat([torch.cat([place, size], 1), scores], 1), None


def lively(read: Read) -> nn.Module:
    """Return the default detector with scores that differ, in eval mode."""
    model = detector.build(ModelSpec(), 2, read=read)
    spread(model)
    return model.eval()


def loaded(name: str, model: nn.Module, read: Read = "nms", threads: int = 1, graph: bool = False) -> Runtime:
    runtime = RUNTIMES[name]()
    calibration = PHOTOS if runtime.precision == "int8" else ()
    runtime.load(Deployment(copy.deepcopy(model), SIDE, threads, read, calibration, graph))
    return runtime


def check_suppression_in_the_graph(name: str) -> None:
    """Assert that a runtime's graph finds what is found outside it."""
    plain, whole = loaded(name, Tiny().eval()), loaded(name, Tiny().eval(), graph=True)
    for photo in PHOTOS:
        expected = outputs.detections(plain(photo), "nms")
        assert 10 < len(expected) < 128  # of 64 anchors × 2 classes
        assert np.array_equal(whole(photo), expected)
