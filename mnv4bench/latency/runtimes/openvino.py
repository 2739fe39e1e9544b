"""OpenVINO on the CPU, in float32 and int8."""

from __future__ import annotations

from typing import Any, ClassVar

from mnv4bench.latency.runtimes import imports
from mnv4bench.latency.runtimes.export import export
from mnv4bench.latency.runtimes.int8 import quantise_openvino
from mnv4bench.latency.runtimes.outputs import Image, Output
from mnv4bench.latency.runtimes.runtime import Deployment, Precision


class OpenVino:
    """OpenVINO on the CPU in float32, one stream, tuned for latency."""

    precision: ClassVar[Precision] = "float32"
    graph_nms: ClassVar[bool] = True

    def __init__(self) -> None:
        self.openvino = imports.openvino()

    def load(self, network: Deployment) -> None:
        self.start(self.graph(network), network.threads)

    def start(self, graph: Any, threads: int) -> None:
        """Take over a model, or the path of one."""
        compiled = self.openvino.Core().compile_model(graph, "CPU", settings(threads))
        self.request = compiled.create_infer_request()

    def graph(self, network: Deployment) -> Any:
        """Return what is compiled."""
        nms = network.thresholds if network.nms_in_graph else None
        graph = export(network.model, network.imgsz, nms, network.key)
        return self.openvino.Core().read_model(graph.SerializeToString())

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

    def graph(self, network: Deployment) -> Any:
        return quantise_openvino(super().graph(network), network.calibration)


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
