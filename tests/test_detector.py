"""The detector: its sizes, what each field changes, its heads, its loss, and what we rely on in ultralytics."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any, get_args

import pytest
import torch
import ultralytics
from helpers import batch_of, check_branches, images, spread
from torch import Tensor, nn
from ultralytics.nn.modules import Detect
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils.loss import E2EDetectLoss, E2ELoss, v8DetectionLoss

from mnv4bench.io.errors import SpecError
from mnv4bench.models import build, detector
from mnv4bench.models.yolo import Detector
from mnv4bench.spec.model import TAPS, ModelSpec, PartName, Read, contested, readings

HEADS = ("one_to_many", "one_to_one", "dual")
READS: list[tuple[Any, Read]] = [(head, read) for head in HEADS for read in readings(ModelSpec(head=head))]

ALTERNATIVES: dict[str, dict[str, Any]] = {
    "uib": {"uib": "ib"},
    "p5_tap": {"p5_tap": 128},
    "attention": {"attention": "none"},
    "psa2": {"attention": "psa2"},
    "transformer": {"attention": "transformer"},
    "mqa": {"attention": "mqa"},
    "downsample": {"downsample": "conv"},
    "dw_first": {"downsample": "dw_first"},
    "block": {"block": "c2f"},
    "firb": {"block": "c2firb"},
    "firb_dw": {"block": "c2firb_dw"},
    "fuib": {"block": "c2fuib"},
    "block_stages": {"block_stages": ("p4_mid", "p3_out", "p4_out")},
    "kernel": {"kernel": 5},
    "reparameterised": {"reparameterised": False},
    "class_branch": {"class_branch": "full"},
    "head": {"head": "one_to_many"},
}
WHOLE = {"peer", "backbone", "mobile_attention", "scale", "weights", "rows"}
"""Fields that decide the whole network, or have another value only beside another backbone."""


def parts_of(case: str) -> tuple[PartName, ...]:
    """Return the parts that a case contests."""
    found = [parts for _, parts in contested(ModelSpec(**ALTERNATIVES[case]), ModelSpec())]
    return tuple(dict.fromkeys(part for parts in found for part in parts or ()))


@cache
def prototype(head: Any, read: Read | None) -> Detector:
    model = detector.build(ModelSpec(head=head), 2, read=read)
    spread(model)
    return model.eval()


def small(head: Any = "dual", read: Read | None = None) -> Detector:
    """Return a two-class detector with values everywhere, in eval mode."""
    return deepcopy(prototype(head, read))


@cache
def initial(case: str | None = None, seed: int = 0) -> dict[str, Tensor]:
    """Return the part state of a new detector, with the alternative of one field; not to be changed."""
    fields = ALTERNATIVES[case] if case else {}
    return detector.build(ModelSpec(**fields), 2, seed=seed).part_state()


# Sizes


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("mnv4-yolov10n", 4_037_680), ("mnv4-yolov10s", 7_888_784), ("mnv4-yolov10n-as-printed", 5_791_600)],
)
def test_training_form_has_the_published_architectures_parameters_at_80_classes(name: str, parameters: int) -> None:
    model = build(name)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert model.stride.tolist() == [8, 16, 32]
    assert len(model.names) == 80


def test_as_printed_the_network_is_larger_by_the_last_convolution_and_what_reads_it() -> None:
    published, printed = (
        {name: value.numel() for name, value in build(model).part_state().items() if "num_batches" not in name}
        for model in ("mnv4-yolov10n", "mnv4-yolov10n-as-printed")
    )
    c5 = 256
    last = 960 * 1280 + 4 * 1280  # weights, and the batch norm's two parameters and two statistics
    reader = (1280 * 640 + 4 * 640) - (960 * 480 + 4 * 480) + 4 * (640 - 480) * c5  # SPPF's two convolutions
    assert sum(printed.values()) - sum(published.values()) == last + reader


@pytest.mark.parametrize(("backbone", "tap"), [(name, taps[0]) for name, taps in TAPS.items()])
def test_every_backbone_carries_the_detector(backbone: Any, tap: int) -> None:
    model = detector.build(ModelSpec(backbone=backbone, p5_tap=tap), 2).eval()
    assert model.stride.tolist() == [8, 16, 32]
    x = images(1)
    with torch.no_grad():
        assert model(x)[0].shape == (1, 8 * 8 + 4 * 4 + 2 * 2, 6)


def test_an_unknown_model_is_refused_with_the_catalogue() -> None:
    with pytest.raises(
        SpecError, match=r"no model 'mnv4-yolov10m'; did you mean .* allowed: mnv4-yolov10n, mnv4-yolov10s"
    ):
        build("mnv4-yolov10m")


# What a field changes


def shapes(state: dict[str, Tensor], without: tuple[str, ...] = ()) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items() if name.split(".")[0] not in without}


def test_every_contested_field_is_tried() -> None:
    weightless = {"sppf"}  # an activation: test_fidelity
    tried = {field for case in ALTERNATIVES.values() for field in case}
    assert tried == set(ModelSpec.model_fields) - WHOLE - weightless


@pytest.mark.parametrize("case", ALTERNATIVES)
def test_a_field_changes_its_parts_tensors_and_no_other(case: str) -> None:
    base, other, parts = initial(), initial(case), parts_of(case)
    assert parts
    for part in parts:
        mine, theirs = (
            {name: shape for name, shape in shapes(state).items() if name.split(".")[0] == part}
            for state in (base, other)
        )
        assert mine != theirs
    assert shapes(base, parts) == shapes(other, parts)
    common = shapes(base, parts)
    assert len(common) > 200
    assert all(torch.equal(base[name], other[name]) for name in common)


@pytest.mark.parametrize("head", ["one_to_many", "one_to_one"])
def test_every_head_starts_its_first_branch_alike(head: Any) -> None:
    dual, other = initial(), detector.build(ModelSpec(head=head), 2).part_state()
    branch = {name for name in other if name.startswith(("head.cv2", "head.cv3"))}
    assert len(branch) > 50
    assert all(torch.equal(dual[name], other[name]) for name in branch)


def test_both_branches_of_a_dual_head_start_alike() -> None:
    state = initial()
    pairs = [
        (name, name.replace("head.", "head.one2one_")) for name in state if name.startswith(("head.cv2", "head.cv3"))
    ]
    assert all(torch.equal(state[one], state[other]) for one, other in pairs)


def test_equal_seeds_give_equal_values_and_different_seeds_different_ones() -> None:
    one, again, other = initial(), detector.build(ModelSpec(), 2).part_state(), initial(seed=4)
    assert all(torch.equal(value, again[name]) for name, value in one.items())
    convolutions = [name for name, value in one.items() if value.dim() == 4 and not name.startswith("head.dfl")]
    assert len(convolutions) > 100
    assert not any(torch.equal(one[name], other[name]) for name in convolutions)


def test_building_leaves_the_random_state_as_it_was() -> None:
    before = torch.get_rng_state()
    detector.build(ModelSpec(), 2, seed=9)
    assert torch.equal(torch.get_rng_state(), before)


def test_another_model_built_before_changes_nothing() -> None:
    one = initial()
    torch.rand(17)
    DetectionModel("yolov8n.yaml", nc=2, verbose=False)
    again = detector.build(ModelSpec(), 2).part_state()
    assert all(torch.equal(value, again[name]) for name, value in one.items())


def test_part_state_goes_back_whole_and_not_in_part() -> None:
    one, other = detector.build(ModelSpec(), 2, seed=1), detector.build(ModelSpec(), 2, seed=2)
    state = one.part_state()
    assert {name.split(".")[0] for name in state} < set(one.parts)
    other.load_part_state(state)
    assert all(torch.equal(value, other.part_state()[name]) for name, value in state.items())
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_part_state({name: value for name, value in state.items() if not name.startswith("sppf")})
    with pytest.raises(RuntimeError, match="Unexpected key"):
        other.load_part_state({**state, "nowhere.weight": torch.zeros(1)})


# Reading


@pytest.mark.parametrize(("head", "read"), READS)
def test_eval_output_has_the_shape_of_its_reading(head: Any, read: Read) -> None:
    with torch.no_grad():
        output = small(head, read)(images(2))[0]
    anchors = 8 * 8 + 4 * 4 + 2 * 2
    assert output.shape == ((2, anchors, 6) if read == "nms_free" else (2, 4 + 2, anchors))


def test_a_dual_head_reads_nms_free_also_after_ultralytics_asks_for_nms() -> None:
    model = small()
    model.end2end = False  # what predict and val do unless called with nms=False
    model.head.end2end = False
    assert model.end2end
    with torch.no_grad():
        assert model(images(1))[0].shape == (1, 84, 6)


def test_an_impossible_reading_is_refused_with_the_allowed_ones() -> None:
    with pytest.raises(SpecError, match="a one_to_many head cannot be read 'nms_free'; allowed: nms"):
        small("one_to_many", "nms_free")
    with pytest.raises(SpecError, match="a one_to_one head cannot be read 'nms'; allowed: nms_free"):
        small("one_to_one").read = "nms"


def test_a_fused_model_refuses_the_reading_whose_branch_is_gone() -> None:
    model = small()
    model.read = "nms"
    model.fuse()
    with pytest.raises(SpecError, match=r"fused for 'nms'.* set read first"):
        model.read = "nms_free"


@pytest.mark.parametrize(("head", "read"), READS)
def test_branches_decode_what_the_model_returns(head: Any, read: Read) -> None:
    check_branches(small(head, read), ModelSpec(head=head), read)


@pytest.mark.parametrize(("head", "read"), READS)
def test_fusing_keeps_the_detections(head: Any, read: Read) -> None:
    whole, fused = small(head, read), small(head, read)
    fused.fuse()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    assert sum(p.numel() for p in fused.parameters()) < sum(p.numel() for p in whole.parameters())
    with torch.no_grad():
        wanted, output = whole(images(2))[0], fused(images(2))[0]
    assert (wanted[..., 4].std() if read == "nms_free" else wanted[:, 4:].std()) > 0.01
    torch.testing.assert_close(output, wanted, atol=1e-4, rtol=1e-4)


def test_fusing_a_hybrid_keeps_the_levels_and_the_batch_norms_that_follow_no_convolution() -> None:
    model = detector.build(ModelSpec(backbone="mnv4_hybrid_medium"), 2)
    spread(model)
    fused = deepcopy(model.eval())
    fused.fuse()
    norms = [name for name, module in fused.named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 8
    assert all(re.fullmatch(r"model\.0\.blocks\.\d+\.norm", name) for name in norms)
    assert fused.is_fused()
    with torch.no_grad():
        for mine, wanted in zip(fused.model[0](images(2)), model.model[0](images(2)), strict=True):
            torch.testing.assert_close(mine, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("fused", [False, True])
def test_a_saved_model_object_comes_back_whole(fused: bool) -> None:
    model = small(read="nms")
    if fused:
        model.fuse()
    stream = io.BytesIO()
    torch.save(model, stream)
    stream.seek(0)
    loaded = torch.load(stream, weights_only=False)
    assert (loaded.read, loaded.parts, loaded.names) == ("nms", model.parts, model.names)
    with torch.no_grad():
        assert torch.equal(loaded(images(1))[0], model(images(1))[0])


# Training


def gradients(model: Detector, loss: Callable[[Any], Tensor]) -> set[str]:
    """Return the names of parameters that a loss of the training output moves."""
    model.train().zero_grad()
    loss(model(images(2))).backward()
    names = {id(parameter): model._part_name(name) for name, parameter in model.named_parameters()}
    return {names[id(p)] for p in model.parameters() if p.grad is not None and bool(p.grad.abs().sum() > 0)}


def total(branch: dict[str, Tensor]) -> Tensor:
    return branch["scores"].square().sum() + branch["boxes"].square().sum()


def test_one_to_one_branch_of_a_dual_head_moves_nothing_but_itself() -> None:
    moved = gradients(small(), lambda preds: total(preds["one2one"]))
    assert len(moved) > 50
    assert all(name.startswith("head.one2one_") for name in moved)


@pytest.mark.parametrize(("head", "branch"), [("dual", "one2many"), ("one_to_many", None), ("one_to_one", None)])
def test_every_other_branch_moves_the_backbone(head: Any, branch: str | None) -> None:
    moved = gradients(small(head), lambda preds: total(preds[branch] if branch else preds))
    assert "backbone.blocks.0.conv.weight" in moved
    assert not any(name.startswith("head.one2one_") for name in moved)
    assert {name.split(".")[0] for name in moved} >= {
        "backbone",
        "sppf",
        "attention",
        "p3_out",
        "p4_out",
        "p5_out",
        "head",
    }


REFERENCES: dict[str, Callable[[Detector], Any]] = {
    "dual": E2EDetectLoss,
    "one_to_many": lambda model: v8DetectionLoss(model, tal_topk=10),
    "one_to_one": lambda model: v8DetectionLoss(model, tal_topk=1),
}

TWO_BOXES = [[0.3, 0.3, 0.4, 0.4], [0.75, 0.75, 0.4, 0.3]]


@pytest.mark.parametrize("head", HEADS)
def test_loss_equals_ultralytics_exactly(head: str) -> None:
    model = small(head).train()
    batch = batch_of(TWO_BOXES, [0, 1])
    preds = model(batch["img"])
    loss, items = model.init_criterion()(preds, batch)
    wanted, wanted_items = REFERENCES[head](model)(preds, batch)
    assert torch.equal(loss, wanted)
    assert loss.sum() > 0
    assert {name: value.item() for name, value in items.items()} == {k: v.item() for k, v in wanted_items.items()}


@pytest.mark.parametrize(("head", "anchors"), [("dual", [10, 1]), ("one_to_many", [10]), ("one_to_one", [1])])
@pytest.mark.parametrize("objects", [1, 2])
def test_each_object_gets_ten_and_one_anchors(head: Any, anchors: list[int], objects: int) -> None:
    model = small(head).train()
    criterion = model.init_criterion()
    positives: list[int] = []
    for term in criterion.terms.values():
        term.assigner.register_forward_hook(lambda module, inputs, output: positives.append(int(output[3].sum())))
    batch = batch_of(TWO_BOXES[:objects], [0, 1][:objects])
    criterion(model(batch["img"]), batch)
    assert positives == [count * objects for count in anchors]


def test_an_image_without_objects_has_a_finite_loss() -> None:
    model = small().train()
    batch = batch_of([], [])
    loss, items = model.init_criterion()(model(batch["img"]), batch)
    assert torch.isfinite(loss).all()
    assert items["box_loss"] == items["dfl_loss"] == 0


# What we rely on in release 8.4.190 of ultralytics; a newer release must be read before it is allowed.


def test_release_is_the_one_that_was_read() -> None:
    assert ultralytics.__version__ == "8.4.190"


def test_8_4_190_reads_its_own_dual_head_with_nms_and_trains_it_with_another_loss() -> None:
    stock = DetectionModel("yolov10n.yaml", nc=2, verbose=False)
    stock.args = small().args
    assert stock.end2end is False
    assert isinstance(stock.init_criterion(), E2ELoss)
    stock.end2end = True
    assert stock.end2end is True


def test_8_4_190_assigns_by_the_powers_that_the_paper_names() -> None:
    for term in small().init_criterion().terms.values():
        assert (term.assigner.alpha, term.assigner.beta) == (0.5, 6.0)
    terms = [term.assigner.topk for term in small().init_criterion().terms.values()]
    reference = E2EDetectLoss(small())
    assert terms == [reference.one2many.assigner.topk, reference.one2one.assigner.topk] == [10, 1]


def test_8_4_190_weighs_box_class_and_distance_losses_by_yolov8s_gains() -> None:
    args = small().args
    assert (args.box, args.cls, args.dfl) == (7.5, 0.5, 1.5)


def test_batch_norms_have_ultralytics_constants_except_the_backbones_own_epsilon() -> None:
    model = small()
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.eps == (1e-5 if name.startswith("model.0.") else 1e-3), name
            assert module.momentum == 0.03, name


def test_8_4_190_keeps_the_heads_form_in_a_class_attribute_that_ours_does_not_follow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Detect, "legacy", True)
    assert small().head.legacy is False


def test_the_spec_names_every_part_that_holds_weights() -> None:
    held = {name.split(".")[0] for name in initial()}
    assert held == set(get_args(PartName))
