"""Every runtime that this machine has computes the network it was given, with the settings it was asked for."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from tiny_network import CPU, PHOTOS, SIDE, Tiny, check_suppression_in_the_graph, lively, loaded
from torch import nn

from mnv4bench.cost.arms import deployed
from mnv4bench.io.errors import DataError, Mnv4benchError
from mnv4bench.latency.runtimes import imports, int8, outputs
from mnv4bench.latency.runtimes.export import OPSET, append_nms, export, nothing
from mnv4bench.latency.runtimes.onnxruntime import OnnxRuntime, OnnxRuntimeCuda
from mnv4bench.latency.runtimes.openvino import settings
from mnv4bench.latency.runtimes.registry import RUNTIMES
from mnv4bench.latency.runtimes.runtime import Deployment
from mnv4bench.models import detector
from mnv4bench.models.nms import read_nms
from mnv4bench.spec.model import ModelSpec, Read

FLOAT = CPU[:3]
IN_GRAPH = CPU[1:]
INT8 = CPU[3:]


@pytest.fixture(autouse=True)
def _same_threads_afterwards() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


# What is computed


@pytest.mark.parametrize("read", ["nms", "nms_free"])
def test_float_runtimes_agree_with_the_unfused_network(read: Read) -> None:
    model = lively(read)
    with torch.inference_mode():
        expected = model(torch.from_numpy(PHOTOS[0])[None])[0][0].numpy()
    assert (
        np.ptp(expected[4:] if read == "nms" else expected[:, 4]) > 100 * outputs.TOLERANCE
    )  # or agreement would mean little
    network = deployed(model)
    for name in FLOAT:
        found = loaded(name, network, read)(PHOTOS[0])
        assert outputs.disagreement(found, expected, read, SIDE) < outputs.TOLERANCE, name


@pytest.mark.parametrize("name", CPU)
def test_an_output_belongs_to_the_caller(name: str) -> None:
    runtime = loaded(name, Tiny().eval())
    first = runtime(PHOTOS[0])
    kept = first.copy()
    assert not np.array_equal(runtime(PHOTOS[1]), kept)
    assert np.array_equal(first, kept)


@pytest.mark.parametrize("name", IN_GRAPH)
def test_suppression_in_the_graph_finds_what_it_finds_outside(name: str) -> None:
    check_suppression_in_the_graph(name)


# Suppression in the graph


def raw(boxes: list[list[float]], scores: list[list[float]]) -> np.ndarray:
    """Return a raw output from (n, 4) boxes as centre and size, and (classes, n) scores."""
    return np.concatenate([np.array(boxes, np.float32).T, np.array(scores, np.float32)])


def random_raw(classes: int, anchors: int, side: float, size: float, lowest: float, highest: float) -> np.ndarray:
    """Return a raw output of random boxes whose scores are all different."""
    random = np.random.Generator(np.random.PCG64(anchors))
    boxes = random.uniform([[0], [0], [0], [0]], [[side], [side], [size], [size]], (4, anchors))
    scores = np.linspace(lowest, highest, classes * anchors)
    return np.concatenate([boxes, random.permutation(scores).reshape(classes, anchors)]).astype(np.float32)


SQUARE = [50.0, 50, 10, 10]
CASES = {
    "a crowd": random_raw(3, 400, 100, 50, 0, 1),
    "80 classes": random_raw(80, 300, 640, 200, 0, 0.26),
    "nothing": random_raw(3, 50, 100, 50, 0, 0.25),
    "one box": raw([SQUARE], [[0.9]]),
    "more than the limit": random_raw(2, 1000, 640, 2, 0.3, 1),
    "more than the limit in one class": random_raw(1, 1000, 640, 2, 0.3, 1),
    "boxes without area": random_raw(2, 60, 20, 0, 0, 1),
    "one place, two classes": raw([SQUARE, SQUARE], [[0.9, 0.8], [0.3, 0.7]]),
    "at the confidence": raw([SQUARE, [9, 9, 9, 9]], [[0.25, np.nextafter(np.float32(0.25), np.float32(1))]]),
    "at the overlap": raw([SQUARE, [50, 48.5, 10, 7]], [[0.9, 0.8]]),
    "beyond the overlap": raw([SQUARE, [50, 48.5, 10, 7.01]], [[0.9, 0.8]]),
    "what is suppressed suppresses nothing": raw([SQUARE, [51, 50, 10, 10], [52, 50, 10, 10]], [[0.9, 0.8, 0.7]]),
    "beyond the image": raw([[-5, -5, 20, 20], [-5, -4, 20, 20], [100, 100, 500, 500]], [[0.9, 0.8, 0.7]]),
}
FOUND = {
    "nothing": 0,
    "one box": 1,
    "more than the limit": outputs.LIMIT,
    "more than the limit in one class": outputs.LIMIT,
    "one place, two classes": 2,
    "at the confidence": 1,
    "at the overlap": 2,
    "beyond the overlap": 1,
    "what is suppressed suppresses nothing": 2,
    "beyond the image": 2,
}
"""How many detections there are, by hand."""


def suppression(shape: tuple[int, ...]) -> bytes:
    """Return a graph of nothing but suppression, for raw outputs of one shape."""
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, *shape]) for name in ("image", "output")]
    graph = helper.make_graph([helper.make_node("Identity", ["image"], ["output"])], "raw", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    append_nms(model)
    return model.SerializeToString()


@pytest.mark.parametrize("case", CASES)
def test_the_graphs_suppression_is_read_nms_to_the_last_digit(case: str) -> None:
    output = CASES[case]
    boxes, scores = outputs.corners(output)
    expected = read_nms(boxes, scores, outputs.DEPLOYED_CONFIDENCE, outputs.NMS_IOU, outputs.LIMIT)
    assert len(expected) == FOUND.get(case, len(expected))
    graph = suppression(output.shape)
    session = imports.onnxruntime().InferenceSession(graph, providers=["CPUExecutionProvider"])
    assert np.array_equal(session.run(None, {"image": output[None]})[0][0], expected)
    core = imports.openvino().Core()
    compiled = core.compile_model(core.read_model(graph), "CPU", settings(1))
    if case == "at the overlap":
        expected = expected[:1]  # OpenVINO drops it, where everyone else asks for more than the threshold
    assert np.array_equal(compiled([output[None]])[0][0], expected)


# Settings


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system does not list threads")
def test_onnx_runtime_starts_the_threads_that_it_is_given_and_no_others() -> None:
    started, kept = [], []
    for count in (1, 2, 4):
        before = threads()
        kept.append(loaded("onnxruntime", Tiny().eval(), threads=count))
        kept[-1](PHOTOS[0])
        started.append(threads() - before)
    assert started == [0, 1, 3]  # the caller's own is one of them


@pytest.mark.parametrize("count", [1, 2])
def test_torch_and_openvino_take_the_thread_count_and_float32(count: int) -> None:
    loaded("torch", Tiny().eval(), threads=count)
    assert torch.get_num_threads() == count
    runtime: Any = loaded("openvino", Tiny().eval(), threads=count)
    compiled = runtime.request.get_compiled_model()
    assert compiled.get_property("INFERENCE_NUM_THREADS") == count
    assert compiled.get_property("NUM_STREAMS") == 1
    assert compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"


# int8


@pytest.fixture(scope="module")
def free() -> nn.Module:
    return deployed(lively("nms_free"))


LAST, MEAN = 6, 1
"""Convolutions that stay float in the detector: the head's last ones, and the one that decodes distances."""


