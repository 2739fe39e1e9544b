"""Published checkpoints: found, checked, loaded and scored like any run; nothing in a file is executed."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from test_checkpoints import Calls
from ultralytics.nn.tasks import DetectionModel

from mnv4bench import steps
from mnv4bench.data import voc, weights
from mnv4bench.data.coco_classes import COCO, VOC_NAMES
from mnv4bench.data.prepare import prepare
from mnv4bench.data.prepared import load as load_data
from mnv4bench.data.sources import source_digest
from mnv4bench.evaluate.detections import evaluate
from mnv4bench.evaluate.settings import Settings, read_rows, top_rows
from mnv4bench.io.errors import DataError, Mnv4benchError, SpecError
from mnv4bench.latency import arms, quantised
from mnv4bench.latency.measure.loading import load_all
from mnv4bench.models.published import networks
from mnv4bench.models.published.stored import build, class_map
from mnv4bench.models.yolo import network, released
from mnv4bench.report import ledger_checkpoints
from mnv4bench.results.dataset import Dataset
from mnv4bench.results.detections import read_detections
from mnv4bench.results.metrics import read_metrics
from mnv4bench.results.run import read_status
from mnv4bench.spec.model import ModelSpec, Weights, readings
from mnv4bench.spec.plan import Plan, load
from mnv4bench.spec.run import DataSpec, DeploySpec, RunSpec, TrainSpec
from mnv4bench.steps import Context, data
from mnv4bench.train.run import train

ROOT = Path(__file__).parent.parent
SIDE = 64
RUN = "yolov10s-000000000000-s0"


def checkpoint(path: Path, definition: str = "v10/yolov10n.yaml", **more: object) -> Path:
    """Save an untrained network as ultralytics does, its classes numbered as in YOLOv10's release."""
    torch.manual_seed(1)
    model = network(released(definition, "n"), len(COCO)).half()
    assert type(model) is DetectionModel
    with torch.no_grad():
        for module in model.model[:-1].modules():
            if isinstance(module, torch.nn.Conv2d):  # so that images make a difference to what it detects
                torch.nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for head in [head for name, head in model.model[-1].named_children() if name.endswith("cv3")]:
            for level in head:
                level[-1].bias.fill_(-4.0)  # scores above the confidence
    model.names = {index: str(index) for index in range(len(COCO))}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"epoch": -1, "model": model, "ema": None, "train_args": {"task": "detect"}, **more}, path)
    return path


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("saved") / "yolov10s.pt")


