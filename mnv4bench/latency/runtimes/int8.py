"""Quantisation to 8 bits after training, by each runtime's own quantiser, on calibration images.

Weights are quantised per output channel; activations per tensor, over the whole range that the calibration images show.
The last layers and the decoding behind them stay in float32: in 256 steps many scores would be equal, and the best
could not be told; and where boxes in pixels are joined with scores in 0–1, no single scale fits both.
"""

from __future__ import annotations

import io
import logging
import platform
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from mnv4bench.io.errors import DataError
from mnv4bench.latency.runtimes import imports
from mnv4bench.latency.runtimes.outputs import Image

ONNX_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
OPENVINO_LAYERS = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul")
CPU_INFO = Path("/proc/cpuinfo")


def quantise_onnx(model: onnx.ModelProto, images: Sequence[Image]) -> onnx.ModelProto:
    """Return an ONNX model quantised by ONNX Runtime: pairs of quantising and dequantising operators (QDQ).

    Args:
        images: at least one calibration image of the model's input shape.

    Raises:
        DataError: there is no calibration image.
    """
    _check(images)
    imports.onnxruntime()
    from onnxruntime import quantization

    with tempfile.TemporaryDirectory(prefix="mnv4bench-") as folder:
        exported, prepared, quantised = (Path(folder) / name for name in ("exported", "prepared", "quantised"))
        onnx.save(model, exported)
        # Folds constants, so that weights are found; the symbolic shapes that it could look for are numbers here.
        quantization.quant_pre_process(exported, prepared, skip_symbolic_shape=True)
        graph = onnx.load(prepared).graph
        quantization.quantize_static(
            prepared,
            quantised,
            _Reader(images),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            reduce_range=_saturates(),
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_exclude=sorted(kept_float(*_onnx_flow(graph))),
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )
        return onnx.load(quantised)


def quantise_openvino(model: Any, images: Sequence[Image]) -> Any:
    """Return an OpenVINO model quantised by NNCF, weights symmetric and activations asymmetric.

    Args:
        images: at least one calibration image of the model's input shape.

    Raises:
        DataError: there is no calibration image.
    """
    _check(images)
    nncf = imports.nncf()
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    whole_range = RangeEstimatorParametersSet.MINMAX
    with _quiet("nncf"):
        return nncf.quantize(
            model,
            nncf.Dataset([image[None] for image in images]),
            subset_size=len(images),
            preset=nncf.QuantizationPreset.MIXED,
            # The default averages the images' ranges, and so cuts off what the strongest activations say.
            advanced_parameters=nncf.AdvancedQuantizationParameters(activations_range_estimator_params=whole_range),
            ignored_scope=nncf.IgnoredScope(names=sorted(kept_float(*_openvino_flow(model))), validate=False),
        )


def kept_float(users: dict[str, list[str]], layers: Collection[str]) -> set[str]:
    """Return the last layers and the decoding behind them: every node that no layer depends on.

    Args:
        users: node → the nodes that use its output, in order of computation.
        layers: the nodes that multiply by weights, or by each other.
    """
    before: set[str] = set()
    for name in reversed(users):
        if any(user in layers or user in before for user in users[name]):
            before.add(name)
    return set(users) - before


def _onnx_flow(graph: onnx.GraphProto) -> tuple[dict[str, list[str]], set[str]]:
    """Return who uses whom, and the layers; see `kept_float`."""
    users: dict[str, list[str]] = {node.name: [] for node in graph.node}
    maker = {output: node.name for node in graph.node for output in node.output}
    weights = {tensor.name: tensor for tensor in graph.initializer}

    def averages(layer: onnx.NodeProto) -> bool:
        return layer.input[1] in weights and _is_mean(onnx.numpy_helper.to_array(weights[layer.input[1]]))

    for node in graph.node:
        for name in node.input:
            if name in maker:
                users[maker[name]].append(node.name)
    layers = {node.name for node in graph.node if node.op_type in ONNX_LAYERS and not averages(node)}
    return users, layers


def _openvino_flow(model: Any) -> tuple[dict[str, list[str]], set[str]]:
    """Return who uses whom, and the layers; see `kept_float`."""
    nodes = model.get_ordered_ops()

    def averages(layer: Any) -> bool:
        weights = layer.input_value(1).get_node()
        return weights.get_type_name() == "Constant" and _is_mean(weights.data)

    users = {
        node.get_friendly_name(): [
            port.get_node().get_friendly_name() for output in node.outputs() for port in output.get_target_inputs()
        ]
        for node in nodes
    }
    layers = {
        node.get_friendly_name() for node in nodes if node.get_type_name() in OPENVINO_LAYERS and not averages(node)
    }
    return users, layers


def _is_mean(weights: np.ndarray) -> bool:
    """Return whether a layer only averages: its weights count 0, 1, 2, …, as heads decode a distribution over distances
    (DFL, arXiv 2006.04388)."""
    return weights.size > 1 and np.array_equal(weights.ravel(), np.arange(weights.size))


def _saturates() -> bool:
    """Return whether sums of two 8-bit products may overflow: on x86 without VNNI, which then gets 7-bit weights.

    So ONNX Runtime's own guide (quantize_static) has it; NNCF takes care of it by itself.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    return not CPU_INFO.exists() or "_vnni" not in CPU_INFO.read_text()


def _check(images: Sequence[Image]) -> None:
    if not images:
        raise DataError("int8 runtimes need calibration images: raise latency.calibration above 0")


class _Reader:
    """Hands calibration images to ONNX Runtime one by one."""

    def __init__(self, images: Sequence[Image]) -> None:
        self.images = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self.images, None)
        return None if image is None else {"image": image[None]}


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Hold back a library's progress bars, and what it logs below an error."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
