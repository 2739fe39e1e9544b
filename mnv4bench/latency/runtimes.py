"""What runs a deployed network: one small class each, and the registry that presets name them by.

A runtime turns one letterboxed image into the network's raw output. Taking the image in and handing the output back
as NumPy arrays is part of its work, as it is wherever it is deployed.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mnv4bench.models.yolo import Detector

Image = NDArray[np.float32]
"""(3, side, side) RGB in 0–1."""
Output = NDArray[np.float32]
"""Read "nms_free": (300, 6) rows of x1, y1, x2, y2, score, class. Read "nms": (4 + classes, anchors), centre-format."""

OPSET = 18


class Runtime(Protocol):
    """Holds one network at a time; every arm has an instance of its own."""

    def load(self, model: Detector, imgsz: int) -> None:
        """Take over a fused model in eval mode, for square images of one size."""

    def __call__(self, image: Image) -> Output:
        """Return the network's raw output for one image."""


class Torch:
    """PyTorch eager in float32 and channels_last, on the CPU."""

    device = "cpu"

    def load(self, model: Detector, imgsz: int) -> None:
        self.model = model.to(self.device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, image: Image) -> Output:
        batch = torch.from_numpy(image)[None].to(self.device, memory_format=torch.channels_last)
        output: Output = self.model(batch)[0][0].cpu().numpy()  # to the CPU: waits until a GPU is done
        return output


class TorchCuda(Torch):
    """PyTorch eager on a GPU, in full float32: the TF32 shortcut is off, so outputs agree with the CPU's."""

    device = "cuda"

    def load(self, model: Detector, imgsz: int) -> None:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        super().load(model, imgsz)


class OnnxRuntime:
    """ONNX Runtime's CPU provider in float32, one thread, default graph optimisations."""

    def __init__(self) -> None:
        import onnxruntime  # an error here marks the runtime as absent

        self.onnxruntime: Any = onnxruntime

    def load(self, model: Detector, imgsz: int) -> None:
        options = self.onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        with tempfile.TemporaryDirectory(prefix="mnv4bench-") as folder:
            path = Path(folder) / "model.onnx"
            export(model, imgsz, path)
            self.session = self.onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def __call__(self, image: Image) -> Output:
        output: Output = self.session.run(None, {"image": image[None]})[0][0]
        return output


RUNTIMES: dict[str, Callable[[], Runtime]] = {
    "torch": Torch,
    "onnxruntime": OnnxRuntime,
    "torch_cuda": TorchCuda,
}
"""A new runtime is one class above and one line here."""


class _Output(nn.Module):
    """A model without the feature maps that it returns beside its output."""

    def __init__(self, model: Detector) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        output: Tensor = self.model(image)[0]
        return output


def export(model: Detector, imgsz: int, path: Path) -> None:
    """Write a fused model as ONNX (opset 18) with fixed shape (1, 3, imgsz, imgsz); input "image", output "output"."""
    image = torch.zeros(1, 3, imgsz, imgsz)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing warns of shapes that are constants here
        model(image)  # anchors are made in the first pass and would be traced
        torch.onnx.export(
            _Output(model).eval(),
            (image,),
            str(path),
            input_names=["image"],
            output_names=["output"],
            opset_version=OPSET,
            dynamo=False,  # the newer exporter writes the same network in 16 s instead of 1 s
        )
