"""Checkpoints from elsewhere: what a network needs is read, nothing in the file is run."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import pathlib
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from safetensors.torch import save_file
from torch import nn
from ultralytics import YOLO
from ultralytics.nn.modules import Conv
from ultralytics.nn.tasks import DetectionModel

import mnv4bench
from mnv4bench import cli
from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.latency.measure.candidates import Checkpoint
from mnv4bench.models import detector, weights
from mnv4bench.models.yolo import load_checkpoint
from mnv4bench.spec.model import ModelSpec, Read
from mnv4bench.spec.run import DataSpec, RunSpec, TrainSpec


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.fixture
def witness(tmp_path: Path) -> Path:
    """A file that exists once a checkpoint's code ran."""
    return tmp_path / "ran"


def evil(witness: Path) -> Calls:
    return Calls(os.system, f"touch '{witness}'")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of ultralytics' smallest YOLOv10, untrained."""
    path = tmp_path_factory.mktemp("saved") / "network.pt"
    YOLO("yolov10n.yaml").save(path)
    return path


def rewritten(source: Path, target: Path, change: Callable[[bytes], bytes], **options: Any) -> Path:
    """Copy a checkpoint with another pickle."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", **options) as new:
        for entry in old.infolist():
            content = old.read(entry)
            new.writestr(entry.filename, change(content) if entry.filename.endswith("data.pkl") else content)
    return target


# What is read


def trained(network: nn.Module) -> dict[str, Any]:
    """Return what ultralytics' trainer saves beside its network."""
    return {
        "epoch": -1,
        "best_fitness": np.float64(0.5),
        "model": None,
        "ema": network,
        "optimizer": None,
        "train_args": {"imgsz": 640, "project": pathlib.PurePosixPath("runs")},
        "train_metrics": {"metrics/mAP50-95(B)": np.float64(0.25), "val/box_loss": np.float32(1.5)},
        "date": "2026-01-01",
    }


@pytest.mark.parametrize("half", [False, True])
def test_what_a_training_leaves_behind_is_read(half: bool, tmp_path: Path) -> None:
    network: Any = DetectionModel("yolov8n.yaml", nc=3, verbose=False)
    network.args = mnv4bench.models.yolo.hyperparameters()
    network.criterion = network.init_criterion()  # holds a loss of ultralytics, which is no module
    torch.save(trained(network.half() if half else network), tmp_path / "best.pt")
    model, read, names = load_checkpoint(tmp_path / "best.pt")
    assert (read, names) == ("nms", ("0", "1", "2"))
    assert type(model) is DetectionModel
    assert not hasattr(model, "criterion")
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    expected = network.float().eval()
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model(image)[0], expected(image)[0])


def test_names_of_yolov10s_own_repository_are_understood(saved: Path, tmp_path: Path) -> None:
    old, new = (b"cultralytics.nn.tasks\n%bDetectionModel\n" % prefix for prefix in (b"", b"YOLOv10"))
    path = rewritten(saved, tmp_path / "thu.pt", lambda content: content.replace(old, new))
    assert new in zipfile.ZipFile(path).read("network/data.pkl")
    model, read, _ = load_checkpoint(path)
    assert (type(model), read) == (DetectionModel, "nms_free")


@pytest.mark.parametrize("read", ["nms", "nms_free"])
def test_our_own_fused_network_keeps_its_outputs(read: Read, tmp_path: Path) -> None:
    model = mnv4bench.build("mnv4-yolov10n", 3, read=read).eval()
    mnv4bench.as_yolo(model.fuse()).save(tmp_path / "fused.pt")
    again, found, _ = load_checkpoint(tmp_path / "fused.pt")
    assert found == read
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = copy.deepcopy(model).half().float()  # files hold half precision
    with torch.no_grad():
        assert torch.equal(again(image)[0], expected(image)[0])


# What is refused


def raw(content: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(content))


