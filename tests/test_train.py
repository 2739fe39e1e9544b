"""A run from its spec to its files: exact resume, recognised failures, batches by seed and epoch, and no network."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from helpers import CLASSES, ROOT, SIDE, WATCH, spread, tiny_dataset, tiny_run, train_until_killed

from mnv4bench.data.prepared import load
from mnv4bench.evaluate.detections import validation
from mnv4bench.io.errors import FileError, Mnv4benchError, SpecError
from mnv4bench.io.files import read_json, write_json
from mnv4bench.models import detector, weights
from mnv4bench.models.code import changed
from mnv4bench.models.yolo import Detector
from mnv4bench.results.curve import COLUMNS, VALIDATION, read_curve
from mnv4bench.results.dataset import Dataset
from mnv4bench.results.run import Status
from mnv4bench.spec.model import ModelSpec
from mnv4bench.spec.run import AugmentSpec, DataSpec, DistillSpec, RunSpec, TrainSpec
from mnv4bench.train import checkpoint
from mnv4bench.train import run as training
from mnv4bench.train.batches import Batches, training_set
from mnv4bench.train.loop import STEPS_UNLOOKED_AT, Trainer
from mnv4bench.train.optimizer import make_optimizer
from mnv4bench.train.outcome import is_out_of_memory, write_outcome
from mnv4bench.train.run import train
from mnv4bench.train.schedule import rates

pytestmark = pytest.mark.usefixtures("process_settings")

SAME = ("weights.safetensors", "curve.csv", "pairing.json")
MOSAIC = {"augment": AugmentSpec(mosaic=1.0, close_mosaic=1, scale=0.5, translate=0.1, hsv_h=0.1)}


class Interruption(BaseException):
    """What Ctrl-C is: no Exception, so nothing catches it."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of three-epoch runs that nothing stopped, without and with mosaic."""
    runs = tmp_path_factory.mktemp("undisturbed")
    for name, fields in (("plain", {}), ("mosaic", MOSAIC)):
        assert train(name, tiny_run(3, train=fields), data, runs).state == "done"
    return {name: runs / name for name in ("plain", "mosaic")}


# Resume


def same_bytes(one: Path, other: Path) -> list[str]:
    return [name for name in SAME if (one / name).read_bytes() != (other / name).read_bytes()]


