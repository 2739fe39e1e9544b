"""Published weights: found in a folder, fetched from the hub, refused with a remedy; no network is touched here."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers import images, spread
from safetensors.torch import save_file
from torch import nn

from mnv4bench.io.errors import Mnv4benchError, SpecError
from mnv4bench.io.files import sha256
from mnv4bench.io.places import BACKBONE_VARIABLE
from mnv4bench.models import torchvision_ops
from mnv4bench.models.mobilenetv4.network import backbone
from mnv4bench.models.mobilenetv4.pretrained import MEAN, STD, find, load_pretrained
from mnv4bench.models.mobilenetv4.variants import VARIANTS
from mnv4bench.spec.pretrained import CHECKPOINTS

SMALL = "mnv4_conv_small"
NAMED = f"{CHECKPOINTS[SMALL]}.safetensors"


@pytest.fixture(scope="module")
def reference() -> nn.Module:
    torchvision_ops.provide()  # timm imports torchvision
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    model: nn.Module = timm.create_model("mobilenetv4_conv_small", pretrained=False).eval()
    spread(model)
    return model


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder of weights, and make every use of the hub fail."""
    monkeypatch.setenv(BACKBONE_VARIABLE, str(tmp_path))
    hub(monkeypatch, ConnectionError("no route to host\nand more"))
    return tmp_path


def hub(monkeypatch: pytest.MonkeyPatch, answer: Path | Exception) -> list[tuple[str, str]]:
    """Put a hub in the real one's place that gives this file or error; return what it is asked for."""
    asked = []

    def hf_hub_download(repo_id: str, filename: str) -> str:
        asked.append((repo_id, filename))
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=hf_hub_download))
    return asked


def test_a_file_in_the_folder_fills_the_trunk_and_its_digest_is_returned(reference: nn.Module, folder: Path) -> None:
    save_file(reference.state_dict(), folder / NAMED)
    trunk = backbone(SMALL, 960)
    assert load_pretrained(trunk, SMALL) == sha256(folder / NAMED)
    assert torch.equal(trunk.blocks[17].conv.weight, reference.blocks[4][0].conv.weight)
    assert torch.equal(trunk.blocks[0].bn.running_var, reference.bn1.running_var)


def test_the_stem_reads_images_in_0_to_1_where_timms_reads_normalised_ones(
    reference: nn.Module, tmp_path: Path
) -> None:
    file = tmp_path / "anything.safetensors"
    save_file(reference.state_dict(), file)
    trunk = backbone(SMALL, 128).eval()
    load_pretrained(trunk, SMALL, file)
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (MEAN, STD))
    x = images(2, 32)
    with torch.no_grad():
        ours, theirs = trunk.blocks[0](x), reference.bn1(reference.conv_stem((x - mean) / std))
    assert theirs.std() > 0.1
    inside = (..., slice(1, None), slice(1, None))  # the first row and column see the padding
    torch.testing.assert_close(ours[inside], theirs[inside], rtol=1e-4, atol=1e-5)


def test_without_a_file_the_hub_is_asked_for_the_checkpoint(
    reference: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cached"
    save_file(reference.state_dict(), file)
    asked = hub(monkeypatch, file)
    load_pretrained(backbone(SMALL, 128), SMALL)
    assert asked == [("timm/mobilenetv4_conv_small.e2400_r224_in1k", "model.safetensors")]


@pytest.mark.parametrize("set_folder", [True, False])
def test_offline_the_error_says_which_file_to_put_where(set_folder: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not set_folder:
        monkeypatch.delenv(BACKBONE_VARIABLE)
    with pytest.raises(Mnv4benchError) as caught:
        find("mnv4_hybrid_medium")
    assert str(caught.value) == (
        "no weights for mnv4_hybrid_medium: the hub cannot be reached (no route to host); save model.safetensors of "
        "the Hugging Face repository timm/mobilenetv4_hybrid_medium.ix_e550_r256_in1k as "
        "$MNV4BENCH_WEIGHTS/mobilenetv4_hybrid_medium.ix_e550_r256_in1k.safetensors"
    )


def test_without_the_hubs_client_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(
        Mnv4benchError, match=r"pip install '\.\[pretrained\]' in this project's folder to download them, or save model"
    ):
        find(SMALL)


def test_an_unreadable_or_absent_file_is_refused_with_the_right_one(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"<html>")
    for file in (damaged, tmp_path / "absent.safetensors"):
        with pytest.raises(Mnv4benchError, match=f"{file.name}: not readable .*timm/mobilenetv4_conv_small.e2400"):
            load_pretrained(backbone(SMALL, 128), SMALL, file)


def test_another_networks_file_is_refused_and_leaves_the_trunk_as_it_was(reference: nn.Module, folder: Path) -> None:
    file = folder / f"{CHECKPOINTS['mnv4_conv_medium']}.safetensors"
    save_file(reference.state_dict(), file)
    trunk = backbone("mnv4_conv_medium", 256)
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    with pytest.raises(SpecError, match=r"does not fit mnv4_conv_medium: .*needs model.safetensors of .*conv_medium"):
        load_pretrained(trunk, "mnv4_conv_medium")
    assert all(torch.equal(value, before[name]) for name, value in trunk.state_dict().items())


def test_every_released_backbone_has_a_checkpoint_that_timm_knows_and_the_printed_one_has_none() -> None:
    torchvision_ops.provide()
    timm = pytest.importorskip("timm")
    assert set(VARIANTS) - set(CHECKPOINTS) == {"mnv4_conv_small_as_printed"}
    for name, checkpoint in CHECKPOINTS.items():
        config = timm.get_pretrained_cfg(checkpoint)
        assert config.hf_hub_id == f"timm/{checkpoint}"
        assert (config.mean, config.std) == (MEAN, STD)
        assert (config.input_size[1], config.num_classes) == (VARIANTS[name].input_side, 1000)
        assert config.license == "apache-2.0"
    with pytest.raises(SpecError, match="no published weights for 'mnv4_conv_small_as_printed'; allowed: mnv4_conv_"):
        find("mnv4_conv_small_as_printed")