def legacy(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("write", [torch.save, raw, legacy])
@pytest.mark.parametrize("inside", ["file", "metrics", "module", "hook"])
def test_code_in_a_checkpoint_is_refused_by_name_and_not_run(
    write: Callable[[Any, Path], None], inside: str, tmp_path: Path, witness: Path
) -> None:
    network: Any = DetectionModel("yolov8n.yaml", nc=3, verbose=False)
    content: Any = trained(network)
    if inside == "file":
        content = evil(witness)
    elif inside == "metrics":
        content["train_metrics"] = evil(witness)
    elif inside == "module":
        network.model[0].extra = evil(witness)
    else:
        network.model[0]._forward_hooks[0] = os.system
    path = tmp_path / "evil.pt"
    write(content, path)
    with pytest.raises(Mnv4benchError, match=r"evil\.pt: .*--trust"):
        load_checkpoint(path)
    assert not witness.exists()


WRITERS = {
    "opens a file": lambda path: Calls(open, str(path), "w"),
    "touches a path": lambda path: Calls(getattr, path, "touch"),
    "evaluates text": lambda path: Calls(eval, f"open({str(path)!r}, 'w')"),
    "imports a module": lambda path: Calls(__import__, "antigravity"),
    "saves tensors": lambda path: Calls(torch.save, {}, str(path)),
    "loads a file": lambda path: Calls(torch.load, str(path)),
    "calls the constructor of a module": lambda path: Calls(Conv, 3, 3),
    "evaluates an activation": lambda path: Calls(
        DetectionModel, {"activation": f"open({str(path)!r}, 'w')", "backbone": [], "head": [], "nc": 1}
    ),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_pickle_that_calls_anything_runs_nothing(kind: str, tmp_path: Path, witness: Path) -> None:
    path = tmp_path / "evil.pt"
    torch.save({"model": WRITERS[kind](witness)}, path)
    with pytest.raises(Mnv4benchError, match=r"evil\.pt: "):
        load_checkpoint(path)
    assert not witness.exists()


def test_the_refusal_names_what_stands_in_the_file(tmp_path: Path, witness: Path) -> None:
    path = tmp_path / "evil.pt"
    torch.save({"model": evil(witness)}, path)
    with pytest.raises(Mnv4benchError, match=r"names \w+\.system, which no network needs; if you trust"):
        load_checkpoint(path)


def test_only_trust_runs_code(tmp_path: Path, witness: Path) -> None:
    path = tmp_path / "evil.pt"
    torch.save({"model": evil(witness)}, path)
    with pytest.raises(Mnv4benchError, match="holds no network"):
        load_checkpoint(path, trust=True)
    assert witness.exists()


def test_trust_reads_what_the_lists_do_not_hold(tmp_path: Path) -> None:
    network: Any = DetectionModel("yolov8n.yaml", nc=3, verbose=False)
    network.origin = Calls(complex, 1, 2), Calls(slice, 1, 2)
    torch.save({"model": network}, tmp_path / "own.pt")
    with pytest.raises(Mnv4benchError, match="slice"):
        load_checkpoint(tmp_path / "own.pt")
    assert load_checkpoint(tmp_path / "own.pt", trust=True)[1] == "nms"
    assert Checkpoint(tmp_path / "own.pt", trust=True).load() is not None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"These are no weights, \xe2\x80\x94 but a note.\n", "it begins with text; check the path"),
        (b"", "it is empty; check the path"),
        (b"\x08\x07\x12\x00\xff", "it is of another format; check the path"),
        (b"PK\x03\x04\x00\x00", "it is a truncated archive; copy or fetch it again"),
    ],
)
def test_trust_is_not_offered_for_what_holds_no_code(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    path.write_bytes(content)
    with pytest.raises(Mnv4benchError) as caught:
        load_checkpoint(path)
    assert str(caught.value) == f"{path}: not a checkpoint of torch.save: {message}"


def test_torchscript_is_named(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.trace(nn.Conv2d(3, 3, 1), torch.zeros(1, 3, 4, 4)), tmp_path / "script.pt")
    with pytest.raises(Mnv4benchError, match=r"script\.pt: a TorchScript archive"):
        load_checkpoint(tmp_path / "script.pt")


def test_tensors_alone_are_named(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "tensors.pt")
    with pytest.raises(Mnv4benchError, match=r"tensors\.pt: holds no network"):
        load_checkpoint(tmp_path / "tensors.pt")


def test_a_network_without_its_parts_is_named(tmp_path: Path) -> None:
    network: Any = DetectionModel("yolov8n.yaml", nc=3, verbose=False)
    del network.names
    torch.save({"model": network}, tmp_path / "part.pt")
    with pytest.raises(Mnv4benchError, match=r"part\.pt: .*names"):
        load_checkpoint(tmp_path / "part.pt")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.9999])
def test_a_truncated_file_is_named(share: float, saved: Path, tmp_path: Path) -> None:
    content = saved.read_bytes()
    path = tmp_path / "torn.pt"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(Mnv4benchError, match=r"torn\.pt: "):
        load_checkpoint(path)


