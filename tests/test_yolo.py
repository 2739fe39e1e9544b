"""ultralytics' own predict, val and export on our models, offline, also where torchvision's library cannot load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from helpers import CLASSES, SIDE, WATCH, images, spread, tiny_dataset
from PIL import ImageFont
from ultralytics import YOLO

import mnv4bench
from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.models import detector, torchvision_ops
from mnv4bench.models.nms import nms
from mnv4bench.models.yolo import Detector
from mnv4bench.models.yolo.offline import PREFIX, configure, link_font
from mnv4bench.spec.model import ModelSpec, Read

ROOT = Path(__file__).parent.parent

# ultralytics exports through torch's older exporter, which says so.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")


def network(read: Read | None = None, **fields: Any) -> Detector:
    model = detector.build(ModelSpec(**fields), len(CLASSES), read=read)
    model.names = dict(enumerate(CLASSES))
    spread(model)
    return model.eval()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("data"), train=1)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work where ultralytics may leave files."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def picture() -> np.ndarray:
    return np.random.Generator(np.random.PCG64(0)).integers(0, 255, (48, SIDE, 3), dtype=np.uint8)


# predict


def test_predict_returns_what_the_model_detects_nms_free() -> None:
    model = network()
    [result] = mnv4bench.as_yolo(model, SIDE).predict(picture(), conf=0.001, verbose=False)
    assert result.names == dict(enumerate(CLASSES))
    square = np.full((SIDE, SIDE, 3), 114, np.uint8)
    square[8:56] = picture()
    tensor = torch.from_numpy(square[:, :, ::-1].copy()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        wanted = model(tensor)[0][0]
    found = result.boxes.data
    assert len(found) == (wanted[:, 4] > 0.001).sum() > 10
    torch.testing.assert_close(found[:, 4], wanted[: len(found), 4], atol=1e-4, rtol=1e-4)
    inside = wanted[: len(found), :4] - torch.tensor([0, 8, 0, 8])
    limit = torch.tensor([SIDE, 48, SIDE, 48])
    torch.testing.assert_close(found[:, :4], inside.clamp(min=torch.zeros(4), max=limit), atol=2e-3, rtol=1e-4)


def test_images_are_padded_to_a_square_unless_the_caller_asks_for_less(data: Path, folder: Path) -> None:
    yolo = mnv4bench.as_yolo(network(), 2 * SIDE)
    fed: list[tuple[int, ...]] = []
    yolo.predict(picture(), verbose=False)
    yolo.predictor.model.register_forward_pre_hook(lambda _, given: fed.append(tuple(given[0].shape)))
    yolo.predict(picture(), verbose=False)
    assert fed[-1] == (1, 3, 2 * SIDE, 2 * SIDE)
    yolo.predict(picture(), rect=True, verbose=False)
    assert fed[-1] == (1, 3, 96, 2 * SIDE)
    settings = {"data": str(data / "data.yaml"), "project": str(folder), "plots": False, "verbose": False}
    seen: list[Any] = []
    yolo.add_callback("on_val_end", lambda validator: seen.append(validator.args.rect))
    yolo.val(**settings)
    yolo.val(rect=True, **settings)
    assert seen == [False, True]


def test_predict_of_a_one_to_many_head_suppresses_overlaps() -> None:
    yolo = mnv4bench.as_yolo(network(head="one_to_many"), SIDE)
    counts = [len(yolo.predict(picture(), conf=0.001, iou=iou, verbose=False)[0].boxes) for iou in (0.1, 0.5, 0.99)]
    assert 0 < counts[0] < counts[1] < counts[2]


@pytest.mark.parametrize("read", ["nms_free", "nms"])
def test_the_models_reading_decides_and_the_model_itself_stays_as_it_was(read: Read) -> None:
    model = network(read)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    yolo = mnv4bench.as_yolo(model, SIDE)
    yolo.predict(picture(), verbose=False)
    assert yolo.predictor.model.end2end is (read == "nms_free")
    assert not model.is_fused()
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.args.box == 7.5  # still a namespace, as the loss needs it


# val


@pytest.mark.parametrize(("head", "free"), [("dual", True), ("one_to_many", False)])
def test_val_reads_a_dual_head_nms_free_and_a_one_to_many_head_with_nms(
    head: Any, free: bool, data: Path, folder: Path
) -> None:
    yolo = mnv4bench.as_yolo(network(head=head), SIDE)
    seen: list[Any] = []
    yolo.add_callback("on_val_end", seen.append)
    metrics = yolo.val(data=str(data / "data.yaml"), project=str(folder), name="val", plots=False, verbose=False)
    [validator] = seen
    assert validator.end2end is free
    assert validator.seen == 4
    assert 0 <= metrics.box.map <= 1
    assert metrics.names == dict(enumerate(CLASSES))


# export


def run_onnx(path: str, x: torch.Tensor) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    [output] = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    return np.asarray(output)


@pytest.mark.parametrize("read", ["nms_free", "nms"])
def test_export_gives_a_graph_with_the_models_own_detections(read: Read) -> None:
    model = network(read)
    path = mnv4bench.as_yolo(model, SIDE).export(format="onnx", verbose=False)
    assert Path(path).name == "mnv4-yolov10n.onnx"
    with torch.no_grad():
        wanted = model(images(1))[0].numpy()
    assert wanted.shape == ((1, 84, 6) if read == "nms_free" else (1, 6, 84))
    np.testing.assert_allclose(run_onnx(path, images(1)), wanted, atol=2e-3, rtol=1e-3)
    operators = {node.op_type for node in onnx.load(path).graph.node}
    assert not operators & {"BatchNormalization", "NonMaxSuppression"}


def run_torchscript(path: str, x: torch.Tensor) -> np.ndarray:
    output = torch.jit.load(path)(x)
    return np.asarray(output[0] if isinstance(output, tuple) else output)


def run_openvino(path: str, x: torch.Tensor) -> np.ndarray:
    core = pytest.importorskip("openvino").Core()
    graph = next(Path(path).glob("*.xml"))
    return np.asarray(core.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(x.numpy())[0])


@pytest.mark.parametrize("kind", ["own", "peer"])
@pytest.mark.parametrize(("form", "run"), [("torchscript", run_torchscript), ("openvino", run_openvino)])
def test_other_formats_are_exported_too(form: str, run: Callable[[str, torch.Tensor], np.ndarray], kind: str) -> None:
    model = network(**({} if kind == "own" else {"peer": "yolo11n"}))
    path = mnv4bench.as_yolo(model, SIDE).export(format=form, verbose=False)
    with torch.no_grad():
        wanted = model(images(1))[0].numpy()
    np.testing.assert_allclose(run(path, images(1)), wanted, atol=2e-3, rtol=1e-3)


def test_what_needs_images_asks_for_them_and_fetches_none() -> None:
    yolo = mnv4bench.as_yolo(network("nms"), SIDE)
    for call in (yolo.val, lambda: yolo.export(format="openvino", int8=True)):
        with pytest.raises(Mnv4benchError, match=r"data: missing; .* needs images, name them with data="):
            call()


def test_export_embeds_nms_where_it_is_asked_for_and_possible() -> None:
    path = mnv4bench.as_yolo(network("nms"), SIDE).export(
        format="onnx", nms=True, conf=0.001, max_det=20, verbose=False
    )
    assert "NonMaxSuppression" in {node.op_type for node in onnx.load(path).graph.node}
    found = run_onnx(path, images(1))[0]
    assert found.shape == (20, 6)
    kept = found[found[:, 4] > 0]
    for label in (0, 1):
        rows = kept[kept[:, 5] == label]
        assert len(nms(rows[:, :4], rows[:, 4], 0.701)) == len(rows)


# save, train


def test_save_writes_a_file_that_ultralytics_reads_and_validates(data: Path, folder: Path) -> None:
    yolo = mnv4bench.as_yolo(network("nms"), SIDE)
    yolo.save("saved.pt")
    loaded = YOLO("saved.pt")
    assert isinstance(loaded.model, Detector)
    assert (loaded.task, loaded.model.read, loaded.names) == ("detect", "nms", dict(enumerate(CLASSES)))
    yaml = str(data / "data.yaml")
    metrics = loaded.val(data=yaml, imgsz=SIDE, project=str(folder), name="val", plots=False, verbose=False)
    assert 0 <= metrics.box.map <= 1


def test_a_saved_file_keeps_the_side(data: Path) -> None:
    mnv4bench.as_yolo(network(), SIDE).save("saved.pt")
    for yolo in (YOLO("saved.pt"), mnv4bench.as_yolo(mnv4bench.load("saved.pt"))):
        [result] = yolo.predict(picture(), verbose=False)
        assert yolo.predictor.imgsz == [SIDE, SIDE]
        assert result.names == dict(enumerate(CLASSES))
    assert mnv4bench.load("saved.pt").imgsz == SIDE


def test_train_says_where_to_train() -> None:
    with pytest.raises(Mnv4benchError, match=r"train with mnv4bench\.train\.train"):
        mnv4bench.as_yolo(network()).train(data="coco8.yaml")


# torchvision


def test_torchvisions_nms_works_and_is_exact() -> None:
    torchvision_ops.provide()
    from torchvision import ops

    generator = np.random.Generator(np.random.PCG64(0))
    corner = generator.uniform(0, 40, (200, 2))
    boxes = np.concatenate([corner, corner + generator.uniform(5, 30, (200, 2))], axis=1).astype(np.float32)
    scores = generator.uniform(0, 1, 200).astype(np.float32)
    kept = ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), 0.5)
    assert kept.tolist() == brute_force(boxes, scores, 0.5)
    labels = generator.integers(0, 3, 200)
    by_class = ops.batched_nms(torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(labels), 0.5)
    expected = {
        i
        for c in range(3)
        for i in np.flatnonzero(labels == c)[brute_force(boxes[labels == c], scores[labels == c], 0.5)]
    }
    assert set(by_class.tolist()) == expected
    assert ops.nms(torch.zeros(0, 4), torch.zeros(0), 0.5).tolist() == []


def brute_force(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    kept: list[int] = []
    for i in np.argsort(-scores):
        if all(overlap(boxes[i], boxes[j]) <= threshold for j in kept):
            kept.append(int(i))
    return kept


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    common = float(np.prod(np.maximum(sides, 0)))
    return common / float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - common)


def test_where_torchvision_works_nothing_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    torchvision_ops.provide()
    from torchvision import ops

    monkeypatch.setattr(torchvision_ops, "declare", lambda: False)
    mark = object()
    monkeypatch.setattr(ops, "nms", mark)
    torchvision_ops.provide()
    assert ops.nms is mark


# A process of its own: what import costs, and what is contacted


def test_importing_the_package_alone_is_cheap() -> None:
    code = "import sys, mnv4bench; print(sorted({'torch', 'ultralytics', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert {"build", "as_yolo"} <= set(mnv4bench.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'biuld'"):
        mnv4bench.biuld  # noqa: B018


def test_a_font_is_offered_under_the_name_that_is_looked_for(folder: Path) -> None:
    link = link_font(folder / "Ultralytics")
    assert link == folder / "Ultralytics" / "Arial.ttf"
    assert ImageFont.truetype(str(link)).getname()[0] == "DejaVu Sans"


WATCHED = (
    WATCH
    + """
