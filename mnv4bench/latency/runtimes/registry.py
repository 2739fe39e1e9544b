"""The runtimes by the names that presets give them.

float32 means float32: bfloat16, TF32 and other silent short cuts are off in every runtime that has them.
"""

from __future__ import annotations

from mnv4bench.latency.runtimes.executorch import ExecuTorch
from mnv4bench.latency.runtimes.litert import LiteRt
from mnv4bench.latency.runtimes.ncnn import Ncnn
from mnv4bench.latency.runtimes.onnxruntime import OnnxRuntime, OnnxRuntimeCuda, OnnxRuntimeInt8
from mnv4bench.latency.runtimes.openvino import OpenVino, OpenVinoInt8
from mnv4bench.latency.runtimes.pytorch import Torch, TorchCuda
from mnv4bench.latency.runtimes.runtime import Runtime

RUNTIMES: dict[str, type[Runtime]] = {
    "torch": Torch,
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
    "ncnn": Ncnn,
    "litert": LiteRt,
    "executorch": ExecuTorch,
    "onnxruntime_int8": OnnxRuntimeInt8,
    "openvino_int8": OpenVinoInt8,
    "torch_cuda": TorchCuda,
    "onnxruntime_cuda": OnnxRuntimeCuda,
}
"""A new runtime is one class in a file of its own, one line here and its name in mnv4bench/spec/latency.py."""

GPU_RUNTIMES = ("torch_cuda", "onnxruntime_cuda")
"""Timed wherever they are present, whether or not a preset names them; elsewhere reported as absent."""