@pytest.mark.parametrize(("kind", "epoch"), [("plain", 1), ("mosaic", 2)])
def test_a_run_interrupted_between_epochs_ends_with_the_same_bytes(
    kind: str, epoch: int, data: Path, undisturbed: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tiny_run(3, train=MOSAIC if kind == "mosaic" else {})
    save = checkpoint.save

    def interrupted(trainer: Trainer, identity: checkpoint.Identity, folder: Path) -> None:
        save(trainer, identity, folder)
        if trainer.epoch == epoch:
            raise Interruption

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", interrupted)
        with pytest.raises(Interruption):
            train(kind, spec, data, tmp_path)
    assert not (tmp_path / kind / "status.json").exists()
    status = train(kind, spec, data, tmp_path)
    assert (status.state, status.epochs, status.steps) == ("done", 3, 6)
    assert same_bytes(tmp_path / kind, undisturbed[kind]) == []
    assert not (tmp_path / kind / checkpoint.FILE).exists()


def test_a_run_killed_in_the_middle_of_an_epoch_ends_with_the_same_bytes(
    data: Path, undisturbed: dict[str, Path], tmp_path: Path
) -> None:
    spec = tiny_run(3, train=MOSAIC)
    folder = tmp_path / "runs" / "run"
    train_until_killed(folder, spec, data, step=3)
    assert (folder / checkpoint.FILE).exists()
    assert not (folder / "status.json").exists()
    assert train("run", spec, data, tmp_path / "runs").state == "done"
    assert same_bytes(folder, undisturbed["mosaic"]) == []


def test_a_finished_run_is_left_as_it_is(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = train("run", tiny_run(), data, tmp_path)
    written = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    monkeypatch.setattr(training, "prepare", lambda *_: pytest.fail("trained again"))
    assert train("run", tiny_run(), data, tmp_path) == first
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == written


# Files and curve


def test_a_run_leaves_its_documented_files(undisturbed: dict[str, Path]) -> None:
    files = {path.name for path in undisturbed["plain"].iterdir() if not path.name.startswith(".")}
    assert files == {"spec.json", "pairing.json", "curve.csv", "weights.safetensors", "status.json"}
    status = Status.model_validate(read_json(undisturbed["plain"] / "status.json"))
    assert (status.state, status.epochs, status.steps, status.run) == ("done", 3, 6, "plain")
    state = weights.read(undisturbed["plain"] / "weights.safetensors")
    assert status.weights_digest == weights.digest(state)
    assert "stages.py:INNER[c2fcib]" not in status.code  # built by hand
    assert "yolo/detector.py:Detector" in status.code
    assert changed(status.code) == []
    assert RunSpec.model_validate(read_json(undisturbed["plain"] / "spec.json")) == tiny_run(3)


def test_weights_are_the_averages_of_a_trained_model(undisturbed: dict[str, Path]) -> None:
    state = weights.read(undisturbed["plain"] / "weights.safetensors")
    start = detector.build(ModelSpec(), len(CLASSES)).part_state()
    assert state.keys() == start.keys()
    below_head = [name for name in state if name.endswith("conv.weight") and not name.startswith("head.")]
    assert len(below_head) > 70
    assert not any(torch.equal(state[name], start[name]) for name in below_head)
    assert all(torch.isfinite(value).all() for value in state.values())


def test_curve_has_a_row_per_epoch_with_the_rate_of_its_last_step(undisturbed: dict[str, Path]) -> None:
    with (undisturbed["plain"] / "curve.csv").open() as stream:
        reader = csv.DictReader(stream)
        rows = [{name: float(value) for name, value in row.items() if value} for row in reader]
        assert tuple(reader.fieldnames or ()) == COLUMNS
    losses = ("box_loss", "cls_loss", "dfl_loss", "distill_loss")
    assert ("epoch", "step", "lr", *losses, "val_AP_nms_free", "val_AP_nms") == COLUMNS
    assert [(row["epoch"], row["step"]) for row in rows] == [(1, 2), (2, 4), (3, 6)]
    assert [row["lr"] for row in rows] == [rates(tiny_run(3).train, step, 2).lr for step in (1, 3, 5)]
    for row in rows:
        assert row["box_loss"] > 0
        assert row["cls_loss"] > 0
        assert row["dfl_loss"] > 0
        assert row["distill_loss"] == 0


# Accuracy after each epoch


@pytest.fixture(scope="module")
def validated(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of `undisturbed`'s run with mosaic, scored after each epoch."""
    runs, spec = tmp_path_factory.mktemp("validated"), tiny_run(3, train=MOSAIC)
    assert train("mosaic", spec, data, runs, validation(spec, data)).state == "done"
    return runs / "mosaic"


def test_scoring_between_epochs_changes_nothing_that_is_trained(undisturbed: dict[str, Path], validated: Path) -> None:
    """Mosaic draws from the global generators, so a single number drawn by scoring would show."""
    assert same_bytes(validated, undisturbed["mosaic"]) == ["curve.csv"]
    rows, plain = (read_curve(folder / "curve.csv", 3) for folder in (validated, undisturbed["mosaic"]))
    assert [set(row) for row in plain] == [set(COLUMNS) - set(VALIDATION.values())] * 3
    assert [{name: row[name] for name in plain[0]} for row in rows] == plain
    assert all(0 <= row[column] <= 1 for row in rows for column in VALIDATION.values())


def test_an_interrupted_run_scores_its_epochs_as_one_that_nothing_stopped(
    data: Path, validated: Path, tmp_path: Path
) -> None:
    spec, epochs = tiny_run(3, train=MOSAIC), []
    score = validation(spec, data)

    def interrupted(model: Detector) -> dict[str, float]:
        epochs.append(model)
        if len(epochs) == 2:
            raise Interruption
        return score(model)

    with pytest.raises(Interruption):
        train("mosaic", spec, data, tmp_path, interrupted)
    assert not (tmp_path / "mosaic" / "status.json").exists()
    train("mosaic", spec, data, tmp_path, score)
    assert same_bytes(tmp_path / "mosaic", validated) == []


def test_the_averaged_weights_are_scored_and_left_as_they_are(data: Path) -> None:
    """A one-to-many head has one reading; perfect weights are not needed to see which model is read."""
    model = detector.build(ModelSpec(head="one_to_many"), len(CLASSES))
    model.names = dict(enumerate(CLASSES))
    spread(model)
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = validation(tiny_run(model=ModelSpec(head="one_to_many")), data)(model)
    assert list(found) == ["val_AP_nms"]
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# Failures


def test_an_absurd_rate_ends_as_diverged(data: Path, tmp_path: Path) -> None:
    status = train("run", tiny_run(2, train={"lr": 1e30}), data, tmp_path)
    assert status.state == "diverged"
    assert status.reason is not None
    assert "in epoch 1, step 2" in status.reason
    assert status.weights_digest is None
    assert not (tmp_path / "run" / "weights.safetensors").exists()


@pytest.mark.parametrize("unlooked_at", [1, 2, 32])
def test_weights_that_are_not_numbers_end_as_diverged(
    unlooked_at: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step_on = Trainer.step_on

    def poisoned(self: Trainer, batch: dict[str, Any]) -> Any:
        if self.step == 3:
            next(self.model.parameters()).data.fill_(torch.nan)
        return step_on(self, batch)

    monkeypatch.setattr(Trainer, "step_on", poisoned)
    monkeypatch.setitem(STEPS_UNLOOKED_AT, "cpu", unlooked_at)
    status = train("run", tiny_run(2), data, tmp_path)
    assert (status.state, status.epochs, status.steps) == ("diverged", 1, 3)
    assert status.reason == "loss is nan in epoch 2, step 4"
    assert len((tmp_path / "run" / "curve.csv").read_text().splitlines()) == 2


def test_a_gradient_that_explodes_in_the_last_step_ends_as_diverged(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step_on = Trainer.step_on

    def exploding(self: Trainer, batch: dict[str, Any]) -> Any:
        if self.step == 1:
            next(self.model.parameters()).register_hook(lambda gradient: gradient * torch.inf)
        return step_on(self, batch)

    monkeypatch.setattr(Trainer, "step_on", exploding)
    status = train("run", tiny_run(), data, tmp_path)
    assert (status.state, status.reason) == ("diverged", "weights are not finite after epoch 1")
    assert not (tmp_path / "run" / "weights.safetensors").exists()


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out_of_memory"),
    ],
)
def test_running_out_of_memory_becomes_a_status(
    error: Exception, state: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raising(self: Trainer, batch: dict[str, Any]) -> None:
        raise error

    monkeypatch.setattr(Trainer, "step_on", raising)
    status = train("run", tiny_run(), data, tmp_path)
    assert (status.state, status.epochs, status.steps) == (state, 0, 0)
    assert status.reason == f"{type(error).__name__}: {error}"
    assert Status.model_validate(read_json(tmp_path / "run" / "status.json")) == status


def test_memory_is_not_blamed_for_other_errors() -> None:
    assert not is_out_of_memory(RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"))


@pytest.mark.parametrize("fields", [{"start": "trunk"}, {"teacher": "trunk", "distill": DistillSpec(logits=1.0)}])
def test_a_run_whose_source_is_missing_is_an_error_and_one_whose_source_failed_a_status(
    fields: dict[str, Any], data: Path, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=r"trunk.*status\.json: missing; train trunk first"):
        train("run", tiny_run(**fields), data, tmp_path)
    assert not (tmp_path / "run" / "status.json").exists()
    assert train("trunk", tiny_run(2, train={"lr": 1e30}), data, tmp_path).state == "diverged"
    status = train("run", tiny_run(**fields), data, tmp_path)
    assert (status.state, status.reason) == ("failed", "it needs trunk, which ended diverged")


def test_ranks_that_fail_do_not_end_as_an_earlier_start_did(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise Mnv4benchError("run: a rank failed")

    (tmp_path / "run").mkdir()
    write_outcome(tmp_path / "run", load(data).digest, "failed", "it needs trunk, which ended diverged")
    monkeypatch.setattr(training, "torchrun", failing)
    with pytest.raises(Mnv4benchError, match="a rank failed"):
        train("run", tiny_run(train={"devices": 2, "draws": "image"}), data, tmp_path)


def test_damaged_weights_of_the_source_are_named_with_the_remedy(
    data: Path, undisturbed: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(undisturbed["plain"], tmp_path / "plain")
    whole = (tmp_path / "plain" / "weights.safetensors").read_bytes()
    (tmp_path / "plain" / "weights.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match=r"weights\.safetensors: not readable as weights .*delete the run's folder"):
        train("run", tiny_run(start="plain"), data, tmp_path)


def test_a_start_gives_every_part_but_the_fresh_ones(data: Path, undisturbed: dict[str, Path]) -> None:
    spec = tiny_run(start="plain", fresh=("p5_out", "head"), seed=1, train={"lr": 1e-30})
    runs = undisturbed["plain"].parent
    train("started", spec, data, runs)
    start, end = (weights.read(runs / run / "weights.safetensors") for run in ("plain", "started"))
    new = detector.build(ModelSpec(), len(CLASSES), seed=1).part_state()
    for name in (name for name in end if name.endswith("conv.weight")):
        source = new if name.startswith(("p5_out", "head")) else start
        torch.testing.assert_close(end[name], source[name], rtol=1e-5, atol=1e-7)


# Batches


def batches(data: Path, seed: int = 0, epochs: int = 3, **augment: Any) -> Batches:
    spec = tiny_run(epochs, train={"augment": AugmentSpec(**augment)})
    dataset = Dataset.model_validate(read_json(data / "dataset.json"))
    return Batches(training_set(dataset, data, spec.data, spec.train), spec.train, seed)


def drawn(source: Batches, epoch: int) -> list[dict[str, Any]]:
    return list(source(epoch))


def alike(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    names = ("img", "cls", "bboxes", "batch_idx")
    return all(torch.equal(a[name], b[name]) for a, b in zip(one, other, strict=True) for name in names)


@pytest.mark.parametrize("augment", [{}, {"mosaic": 1.0, "scale": 0.5, "translate": 0.1, "mixup": 0.5}])
def test_an_epochs_batches_depend_on_seed_and_epoch_alone(augment: dict[str, float], data: Path) -> None:
    one, other = batches(data, **augment), batches(data, **augment)
    for epoch in (0, 1):
        drawn(one, epoch)
    detector.build(ModelSpec(head="one_to_many"), 2, seed=5)
    torch.rand(3)
    np.random.rand(3)
    straight = drawn(other, 2)
    assert alike(drawn(one, 2), straight)
    assert not alike(drawn(batches(data, **augment), 1), straight)
    assert not alike(drawn(batches(data, seed=1, **augment), 2), straight)


def test_an_epoch_shows_every_image_once_and_its_last_batch_may_be_smaller(tmp_path: Path) -> None:
    source = batches(tiny_dataset(tmp_path, train=6))
    found = drawn(source, 0)
    assert [batch["img"].shape for batch in found] == [(4, 3, SIDE, SIDE), (2, 3, SIDE, SIDE)]
    assert {batch["img"].dtype for batch in found} == {torch.uint8}
    files = [file for batch in found for file in batch["im_file"]]
    assert sorted(files) == sorted(str(tmp_path / "images" / "train" / f"{i}.png") for i in range(1, 7))
    assert files != [file for batch in drawn(source, 1) for file in batch["im_file"]]


def test_without_augmentation_a_batch_holds_the_pictures_and_boxes_as_they_are(data: Path) -> None:
    coco = read_json(data / "annotations" / "train.json")
    for batch in drawn(batches(data, fliplr=0), 0):
        for position, file in enumerate(batch["im_file"]):
            picture = cv2.imread(file)[:, :, ::-1].transpose(2, 0, 1)
            assert np.array_equal(batch["img"][position].numpy(), picture)
            wanted = [a for a in coco["annotations"] if a["image_id"] == int(Path(file).stem)]
            mine = batch["batch_idx"] == position
            centres = [[x + w / 2, y + h / 2, w, h] for x, y, w, h in (a["bbox"] for a in wanted)]
            assert torch.allclose(batch["bboxes"][mine] * SIDE, torch.tensor(centres).reshape(-1, 4), atol=1e-3)
            assert batch["cls"][mine].flatten().tolist() == [{3: 0, 7: 1}[a["category_id"]] for a in wanted]


def items(images: int | None, folder: Path, epochs: int = 4) -> list[list[int]]:
    """Return the images of each epoch, by number, of a set of six."""
    dataset = Dataset.model_validate(read_json(folder / "dataset.json"))
    spec = tiny_run(epochs, train={"images": images})
    source = Batches(training_set(dataset, folder, spec.data, spec.train), spec.train, seed=5)
    assert len(source) == -(-(images or 6) // 4)
    return [[int(Path(file).stem) for batch in drawn(source, k) for file in batch["im_file"]] for k in range(epochs)]


def test_short_epochs_go_on_through_all_images_and_join_two_passes(tmp_path: Path) -> None:
    folder = tiny_dataset(tmp_path, train=6)
    passes = items(None, folder)
    assert all(sorted(one) == [1, 2, 3, 4, 5, 6] for one in passes)
    assert len(set(map(tuple, passes))) == 4
    first, second, third = passes[:3]
    assert items(4, folder) == [first[:4], first[4:] + second[:2], second[2:], third[:4]]
    assert items(3, folder) == [first[:3], first[3:], second[:3], second[3:]]
    assert items(2, folder, epochs=3) == [first[:2], first[2:4], first[4:]]
    assert items(6, folder) == passes  # as without the field
    assert items(12, folder, epochs=2) == [first + second, third + passes[3]]


def test_a_short_epoch_has_its_images_also_after_a_restart_there(tmp_path: Path) -> None:
    folder = tiny_dataset(tmp_path, train=6)
    dataset = Dataset.model_validate(read_json(folder / "dataset.json"))
    spec = tiny_run(4, train={"images": 4})

    def source() -> Batches:
        return Batches(training_set(dataset, folder, spec.data, spec.train), spec.train, seed=5)

    straight = source()
    straight_epochs = [drawn(straight, epoch) for epoch in range(3)]
    assert alike(drawn(source(), 2), straight_epochs[2])


@pytest.mark.parametrize(("side", "refused"), [(32, True), (64, False)])
def test_a_last_batch_of_one_cell_is_refused_before_batch_norm_meets_it(
    side: int, refused: bool, tmp_path: Path
) -> None:
    folder, spec = tiny_dataset(tmp_path, train=5), tiny_run()
    dataset = Dataset.model_validate(read_json(folder / "dataset.json"))
    images = training_set(dataset, folder, DataSpec(imgsz=side), spec.train)
    if not refused:
        assert len(Batches(images, spec.train, 0)) == 2
        return
    with pytest.raises(SpecError, match=r"batch: .* 5 images, in batches of 4, is one, .* at 32 pixels"):
        Batches(images, spec.train, 0)


def test_weights_and_factors_of_layer_scale_decay() -> None:
    model = detector.build(ModelSpec(backbone="mnv4_hybrid_medium"), 3)
    groups = make_optimizer(model, TrainSpec(epochs=1, weight_decay=0.1)).param_groups
    decaying = {id(parameter) for group in groups if group["weight_decay"] for parameter in group["params"]}
    named = [(name.rpartition(".")[2], p) for name, p in model.named_parameters() if p.requires_grad]
    assert {(name, p.ndim) for name, p in named if id(p) in decaying} <= {("weight", 2), ("weight", 4), ("gamma", 1)}
    assert {(name, p.ndim) for name, p in named if id(p) not in decaying} == {("weight", 1), ("bias", 1)}


def test_crowds_are_not_trained_on(tmp_path: Path) -> None:
    folder = tiny_dataset(tmp_path)
    path = folder / "annotations" / "train.json"
    before = sum(len(batch["cls"]) for batch in drawn(batches(folder), 0))
    coco = read_json(path)
    for annotation in coco["annotations"][:2]:
        annotation["iscrowd"] = 1
    write_json(path, coco)
    assert sum(len(batch["cls"]) for batch in drawn(batches(folder), 0)) == before - 2


def test_mosaic_closes_for_the_last_epochs_also_after_a_restart_there(data: Path) -> None:
    closing, plain = (batches(data, mosaic=mosaic, close_mosaic=1) for mosaic in (1.0, 0.0))
    for epoch in (0, 1):
        assert not alike(drawn(closing, epoch), drawn(plain, epoch))
    last = drawn(plain, 2)
    assert alike(drawn(closing, 2), last)
    assert alike(drawn(batches(data, mosaic=1.0, close_mosaic=1), 2), last)


# Distillation, as part of a run


def test_a_distilled_run_leaves_its_teacher_alone_and_reports_the_term(
    data: Path, undisturbed: dict[str, Path]
) -> None:
    runs = undisturbed["plain"].parent
    before = (runs / "plain" / "weights.safetensors").read_bytes()
    spec = tiny_run(distill=DistillSpec(logits=1.0, boxes=1.0), teacher="plain")
    status = train("student", spec, data, runs)
    assert status.state == "done"
    with (runs / "student" / "curve.csv").open() as stream:
        assert float(next(csv.DictReader(stream))["distill_loss"]) > 0
    assert (runs / "plain" / "weights.safetensors").read_bytes() == before
    alone = train("alone", tiny_run(), data, runs)
    assert status.weights_digest != alone.weights_digest


# No network, and no file anywhere else

WATCHED = (
    WATCH
    + """
from pathlib import Path

from mnv4bench.evaluate.detections import evaluate
from mnv4bench.io.files import read_json
from mnv4bench.spec.run import RunSpec
from mnv4bench.train.run import train

spec, data, runs = RunSpec.model_validate(read_json(Path(sys.argv[1]))), Path(sys.argv[2]), Path(sys.argv[3])
states = [train("run", spec, data, runs).state, evaluate("run", spec, data, runs).state]
print(json.dumps({"states": states, "contacts": contacts, "torchvision": "torchvision" in sys.modules}))
"""
)


def listing(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_training_and_evaluating_contact_no_network_and_write_into_the_runs_folder_alone(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("home", "work", "temporary", "runs")}
    for folder in folders.values():
        folder.mkdir()
    folders["data"] = tiny_dataset(tmp_path / "data")
    spec = tmp_path / "spec.json"
    write_json(spec, tiny_run())
    before = {name: listing(folder) for name, folder in folders.items()}
    private = ("YOLO_", "XDG_", "MPL", "HF_", "TORCH_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(private)}
    environment |= {"HOME": str(folders["home"]), "TMPDIR": str(folders["temporary"]), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WATCHED, str(spec), str(folders["data"]), str(folders["runs"])]
    done = subprocess.run(command, cwd=folders["work"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said == {"states": ["done", "done"], "contacts": [], "torchvision": False}  # its import takes a second
    after = {name: listing(folder) for name, folder in folders.items()}
    assert {name for name in folders if before[name] != after[name]} == {"runs"}
    assert {name.split("/")[0] for name in after["runs"]} == {"run"}
