"""Other detectors: their counts beside the published ones, and that what is counted computes what it should."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from ultralytics import YOLO

from mnv4bench.cost import tracing
from mnv4bench.cost.counting import deployed, macs, parameters
from mnv4bench.io.errors import Mnv4benchError, SpecError
from mnv4bench.latency.runtimes.onnxruntime import OnnxRuntime
from mnv4bench.latency.runtimes.outputs import TOLERANCE, disagreement
from mnv4bench.latency.runtimes.runtime import Deployment
from mnv4bench.ledger import costs
from mnv4bench.models import alternatives, build, yolo
from mnv4bench.models.published import designs, ladder, networks
from mnv4bench.models.yolov10 import SCALES
from mnv4bench.spec.model import Read

# Counts

TABLE_1 = {  # name: parameters fused, parameters while training, G of convolutions, M and G as printed
    "yolov8n": (3151904, 3157200, "8.74", "3.2", "8.7"),
    "yolov8s": (11156544, 11166560, "28.60", "11.2", "28.6"),
    "yolov8m": (25886080, 25902640, "78.94", "25.9", "78.9"),
    "yolov8l": (43668288, 43691520, "165.15", "43.7", "165.2"),
    "yolov8x": (68200608, 68229648, "257.80", "68.2", "257.8"),
    "yolov10n": (2299264, 2775520, "6.70", "2.3", "6.7"),
    "yolov10s": (7248960, 8128272, "21.58", "7.2", "21.6"),
    "yolov10m": (15359488, 16576768, "59.10", "15.4", "59.1"),
    "yolov10b": (19065792, 20574384, "91.95", "19.1", "92.0"),
    "yolov10l": (24371008, 25888688, "120.34", "24.4", "120.3"),
    "yolov10x": (29473568, 31808960, "160.38", "29.5", "160.4"),
}

LADDER = {  # Tables 2, 5 and 10: name: parameters fused, G of convolutions, M and G as printed
    "yolov10s+nms": (11156544, "28.60", "11.2", "28.6"),
    "yolov10s+base": (11156544, "28.60", "11.2", "28.6"),
    "yolov10s+cls": (9858624, "23.51", "9.9", "23.5"),
    "yolov10s+downs": (8033856, "22.21", "8.0", "22.2"),
    "yolov10s+block": (6219840, "20.76", "6.2", "20.8"),
    "yolov10s+lk": (6260800, "20.79", None, None),
    "yolov10s+psa": (7248960, "21.58", "7.2", "21.6"),
    "yolov10m+nms": (25886080, "78.94", "25.9", "78.9"),
    "yolov10m+base": (25886080, "78.94", "25.9", "78.9"),
    "yolov10m+cls": (23249152, "67.68", "23.2", "67.7"),
    "yolov10m+downs": (19723648, "65.04", "19.7", "65.0"),
    "yolov10m+block": (14109568, "58.10", "14.1", "58.1"),
    "yolov10m+psa": (15359488, "59.10", "15.4", "59.1"),
}

YOLOV9 = {  # the release's table: M and G as printed
    "yolov9t": ("2.0", "7.7"),
    "yolov9s": ("7.1", "26.4"),
    "yolov9m": ("20.0", "76.3"),
    "yolov9c": ("25.3", "102.1"),
    "yolov9e": ("57.3", "189.0"),
}


def millions(count: int) -> str:
    return f"{count / 1e6:.1f}"


def billions(count: int, digits: int = 1) -> str:
    return f"{count / 1e9:.{digits}f}"


@pytest.mark.parametrize("name", TABLE_1)
def test_every_cell_of_table_1_comes_out(name: str) -> None:
    params, train_params, conv, printed_params, printed_flops = TABLE_1[name]
    cost = costs.detector_cost(name)
    assert (cost.params, cost.train_params) == (params, train_params)
    assert billions(cost.conv_flops, 2) == conv
    assert (millions(cost.params), billions(cost.profiled_flops)) == (printed_params, printed_flops)


@pytest.mark.parametrize("name", LADDER)
def test_every_step_from_yolov8_to_yolov10_comes_out(name: str) -> None:
    params, conv, printed_params, printed_flops = LADDER[name]
    cost = costs.detector_cost(name)
    assert (cost.params, billions(cost.conv_flops, 2)) == (params, conv)
    if printed_params:
        assert (millions(cost.params), billions(cost.profiled_flops)) == (printed_params, printed_flops)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name[-1] in "me" else name for name in YOLOV9]
)
def test_yolov9_comes_out_as_released(name: str) -> None:
    cost = costs.detector_cost(name)
    assert (millions(cost.params), billions(cost.profiled_flops)) == YOLOV9[name]


def test_rtdetr_comes_out_with_linear_layers_and_without_attentions_products() -> None:
    pytest.importorskip("transformers")
    cost = costs.detector_cost("rtdetr-r18")
    assert f"{cost.params / 1e6:.0f}" == f"{cost.train_params / 1e6:.0f}" == "20"
    assert cost.profiled_flops == cost.conv_flops + cost.linear_flops
    assert billions(cost.profiled_flops, 0) == "60"
    assert billions(cost.conv_flops, 0) == "50"
    assert billions(cost.flops, 0) == "61"


def test_the_branches_of_yolov8s_head_cost_what_the_paper_says() -> None:
    head = costs.head_cost("yolov8s")
    cls, box = head.classification, head.regression
    assert (billions(cls.conv_flops, 2), f"{cls.params / 1e6:.2f}") == ("5.95", "1.51")
    assert (billions(box.conv_flops, 2), f"{box.params / 1e6:.2f}") == ("2.34", "0.64")


def test_a_dual_heads_branches_are_those_that_are_deployed() -> None:
    light, heavy = (costs.head_cost(name, 64) for name in ("yolov10n+cls", "yolov10n+base"))
    fused = deployed(networks.build("yolov10n+cls"))
    assert light.classification.params == parameters(fused.model[-1].one2one_cv3) < heavy.classification.params
    assert light.regression == heavy.regression


@pytest.mark.parametrize(
    "name", ["yolov8n", "yolov9t", "yolov10n", "yolo11n", "yolo26n", "yolov10s+psa=2", "mnv4-yolov10n"]
)
def test_flops_equal_torchs_own_counter(name: str) -> None:
    fused = deployed(networks.build(name))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        fused(torch.zeros(1, 3, 128, 128))
    assert costs.detector_cost(name, 128).flops == counter.get_total_flops()


def test_a_convolution_that_would_be_lost_is_refused() -> None:
    class Direct(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.convolution(x, torch.ones(1, 3, 3), None, [1], [0], [1], False, [0], 1)

    with pytest.raises(Mnv4benchError, match=r"weights of shape \(1, 3, 3\) cannot be counted"):
        macs(Direct(), torch.zeros(1, 3, 8))


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("given", [{}, {"stride": 2, "padding": 1}, {"dilation": 2, "padding": 2, "groups": 2}])
def test_convolutions_of_all_kinds_are_counted(axes: int, given: dict[str, int]) -> None:
    image, groups = torch.zeros(1, 4, *(12, 10, 9)[:axes]), given.get("groups", 1)
    for kind, extra in (
        (f"Conv{axes}d", {}),
        (f"ConvTranspose{axes}d", {"output_padding": 1 if "stride" in given else 0}),
    ):
        layer = getattr(nn, kind)(4, 6, 3, **given, **extra)
        found = layer(image)
        where = found if extra == {} else image  # each of these places meets the whole kernel once
        assert macs(nn.Sequential(layer), image)[""].conv == where[0, 0].numel() * 4 * 6 * 3**axes // groups
        with tracing.shapes_only():
            assert layer(image).shape == found.shape


def test_attention_that_would_be_lost_is_refused() -> None:
    class Attention(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.scaled_dot_product_attention(x, x, x)

    with pytest.raises(Mnv4benchError, match=r"Attention .* write it as matmul"):
        macs(Attention(), torch.zeros(1, 2, 4, 8))


@pytest.mark.parametrize(
    "call", [{}, {"stride": 2, "padding": 1}, {"stride": (1, 3), "padding": (0, 2), "dilation": 2}]
)
def test_a_convolution_that_is_not_computed_has_its_shape(call: dict[str, Any]) -> None:
    image, weight = torch.ones(2, 4, 20, 17), torch.ones(6, 2, 3, 5)
    wanted = nn.functional.conv2d(image, weight, groups=2, **call)
    with tracing.shapes_only():
        found = nn.functional.conv2d(image, weight, groups=2, **call)
    assert found.shape == wanted.shape
    assert not found.any()


# Networks


@pytest.mark.parametrize("scale", SCALES)
def test_the_last_step_is_the_released_network(scale: str) -> None:
    ours = ladder.rows(designs.steps(scale)["psa"])
    theirs = yolo.released(f"v10/yolov10{scale}.yaml", scale)
    assert ours["scales"][scale] == tuple(theirs["scales"][scale])
    for part in ("backbone", "head"):
        assert [_normal(row) for row in ours[part]] == [_normal(row) for row in theirs[part]]


def _normal(row: list[Any]) -> list[Any]:
    """Return a row without its last flags that are False, as they are by default; YAML reads None as text."""
    source, repeats, kind, arguments = row
    arguments = [None if argument == "None" else argument for argument in arguments]
    while arguments and arguments[-1] is False:
        arguments = arguments[:-1]
    return [source, repeats, kind, arguments]


@pytest.mark.parametrize(
    "name", [name for name, design in designs.designs().items() if name.startswith("yolov10s+") and design.dual]
)
def test_fusing_a_step_leaves_what_it_computes(name: str) -> None:
    model = networks.build(name, 3).eval()
    _shake(model)
    fused = deployed(model)
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted, found = (network(image)[0][0].numpy() for network in (model, fused))
    assert disagreement(found, wanted, "nms_free", 64) < 1e-4
    assert not any(isinstance(part, nn.BatchNorm2d) for part in fused.modules())


def _shake(model: nn.Module) -> None:
    """Give batch norms statistics that would betray a wrong fusion, and scores that tell candidates apart."""
    generator = torch.Generator().manual_seed(0)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1, generator=generator)
            part.running_var.uniform_(0.5, 2, generator=generator)
            part.weight.data.uniform_(0.5, 2, generator=generator)
            part.bias.data.normal_(0, 0.1, generator=generator)


def test_a_variant_differs_from_its_step_by_its_part_alone() -> None:
    """Tables 7, 8 and 11, by hand, for a scale with 128, 256 and 512 channels at strides 8, 16 and 32."""
    steps = ("downs", "downs=dw-first", "block", "block=irb", "block=irb-dw", "block=8", "block=8-4-7")
    kernels = ("lk", "lk=5", "lk=9", "lk=norep")
    params = {step: parameters(deployed(networks.build(f"yolov10s+{step}"))) for step in (*steps, *kernels)}
    downs = [(128, 256), (256, 512), (256, 256)]  # in and out channels of the three
    swapped = sum(10 * (c2 - c1) for c1, c2 in downs)  # a depthwise 3×3 kernel and a bias of c1 channels, not c2
    assert params["downs"] - params["downs=dw-first"] == swapped
    stages = 2 * [256]  # the channels of the one CIB in each
    assert params["block"] - params["block=irb-dw"] == sum(10 * c for c in stages)
    assert params["block=irb-dw"] - params["block=irb"] == sum(10 * c for c in stages)
    for kernel in (5, 9):
        assert params[f"lk={kernel}"] - params["lk"] == sum(2 * c * (kernel**2 - 49) for c in stages)
    assert params["lk=norep"] == params["lk"]
    assert params["block=8"] > params["block"] > params["block=8-4-7"]


def test_a_second_attention_block_is_another_of_the_same() -> None:
    one, two = (networks.build(name).model[ladder.ATTENTION_LAYER] for name in ("yolov10s+psa", "yolov10s+psa=2"))
    block = parameters(one.attn) + parameters(one.ffn)
    assert parameters(two) - parameters(one) == block
    whole = networks.build("yolov10s+psa=transformer").model[ladder.ATTENTION_LAYER]
    assert whole.attn.key_dim == whole.attn.head_dim == 2 * one.attn.key_dim


def test_a_large_kernel_is_merged_into_one() -> None:
    layer = alternatives.LargeKernel(4, 5).eval()
    _shake(layer)
    image = torch.rand(1, 4, 9, 9, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = layer(image)
        layer.fuse()
        torch.testing.assert_close(layer.forward_fuse(image), wanted)
    assert parameters(layer) == 4 * 25 + 4
    layer.fuse()  # a second time changes nothing
    assert parameters(layer) == 4 * 25 + 4


def test_rtdetr_computes_the_same_when_fused() -> None:
    pytest.importorskip("transformers")
    model = networks.build("rtdetr-r18", 3).eval()
    _shake(model)
    fused = deployed(model)
    image = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        (wanted,), (found,) = model(image), fused(image)
    assert wanted.shape == (1, 300, 6)
    assert disagreement(found[0].numpy(), wanted[0].numpy(), "nms_free", 256) < 1e-4
    assert not any(isinstance(part, nn.BatchNorm2d) for part in fused.modules())
    assert set(wanted[0, :, 5].tolist()) <= {0.0, 1.0, 2.0}


def test_rtdetr_with_fresh_weights_chooses_the_same_queries_in_another_runtime() -> None:
    pytest.importorskip("transformers")
    fused = deployed(networks.build("rtdetr-r18", 80).eval())
    image = np.random.default_rng(0).random((3, 320, 320), dtype=np.float32)
    with torch.no_grad():
        (wanted,) = fused(torch.from_numpy(image)[None])
    there = OnnxRuntime()
    there.load(Deployment(fused, 320, threads=1, read="nms_free"))
    assert disagreement(there(image), wanted[0].numpy(), "nms_free", 320) < TOLERANCE
    assert len(wanted[0, :, 4].unique()) > 200  # anchors that all score the same would be no test


def test_rtdetrs_rows_are_its_best_scores_and_corner_boxes() -> None:
    from mnv4bench.models.published.rtdetr import RTDetr

    class Network(nn.Module):
        def forward(self, images: Tensor) -> Any:
            class Output:
                logits = torch.tensor([[[-1.0, 2.0], [3.0, -9.0]]])
                pred_boxes = torch.tensor([[[0.5, 0.5, 0.2, 0.4], [0.25, 0.5, 0.5, 1.0]]])

            return Output

    (rows,) = RTDetr(Network(), 2)(torch.zeros(1, 3, 100, 200))
    first, second = 1 / (1 + torch.exp(torch.tensor([-3.0, -2.0])))
    torch.testing.assert_close(rows[0], torch.tensor([[0, 0, 100, 100, first, 0], [80, 30, 120, 70, second, 1]]))


def test_rtdetr_is_not_wrapped_as_a_network_of_ultralytics() -> None:
    import mnv4bench
    from mnv4bench.models.published.rtdetr import RTDetr

    with pytest.raises(SpecError, match=r"no network of ultralytics, .* call it on images .*mnv4bench export"):
        mnv4bench.as_yolo(RTDetr(nn.Identity(), 2))


def test_without_transformers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(Mnv4benchError, match=r"pip install '\.\[peers\]'"):
        networks.build("rtdetr-r18")


# The catalogue


def test_equal_seeds_draw_equal_weights_whatever_was_built_before() -> None:
    before = torch.get_rng_state()
    first = networks.build("yolov10n").state_dict()
    networks.build("yolov8n")  # ultralytics keeps the form of its heads per class
    second = networks.build("yolov10n").state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(
        first["model.0.conv.weight"], networks.build("yolov10n", seed=1).state_dict()["model.0.conv.weight"]
    )
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "name", ["yolov8n", "yolov9t", "yolov10n", "yolo11n", "yolo26n", "yolov10n+nms", "yolov10n+cls"]
)
def test_the_output_is_of_the_form_that_it_is_read_in(name: str) -> None:
    model = networks.build(name, 7).eval()
    with torch.no_grad():
        output = model(torch.zeros(1, 3, 160, 160))[0]
    anchors = sum((160 // stride) ** 2 for stride in (8, 16, 32))
    assert output.shape == {"nms": (1, 4 + 7, anchors), "nms_free": (1, 300, 6)}[networks.read_of(name)]


def test_the_families_are_there_and_an_unknown_name_is_refused_with_a_guess() -> None:
    assert {"yolov8x", "yolov10b", "yolov9c", "yolo11n", "yolo26s", "rtdetr-r18", "mnv4-yolov10s"} <= set(
        networks.names()
    )
    with pytest.raises(SpecError, match="did you mean 'yolov10s'"):
        networks.build("yolov10-s")


def test_a_digest_tells_names_sizes_and_code_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = [costs.digest("yolov8n"), costs.digest("yolov8s"), costs.digest("yolov8n", 320)]
    assert len({*digests, costs.digest("yolov8n", 640, 3)}) == 4
    assert costs.digest("yolov8n") == digests[0]
    monkeypatch.setattr(costs, "_provenance", lambda: ({"ladder.py": "edited"}, {}))
    assert costs.digest("yolov8n") != digests[0]
    with pytest.raises(SpecError):
        costs.digest("unknown")


# Checkpoints


def checkpoint(folder: Path, definition: str) -> Path:
    """Save an untrained network as ultralytics does."""
    path = folder / "network.pt"
    YOLO(definition).save(path)
    return path


@pytest.mark.parametrize(
    ("definition", "read"), [("yolov8n.yaml", "nms"), ("yolov10n.yaml", "nms_free"), ("yolo26n.yaml", "nms_free")]
)
def test_a_checkpoint_of_ultralytics_is_deployed_as_it_is_read(definition: str, read: Read, tmp_path: Path) -> None:
    model, found, names = yolo.load_checkpoint(checkpoint(tmp_path, definition))
    assert (found, names[:2], len(names)) == (read, ("0", "1"), 80)
    assert not model.training
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    image = torch.rand(1, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted, fused = model(image)[0][0], deployed(model)
        output = fused(image)[0][0]
    assert disagreement(output.numpy(), wanted.numpy(), read, 160) < 1e-4
    assert parameters(fused) == costs.detector_cost(Path(definition).stem, 64).params


def test_our_own_checkpoint_keeps_its_reading(tmp_path: Path) -> None:
    import mnv4bench

    path = tmp_path / "ours.pt"
    mnv4bench.as_yolo(build("mnv4-yolov10n", 3, read="nms")).save(path)
    model, read, names = yolo.load_checkpoint(path)
    assert (read, len(names)) == ("nms", 3)
    assert model.read == "nms"


def test_a_checkpoint_for_another_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        Mnv4benchError, match=r"network\.pt: holds a network for 'segment' that ends in Segment; allowed"
    ):
        yolo.load_checkpoint(checkpoint(tmp_path, "yolov8n-seg.yaml"))
    with pytest.raises(Mnv4benchError, match="'classify'"):
        yolo.load_checkpoint(checkpoint(tmp_path, "yolov8n-cls.yaml"))


def test_what_is_no_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Mnv4benchError, match=r"absent\.pt: no such checkpoint"):
        yolo.load_checkpoint(tmp_path / "absent.pt")
    torn = tmp_path / "torn.pt"
    torn.write_bytes(b"not a checkpoint")
    with pytest.raises(Mnv4benchError, match=r"torn\.pt: not a checkpoint"):
        yolo.load_checkpoint(torn)
