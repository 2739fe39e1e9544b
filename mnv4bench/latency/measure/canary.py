"""A fixed piece of work without any model: what moves it is the machine."""

from __future__ import annotations

import torch
from torch.nn.functional import conv2d

from mnv4bench.latency.analyse.analysis import CANARY
from mnv4bench.latency.measure.protocol import Subject


def canary() -> Subject:
    """Return a 3×3 convolution and a matrix product, about as long as a small network's layer, as a subject."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 32, 40, 40, generator=generator).to(memory_format=torch.channels_last)
    kernel = torch.randn(32, 32, 3, 3, generator=generator).to(memory_format=torch.channels_last)
    matrix = torch.randn(256, 256, generator=generator)

    @torch.inference_mode()
    def work(index: int) -> None:
        conv2d(image, kernel, padding=1)
        torch.matmul(matrix, matrix)

    return Subject(CANARY, CANARY, {"forward": work})