@pytest.fixture
def at_hand(tmp_path: Path, saved: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """$MNV4BENCH_DATA with one checkpoint and the validation half of a data set; there is no network."""
    folder = tmp_path / "data"
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "yolov10s.pt").write_bytes(saved.read_bytes())
    photographs(folder / "few")
    monkeypatch.setenv("MNV4BENCH_DATA", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def no_network(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(weights.urllib.request, "urlopen", no_network)
    return folder


def photographs(folder: Path, classes: tuple[str, ...] = COCO) -> None:
    """Write COCO's layout with a validation half alone."""
    (folder / "val2017").mkdir(parents=True)
    (folder / "annotations").mkdir()
    images, annotations = [], []
    for number in range(1, 5):
        pixels = np.random.Generator(np.random.PCG64(number)).integers(0, 255, (48, 60, 3), np.uint8)
        cv2.imwrite(str(folder / "val2017" / f"{number}.png"), pixels)
        completeness = "complete" if number < 3 else "boxes"
        images.append(
            {"id": number, "file_name": f"{number}.png", "width": 60, "height": 48, "annotations": completeness}
        )
        for position in range(2):
            box = [5 + 20 * position, 8, 20, 30]
            record = {"id": len(annotations) + 1, "image_id": number, "category_id": 1 + position}
            annotations.append({**record, "bbox": box, "area": 500, "iscrowd": 0})
    categories = [{"id": place + 1, "name": name} for place, name in enumerate(classes)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations" / "instances_val2017.json").write_text(json.dumps(document))


def spec(name: Weights = "yolov10s", **fields: object) -> RunSpec:
    return RunSpec.model_validate(
        {
            "model": ModelSpec(weights=name),
            "data": DataSpec(name="coco", folder="few", train=0, imgsz=SIDE),
            "train": TrainSpec(epochs=0),
            **fields,
        }
    )


def prepared(folder: Path, wanted: RunSpec | None = None) -> tuple[Path, Dataset]:
    return folder, prepare((wanted or spec()).data, folder)


def test_a_checkpoint_becomes_a_run_that_is_scored_by_both_of_its_heads(at_hand: Path, tmp_path: Path) -> None:
    folder, dataset = prepared(tmp_path / "prepared")
    status = train(RUN, spec(), folder, tmp_path / "runs")
    assert (status.state, status.epochs, status.checkpoint) == ("done", 0, "yolov10s.pt")
    assert status.checkpoint_sha256 == weights.sha256(at_hand / "weights" / "yolov10s.pt")
    metrics = evaluate(RUN, spec(), folder, tmp_path / "runs")
    assert set(metrics.readings) == {"nms", "nms_free"}
    assert set(metrics.readings["nms"].slices) == {"complete", "boxes"}
    assert metrics.readings["nms_free"].detections_per_image > 0
    assert (metrics.data_digest, metrics.detections_kept) == (dataset.digest, 300)
    assert train(RUN, spec(), folder, tmp_path / "runs") == status
    assert read_metrics(tmp_path / "runs" / RUN) == metrics


def test_another_file_of_the_same_name_is_taken_anew(at_hand: Path, tmp_path: Path) -> None:
    folder, _ = prepared(tmp_path / "prepared")
    first = train(RUN, spec(), folder, tmp_path / "runs")
    checkpoint(at_hand / "weights" / "yolov10s.pt", more=1)
    second = train(RUN, spec(), folder, tmp_path / "runs")
    assert first.checkpoint_sha256 != second.checkpoint_sha256
    assert first.weights_digest == second.weights_digest


def test_the_network_says_what_it_said_when_it_was_saved(at_hand: Path, saved: Path) -> None:
    original = torch.load(saved, weights_only=False)["model"].float().eval()
    image = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    model = build(ModelSpec(weights="yolov10s"))
    with torch.inference_mode():
        assert torch.equal(model(image)[0], original(image)[0])
        decoded = model.decode(image)
    assert model.names[3] == "motorcycle"
    assert decoded["nms"][1].shape == decoded["nms_free"][1].shape == (1, 84, len(COCO))


def test_a_structure_that_differs_from_the_definition_is_kept(at_hand: Path) -> None:
    path = at_hand / "weights" / "yolov10s.pt"
    content = torch.load(path, weights_only=False)
    (pooling,) = [layer for layer in content["model"].model if type(layer).__name__ == "SPPF"]
    pooling.cv1.act = torch.nn.SiLU()  # as in YOLOv10's release
    torch.save(content, path)
    model = build(ModelSpec(weights="yolov10s"))
    (pooling,) = [layer for layer in model.model if type(layer).__name__ == "SPPF"]
    assert isinstance(pooling.cv1.act, torch.nn.SiLU)


def test_tensors_alone_become_the_network_of_their_name(at_hand: Path) -> None:
    original = torch.load(at_hand / "weights" / "yolov10s.pt", weights_only=False)["model"].float().eval()
    (pooling,) = [layer for layer in original.model if type(layer).__name__ == "SPPF"]
    pooling.cv1.act = torch.nn.SiLU()  # as in YOLOv10's release
    path = at_hand / "weights" / "yolov10n.safetensors"
    tensors = {f"model.{name}": value.contiguous() for name, value in original.state_dict().items()}
    save_file(tensors, path)
    image = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    model = build(ModelSpec(weights="yolov10n"))
    with torch.inference_mode():
        assert torch.equal(model(image)[0], original(image)[0])
        assert set(model.decode(image)) == {"nms", "nms_free"}
    assert model.names[3] == "motorcycle"
    save_file({name: value for name, value in tensors.items() if not name.endswith("0.conv.weight")}, path)
    with pytest.raises(Mnv4benchError, match=r"yolov10n\.safetensors: model\.0\.conv\.weight: has no such tensor"):
        build(ModelSpec(weights="yolov10n"))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(Mnv4benchError, match="damaged"):
        build(ModelSpec(weights="yolov10n"))


def test_a_missing_file_is_listed_and_taken_once_it_is_there(at_hand: Path, saved: Path, tmp_path: Path) -> None:
    folder, _ = prepared(tmp_path / "prepared")
    (at_hand / "weights" / "yolov10s.pt").unlink()
    status = train(RUN, spec(), folder, tmp_path / "runs")
    assert status.state == "missing"
    assert status.reason is not None
    for part in ("yolov10s.pt", "$MNV4BENCH_DATA/weights/", "https://"):
        assert part in status.reason
    assert str(at_hand) not in status.reason  # it goes into records that are published
    assert evaluate(RUN, spec(), folder, tmp_path / "runs").state == "missing"
    (at_hand / "weights" / "yolov10s.pt").write_bytes(saved.read_bytes())
    assert train(RUN, spec(), folder, tmp_path / "runs").state == "done"
    assert evaluate(RUN, spec(), folder, tmp_path / "runs").state == "done"


def _another_file(at_hand: Path, prepared_data: Path) -> None:
    checkpoint(at_hand / "weights" / "yolov10s.pt", more=1)


def _no_file(at_hand: Path, prepared_data: Path) -> None:
    (at_hand / "weights" / "yolov10s.pt").unlink()


def _other_data(at_hand: Path, prepared_data: Path) -> None:
    path = at_hand / "few" / "annotations" / "instances_val2017.json"
    path.write_text(path.read_text().replace('"area": 500', '"area": 400'))
    prepare(spec().data, prepared_data)


@pytest.mark.parametrize("change", [_another_file, _no_file, _other_data])
def test_a_scored_run_is_taken_and_scored_again_on_what_changed(
    change: Callable[[Path, Path], None], at_hand: Path, tmp_path: Path
) -> None:
    folder, _ = prepared(tmp_path / "prepared")
    train(RUN, spec(), folder, tmp_path / "runs")
    evaluate(RUN, spec(), folder, tmp_path / "runs")
    change(at_hand, folder)
    status = train(RUN, spec(), folder, tmp_path / "runs")
    metrics = evaluate(RUN, spec(), folder, tmp_path / "runs")
    assert metrics.state == status.state
    if metrics.state == "done":
        assert metrics.data_digest == status.data_digest == load_data(folder).digest


def test_a_run_of_an_earlier_version_keeps_its_spec(at_hand: Path, tmp_path: Path) -> None:
    folder, _ = prepared(tmp_path / "prepared")
    status = train(RUN, spec(), folder, tmp_path / "runs")
    path = tmp_path / "runs" / RUN / "spec.json"
    earlier = json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != "deploy"})
    path.write_text(earlier)
    metrics = evaluate(RUN, spec(), folder, tmp_path / "runs")
    assert train(RUN, spec(), folder, tmp_path / "runs") == status
    assert path.read_text() == earlier
    assert evaluate(RUN, spec(), folder, tmp_path / "runs") == metrics


def test_fetching_ends_at_the_first_address_that_does_not_answer(
    at_hand: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def unreachable(url: str, **_: object) -> None:
        tried.append(url)
        raise OSError("no network")

    monkeypatch.setattr(weights.urllib.request, "urlopen", unreachable)
    assert weights.obtain(["yolov10s", "yolov8n", "yolo11n"]) == ["yolov8n", "yolo11n"]
    assert tried == [weights.known()["yolov8n"].url]


class Broken(io.BytesIO):
    """What a server sends before it falls silent."""

    def read(self, size: int | None = -1, /) -> bytes:
        if block := super().read(size):
            return block
        raise TimeoutError("The read operation timed out")


def test_a_connection_that_breaks_off_leaves_the_weights_missing(
    at_hand: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights.urllib.request, "urlopen", lambda *_, **__: Broken(b"PK"))
    assert weights.obtain(["yolov10s", "yolov8n"]) == ["yolov8n"]
    assert not any(path.is_file() for path in weights.places("yolov8n"))


@pytest.mark.parametrize("name", ["yolov8n", "rtdetr-r18"])
def test_an_answer_that_is_no_checkpoint_is_not_kept(name: str, at_hand: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights.urllib.request, "urlopen", lambda *_, **__: io.BytesIO(b"<html>"))
    path = weights.fetched_weights() / weights.known()[name].file
    with pytest.raises(Mnv4benchError, match=rf"^{re.escape(str(path))}: truncated, or no checkpoint"):
        weights.obtain([name])
    assert not weights.present(name)


def refusal(at_hand: Path, tmp_path: Path, name: Weights = "yolov10s") -> str:
    folder, _ = prepared(tmp_path / "prepared")
    with pytest.raises(Mnv4benchError) as caught:
        train(RUN, spec(name), folder, tmp_path / "runs")
    assert not (tmp_path / "runs" / RUN / "status.json").exists()
    message = str(caught.value)
    assert str(at_hand / "weights" / f"{name}.pt") in message
    return message


def test_a_truncated_file_is_refused(at_hand: Path, tmp_path: Path) -> None:
    path = at_hand / "weights" / "yolov10s.pt"
    path.write_bytes(path.read_bytes()[:-4000])
    assert "truncated" in refusal(at_hand, tmp_path)


def test_flipped_bytes_are_refused(at_hand: Path, tmp_path: Path) -> None:
    path = at_hand / "weights" / "yolov10s.pt"
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20] = bytes(255 - byte for byte in content[middle : middle + 20])
    path.write_bytes(content)
    assert "damaged" in refusal(at_hand, tmp_path)


def test_a_malicious_file_is_refused_and_not_run(at_hand: Path, tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    checkpoint(at_hand / "weights" / "yolov10s.pt", train_args=Calls(os.system, f"touch '{witness}'"))
    assert "system" in refusal(at_hand, tmp_path)
    assert not witness.exists()


def test_tensors_alone_are_refused(at_hand: Path, tmp_path: Path) -> None:
    torch.save({"model": {"weight": torch.zeros(3)}}, at_hand / "weights" / "yolov10s.pt")
    assert "no network" in refusal(at_hand, tmp_path)


def test_another_networks_file_is_refused(at_hand: Path, tmp_path: Path) -> None:
    checkpoint(at_hand / "weights" / "yolov10s.pt", "v8/yolov8.yaml")
    assert "one_to_many" in refusal(at_hand, tmp_path)


def test_a_known_release_is_taken_by_its_sum_alone(at_hand: Path, saved: Path, tmp_path: Path) -> None:
    (at_hand / "weights" / "yolov10n.pt").write_bytes(saved.read_bytes())
    assert "SHA-256" in refusal(at_hand, tmp_path, "yolov10n")


def test_the_workflow_needs_one_of_its_files(at_hand: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (at_hand / "weights" / "yolov10s.pt").unlink()
    with pytest.raises(Mnv4benchError, match=r"yolov10n\.pt from https://") as caught:
        data(Context(load("published", "published_heads"), tmp_path))
    _, images = str(caught.value).splitlines()
    assert str(at_hand / "coco-val-206") in images  # both at once, not one after the other


def test_cocos_classes_are_vocs_by_a_table() -> None:
    mapped = class_map(dict(enumerate(COCO)), voc.CLASSES)
    assert mapped.missing == ()
    assert len(mapped.ignored) == 60
    assert [COCO[column] for column in mapped.columns if column is not None] == [
        VOC_NAMES[name] for name in voc.CLASSES
    ]


def test_classes_that_cannot_be_mapped_are_named() -> None:
    mapped = class_map({0: "person", 1: "car"}, ["car", "unicorn"])
    assert (mapped.columns, mapped.missing, mapped.ignored) == ((1, None), ("unicorn",), ("person",))
    with pytest.raises(SpecError, match=r"\(unicorn\) is one of the checkpoint's \(a, b, c, d, e, …\);"):
        class_map(dict(enumerate("abcdef")), ["unicorn"])


def test_both_readings_map_classes_alike() -> None:
    settings = Settings(0.1, 0.7, 300, class_map({0: "person", 1: "car"}, ["car", "unicorn"]))
    boxes = np.array([[0, 0, 9, 9], [20, 20, 40, 40]], np.float32)
    scores = np.array([[0.9, 0.2], [0.3, 0.8]], np.float32)
    expected = [[20, 20, 40, 40, 0.8, 0], [0, 0, 9, 9, 0.2, 0]]
    assert read_rows("nms_free", boxes, scores, settings) == pytest.approx(np.array(expected))
    rows = np.array([[*boxes[0], 0.9, 0], [*boxes[1], 0.8, 1], [*boxes[1], 0.3, 0], [*boxes[0], 0.2, 1]])
    assert top_rows(rows, settings) == pytest.approx(np.array(expected))


def write_voc(root: Path, name: str, stems: Sequence[str]) -> Path:
    """Write a list of VOC with images (40 × 50) of a dog and a sofa that is difficult; return one's annotation."""
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(stems))
    box = "<bndbox><xmin>3</xmin><ymin>5</ymin><xmax>12</xmax><ymax>20</ymax></bndbox>"
    objects = "".join(
        f"<object><name>{name}</name><difficult>{difficult}</difficult>{box}</object>"
        for name, difficult in (("dog", 0), ("sofa", 1))
    )
    xml = f"<annotation><size><width>50</width><height>40</height></size>{objects}</annotation>"
    for stem in stems:
        grey = sum(map(ord, f"{root.name}{stem}")) % 256
        cv2.imwrite(str(root / "JPEGImages" / f"{stem}.jpg"), np.full((40, 50, 3), grey, np.uint8))
        (root / "Annotations" / f"{stem}.xml").write_text(xml)
    return root / "Annotations" / f"{stems[0]}.xml"


def test_voc_is_read_from_its_own_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNV4BENCH_DATA", str(tmp_path))
    annotation = write_voc(tmp_path / "voc", "test", ["7"])
    wanted = DataSpec(name="voc", folder="voc", train=0, imgsz=64)
    dataset = prepare(wanted, tmp_path / "prepared")
    assert (dataset.train.count, dataset.val.count, dataset.classes) == (0, 1, voc.CLASSES)
    annotations = json.loads((tmp_path / "prepared" / dataset.val.annotations).read_text())["annotations"]
    assert [(row["bbox"], row["iscrowd"]) for row in annotations] == [([2, 4, 10, 16], 0), ([2, 4, 10, 16], 1)]
    annotation.write_text(annotation.read_text().replace("dog", "unicorn"))
    with pytest.raises(DataError, match=r"7\.xml:1: unknown class 'unicorn'"):
        prepare(wanted, tmp_path / "again")


def test_a_damaged_annotation_of_voc_is_refused_and_no_object_lost(tmp_path: Path) -> None:
    first = write_voc(tmp_path, "test", [str(number) for number in range(1, 8)])
    changes = [
        ("3</xmin>", "12</xmin>"),  # two ends are the same, as a click leaves them
        ("3</xmin>", "13</xmin>"),
        ("12</xmax>", "60</xmax>"),
        ("12</xmax>", "x</xmax>"),
        ("<name>dog</name>", ""),
        ("dog", "unicorn"),
    ]
    for number, (old, new) in enumerate(changes, 1):
        path = first.with_name(f"{number}.xml")
        path.write_text(path.read_text().replace(old, new, 1))
    first.with_name("7.xml").unlink()
    with pytest.raises(DataError) as caught:
        voc.read(tmp_path, "test", voc.CLASSES)
    title, *problems = str(caught.value).replace(str(first.parent), "").splitlines()
    assert "6 problems" in title
    assert [re.sub(r" \(?[\d.'].*", "", problem.strip()) for problem in problems] == [
        "/2.xml:1: dog: box",
        "/3.xml:1: dog: box",
        "/4.xml:1: object needs <name> and four numbers in <bndbox> (could not convert string to float:",
        "/5.xml:1: object needs <name> and four numbers in <bndbox>",
        "/6.xml:1: unknown class",
        "/7.xml: missing annotation file",
    ]
    (tmp_path / "ImageSets" / "Main" / "test.txt").write_text("1")
    part, notes = voc.read(tmp_path, "test", voc.CLASSES)
    assert [row["category_id"] for row in part.document["annotations"]] == [1 + voc.CLASSES.index("sofa")]
    assert notes == ["Dropped an object: 1.xml:1: dog: box (12.0, 5.0, 12.0, 20.0) has no area."]


def test_voc_trains_on_both_years_and_is_scored_on_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNV4BENCH_DATA", str(tmp_path))
    root = tmp_path / "VOCdevkit"
    wanted = DataSpec(name="voc", folder="VOCdevkit", imgsz=64)
    write_voc(root / "VOC2007", "trainval", ["1", "2"])
    write_voc(root / "VOC2007", "test", ["3"])
    with pytest.raises(DataError, match="has no VOC2012; training needs the development kit's folder"):
        prepare(wanted, tmp_path / "too-early")
    write_voc(root / "VOC2012", "trainval", ["1"])
    dataset = prepare(wanted, tmp_path / "prepared")
    train = json.loads((tmp_path / "prepared" / dataset.train.annotations).read_text())
    val = json.loads((tmp_path / "prepared" / dataset.val.annotations).read_text())
    assert [row["file_name"] for row in train["images"]] == [
        "VOC2007/JPEGImages/1.jpg",
        "VOC2007/JPEGImages/2.jpg",
        "VOC2012/JPEGImages/1.jpg",
    ]
    found = [(row["image_id"], row["iscrowd"]) for row in train["annotations"]]
    assert found == [(image, difficult) for image in (1, 2, 3) for difficult in (0, 1)]
    assert [row["file_name"] for row in val["images"]] == ["3.jpg"]

    before = source_digest(wanted)
    write_voc(root / "VOC2012", "trainval", ["1", "4"])
    assert source_digest(wanted) != before
    scored = DataSpec(name="voc", folder="VOCdevkit", train=0, imgsz=64)
    assert prepare(scored, tmp_path / "scored").val.count == 1


def test_a_set_without_training_images_trains_nothing() -> None:
    with pytest.raises(ValueError, match=r"data\.train: 0"):
        RunSpec(data=DataSpec(name="coco", folder="few", train=0), train=TrainSpec(epochs=1))
    with pytest.raises(ValueError, match="train 0: scenes"):
        DataSpec(name="scenes", train=0)
    with pytest.raises(ValueError, match="deploy"):
        RunSpec(train=TrainSpec(epochs=1), deploy=DeploySpec(confidence=0.5))


def test_a_status_tells_the_file(at_hand: Path, tmp_path: Path) -> None:
    folder, _ = prepared(tmp_path / "prepared")
    train(RUN, spec(), folder, tmp_path / "runs")
    assert read_status(tmp_path / "runs" / RUN).checkpoint == "yolov10s.pt"


def test_a_runtime_that_scoring_would_ignore_cannot_be_asked_for() -> None:
    with pytest.raises(ValidationError, match="runtime"):
        DeploySpec.model_validate({"runtime": "onnxruntime"})


@pytest.fixture
def in_8_bits(at_hand: Path, tmp_path: Path) -> tuple[Plan, Path]:
    """The ablation of 8 bits on the made files, in ONNX Runtime alone, its runs scored; its plan and results."""
    preset = yaml.safe_load((ROOT / "config" / "published.yaml").read_text())
    ablation = yaml.safe_load((ROOT / "ablations" / "published_int8.yaml").read_text())
    preset |= {"model": {"weights": "yolov10s"}, "data": spec().data.model_dump()}
    preset["latency"] |= {"images": 2, "runtimes": ["torch", "onnxruntime"]}
    for part in ("arms", "titles"):
        del ablation[part]["openvino_int8"]  # whose quantiser takes five times as long
    for folder, name, content in (("config", "published", preset), ("ablations", "published_int8", ablation)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    plan, results = load("published", "published_int8", tmp_path), tmp_path / "results"
    context = Context(plan, results)
    prepare(plan.preset.data, context.data)
    for run in plan.runs:
        steps.train(replace(context, run=run))
    return plan, results


def test_8_bits_are_scored_by_their_runtime_and_timed_beside_its_float32(
    in_8_bits: tuple[Plan, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, results = in_8_bits
    folders = {arm.name: results / "runs" / arm.runs[0] for arm in plan.arms}
    rows = {name: read_detections(path / "detections.json", ["nms_free"])["nms_free"] for name, path in folders.items()}
    assert all(rows.values())
    assert rows["float32"] != rows["onnxruntime_int8"]
    assert len({read_status(path).weights_digest for path in folders.values()}) == 1

    task = arms.campaign(plan, results / "runs", Context(plan, results).data).task
    loaded = load_all(task)
    assert loaded.failed == {}
    assert sorted((subject.arm.rpartition("/")[2], subject.runtime) for subject in loaded.subjects) == [
        ("copy", "onnxruntime"),
        ("copy", "torch"),
        ("float32", "onnxruntime"),
        ("float32", "torch"),
        ("onnxruntime_int8", "onnxruntime"),
    ]

    # The same run, and so the network that was scored, is what is timed.
    (int8,) = (candidate for candidate in task.candidates if candidate.int8)
    assert (int8.int8, len(int8.calibration or ())) == ("onnxruntime_int8", 4)

    # The ledger has the float network's score at the side that scores are printed for, here at another.
    assert ledger_checkpoints.checkpoints(plan, results) == {}
    monkeypatch.setattr(ledger_checkpoints, "SIDE", SIDE)
    aside = folders["float32"] / "aside.json"
    (folders["float32"] / "metrics.json").rename(aside)
    assert ledger_checkpoints.checkpoints(plan, results) == {}  # not scored yet
    aside.rename(folders["float32"] / "metrics.json")
    (name, found), *others = ledger_checkpoints.checkpoints(plan, results).items()
    assert (name, found.whole, others) == ("yolov10s", False, [])
    scores = read_metrics(folders["float32"]).readings["nms_free"].scores
    assert found.scores["AP50"].value == pytest.approx(100 * (scores.AP50 or 0.0))
    assert "On 4 of them the checkpoint yolov10s has AP " in found.scores["AP"].sentence
    assert found.scores["AP"].sentence.endswith("which is not COCO AP.")


def test_8_bits_without_their_runtime_are_missing(
    at_hand: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = spec(deploy=DeploySpec(runtime="openvino_int8"))
    folder, _ = prepared(tmp_path / "prepared", wanted)
    train(RUN, wanted, folder, tmp_path / "runs")
    monkeypatch.setitem(sys.modules, "openvino", None)
    metrics = quantised.evaluate(RUN, wanted, folder, tmp_path / "runs")
    assert metrics.state == "missing"
    assert "openvino" in str(metrics.reason)


def rtdetr_release(path: Path) -> Any:
    """Save RT-DETR-R18 with fresh weights under the names of its authors' release, and return the network."""
    pytest.importorskip("transformers")
    network = networks.build("rtdetr-r18", len(COCO)).eval()
    with torch.no_grad():
        for score in [network.network.model.enc_score_head, *network.network.model.decoder.class_embed]:
            score.bias.fill_(-2.0)
    network.network.save_pretrained(path.parent / "saved")
    (path.parent / "saved" / "model.safetensors").rename(path)
    return network


def test_rtdetr_is_a_run_without_suppression_whose_images_are_stretched(at_hand: Path, tmp_path: Path) -> None:
    original = rtdetr_release(at_hand / "weights" / "rtdetr-r18.safetensors")
    side = 128  # fewer pixels have fewer places than queries
    wanted = spec("rtdetr-r18", data=DataSpec(name="coco", folder="few", train=0, imgsz=side))
    assert (wanted.model.head, readings(wanted.model)) == ("one_to_one", ("nms_free",))
    folder, _ = prepared(tmp_path / "prepared", wanted)
    status = train(RUN, wanted, folder, tmp_path / "runs")
    assert (status.state, status.checkpoint) == ("done", "rtdetr-r18.safetensors")
    metrics = evaluate(RUN, wanted, folder, tmp_path / "runs")
    assert set(metrics.readings) == {"nms_free"}

    # What is scored is what the network says about the whole image, resized to a square without a border.
    image = cv2.imread(str(at_hand / "few" / "val2017" / "1.png"))[:, :, ::-1]
    square = cv2.resize(image, (side, side)).transpose(2, 0, 1).astype(np.float32) / 255
    with torch.inference_mode():
        (rows,) = original(torch.from_numpy(square)[None])
    expected = top_rows(rows[0].numpy(), Settings(limit=300))
    found = read_detections(tmp_path / "runs" / RUN / "detections.json", ["nms_free"])["nms_free"]
    ours = [row for row in found if row["image_id"] == 1]
    assert len(ours) == len(expected) == 300
    assert [row["score"] for row in ours] == pytest.approx(expected[:, 4], abs=1e-5)
    x1, y1, x2, y2 = np.clip(expected[0, :4] * np.array([60, 48, 60, 48]) / side, 0, [60, 48, 60, 48])
    assert ours[0]["bbox"] == pytest.approx([x1, y1, x2 - x1, y2 - y1], abs=0.02)


def test_rtdetrs_other_files_are_refused_by_name(at_hand: Path) -> None:
    path = at_hand / "weights" / "rtdetr-r18.safetensors"
    rtdetr_release(path)
    tensors = load_file(path)
    name = "model.decoder.class_embed.0.bias"
    without = {key: value for key, value in tensors.items() if key != name}
    old = {key.removeprefix("model.decoder.") if "_embed." in key else key: value for key, value in tensors.items()}
    save_file(old, path)  # as earlier versions of transformers name them
    build(ModelSpec(weights="rtdetr-r18"))
    for content in (without, without | {name: torch.zeros(3)}):
        save_file(content, path)
        with pytest.raises(Mnv4benchError, match=rf"rtdetr-r18\.safetensors: {name}: "):
            build(ModelSpec(weights="rtdetr-r18"))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(Mnv4benchError, match="damaged"):
        build(ModelSpec(weights="rtdetr-r18"))


def test_without_transformers_rtdetr_is_missing_and_the_rest_is_counted(
    at_hand: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (at_hand / "weights" / "rtdetr-r18.safetensors").write_bytes(b"")
    wanted = spec("rtdetr-r18")
    folder, _ = prepared(tmp_path / "prepared", wanted)
    monkeypatch.setitem(sys.modules, "transformers", None)
    status = train(RUN, wanted, folder, tmp_path / "runs")
    assert (status.state, "'.[peers]'" in str(status.reason)) == ("missing", True)
