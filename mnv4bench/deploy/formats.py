"""The formats in which a network leaves: one small class each, which writes a file and opens it again.

Each file carries what its user needs to know (`about`): class names, side of the images, whether suppression is inside.
The words are those that ultralytics writes, so that its predictor reads these files too.
"""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import onnx
import torch
import yaml
from torch import Tensor, nn

from mnv4bench.io.files import write_bytes, write_text
from mnv4bench.latency.runtimes import imports
from mnv4bench.latency.runtimes.executorch import ExecuTorch
from mnv4bench.latency.runtimes.export import OutputAlone, trace
from mnv4bench.latency.runtimes.litert import LiteRt
from mnv4bench.latency.runtimes.ncnn import Ncnn
from mnv4bench.latency.runtimes.onnxruntime import OnnxRuntime, OnnxRuntimeInt8
from mnv4bench.latency.runtimes.openvino import OpenVino, OpenVinoInt8
from mnv4bench.latency.runtimes.outputs import Image, Output
from mnv4bench.latency.runtimes.runtime import Deployment, Precision

About = Mapping[str, Any]


class Call(Protocol):
    """A file that was opened: an image in, the network's output out."""

    def __call__(self, image: Image) -> Output: ...


class Format(Protocol):
    """Making one raises ImportError, with what to install, where a package is missing."""

    ending: str
    precision: Precision
    graph_nms: bool
    """Whether suppression can be part of the file."""

    def write(self, network: Deployment, about: About, path: Path) -> None:
        """Write a file, or a folder where the format has several."""

    def open(self, path: Path, threads: int) -> Call:
        """Load what `write` wrote, as its user will."""


class Onnx:
    """ONNX (opset 18), with its facts as metadata properties."""

    ending = ".onnx"
    runtime: type[OnnxRuntime] = OnnxRuntime
    graph_nms = True

    def __init__(self) -> None:
        self.precision = self.runtime.precision
        self.runtime()

    def write(self, network: Deployment, about: About, path: Path) -> None:
        graph = self.runtime().graph(network)
        onnx.helper.set_model_props(graph, {key: str(value) for key, value in about.items()})
        write_bytes(path, graph.SerializeToString())

    def open(self, path: Path, threads: int) -> Call:
        runtime = self.runtime()
        runtime.start(onnx.load(path), threads)
        return runtime


class OnnxInt8(Onnx):
    """ONNX quantised by ONNX Runtime: pairs of quantising and dequantising operators."""

    ending = "_int8.onnx"
    runtime = OnnxRuntimeInt8


class OpenVinoFolder:
    """OpenVINO's .xml and .bin in float32, with the facts in metadata.yaml beside them."""

    ending = "_openvino_model"
    runtime: type[OpenVino] = OpenVino
    graph_nms = True

    def __init__(self) -> None:
        self.precision = self.runtime.precision
        self.runtime()

    def write(self, network: Deployment, about: About, path: Path) -> None:
        graph = self.runtime().graph(network)
        for key, value in about.items():
            graph.set_rt_info(str(value), ["model_info", key])
        path.mkdir()
        imports.openvino().save_model(
            graph, path / f"{path.name.removesuffix(self.ending)}.xml", compress_to_fp16=False
        )
        write_text(path / "metadata.yaml", yaml.safe_dump(dict(about), sort_keys=False, allow_unicode=True))

    def open(self, path: Path, threads: int) -> Call:
        runtime = self.runtime()
        runtime.start(next(path.glob("*.xml")), threads)
        return runtime


class OpenVinoInt8Folder(OpenVinoFolder):
    """OpenVINO quantised by NNCF."""

    ending = "_int8_openvino_model"
    runtime = OpenVinoInt8


