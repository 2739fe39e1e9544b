"""LiteRT, formerly TensorFlow Lite, on the CPU: a network that PyTorch exports and litert-torch converts."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from mnv4bench.latency.runtimes import imports
from mnv4bench.latency.runtimes.export import OutputAlone
from mnv4bench.latency.runtimes.outputs import Image, Output
from mnv4bench.latency.runtimes.runtime import Deployment, Precision
from mnv4bench.spec.model import Read


class LiteRt:
    """LiteRT on the CPU in float32, with XNNPACK, which it uses by itself."""

    precision: ClassVar[Precision] = "float32"
    graph_nms: ClassVar[bool] = False

    def __init__(self) -> None:
        self.litert, self.converter = imports.litert(), imports.litert_torch()

    def load(self, network: Deployment) -> None:
        self.start(self.convert(network), network.threads, network.read)

    def convert(self, network: Deployment) -> bytes:
        """Return a network as a .tflite file's content."""
        model = (SharesOfTheSide if network.read == "nms" else OutputAlone)(network.model).eval()
        image = torch.zeros(1, 3, network.imgsz, network.imgsz)
        with torch.no_grad(), imports.no_cache_left():
            model(image)  # anchors are made in the first pass and would be part of the graph
            content: bytes = self.converter.convert(model, (image,)).model_content()
        return content

    def start(self, content: bytes, threads: int, read: Read) -> None:
        """Take over what `convert` returned."""
        self.read = read
        self.interpreter = self.litert.Interpreter(model_content=content, num_threads=threads)
        self.interpreter.allocate_tensors()
        (self.image,) = (tensor["index"] for tensor in self.interpreter.get_input_details())
        (self.output,) = (tensor["index"] for tensor in self.interpreter.get_output_details())

    def __call__(self, image: Image) -> Output:
        self.interpreter.set_tensor(self.image, image[None])
        self.interpreter.invoke()
        output: Output = self.interpreter.get_tensor(self.output)[0]  # a copy
        if self.read == "nms":
            output[:4] *= image.shape[-1]
        return output


class SharesOfTheSide(nn.Module):
    """A model read "nms" with boxes as shares of the image's side: ultralytics takes those of a .tflite for such."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        output: Tensor = self.model(image)[0]
        return torch.cat([output[:, :4] / image.shape[-1], output[:, 4:]], 1)
