"""ONNX Runtime: on the CPU in float32 and int8, and on a GPU."""

from __future__ import annotations

from typing import Any, ClassVar

import onnx

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.latency.runtimes import imports
from mnv4bench.latency.runtimes.export import export, nothing
from mnv4bench.latency.runtimes.int8 import quantise_onnx
from mnv4bench.latency.runtimes.outputs import Image, Output
from mnv4bench.latency.runtimes.runtime import Deployment, Precision


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
        self.start(self.graph(network), network.threads)

    def start(self, graph: onnx.ModelProto, threads: int) -> None:
        """Take over a graph."""
        options = self.onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = imports.ERRORS
        # Its threads wait for the next operator by spinning, as they do by default, but not beyond the end of a run:
        # there they would take the cores from whoever is timed next.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.session = self._session(graph, options)

    def _session(self, graph: onnx.ModelProto, options: Any = None) -> Any:
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
        nms = network.thresholds if network.nms_in_graph else None
        return export(network.model, network.imgsz, nms, network.key)

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
            self._session(nothing())  # a provider can be built in and lack the libraries that it loads
        except RuntimeError as error:
            raise Mnv4benchError(f"{next(iter(self.providers))} does not start here: {error}") from error
        finally:
            self.onnxruntime.set_default_logger_severity(imports.ERRORS)
