"""Peers: ultralytics' networks and losses, trained, scored, counted and timed as every other detector."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest
import torch
from helpers import CLASSES, SIDE, batch_of, check_branches, spread, tiny_dataset, tiny_run
from pydantic import ValidationError
from tiny_network import PHOTOS, loaded
from torch import Tensor, nn
from ultralytics.cfg import get_cfg
from ultralytics.nn.modules import Detect
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils.loss import E2EDetectLoss, E2ELoss, v8DetectionLoss

import mnv4bench
from mnv4bench import cli
from mnv4bench.cost.arms import count, deployed
from mnv4bench.evaluate.detections import evaluate
from mnv4bench.io.errors import SpecError
from mnv4bench.io.files import read_json, write_json
from mnv4bench.latency.named import named
from mnv4bench.latency.runtimes import outputs
from mnv4bench.ledger import costs
from mnv4bench.models import detector, weights
from mnv4bench.models.yolo import Detector
from mnv4bench.results.latency import Latency
from mnv4bench.spec import plan
from mnv4bench.spec.model import DUAL_FAMILIES, ModelSpec, Peer, Read, default_read, readings
from mnv4bench.spec.run import DistillSpec, LossSpec, RunSpec
from mnv4bench.train import checkpoint, pairing
from mnv4bench.train.loop import Trainer
from mnv4bench.train.run import train

pytestmark = pytest.mark.usefixtures("process_settings")

PEERS = get_args(Peer)
SMALL: tuple[Peer, ...] = ("yolov8n", "yolov10n", "yolo11n", "yolo26n")
"""One of each family."""
READS = [(peer, read) for peer in SMALL for read in readings(ModelSpec(peer=peer))]
TWO_BOXES = [[0.3, 0.3, 0.4, 0.4], [0.75, 0.75, 0.4, 0.3]]


def new(peer: Peer, read: Read | None = None, seed: int = 0) -> Detector:
    return detector.build(ModelSpec(peer=peer), len(CLASSES), seed=seed, read=read)


@cache
def initial(peer: Peer) -> dict[str, Tensor]:
    """Return the part state of a new peer; not to be changed."""
    return new(peer).part_state()


def stock(peer: Peer) -> DetectionModel:
    """Return ultralytics' own network of that name."""
    model = DetectionModel(f"{peer}.yaml", nc=len(CLASSES), verbose=False)
    model.args = get_cfg()
    return model


# The network


@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_costs_what_the_catalogue_counts(peer: Peer) -> None:
    spec, expected = ModelSpec(peer=peer), costs.detector_cost(peer, 64, 3)
    row = count(detector.build(spec, 3), 64)
    assert (row.params, row.train_params, row.flops, row.conv_flops) == (
        expected.params,
        expected.train_params,
        expected.flops,
        expected.conv_flops,
    )


@pytest.mark.parametrize("peer", SMALL)
def test_values_are_those_that_layers_draw_and_the_rest_is_ultralytics(peer: Peer) -> None:
    ours, theirs = new(peer), stock(peer)
    drawn = {
        f"{name}.{parameter}"
        for name, module in ours.named_modules()
        if isinstance(module, nn.Conv2d) and module.weight.requires_grad
        for parameter, _ in module.named_parameters(recurse=False)
    }
    given = theirs.state_dict()
    last = {name for name in drawn if name.endswith(".2.bias")}
    for name, value in ours.state_dict().items():
        if name in drawn - last:
            bound = given[name.replace("bias", "weight")][0].numel() ** -0.5  # uniform around zero
            assert 0 < value.abs().max() <= bound
            assert value.numel() < 1000 or value.std() > 0.9 * bound / 3**0.5
        else:
            assert torch.equal(value, given[name]), name
    assert len(last) == (12 if peer.startswith(DUAL_FAMILIES) else 6)


def test_peers_start_alike_wherever_they_have_the_same_tensors() -> None:
    batch = {name: torch.zeros(1) for name in ("img", "cls", "bboxes", "batch_idx")}
    prints = {peer: pairing.fingerprint(initial(peer), batch, tiny_run()) for peer in SMALL}
    ours = detector.build(ModelSpec(), len(CLASSES)).part_state()
    prints["ours"] = pairing.fingerprint(ours, batch, tiny_run())
    common = 0
    for one, other in combinations(prints.values(), 2):
        shared = one.keys() & other.keys()
        common += len(shared)
        assert all(one[name] == other[name] for name in shared)
    assert common > 100


