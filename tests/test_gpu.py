"""A GPU does what the CPU does: it trains, resumes, scores and deploys. Skipped where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import SIDE, tiny_dataset, tiny_run, train_until_killed
from tiny_network import PHOTOS, check_suppression_in_the_graph, lively, loaded

from mnv4bench.cost.arms import deployed
from mnv4bench.evaluate.detections import detect
from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import read_json, write_json
from mnv4bench.latency.measure.agreement import scored, unexplained
from mnv4bench.latency.runtimes import outputs
from mnv4bench.latency.runtimes.registry import GPU_RUNTIMES, RUNTIMES
from mnv4bench.machine.process import set_up_process
from mnv4bench.spec.model import Read
from mnv4bench.spec.run import DistillSpec, RunSpec
from mnv4bench.train.run import prepare, train

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU"),
    pytest.mark.usefixtures("process_settings"),
]

GPU = {"device": "cuda"}
MIXED = {"device": "cuda", "precision": "amp"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("data"))


def first_losses(spec: RunSpec, data: Path, runs: Path) -> np.ndarray:
    """Return box, class, distance and distillation losses of a run's first step."""
    set_up_process(1)
    trainer, batches = prepare("run", spec, data, runs)
    trainer.model.train()
    return trainer.step_on(next(iter(batches(0)))).cpu().numpy()


@pytest.mark.parametrize(("where", "tolerance"), [(GPU, 2e-4), (MIXED, 5e-2)], ids=["fp32", "amp"])
def test_the_first_step_loses_what_it_loses_on_the_cpu(
    where: dict[str, Any], tolerance: float, data: Path, tmp_path: Path
) -> None:
    expected = first_losses(tiny_run(), data, tmp_path / "cpu")
    found = first_losses(tiny_run(train=where), data, tmp_path / "gpu")
    assert (expected[:3] > 0.1).all()
    np.testing.assert_allclose(found, expected, rtol=tolerance)


@pytest.mark.parametrize("where", [GPU, MIXED], ids=["fp32", "amp"])
@pytest.mark.parametrize("teacher", [False, True], ids=["plain", "distilled"])
def test_a_killed_run_ends_with_the_same_bytes(
    where: dict[str, Any], teacher: bool, data: Path, tmp_path: Path
) -> None:
    more: dict[str, Any] = {}
    if teacher:
        for runs in (tmp_path / "one", tmp_path / "other"):
            assert train("teacher", tiny_run(train=where), data, runs).state == "done"
        more = {"teacher": "teacher", "distill": DistillSpec(features=1.0, logits=1.0, boxes=1.0)}
    spec = tiny_run(3, train=where, **more)
    assert train("run", spec, data, tmp_path / "one").state == "done"
    train_until_killed(tmp_path / "other" / "run", spec, data, step=3)
    assert train("run", spec, data, tmp_path / "other").state == "done"
    for name in ("weights.safetensors", "curve.csv", "pairing.json"):
        assert (tmp_path / "one" / "run" / name).read_bytes() == (tmp_path / "other" / "run" / name).read_bytes(), name


def test_scoring_finds_what_the_cpu_finds(data: Path, tmp_path: Path) -> None:
    set_up_process(1)
    images = read_json(data / "annotations/val.json")["images"]
    for device in ("cpu", "cuda"):
        results = detect(lively("nms").to(device), images, data / "images/val", SIDE, (0, 1))
        write_json(tmp_path / device, results)
    for read in ("nms", "nms_free"):
        cpu, gpu = (scored(tmp_path / device, [read], (0, 1))[read] for device in ("cpu", "cuda"))
        for image in (one["id"] for one in images):
            assert 10 < len(cpu[image]) < 100  # of 100 at most, so that none is cut off
            assert unexplained(gpu[image], cpu[image], SIDE) == 0


def present(name: str) -> str:
    try:
        RUNTIMES[name]()
    except (ImportError, Mnv4benchError) as absent:
        pytest.skip(str(absent))
    return name


@pytest.mark.parametrize("name", GPU_RUNTIMES)
@pytest.mark.parametrize("read", ["nms", "nms_free"])
def test_gpu_runtimes_agree_with_the_unfused_network(name: str, read: Read) -> None:
    model = lively(read)
    runtime = loaded(present(name), deployed(model), read)
    for photo in PHOTOS:
        with torch.inference_mode():
            expected = model(torch.from_numpy(photo)[None])[0][0].numpy()
        assert outputs.disagreement(runtime(photo), expected, read, SIDE) < outputs.TOLERANCE


@pytest.mark.parametrize("name", [name for name in GPU_RUNTIMES if RUNTIMES[name].graph_nms])
def test_suppression_in_the_graph_finds_what_it_finds_outside(name: str) -> None:
    check_suppression_in_the_graph(present(name))