def test_the_layers_that_stay_float_do_not_depend_on_the_number_of_classes() -> None:
    found = []
    for classes in (1, 2):
        graph = export(deployed(detector.build(ModelSpec(), classes, read="nms_free").eval()), SIDE)
        flows = (
            int8._onnx_flow(graph.graph),
            int8._openvino_flow(imports.openvino().Core().read_model(graph.SerializeToString())),
        )
        found.append([layers & int8.kept_float(users, layers) for users, layers in flows])
    assert found[0] == found[1]
    assert [len(layers) for layers in found[0]] == [LAST, LAST]


def test_onnx_runtime_int8_computes_every_convolution_but_the_last_in_integers(free: nn.Module, tmp_path: Path) -> None:
    graph = export(copy.deepcopy(free), SIDE)
    convolutions = Counter(node.op_type for node in graph.graph.node)["Conv"]
    library = imports.onnxruntime()
    options = library.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")  # as it is run
    options.log_severity_level = 3
    quantised = int8.quantise_onnx(graph, PHOTOS).SerializeToString()
    library.InferenceSession(quantised, options, providers=["CPUExecutionProvider"])
    found = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert (found["QLinearConv"], found["Conv"] + found["FusedConv"]) == (convolutions - LAST - MEAN, LAST + MEAN)


