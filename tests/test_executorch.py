"""ExecuTorch computes the network it was given; without its package it says what to install."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from helpers import CLASSES, SIDE, drawn_run
from tiny_network import EXECUTORCH, PHOTOS, Tiny, lively, loaded
from ultralytics import YOLO

from mnv4bench.cost.arms import deployed
from mnv4bench.deploy.export import export
from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.latency.runtimes import outputs
from mnv4bench.latency.runtimes.executorch import ExecuTorch
from mnv4bench.spec.model import Read

pytestmark = pytest.mark.usefixtures("process_settings")
installed = pytest.mark.skipif(not EXECUTORCH, reason="executorch is not installed: pip install executorch")


# What is computed


@installed
@pytest.mark.parametrize("read", ["nms", "nms_free"])
def test_executorch_agrees_with_the_unfused_network(read: Read) -> None:
    model = lively(read)
    runtime = loaded("executorch", deployed(model), read)
    for photo in PHOTOS:
        with torch.inference_mode():
            expected = model(torch.from_numpy(photo)[None])[0][0].numpy()
        assert outputs.disagreement(runtime(photo), expected, read, SIDE) < outputs.TOLERANCE


@installed
def test_an_output_belongs_to_the_caller() -> None:
    runtime: Any = loaded("executorch", Tiny().eval())
    first = runtime(PHOTOS[0])
    kept = first.copy()
    assert not np.array_equal(runtime(PHOTOS[1]), kept)
    assert np.array_equal(first, kept)


@installed
def test_threads_are_those_that_were_asked_for_or_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for threads in (2, 1):
        runtime: Any = loaded("executorch", Tiny().eval(), threads=threads)
        assert runtime.threads._threadpool_get_thread_count() == threads
    monkeypatch.setattr(runtime.threads, "_unsafe_reset_threadpool", lambda threads: None)
    with pytest.raises(Mnv4benchError, match="runs in 1 threads where 2 were asked for"):
        loaded("executorch", Tiny().eval(), threads=2)


@installed
@pytest.mark.parametrize("read", ["nms", "nms_free"])
def test_ultralytics_reads_names_and_boxes_of_a_folder(read: Read, tmp_path: Path) -> None:
    run = drawn_run(tmp_path)
    record = export(f"{run}:{read}", ["executorch", "onnx"], tmp_path / "out")
    assert record.failed == {}
    folder, other = (tmp_path / "out" / written.file for written in record.files)
    facts = yaml.safe_load((folder / "metadata.yaml").read_text(encoding="utf-8"))
    assert (list(facts["names"].values()), facts["imgsz"]) == (list(CLASSES), [SIDE, SIDE])
    image = (PHOTOS[0].transpose(1, 2, 0) * 255).astype(np.uint8)
    found, expected = (
        YOLO(path, task="detect").predict(image, imgsz=SIDE, conf=0.001, verbose=False)[0].boxes.data.numpy()
        for path in (folder, other)
    )
    assert len(expected) > 0
    np.testing.assert_allclose(found, expected, atol=1e-2)


# Absence: it needs no package


def test_a_missing_package_is_named_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "executorch", None)  # type: ignore[arg-type]
    with pytest.raises(ImportError, match=r"^executorch is not installed: pip install executorch$"):
        ExecuTorch()


def test_an_export_without_the_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "executorch", None)  # type: ignore[arg-type]
    record = export(str(drawn_run(tmp_path)), ["executorch", "torchscript"], tmp_path / "out")
    assert record.failed == {"executorch": "executorch is not installed: pip install executorch"}
    assert [file.format for file in record.files] == ["torchscript"]
