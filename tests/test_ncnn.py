"""ncnn computes the network it was given; without its packages, and where it lacks an operator, it says so."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from helpers import drawn_run
from tiny_network import NCNN, PHOTOS, SIDE, Tiny, lively, loaded
from torch import Tensor, nn

from mnv4bench.cost.arms import deployed
from mnv4bench.deploy.export import export
from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.latency.runtimes import outputs
from mnv4bench.latency.runtimes.export import AllCandidates
from mnv4bench.latency.runtimes.ncnn import NAME, Ncnn, unknown_operators
from mnv4bench.latency.runtimes.runtime import Deployment
from mnv4bench.models.nms import read_top
from mnv4bench.spec.model import Read

pytestmark = pytest.mark.usefixtures("process_settings")
installed = pytest.mark.skipif(
    not NCNN, reason="ncnn or pnnx is not installed: pip install '.[ncnn]' in this project's folder"
)


# What is computed


@installed
@pytest.mark.parametrize("read", ["nms", "nms_free"])
def test_ncnn_agrees_with_the_unfused_network(read: Read) -> None:
    model = lively(read)
    runtime = loaded("ncnn", deployed(model), read)
    for photo in PHOTOS:
        with torch.inference_mode():
            expected = model(torch.from_numpy(photo)[None])[0][0].numpy()
        assert outputs.disagreement(runtime(photo), expected, read, SIDE) < outputs.TOLERANCE


@installed
def test_an_output_belongs_to_the_caller_and_threads_are_those_asked_for() -> None:
    runtime: Any = loaded("ncnn", Tiny().eval(), threads=2)
    first = runtime(PHOTOS[0])
    kept = first.copy()
    assert not np.array_equal(runtime(PHOTOS[1]), kept)
    assert np.array_equal(first, kept)
    assert runtime.net.opt.num_threads == 2
    assert not runtime.net.opt.use_fp16_arithmetic


@installed
def test_an_operator_that_ncnn_lacks_is_named() -> None:
    with pytest.raises(Mnv4benchError, match=r"^ncnn has no torch\.topk$"):
        loaded("ncnn", Best())


class Best(nn.Module):
    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (image.flatten(2).topk(9, dim=2).values,)


def test_all_candidates_of_a_one_to_one_head_hold_what_it_chooses() -> None:
    network = deployed(lively("nms_free"))
    with torch.inference_mode():
        chosen = network(torch.from_numpy(PHOTOS[0])[None])[0][0].numpy()
        candidates = AllCandidates(copy.deepcopy(network))(torch.from_numpy(PHOTOS[0])[None])[0].numpy()
    rows = read_top(*outputs.corners(candidates), outputs.LIMIT)
    assert outputs.disagreement(rows, chosen, "nms_free", SIDE) < outputs.TOLERANCE


def test_a_head_that_chooses_in_a_way_of_its_own_is_refused() -> None:
    with pytest.raises(Mnv4benchError, match="how its head chooses the highest scores is not known"):
        AllCandidates(Tiny())


# Absence, and what goes wrong: none of these needs the packages


@pytest.mark.parametrize("package", ["ncnn", "pnnx"])
def test_a_missing_package_is_named_with_what_brings_it(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ncnn", "pnnx"):
        monkeypatch.setitem(sys.modules, name, None if name == package else SimpleNamespace())  # type: ignore[arg-type]
    with pytest.raises(
        ImportError, match=rf"^{package} is not installed: pip install '\.\[ncnn\]' in this project's folder$"
    ):
        Ncnn()


def test_an_export_without_the_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ncnn", None)  # type: ignore[arg-type]
    record = export(str(drawn_run(tmp_path)), ["ncnn", "torchscript"], tmp_path / "out")
    assert record.failed == {"ncnn": "ncnn is not installed: pip install '.[ncnn]' in this project's folder"}
    assert [file.format for file in record.files] == ["torchscript"]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'out of memory' >&2; exit 3", "^pnnx stopped with 3: out of memory$"),
        (f"printf '7767517\\n1 1\\ntorch.gather g 0 1 a\\n' > $OUT/{NAME}.param", r"^ncnn has no torch\.gather$"),
    ],
)
def test_a_failed_conversion_says_why(
    script: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    converter = tmp_path / "pnnx"
    converter.write_text(f"#!/bin/sh\n{script}\n")
    converter.chmod(0o755)
    monkeypatch.setenv("OUT", str(tmp_path))
    monkeypatch.setitem(sys.modules, "ncnn", SimpleNamespace())  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "pnnx", SimpleNamespace(EXEC_PATH=str(converter)))  # type: ignore[arg-type]
    with pytest.raises(Mnv4benchError, match=message):
        Ncnn().convert(Deployment(Tiny().eval(), SIDE, 1, "nms"), tmp_path)


def test_operators_that_pnnx_left_alone_are_told_from_ncnns() -> None:
    param = "7767517\n4 3\nInput in0 0 1 in0\nConvolution a 1 1 in0 1\naten::sort s 1 1 1 2\ntorch.topk t 1 1 2 3\n"
    assert unknown_operators(param) == ["aten::sort", "torch.topk"]