class NcnnFolder:
    """ncnn's .param and .bin in float32, with the facts in metadata.yaml beside them.

    ncnn finds no highest scores, so a network read "nms_free" leaves as all its candidates, formed as those of "nms":
    whoever loads the file takes the 300 highest scores, or suppresses, which leaves nearly the same. `one_to_one` says
    so.
    """

    ending = "_ncnn_model"
    precision: Precision = "float32"
    graph_nms = False

    def __init__(self) -> None:
        self.runtime = Ncnn()

    def write(self, network: Deployment, about: About, path: Path) -> None:
        path.mkdir()
        self.runtime.convert(network, path)
        facts = {**about, "end2end": False, "one_to_one": network.read == "nms_free"}
        write_text(path / "metadata.yaml", yaml.safe_dump(facts, sort_keys=False, allow_unicode=True))

    def open(self, path: Path, threads: int) -> Call:
        facts = yaml.safe_load((path / "metadata.yaml").read_text(encoding="utf-8"))
        runtime = Ncnn()
        runtime.start(path, threads, "nms_free" if facts["one_to_one"] else "nms")
        return runtime


class TfLite:
    """LiteRT's .tflite in float32, with the facts as metadata.json in a zip archive at its end."""

    ending = ".tflite"
    precision: Precision = "float32"
    graph_nms = False

    def __init__(self) -> None:
        self.runtime = LiteRt()

    def write(self, network: Deployment, about: About, path: Path) -> None:
        file = io.BytesIO(self.runtime.convert(network))
        with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("metadata.json", json.dumps(dict(about)))
        write_bytes(path, file.getvalue())

    def open(self, path: Path, threads: int) -> Call:
        with zipfile.ZipFile(path) as archive:
            facts = json.loads(archive.read("metadata.json"))
        runtime = LiteRt()
        runtime.start(path.read_bytes(), threads, "nms_free" if facts["end2end"] else "nms")
        return runtime


class ExecuTorchFolder:
    """ExecuTorch's .pte in float32, with the facts in metadata.yaml beside it."""

    ending = "_executorch_model"
    precision: Precision = "float32"
    graph_nms = False

    def __init__(self) -> None:
        self.runtime = ExecuTorch()

    def write(self, network: Deployment, about: About, path: Path) -> None:
        content = self.runtime.convert(network)
        path.mkdir()
        write_bytes(path / f"{path.name.removesuffix(self.ending)}.pte", content)
        write_text(path / "metadata.yaml", yaml.safe_dump(dict(about), sort_keys=False, allow_unicode=True))

    def open(self, path: Path, threads: int) -> Call:
        runtime = ExecuTorch()
        runtime.start(next(path.glob("*.pte")).read_bytes(), threads)
        return runtime


class TorchScript:
    """A traced network, with the facts as the extra file config.txt inside."""

    ending = ".torchscript"
    precision: Precision = "float32"
    graph_nms = False

    def write(self, network: Deployment, about: About, path: Path) -> None:
        traced = trace(OutputAlone(network.model), network.imgsz)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            checked = torch.jit.script(_OneImage(traced, network.imgsz).eval())
        checked.save(str(path), _extra_files={"config.txt": json.dumps(dict(about))})

    def open(self, path: Path, threads: int) -> Call:
        torch.set_num_threads(threads)
        return _Traced(torch.jit.load(str(path)).eval())


class _OneImage(nn.Module):
    """A traced network that refuses what it was not traced for: of several images it would return only one's result."""

    def __init__(self, traced: torch.jit.ScriptModule, side: int) -> None:
        super().__init__()
        self.traced = traced
        self.shape = [1, 3, side, side]

    def forward(self, image: Tensor) -> Tensor:
        assert list(image.shape) == self.shape, "this file takes an image of shape {}".format(self.shape)  # noqa: UP032
        output: Tensor = self.traced(image)
        return output


@dataclass(frozen=True)
class _Traced:
    module: Any

    @torch.inference_mode()
    def __call__(self, image: Image) -> Output:
        output: Output = self.module(torch.from_numpy(image)[None])[0].numpy()
        return output


FORMATS: dict[str, type[Format]] = {
    "onnx": Onnx,
    "openvino": OpenVinoFolder,
    "torchscript": TorchScript,
    "ncnn": NcnnFolder,
    "litert": TfLite,
    "executorch": ExecuTorchFolder,
    "onnx-int8": OnnxInt8,
    "openvino-int8": OpenVinoInt8Folder,
}
"""A new format is one class and one line here."""