@pytest.mark.parametrize("peer", [peer for peer in SMALL if peer.startswith(DUAL_FAMILIES)])
def test_both_branches_start_alike(peer: Peer) -> None:
    state = initial(peer)
    pairs = [(name.replace("one2one_", ""), name) for name in state if "one2one_" in name]
    assert len(pairs) > 50
    assert all(torch.equal(state[one], state[other]) for one, other in pairs)


def test_values_depend_on_the_seed_alone() -> None:
    before = torch.get_rng_state()
    other = new("yolov8n", seed=1).part_state()
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(17)
    DetectionModel("yolov8n.yaml", nc=2, verbose=False)  # leaves its form of head behind, in ultralytics
    again = new("yolo11n").part_state()
    assert all(torch.equal(value, again[name]) for name, value in initial("yolo11n").items())
    assert not torch.equal(initial("yolov8n")["layer0.conv.weight"], other["layer0.conv.weight"])


@pytest.mark.parametrize(("peer", "form"), [("yolov8n", False), ("yolo11n", True)])
def test_the_form_of_a_peers_head_is_not_left_to_the_next(
    peer: Peer, form: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Detect, "legacy", form)
    new(peer)
    assert Detect.legacy is form


# The loss

LOSSES: dict[Peer, Callable[[DetectionModel], Any]] = {
    "yolov8n": v8DetectionLoss,
    "yolov10n": E2EDetectLoss,
    "yolo11n": v8DetectionLoss,
    "yolo26n": E2ELoss,
}

TERMS = (("one2many", 10, None), ("one2one", 7, 1))
"""Of YOLO26's loss: branch, anchors that an object may be assigned, and those that it keeps."""


@pytest.mark.parametrize("epoch", [0, 3])
@pytest.mark.parametrize("peer", SMALL)
def test_loss_equals_ultralytics_exactly_in_every_epoch(peer: Peer, epoch: int) -> None:
    ours, theirs = new(peer), stock(peer)
    spread(ours)
    theirs.load_state_dict(ours.state_dict())
    theirs.args.epochs = 4
    reference = LOSSES[peer](theirs)
    criterion = ours.init_criterion(LossSpec(), 4)
    if epoch:
        criterion.epoch = epoch
        for _ in range(epoch if isinstance(reference, E2ELoss) else 0):
            reference.update()
    batch = batch_of(TWO_BOXES, [0, 1])
    loss, items = criterion(ours(batch["img"]), batch)
    wanted, wanted_items = reference(theirs(batch["img"]), batch)
    assert torch.equal(loss, wanted)
    assert (loss > 0).all()
    assert [(name, float(value)) for name, value in items.items()] == [
        (name, float(value)) for name, value in wanted_items.items()
    ]


def test_only_yolo26s_loss_changes_over_the_epochs_and_ends_at_ultralytics_weights() -> None:
    batch = batch_of(TWO_BOXES, [0, 1])
    for peer in SMALL:
        model = new(peer)
        spread(model)
        criterion, preds = model.init_criterion(None, 5), model(batch["img"])
        first = criterion(preds, batch)[0]
        criterion.epoch = 4
        last = criterion(preds, batch)[0]
        assert torch.equal(first, last) == (peer != "yolo26n")
    branch = [v8DetectionLoss(model, topk, topk2)(preds[name], batch)[0] for name, topk, topk2 in TERMS]
    torch.testing.assert_close(first, 0.8 * branch[0] + 0.2 * branch[1])
    torch.testing.assert_close(last, 0.1 * branch[0] + 0.9 * branch[1])


def test_the_epochs_of_a_training_leave_the_models_settings_alone() -> None:
    model = new("yolo26n")
    model.init_criterion(None, 5)
    assert model.args.epochs == get_cfg().epochs


