"""Importing what others made for deployment, without the usage statistics that it would send.

ONNX Runtime, OpenVINO and NNCF write an identifier into the user's home and contact their makers, as soon as they are
imported or used, unless they are told not to first. Import libraries of this kind through these functions.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mnv4bench.machine.telemetry import without_openvino_telemetry

ERRORS, FATAL = 3, 4
"""ONNX Runtime's levels of logging: what it still says."""
OWN = (
    "it needs an environment of its own (about 3 GB), as it would change this one's packages: python -m venv X; "
    "X/bin/pip install CLONE litert-torch, where CLONE is this project's folder"
)
"""What to install for LiteRT."""


def onnxruntime() -> Any:
    """Return ONNX Runtime.

    Raises:
        ImportError: it is missing; says what brings it.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # its Privacy.md: before the library is initialised
    library = _import("onnxruntime", "pip install onnxruntime")
    library.set_default_logger_severity(ERRORS)
    return library


def openvino() -> Any:
    """Return OpenVINO.

    Raises:
        ImportError: it is missing; says what brings it.
    """
    without_openvino_telemetry()
    return _import("openvino", "pip install '.[openvino]' in this project's folder")


def nncf() -> Any:
    """Return NNCF, which quantises for OpenVINO.

    Raises:
        ImportError: it is missing; says what brings it.
    """
    without_openvino_telemetry()
    os.environ["NNCF_CI"] = "1"  # takes its own stand-in for the sender, which it fails without
    return _import("nncf", "pip install '.[openvino]' in this project's folder")


def ncnn() -> Any:
    """Return ncnn.

    Raises:
        ImportError: it is missing; says what brings it.
    """
    return _import("ncnn", "pip install '.[ncnn]' in this project's folder")


def pnnx() -> Any:
    """Return pnnx, which converts for ncnn.

    Raises:
        ImportError: it is missing; says what brings it.
    """
    return _import("pnnx", "pip install '.[ncnn]' in this project's folder")


def litert() -> Any:
    """Return LiteRT's interpreter.

    Raises:
        ImportError: it is missing; says what brings it.
    """
    _import("ai_edge_litert", OWN)
    return importlib.import_module("ai_edge_litert.interpreter")


def litert_torch() -> Any:
    """Return litert-torch, which converts for LiteRT.

    Raises:
        ImportError: it is missing; says what brings it.
    """
    os.environ["LITERT_TORCH_SHOW_PROGRESS"] = "n"  # it would print each of its steps
    with no_cache_left():
        return _import("litert_torch", OWN)


def executorch(part: str) -> Any:
    """Return a module of ExecuTorch.

    Raises:
        ImportError: it is missing; says what brings it.
    """
    _import("executorch", "pip install executorch")
    return importlib.import_module(f"executorch.{part}")


@contextmanager
def no_cache_left() -> Iterator[None]:
    """Let PyTorch's compiler, which converters import, make the folder of its cache in a place that is removed."""
    name = "TORCHINDUCTOR_CACHE_DIR"
    before = os.environ.get(name)
    with tempfile.TemporaryDirectory(prefix="mnv4bench-") as folder:
        os.environ[name] = before or folder
        try:
            yield
        finally:
            del os.environ[name]
            if before:
                os.environ[name] = before


def _import(name: str, remedy: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ImportError(f"{name} is not installed: {remedy}") from error
