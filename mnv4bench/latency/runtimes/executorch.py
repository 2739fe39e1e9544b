"""ExecuTorch, PyTorch's own runtime for devices, on the CPU: a network that PyTorch exports and lowers to XNNPACK."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import torch

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.latency.runtimes import imports
from mnv4bench.latency.runtimes.export import OutputAlone
from mnv4bench.latency.runtimes.outputs import Image, Output
from mnv4bench.latency.runtimes.runtime import Deployment, Precision


class ExecuTorch:
    """ExecuTorch on the CPU in float32: layers that XNNPACK knows by XNNPACK, the others by its portable kernels."""

    precision: ClassVar[Precision] = "float32"
    graph_nms: ClassVar[bool] = False

    def __init__(self) -> None:
        self.runtime, self.threads = (
            imports.executorch("runtime"),
            imports.executorch("extension.pybindings.portable_lib"),
        )

    def load(self, network: Deployment) -> None:
        self.start(self.convert(network), network.threads)

    def convert(self, network: Deployment) -> bytes:
        """Return a network as a .pte file's content."""
        lowering = imports.executorch("exir")
        xnnpack = imports.executorch("backends.xnnpack.partition.xnnpack_partitioner")
        model = OutputAlone(network.model).eval()
        image = torch.zeros(1, 3, network.imgsz, network.imgsz)
        with torch.no_grad(), warnings.catch_warnings(), imports.no_cache_left():
            warnings.simplefilter("ignore")  # of the exporter, about itself
            model(image)  # anchors are made in the first pass and would be part of the graph
            graph = torch.export.export(model, (image,))
            program = lowering.to_edge_transform_and_lower(graph, partitioner=[xnnpack.XnnpackPartitioner()])
            content: bytes = program.to_executorch().buffer
        return content

    def start(self, content: bytes, threads: int) -> None:
        """Take over what `convert` returned.

        Its threads are those of the whole process, which PyTorch's setting does not reach.

        Raises:
            Mnv4benchError: it does not take that many threads.
        """
        self.threads._unsafe_reset_threadpool(threads)  # unsafe while a network runs
        if (found := self.threads._threadpool_get_thread_count()) != threads:
            raise Mnv4benchError(f"ExecuTorch runs in {found} threads where {threads} were asked for")
        self.program = self.runtime.Runtime.get().load_program(content)
        self.method: Any = self.program.load_method("forward")

    def __call__(self, image: Image) -> Output:
        (output,) = self.method.execute([torch.from_numpy(image)[None]])  # a copy
        found: Output = output[0].numpy()
        return found