@pytest.mark.parametrize(
    "fields", [{"loss": LossSpec(weights="decaying")}, {"loss": LossSpec(alpha=1.0)}, {"distill": DistillSpec(boxes=1)}]
)
def test_a_peer_keeps_its_own_loss(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=f"{next(iter(fields))}\n.*the peer yolo11n keeps its own loss"):
        tiny_run(model=ModelSpec(peer="yolo11n"), **fields)
    if "loss" in fields:
        with pytest.raises(SpecError, match="keeps its own loss; drop the fields of `loss`"):
            new("yolo11n").init_criterion(fields["loss"])


PRESET = """
title: tiny
data: {imgsz: 64, train: 4}
train: {epochs: 1}
seeds: [0]
ablations: [peers]
"""


@pytest.mark.parametrize(
    ("preset", "arm", "told"),
    [
        ("", "{model.peer: yolov8n, loss.alpha: 1}", r"peers\.yaml:6: arms\.b\.loss: the peer yolov8n keeps its own"),
        ("", "{model.peer: yolov8n, read: nms_free}", r"peers\.yaml:6: .*one_to_many head cannot be read 'nms_free'"),
        (
            "teacher: {model: {peer: yolov8s}}\n",
            "{distill.boxes: 1}",
            r"tiny\.yaml:\d+: teacher\.model: students learn from our own detector, not from yolov8s",
        ),
    ],
)
def test_what_a_peer_cannot_do_is_refused_with_file_and_line(preset: str, arm: str, told: str, tmp_path: Path) -> None:
    text = f"title: t\nquestion: q?\nbaseline: a\narms:\n  a: {{}}\n  b: {arm}\nsmallest_effect: 0.1\n"
    for folder, name, content in (("config", "tiny", PRESET + preset), ("ablations", "peers", text)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.yaml").write_text(content)
    with pytest.raises(SpecError, match=told):
        plan.load("tiny", root=tmp_path)


# Training and scoring

SAME = ("weights.safetensors", "curve.csv", "pairing.json")
EPOCHS = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("data"))


