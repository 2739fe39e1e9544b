"""docs/deploy.md says what goes into an exported file and comes out; its example finds what the network does."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from helpers import ROOT

from mnv4bench.data.letterbox import letterbox
from mnv4bench.data.scenes import scene
from mnv4bench.deploy.export import export
from mnv4bench.latency.named import load
from mnv4bench.results.run import read_status

pytestmark = [
    pytest.mark.usefixtures("process_settings"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning"),
]

TRUNK = ROOT / "results/reference/trunks/trunk-65852555ef0c-s0"
SIDE = 160
CLASSES = read_status(TRUNK).classes
CANDIDATES = sum((SIDE // stride) ** 2 for stride in (8, 16, 32))
DOCUMENT = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with image.jpg, twice as wide as high, and results/export/RUN.onnx and other files of a trunk."""
    place = tmp_path_factory.mktemp("deploy")
    halves = [scene(0, "val", index, SIDE)[0] for index in (0, 1)]
    cv2.imwrite(str(place / "image.jpg"), np.concatenate(halves, axis=1)[:, :, ::-1])
    out = place / "results" / "export"
    assert not export(str(TRUNK), ["onnx", "openvino", "torchscript"], out, images=place).failed
    assert not export(f"{TRUNK}:nms", ["onnx"], place / "bare", images=place).failed
    assert not export(f"{TRUNK}:nms", ["onnx"], place / "suppressed", images=place, nms=True).failed
    (out / f"{TRUNK.name}.onnx").rename(out / "RUN.onnx")
    return place


def run_example(place: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], dict[str, Any]]:
    """Run the example in a folder; return the lines that it prints and its variables."""
    [example] = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    monkeypatch.chdir(place)
    printed = io.StringIO()
    values: dict[str, Any] = {}
    with contextlib.redirect_stdout(printed):
        exec(example, values)
    return printed.getvalue().replace("\n ", " ").splitlines(), values


def photograph(folder: Path, width: int, height: int) -> Path:
    """Return a folder with image.jpg of that size, and the results of another."""
    place = folder / f"{width}x{height}"
    place.mkdir()
    (place / "results").symlink_to(folder / "results")
    cv2.imwrite(str(place / "image.jpg"), cv2.resize(scene(0, "val", 0, SIDE)[0][:, :, ::-1], (width, height)))
    return place


@pytest.mark.parametrize("size", [None, (501, 200), (200, 501)])
def test_the_example_finds_what_the_network_finds(
    size: tuple[int, int] | None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = photograph(folder, *size) if size else folder
    lines, values = run_example(place, monkeypatch)
    fitted = letterbox(place / "image.jpg", SIDE)
    with torch.no_grad():
        rows = load(TRUNK)(torch.from_numpy(fitted.pixels)[None])[0][0].numpy()
    rows = rows[rows[:, 4] > 0.25]
    assert len(rows) > 0
    assert np.array_equal(values["pixels"], fitted.pixels)
    assert values["pixels"].flags.c_contiguous  # ncnn would read it as it lies
    assert [line.split()[0] for line in lines] == [CLASSES[int(label)] for label in rows[:, 5]]
    whole = np.array([fitted.width, fitted.height] * 2)
    shown = np.rint(whole * fitted.scale[0])  # what the photograph was resized to
    for line, row in zip(lines, rows, strict=True):
        box = np.array(re.findall(r"[-\d.e]+", line[line.index("[") :]), float)
        wanted = (row[:4] - [fitted.left, fitted.top, fitted.left, fitted.top]) / shown * whole
        np.testing.assert_allclose(box, wanted.clip(0, whole), atol=0.05)


def test_the_example_takes_a_photograph_whose_shorter_side_would_vanish(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, values = run_example(photograph(folder, 2000, 3), monkeypatch)
    assert values["square"].shape == (SIDE, SIDE, 3)


@pytest.mark.parametrize(
    ("file", "name", "shape"),
    [
        ("results/export/RUN.onnx", "output", [1, 300, 6]),
        (f"bare/{TRUNK.name}.onnx", "output", [1, 4 + len(CLASSES), CANDIDATES]),
        (f"suppressed/{TRUNK.name}_nms.onnx", "detections", [1, "detections", 6]),
    ],
)
def test_files_have_the_inputs_and_outputs_of_the_tables(file: str, name: str, shape: list[Any], folder: Path) -> None:
    session = onnxruntime.InferenceSession(folder / file, providers=["CPUExecutionProvider"])
    [taken], [given] = session.get_inputs(), session.get_outputs()
    assert (taken.name, taken.type, taken.shape) == ("image", "tensor(float)", [1, 3, SIDE, SIDE])
    assert (given.name, given.type, given.shape) == (name, "tensor(float)", shape)
    pixels = letterbox(folder / "image.jpg", SIDE).pixels[None]
    [output] = session.run(None, {"image": pixels})
    if name == "detections":
        assert len(output[0]) > 0
        assert output[0, :, 4].min() > 0.25
    if shape[-1] == 6:
        assert list(output[0, :, 4]) == sorted(output[0, :, 4], reverse=True)


def test_torchscript_takes_one_image_of_its_side_and_nothing_else(folder: Path) -> None:
    module = torch.jit.load(str(folder / "results" / "export" / f"{TRUNK.name}.torchscript"))
    for shape in ((2, 3, SIDE, SIDE), (1, 3, SIDE, SIDE // 2)):
        with pytest.raises(Exception, match=rf"takes an image of shape \[1, 3, {SIDE}, {SIDE}\]"):
            module(torch.zeros(shape))


def test_names_and_side_are_where_the_table_says(folder: Path) -> None:
    names, out = dict(enumerate(CLASSES)), folder / "results" / "export"
    facts = onnxruntime.InferenceSession(out / "RUN.onnx").get_modelmeta().custom_metadata_map
    assert (ast.literal_eval(facts["names"]), ast.literal_eval(facts["imgsz"])) == (names, [SIDE, SIDE])
    assert (facts["end2end"], facts["fit"]) == ("True", "letterbox")
    place = out / f"{TRUNK.name}_openvino_model"
    assert yaml.safe_load((place / "metadata.yaml").read_text(encoding="utf-8"))["names"] == names
    assert "model_info" in next(place.glob("*.xml")).read_text(encoding="utf-8")
    extra = {"config.txt": ""}
    torch.jit.load(str(out / f"{TRUNK.name}.torchscript"), _extra_files=extra)
    assert json.loads(extra["config.txt"])["names"] == {str(index): name for index, name in names.items()}
