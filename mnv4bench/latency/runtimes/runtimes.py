"""What runs a deployed network: one small class each, and the registry that presets name them by.

A runtime turns one letterboxed image into the network's raw output. Taking the image in and handing the output back
as NumPy arrays is part of its work, as it is wherever it is deployed.

float32 means float32: bfloat16, TF32 and other silent short cuts are off in every runtime that has them. PyTorch itself
is not offered in int8: it has no quantiser of its own any more, torch.ao.quantization being deprecated in favour of
another package that works on compiled graphs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import onnx
import torch
from torch import nn

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.latency.runtimes import imports
from mnv4bench.latency.runtimes.export import export, nothing
from mnv4bench.latency.runtimes.int8 import quantise_onnx, quantise_openvino
from mnv4bench.latency.runtimes.outputs import Image, Output
from mnv4bench.machine.process import without_tf32
from mnv4bench.spec.model import Read

Precision = Literal["float32", "int8"]


@dataclass(frozen=True)
class Deployment:
    """A network to run, and how."""

    model: nn.Module
    """Fused and in eval mode, the runtime's to keep; a call returns a tuple that begins with the raw output."""
    imgsz: int
    """Side in pixels of the square images."""
    threads: int
    read: Read
    calibration: Sequence[Image] = ()
    """What int8 runtimes take their ranges from."""
    nms_in_graph: bool = False
    """Whether suppression is part of the graph; for read "nms", in a runtime with `graph_nms`."""


class Runtime(Protocol):
    """Holds one network at a time; every arm has an instance of its own.

    Making one raises ImportError or Mnv4benchError, with the reason, where this machine lacks the runtime.
    """

    precision: ClassVar[Precision]
    graph_nms: ClassVar[bool]
    """Whether suppression can be part of its graph."""

    def load(self, network: Deployment) -> None:
        """Take over a network."""

    def __call__(self, image: Image) -> Output:
        """Return what the network says of one image: an array of the caller's own.

        That is its raw output; with suppression in the graph (k, 6) rows, the same as outputs.detections finds in it.
        """


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


class OnnxRuntime:
    """ONNX Runtime's CPU provider in float32, all graph optimisations, operators one after the other."""

    precision: ClassVar[Precision] = "float32"
    graph_nms: ClassVar[bool] = True
    providers: ClassVar[dict[str, dict[str, str]]] = {"CPUExecutionProvider": {}}
    """Name → options, the wanted one first and after it what may run the operators that it lacks."""

    def __init__(self) -> None:
        self.onnxruntime = imports.onnxruntime()
        wanted, built = next(iter(self.providers)), self.onnxruntime.get_available_providers()
        if wanted not in built:
            raise Mnv4benchError(f"this build of onnxruntime has no {wanted}, only {', '.join(built)}")

    def load(self, network: Deployment) -> None:
        options = self.onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = network.threads, 1
        options.log_severity_level = imports.ERRORS
        # Its threads wait for the next operator by spinning, as they do by default, but not beyond the end of a run:
        # there they would take the cores from whoever is timed next.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.session = self._start(self.graph(network), options)

    def _start(self, graph: onnx.ModelProto, options: Any = None) -> Any:
        """Return a session that the wanted provider runs, not one that takes its place."""
        session = self.onnxruntime.InferenceSession(
            graph.SerializeToString(), options, providers=list(self.providers.items()), enable_fallback=0
        )
        wanted, used = next(iter(self.providers)), session.get_providers()
        if wanted not in used:
            raise Mnv4benchError(f"{wanted} does not start here, and {', '.join(used)} would be timed in its place")
        return session

    def graph(self, network: Deployment) -> onnx.ModelProto:
        """Return what the session is made from."""
        return export(network.model, network.imgsz, network.nms_in_graph)

    def __call__(self, image: Image) -> Output:
        output: Output = self.session.run(None, {"image": image[None]})[0][0]
        return output