def spec_of(peer: Peer) -> RunSpec:
    return tiny_run(EPOCHS, model=ModelSpec(peer=peer))


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run of each family, which nothing stopped, and which prove to each other to be paired."""
    folder = tmp_path_factory.mktemp("runs")
    for peer in SMALL:
        assert train(peer, spec_of(peer), data, folder).state == "done"
    return folder


@pytest.mark.parametrize("peer", SMALL)
def test_training_moves_every_layer_and_reports_three_losses(peer: Peer, runs: Path) -> None:
    state = weights.read(runs / peer / "weights.safetensors")
    start = initial(peer)
    assert state.keys() == start.keys()
    moved = {name.split(".")[0] for name in state if not torch.equal(state[name], start[name])}
    assert moved == {name.split(".")[0] for name in start}
    with (runs / peer / "curve.csv").open() as stream:
        rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(stream)]
    assert [(row["epoch"], row["step"]) for row in rows] == [(1, 2), (2, 4), (3, 6)]
    assert all(row[name] > 0 for row in rows for name in ("box_loss", "cls_loss", "dfl_loss"))


class Interruption(BaseException):
    """What Ctrl-C is: no Exception, so nothing catches it."""


@pytest.mark.parametrize("peer", ["yolov8n", "yolo26n"])
def test_an_interrupted_run_ends_with_the_same_bytes(
    peer: Peer, data: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = checkpoint.save

    def interrupted(trainer: Trainer, identity: checkpoint.Identity, folder: Path) -> None:
        save(trainer, identity, folder)
        if trainer.epoch == 1:
            raise Interruption

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", interrupted)
        with pytest.raises(Interruption):
            train(peer, spec_of(peer), data, tmp_path)
    assert (tmp_path / peer / checkpoint.FILE).exists()
    assert train(peer, spec_of(peer), data, tmp_path).steps == 2 * EPOCHS
    assert [name for name in SAME if (tmp_path / peer / name).read_bytes() != (runs / peer / name).read_bytes()] == []


@pytest.mark.parametrize("peer", SMALL)
def test_every_reading_is_scored(peer: Peer, data: Path, runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / peer, tmp_path / peer)
    metrics = evaluate(peer, spec_of(peer), data, tmp_path)
    assert metrics.state == "done"
    assert set(metrics.readings) == set(readings(ModelSpec(peer=peer)))
    assert set(read_json(tmp_path / peer / "detections.json")) == set(metrics.readings)


@pytest.mark.parametrize(("peer", "read"), READS)
def test_branches_decode_what_the_model_returns(peer: Peer, read: Read) -> None:
    check_branches(lively(peer, read), ModelSpec(peer=peer), read)


# Deployment


def lively(peer: Peer, read: Read) -> Detector:
    model = new(peer, read)
    spread(model)
    return model.eval()


@pytest.mark.parametrize(("peer", "read"), READS)
def test_runtimes_agree_with_the_unfused_network(peer: Peer, read: Read) -> None:
    model = lively(peer, read)
    with torch.inference_mode():
        expected = model(torch.from_numpy(PHOTOS[0])[None])[0][0].numpy()
    spreading = np.ptp(expected[4:] if read == "nms" else expected[:, 4])
    assert spreading > 100 * outputs.TOLERANCE  # or agreement would mean little
    network = deployed(model)
    for name in ("torch", "onnxruntime", "openvino"):
        found = loaded(name, network, read)(PHOTOS[0])
        assert outputs.disagreement(found, expected, read, SIDE) < outputs.TOLERANCE, name


def test_a_fused_peer_refuses_the_reading_whose_branch_is_gone() -> None:
    model = lively("yolo26n", "nms")
    with pytest.raises(SpecError, match="one_to_many head cannot be read 'nms_free'"):
        new("yolo11n").read = "nms_free"
    model.fuse()
    with pytest.raises(SpecError, match=r"fused for 'nms'.* set read first"):
        model.read = "nms_free"


@pytest.mark.parametrize("peer", ["yolov8n", "yolo26n"])
def test_a_peer_is_built_by_its_name_and_reads_as_its_own_whatever_ultralytics_asks_for(peer: Peer) -> None:
    model = mnv4bench.build(peer, 3, seed=2)
    assert model.read == default_read(ModelSpec(peer=peer))
    picture = np.full((SIDE, SIDE, 3), 128, np.uint8)
    wrapped = mnv4bench.as_yolo(model, SIDE)
    wrapped.predict(picture, nms=peer == "yolo26n", verbose=False)
    assert wrapped.model.read == model.read


def make_run(folder: Path, model: ModelSpec) -> str:
    write_json(folder / "spec.json", tiny_run(model=model))
    built = detector.build(model, 3)
    spread(built)
    weights.save(built, folder / "weights.safetensors")
    return str(folder)


@pytest.mark.parametrize(("peer", "read"), READS)
def test_a_run_of_a_peer_can_be_named_to_be_timed(peer: Peer, read: Read, tmp_path: Path) -> None:
    candidate = named(f"{make_run(tmp_path / peer, ModelSpec(peer=peer))}:{read}").candidate
    network: Any = candidate.source.load()
    assert (candidate.read, network.read, network.head.nc) == (read, read, 3)
    known = weights.read(tmp_path / peer / "weights.safetensors")
    assert weights.digest(network.part_state()) == weights.digest(known)


@pytest.mark.slow
def test_the_command_times_peers_beside_our_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = (ModelSpec(), ModelSpec(peer="yolov8n"), ModelSpec(peer="yolo26n"))
    folders = [make_run(tmp_path / str(model.peer), model) for model in models]
    (tmp_path / "images").mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"images/{number}.png"), pixels)
    settings = ["--runtimes", "torch", "--sessions", "1", "--rounds", "2", "--block-ms", "1", "--allow-busy"]
    where = ["--images", str(tmp_path / "images"), "--out", str(tmp_path / "out")]
    cli.main(["latency", *folders, f"{folders[2]}:nms", *where, *settings])
    record = Latency.model_validate(read_json(tmp_path / "out" / "latency.json"))
    assert {row.arm for row in record.rows if row.stage == "end_to_end"} == {*folders, f"{folders[2]}:nms"}
    assert "1 (baseline)" in capsys.readouterr().out