def test_openvino_int8_computes_every_convolution_but_depthwise_and_the_last_in_integers(free: nn.Module) -> None:
    graph = export(copy.deepcopy(free), SIDE).graph
    groups = [
        helper.get_node_attr_value(node, "group") if any(one.name == "group" for one in node.attribute) else 1
        for node in graph.node
        if node.op_type == "Conv"
    ]
    runtime: Any = loaded("openvino_int8", free, "nms_free")
    nodes = [node.get_rt_info() for node in runtime.request.get_compiled_model().get_runtime_model().get_ops()]
    found = Counter(
        info["runtimePrecision"].astype(str) for info in nodes if info["layerType"].astype(str) == "Convolution"
    )
    assert found.total() == len(groups)
    # Depthwise convolutions are quantised too; OpenVINO may still run them as float, and does so with AVX-512.
    assert groups.count(1) - LAST - MEAN <= found["u8"] + found["i8"] <= len(groups) - LAST - MEAN


@pytest.mark.parametrize("name", INT8)
def test_int8_scores_are_near_the_float_ones_and_boxes_within_a_pixel(name: str) -> None:
    exact, found = (loaded(one, Tiny().eval())(PHOTOS[0]) for one in ("torch", name))
    assert 0 < np.abs(found[4:] - exact[4:]).max() < 0.1
    assert np.abs(found[4:] - exact[4:]).mean() < 0.02
    assert np.abs(found[:4] - exact[:4]).max() < 1
    assert len(np.unique(found[4:])) == found[4:].size  # 256 steps would make many equal


@pytest.mark.parametrize("name", INT8)
def test_quantising_twice_gives_the_same_network(name: str) -> None:
    first, second = (loaded(name, Tiny().eval()) for _ in range(2))
    assert all(np.array_equal(first(photo), second(photo)) for photo in PHOTOS)


@pytest.mark.parametrize("name", INT8)
def test_quantising_is_silent(name: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    loaded(name, Tiny().eval())
    assert (*capfd.readouterr(), caplog.text) == ("", "", "")


@pytest.mark.parametrize("name", INT8)
def test_int8_without_calibration_images_says_what_to_change(name: str) -> None:
    with pytest.raises(DataError, match=r"raise latency\.calibration"):
        RUNTIMES[name]().load(Deployment(Tiny().eval(), SIDE, 1, "nms"))


def test_last_layers_and_what_is_behind_them_stay_float() -> None:
    flow = {
        "stem": ["activation"],
        "activation": ["attention", "side"],
        "attention": ["softmax"],
        "softmax": ["boxes", "scores"],
        "side": ["shape"],
        "shape": ["join"],
        "boxes": ["join"],
        "scores": ["sigmoid"],
        "sigmoid": ["join"],
        "join": [],
    }
    found = int8.kept_float(flow, {"stem", "attention", "boxes", "scores"})
    assert found == {"boxes", "scores", "sigmoid", "join", "side", "shape"}


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", "flags: sse4_2 avx2", True),
        ("AMD64", "flags: avx2 avx512_vnni", False),
        ("x86_64", "flags: avx2 avx_vnni", False),
        ("x86_64", None, True),
        ("aarch64", None, False),
    ],
)
def test_weights_get_seven_bits_where_sums_of_products_may_overflow(
    machine: str, flags: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(int8, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(int8.platform, "machine", lambda: machine)
    if flags is not None:
        (tmp_path / "cpuinfo").write_text(flags)
    assert int8._saturates() is expected


# Absence


@pytest.mark.parametrize(
    ("name", "package", "remedy"),
    [
        ("onnxruntime", "onnxruntime", "pip install onnxruntime"),
        ("openvino", "openvino", r"pip install '.\[openvino\]' in this project's folder"),
        ("openvino_int8", "nncf", r"pip install '.\[openvino\]' in this project's folder"),
    ],
)
def test_a_missing_package_is_named_with_what_brings_it(
    name: str, package: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"^{package} is not installed: {remedy}$"):
        RUNTIMES[name]()


def test_a_package_that_breaks_on_import_keeps_its_own_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "openvino.py").write_text("import a_missing_part")
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="No module named 'a_missing_part'"):
        imports.openvino()


