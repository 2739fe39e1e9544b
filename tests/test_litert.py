"""LiteRT computes the network it was given; without its packages it says what to install."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from helpers import CLASSES, SIDE, drawn_run
from tiny_network import LITERT, PHOTOS, Tiny, lively, loaded
from ultralytics import YOLO

from mnv4bench.cost.arms import deployed
from mnv4bench.deploy.export import export
from mnv4bench.latency.runtimes import imports, outputs
from mnv4bench.latency.runtimes.litert import LiteRt
from mnv4bench.spec.model import Read

pytestmark = pytest.mark.usefixtures("process_settings")
installed = pytest.mark.skipif(not LITERT, reason="litert-torch is not installed; docs/deploy.md says how")


# What is computed


@installed
@pytest.mark.parametrize("read", ["nms", "nms_free"])
def test_litert_agrees_with_the_unfused_network(read: Read) -> None:
    model = lively(read)
    runtime = loaded("litert", deployed(model), read)
    for photo in PHOTOS:
        with torch.inference_mode():
            expected = model(torch.from_numpy(photo)[None])[0][0].numpy()
        assert outputs.disagreement(runtime(photo), expected, read, SIDE) < outputs.TOLERANCE


@installed
def test_an_output_belongs_to_the_caller() -> None:
    runtime: Any = loaded("litert", Tiny().eval())
    first = runtime(PHOTOS[0])
    kept = first.copy()
    assert not np.array_equal(runtime(PHOTOS[1]), kept)
    assert np.array_equal(first, kept)


@installed
@pytest.mark.parametrize("read", ["nms", "nms_free"])
def test_ultralytics_reads_names_and_boxes_of_a_file(read: Read, tmp_path: Path) -> None:
    run = drawn_run(tmp_path)
    record = export(f"{run}:{read}", ["litert", "onnx"], tmp_path / "out")
    assert record.failed == {}
    file, other = (tmp_path / "out" / written.file for written in record.files)
    with zipfile.ZipFile(file) as archive:
        facts = json.loads(archive.read("metadata.json"))
    assert (list(facts["names"].values()), facts["imgsz"]) == (list(CLASSES), [SIDE, SIDE])
    image = (PHOTOS[0].transpose(1, 2, 0) * 255).astype(np.uint8)
    found, expected = (
        YOLO(path, task="detect").predict(image, imgsz=SIDE, conf=0.001, verbose=False)[0].boxes.data.numpy()
        for path in (file, other)
    )
    assert len(expected) > 0
    np.testing.assert_allclose(found, expected, atol=1e-2)


# Absence: it needs no package


@pytest.mark.parametrize("package", ["ai_edge_litert", "litert_torch"])
def test_a_missing_package_is_named_with_what_brings_it(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ai_edge_litert", "ai_edge_litert.interpreter", "litert_torch"):
        monkeypatch.setitem(sys.modules, name, None if name == package else SimpleNamespace())  # type: ignore[arg-type]
    with pytest.raises(
        ImportError, match=rf"^{package} is not installed: it needs an environment of its own .*X/bin/pip install CLONE"
    ):
        LiteRt()


def test_an_export_without_the_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)  # type: ignore[arg-type]
    record = export(str(drawn_run(tmp_path)), ["litert", "torchscript"], tmp_path / "out")
    assert record.failed == {"litert": f"ai_edge_litert is not installed: {imports.OWN}"}
    assert [file.format for file in record.files] == ["torchscript"]