import mnv4bench
yolo = mnv4bench.as_yolo(mnv4bench.build("mnv4-yolov10n", 2), 64)
yolo.predict(sys.argv[1] + "/images/val/2.png", conf=0.0, save=True, project="out", verbose=False)
yolo.val(data=sys.argv[1] + "/data.yaml", project="out", plots=True, verbose=False)
for form in ("onnx", "torchscript", "openvino"):
    yolo.export(format=form, verbose=False)
print(json.dumps(contacts))
"""
)


def test_predict_val_and_export_contact_no_network_and_write_into_no_configuration(data: Path, folder: Path) -> None:
    """Not by YOLO_OFFLINE, which the package sets for itself; the font is not even in a configuration of the user's."""
    home, work, chosen = folder / "home", folder / "work", folder / "chosen"
    for path in (home, work):
        path.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("YOLO_", "XDG_"))}
    environment |= {"HOME": str(home), "PYTHONPATH": str(ROOT), "YOLO_CONFIG_DIR": str(chosen)}
    environment |= {"MPLCONFIGDIR": str(folder / "matplotlib")}
    command = [sys.executable, "-c", WATCHED, str(data)]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
    assert list(home.iterdir()) == []
    assert (work / "mnv4-yolov10n.onnx").exists()
    assert not (chosen / "Ultralytics" / "Arial.ttf").exists()


def test_folders_of_killed_processes_are_removed_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    killed, living, foreign = (
        tmp_path / name for name in (f"{PREFIX}{ended.pid}-x", f"{PREFIX}{os.getpid()}-x", "mnv4bench-mine")
    )
    for folder in (killed, living, foreign):
        (folder / "Ultralytics").mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("YOLO_CONFIG_DIR", raising=False)
    configure()
    made = Path(os.environ["YOLO_CONFIG_DIR"])
    assert made.parent == tmp_path
    assert {living, foreign, made} == set(tmp_path.iterdir())