def test_a_damaged_pickle_ends_in_nothing_but_its_error(saved: Path, tmp_path: Path) -> None:
    refused = []
    for start in range(0, 1000, 50):

        def cut(content: bytes, start: int = start) -> bytes:
            return content[:start] + content[start + 3 :]

        path = rewritten(saved, tmp_path / "damaged.pt", cut)
        with contextlib.suppress(Mnv4benchError):
            load_checkpoint(path)
            continue
        refused.append(start)
    assert len(refused) > 10


def test_a_compressed_archive_is_named(saved: Path, tmp_path: Path) -> None:
    path = rewritten(saved, tmp_path / "packed.pt", lambda content: content, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(Mnv4benchError, match=r"packed\.pt: a compressed archive"):
        load_checkpoint(path)


# The command


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    cv2.imwrite(str(folder / "0.png"), np.zeros((64, 64, 3), np.uint8))
    return folder


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["latency", *arguments])
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_the_command_refuses_code_unless_it_is_trusted(
    images: Path, tmp_path: Path, witness: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "evil.pt"
    torch.save({"model": evil(witness)}, path)
    assert "--trust" in told([str(path), "--images", str(images)], capsys)
    assert not witness.exists()
    assert "holds no network" in told([str(path), "--images", str(images), "--trust"], capsys)
    assert witness.exists()


def run_folder(folder: Path) -> Path:
    """Write a run's spec; return where its weights go."""
    spec = RunSpec(model=ModelSpec(), data=DataSpec(imgsz=64), train=TrainSpec(epochs=1))
    folder.mkdir()
    (folder / "spec.json").write_text(spec.model_dump_json())
    return folder / "weights.safetensors"


def header(size: int, text: bytes = b"{}") -> bytes:
    return size.to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x02",
        header(2**63),
        header(10**9),
        header(10, b"{" * 10),
        header(66, b'{"a":{"dtype":"F32","shape":[99999999999],"data_offsets":[0,9999]}}'[:66]),
        header(67, b'{"a":{"dtype":"F32","shape":[99999999999],"data_offsets":[0,9999]}}'),
        header(67, b'{"a":{"dtype":"X99","shape":[99999999999],"data_offsets":[0,9999]}}'),
    ],
)
def test_weights_with_an_absurd_header_are_named(
    content: bytes, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run_folder(tmp_path / "run")
    path.write_bytes(content)
    assert f"{path}: not readable as weights" in told([str(path.parent), "--images", str(images)], capsys)


def without_a_tensor(state: dict[str, torch.Tensor]) -> None:
    del state["p3_out.cv1.conv.weight"]


def with_another(state: dict[str, torch.Tensor]) -> None:
    state["evil.weight"] = torch.zeros(1)


def of_another_shape(state: dict[str, torch.Tensor]) -> None:
    state["p3_out.cv1.conv.weight"] = torch.zeros(1, 2, 3, 4)


def of_another_type(state: dict[str, torch.Tensor]) -> None:
    state["p3_out.cv1.conv.weight"] = state["p3_out.cv1.conv.weight"].to(torch.int8)


def of_another_model(state: dict[str, torch.Tensor]) -> None:
    state.clear()
    state["model.0.weight"] = torch.zeros(2)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (without_a_tensor, "p3_out.cv1.conv.weight"),
        (with_another, "evil.weight"),
        (of_another_shape, "p3_out.cv1.conv.weight"),
        (of_another_type, "p3_out.cv1.conv.weight"),
        (of_another_model, "no detection head"),
    ],
)
def test_foreign_tensors_are_named(
    change: Callable[[dict[str, torch.Tensor]], None], named: str, tmp_path: Path
) -> None:
    path = tmp_path / "weights.safetensors"
    weights.save(detector.build(ModelSpec(), 3), path)
    state = weights.read(path)
    change(state)
    save_file(state, path)
    with pytest.raises(Mnv4benchError, match=f"weights.safetensors: .*{named}"):
        weights.load(detector.build(ModelSpec(), weights.classes(path)), path)


def test_other_formats_are_not_opened(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ONNX file may keep its tensors in any file that it names; a checkpoint's name on it helps nothing."""
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [1], np.zeros(1, np.float32))
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("float_data")
    tensor.external_data.add(key="location", value="../../secret")
    graph = helper.make_graph([], "g", [], [], [tensor])
    buffer = io.BytesIO(helper.make_model(graph).SerializeToString())
    for name in ("network.onnx", "network.pt"):
        (tmp_path / name).write_bytes(buffer.getvalue())
    monkeypatch.setattr(onnx, "load", None)
    assert "network.onnx: a file that was exported" in told(
        [str(tmp_path / "network.onnx"), "--images", str(images)], capsys
    )
    assert "network.pt: not a checkpoint" in told([str(tmp_path / "network.pt"), "--images", str(images)], capsys)
