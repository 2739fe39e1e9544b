"""PyTorch itself, on the CPU and on a GPU.

It is not offered in int8: it has no quantiser of its own any more, torch.ao.quantization being deprecated in favour of
another package that works on compiled graphs.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.latency.runtimes.outputs import Image, Output
from mnv4bench.latency.runtimes.runtime import Deployment, Precision
from mnv4bench.machine.process import without_tf32


class Torch:
    """PyTorch eager in float32 and channels_last, on the CPU."""

    precision: ClassVar[Precision] = "float32"
    graph_nms: ClassVar[bool] = False
    device = "cpu"

    def load(self, network: Deployment) -> None:
        torch.set_num_threads(network.threads)  # of the whole process: a session has one thread count
        self.model = network.model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def __call__(self, image: Image) -> Output:
        batch = torch.from_numpy(image)[None].to(self.device, memory_format=torch.channels_last)
        output: Output = self.model(batch)[0][0].cpu().numpy()  # to the CPU: waits until a GPU is done
        return output


class TorchCuda(Torch):
    """PyTorch eager on a GPU, in full float32: the TF32 shortcut is off, so outputs agree with the CPU's."""

    device = "cuda"

    def __init__(self) -> None:
        if not torch.cuda.is_available():
            raise Mnv4benchError("PyTorch sees no GPU")

    def load(self, network: Deployment) -> None:
        without_tf32()
        super().load(network)
