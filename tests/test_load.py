"""`mnv4bench.load`: a trained network in Python, as README and docs/deploy.md show it."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from helpers import CLASSES, ROOT, SIDE, drawn_run, images
from ultralytics import YOLO

import mnv4bench
from mnv4bench.data.scenes import scene
from mnv4bench.io.errors import Mnv4benchError, SpecError
from mnv4bench.results.metrics import read_metrics
from mnv4bench.results.run import read_spec, read_status

pytestmark = pytest.mark.usefixtures("process_settings")

TRUNK = ROOT / "results/reference/trunks/trunk-65852555ef0c-s0"
DOCUMENTS = ("README.md", "docs/deploy.md")


def photograph(path: Path, index: int) -> set[str]:
    """Write a scene as a JPEG file and return the classes of its objects."""
    pixels, boxes = scene(0, "val", index, 160)
    cv2.imwrite(str(path), pixels[:, :, ::-1])
    return {label for label, *_ in boxes}


def test_a_shipped_trunk_names_what_it_sees(tmp_path: Path) -> None:
    model = mnv4bench.load(TRUNK)
    yolo = mnv4bench.as_yolo(model)
    assert yolo.overrides["imgsz"] == read_spec(TRUNK).data.imgsz == 160
    right = 0
    for index in range(8):
        there = photograph(tmp_path / "image.jpg", index)
        [found] = yolo.predict(tmp_path / "image.jpg", verbose=False)
        assert found.names == dict(enumerate(read_status(TRUNK).classes))
        right += bool(there & {found.names[int(label)] for label in found.boxes.cls})
    assert right >= 6


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_lines_of_the_documents_find_something(
    document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    block = re.search(r"ordinary ultralytics models?:\n\n((?: {4}.*\n)+)", text)
    assert block is not None
    monkeypatch.chdir(tmp_path)
    photograph(tmp_path / "image.jpg", 1)
    values: dict[str, Any] = {}
    exec(textwrap.dedent(block[1]).replace("results/mine/runs/RUN", str(TRUNK)), values)
    assert len(values["found"].boxes) > 0


def test_a_run_is_loaded_with_its_weights_and_in_either_reading(tmp_path: Path) -> None:
    run = drawn_run(tmp_path)
    free, with_nms = mnv4bench.load(run), mnv4bench.load(f"{run}:nms")
    assert free.names == dict(enumerate(CLASSES))
    assert (free.imgsz, free.training) == (SIDE, False)
    with torch.no_grad():
        assert free(images(1))[0].shape[-1] == 6
        assert with_nms(images(1))[0].shape[1] == 4 + len(CLASSES)
    assert set(read_metrics(run).readings) == {"nms", "nms_free"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_ultralytics_names_its_exported_file_after_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = drawn_run(tmp_path).rename(tmp_path / "hello-world.1")  # a word that ultralytics takes for another model
    monkeypatch.chdir(tmp_path)
    assert mnv4bench.as_yolo(mnv4bench.load(run)).export(format="torchscript") == "hello-world.1.torchscript"


@pytest.mark.parametrize("kind", ["ours", "ultralytics"])
def test_a_checkpoint_is_loaded_and_predicts(kind: str, tmp_path: Path) -> None:
    yolo = mnv4bench.as_yolo(mnv4bench.build("mnv4-yolov10n", 2)) if kind == "ours" else YOLO("yolov10n.yaml")
    yolo.save(tmp_path / "own.pt")
    photograph(tmp_path / "image.jpg", 0)
    again = mnv4bench.as_yolo(mnv4bench.load(tmp_path / "own.pt"))
    assert again.overrides["imgsz"] == 640
    [found] = again.predict(tmp_path / "image.jpg", imgsz=64, conf=0.0, verbose=False)
    assert len(found.boxes) > 0
    assert found.names == yolo.names


def test_what_has_not_learned_is_refused_and_build_knows_where_a_run_is_read(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"yolov10n: a catalogue name has fresh weights; .* with mnv4bench\.build"):
        mnv4bench.load("yolov10n")
    with pytest.raises(SpecError, match=r"no model '.*trunk-.*'; mnv4bench\.load reads what was trained; allowed: "):
        mnv4bench.build(str(TRUNK))
    (tmp_path / "note.pt").write_text("no weights")
    with pytest.raises(Mnv4benchError, match=r"note\.pt: not a checkpoint of torch\.save: it begins with text"):
        mnv4bench.load(tmp_path / "note.pt")