def test_a_provider_that_is_not_built_in_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    library = imports.onnxruntime()
    monkeypatch.setattr(library, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(Mnv4benchError, match="has no CUDAExecutionProvider, only CPUExecutionProvider"):
        OnnxRuntimeCuda()


def fallen(*_: object, **__: object) -> SimpleNamespace:
    return SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])


def refused(*_: object, **__: object) -> None:
    raise RuntimeError("install CUDA's libraries")


@pytest.mark.parametrize(
    ("session", "message"),
    [
        (fallen, "^CUDAExecutionProvider does not start here, and CPUExecutionProvider would be"),
        (refused, "^CUDAExecutionProvider does not start here: install CUDA's libraries$"),
    ],
)
def test_a_provider_that_is_built_in_and_does_not_start_makes_its_runtime_absent(
    session: object, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = imports.onnxruntime()
    monkeypatch.setattr(library, "get_available_providers", lambda: list(OnnxRuntimeCuda.providers))
    monkeypatch.setattr(library, "InferenceSession", session)
    with pytest.raises(Mnv4benchError, match=message):
        OnnxRuntimeCuda()


def test_nothing_shows_that_a_provider_starts() -> None:
    session = OnnxRuntime()._session(nothing())
    assert session.run(None, {"image": np.ones(1, np.float32)}) == [1]


def test_without_a_gpu_torch_cuda_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(Mnv4benchError, match="sees no GPU"):
        RUNTIMES["torch_cuda"]()


# Privacy

GUARD = """
import ctypes, errno, os, platform, socket, struct, sys

def refuse_the_network():
    '''Let the kernel end this process when any code in it, Python or not, asks for an internet socket (seccomp(2)).'''
    number = {"x86_64": 41, "aarch64": 198}[platform.machine()]
    load, equal, answer = 0x20, 0x15, 0x06
    lines = [(load, 0, 0, 0), (equal, 0, 4, number), (load, 0, 0, 16), (equal, 1, 0, socket.AF_INET),
             (equal, 0, 1, socket.AF_INET6), (answer, 0, 0, 0x80000000), (answer, 0, 0, 0x7FFF0000)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
    header = ctypes.create_string_buffer(struct.pack("H6xQ", len(lines), ctypes.addressof(program)))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(38, 1, 0, 0, 0)
    if libc.prctl(22, 2, ctypes.c_void_p(ctypes.addressof(header)), 0, 0) != 0:
        sys.exit(77)
"""
UNKNOWN = 77

EVERYTHING = """
from tiny_network import CPU, EXECUTORCH, LITERT, NCNN, PHOTOS, Tiny, loaded

assert not {"onnxruntime", "openvino", "nncf", "ncnn", "litert_torch", "executorch"} & set(sys.modules)
assert "pytest" not in sys.modules, "NNCF sends nothing where it sees pytest"
refuse_the_network()
for name in (*CPU, *NCNN, *LITERT, *EXECUTORCH):
    loaded(name, Tiny().eval())(PHOTOS[0])
print("done")
"""


def run_guarded(program: str, home: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    if sys.platform != "linux" or os.uname().machine not in ("x86_64", "aarch64"):
        pytest.skip("the guard knows the system calls of Linux on x86_64 and aarch64")
    tests = Path(__file__).parent
    statistics = ("ORT_DISABLE_TELEMETRY", "NNCF_CI", "NNCF_DEV", "CI", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in statistics}
    environment |= {"HOME": str(home), "PYTHONPATH": f"{tests}:{tests.parent}", "TMPDIR": str(folder)}
    command = [sys.executable, "-c", GUARD + program]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode == UNKNOWN:
        pytest.skip("this system lets no process filter its own system calls")
    return done


def test_the_guard_ends_a_process_that_asks_for_an_internet_socket(tmp_path: Path) -> None:
    done = run_guarded(
        "refuse_the_network()\nsocket.socket(socket.AF_UNIX)\nprint('so far', flush=True)\nsocket.socket()",
        tmp_path,
        tmp_path,
    )
    assert (done.returncode, done.stdout) == (-31, "so far\n")  # SIGSYS


def test_no_runtime_contacts_the_network_or_leaves_a_file() -> None:
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as folder:
        done = run_guarded(EVERYTHING, Path(home), Path(folder))
        assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["done"]), done.stderr
        assert [*Path(home).rglob("*"), *Path(folder).rglob("*")] == []