class OnnxRuntimeInt8(OnnxRuntime):
    """ONNX Runtime's CPU provider with the network quantised by ONNX Runtime itself."""

    precision: ClassVar[Precision] = "int8"

    def graph(self, network: Deployment) -> onnx.ModelProto:
        return quantise_onnx(super().graph(network), network.calibration)


class OnnxRuntimeCuda(OnnxRuntime):
    """ONNX Runtime's CUDA provider in full float32, from the package onnxruntime-gpu.

    It takes CUDA's libraries from PyTorch, which is imported first.
    """

    providers: ClassVar[dict[str, dict[str, str]]] = {
        "CUDAExecutionProvider": {"use_tf32": "0"},
        "CPUExecutionProvider": {},
    }

    def __init__(self) -> None:
        super().__init__()
        self.onnxruntime.set_default_logger_severity(imports.FATAL)  # the error tells
        try:
            self._start(nothing())  # a provider can be built in and lack the libraries that it loads
        except RuntimeError as error:
            raise Mnv4benchError(f"{next(iter(self.providers))} does not start here: {error}") from error
        finally:
            self.onnxruntime.set_default_logger_severity(imports.ERRORS)


class TensorRT(OnnxRuntimeCuda):
    """TensorRT in full float32, through ONNX Runtime's provider for it.

    Written from its documentation; only its absence was ever seen, as no machine with TensorRT was at hand.
    """

    graph_nms: ClassVar[bool] = False
    providers: ClassVar[dict[str, dict[str, str]]] = {
        "TensorrtExecutionProvider": {},
        **OnnxRuntimeCuda.providers,
    }

    def __init__(self) -> None:
        # TF32 off in NVIDIA's libraries, among whose provider options none is documented for it. Where this comes too
        # late, outputs differ from the scored model's by more than is allowed, and the arms are reported instead.
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
        super().__init__()


class OpenVino:
    """OpenVINO on the CPU in float32, one stream, tuned for latency."""

    precision: ClassVar[Precision] = "float32"
    graph_nms: ClassVar[bool] = True

    def __init__(self) -> None:
        self.openvino = imports.openvino()

    def load(self, network: Deployment) -> None:
        core = self.openvino.Core()
        compiled = core.compile_model(self.graph(core, network), "CPU", settings(network.threads))
        self.request = compiled.create_infer_request()

    def graph(self, core: Any, network: Deployment) -> Any:
        """Return what is compiled."""
        return core.read_model(export(network.model, network.imgsz, network.nms_in_graph).SerializeToString())

    def __call__(self, image: Image) -> Output:
        # The image is read where it lies; the output is copied, because the next call overwrites OpenVINO's own.
        output: Output = self.request.infer([image[None]], share_inputs=True)[0][0]
        return output


class OpenVinoInt8(OpenVino):
    """OpenVINO on the CPU with the network quantised by its companion NNCF; what stays float is float32."""

    precision: ClassVar[Precision] = "int8"

    def __init__(self) -> None:
        super().__init__()
        imports.nncf()

    def graph(self, core: Any, network: Deployment) -> Any:
        return quantise_openvino(super().graph(core, network), network.calibration)


def settings(threads: int) -> dict[str, Any]:
    """Return OpenVINO's properties of a compiled model."""
    return {
        "INFERENCE_PRECISION_HINT": "f32",  # it takes bfloat16 where the processor has it
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        # Threads go where the system puts them, as the other runtimes' do, and may share a core where it is divided.
        "ENABLE_CPU_PINNING": False,
        "ENABLE_HYPER_THREADING": True,
        "SCHEDULING_CORE_TYPE": "ANY_CORE",
    }


RUNTIMES: dict[str, type[Runtime]] = {
    "torch": Torch,
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
    "onnxruntime_int8": OnnxRuntimeInt8,
    "openvino_int8": OpenVinoInt8,
    "torch_cuda": TorchCuda,
    "onnxruntime_cuda": OnnxRuntimeCuda,
    "tensorrt": TensorRT,
}
"""A new runtime is one class above and one line here."""
