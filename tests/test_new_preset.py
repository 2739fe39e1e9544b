"""`mnv4bench new-preset`: settings that follow from the images and from how fast the machine trains."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import ROOT, tiny_dataset

from mnv4bench import cli
from mnv4bench.data.coco import MOVED
from mnv4bench.data.prepared import intact, key, load
from mnv4bench.data.survey import Survey, survey
from mnv4bench.eta import finished
from mnv4bench.io.errors import Mnv4benchError, SpecError
from mnv4bench.io.files import read_json, write_json
from mnv4bench.results.run import Status
from mnv4bench.spec import plan
from mnv4bench.spec.preset import GateSpec
from mnv4bench.steps import Context, run_step
from mnv4bench.train import rate
from mnv4bench.train.proposal import image_side, new_preset, rough

ROADS = Survey(train=2000, val=200, objects=9000, classes=("car", "dog"), small=0.04, side=1920)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_dataset(tmp_path_factory.mktemp("set"))
    for split in ("train", "val"):
        (folder / "annotations" / f"{split}.json").rename(folder / "annotations" / f"instances_{split}2017.json")
    return folder


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("ablations", "config"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_new_preset_is_valid_and_says_why(project: Path, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["new-preset", "mine", "--data", str(images), "--rate", "50"])
    printed = capsys.readouterr().out
    made = plan.load("mine")
    assert (made.preset.data.name, made.preset.data.path, made.preset.data.imgsz) == ("folder", str(images), 160)
    assert made.preset.train.batch == 8
    assert "snakemake --cores all --config preset=mine\n" in printed
    assert "snakemake --cores all --config preset=mine only=nms_free seeds=1\n" in printed
    assert made.preset.gates == GateSpec()
    text = (project / "config" / "mine.yaml").read_text()
    assert "\ngates: {recovered: 0.97, class_ap: 0.05" in text
    assert "$" not in text
    assert (made.preset.title, max(map(len, text.splitlines())) <= 130) == ("mine", True)
    assert "chosen as 160: there nine of ten" in text
    assert "and as written (imgsz 160, epochs " in text
    lines = text.splitlines()
    keys = [place for place, line in enumerate(lines) if line and line[0] not in " #"]
    assert [lines[place] for place in keys if not lines[place - 1].startswith("#")] == []
    with pytest.raises(SpecError, match=r"config/mine\.yaml: exists already"):
        new_preset("mine", images)


def test_images_below_the_folder_of_data_may_move_with_it(
    project: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MNV4BENCH_DATA", str(images.parent))
    made = new_preset("mine", images, 50.0)[1]
    assert made.preset.data.path == images.name
    text = (project / "config" / "mine.yaml").read_text()
    assert "The path is part\n# of every run's name" in text
    assert "trained for so many epochs more" in text
    assert "\n# At 50 images/s per thread, as given" in text
    shutil.copytree(images, tmp_path / "moved" / images.name)
    monkeypatch.setenv("MNV4BENCH_DATA", str(tmp_path / "moved"))
    assert list(plan.load("mine").runs) == list(made.runs)
    assert new_preset("elsewhere", images, 50.0)[1].preset.data.path == str(images)


@pytest.mark.parametrize(("speed", "seeds"), [(1e9, 8), (1e-9, 3)])
def test_seeds_are_as_many_as_a_night_allows(project: Path, images: Path, speed: float, seeds: int) -> None:
    _, made, hours = new_preset("mine", images, speed)
    assert len(made.preset.seeds) == len(plan.load("mine").preset.seeds) == seeds
    assert hours == pytest.approx(new_preset("other", images, speed / 2)[2] / 2)


def test_small_objects_ask_for_larger_images_but_not_for_more_than_there_is() -> None:
    assert image_side(ROADS) == 224  # 0.04 × 224 is 9 pixels
    assert image_side(replace(ROADS, small=0.2)) == 160
    assert image_side(replace(ROADS, small=0.001)) == 640
    assert image_side(replace(ROADS, small=0.001, side=300)) == 320


def test_classes_that_mirroring_would_exchange_turn_it_off(project: Path, images: Path, tmp_path: Path) -> None:
    assert new_preset("mine", images, 50.0)[1].preset.train.augment.fliplr == 0.5
    folder = tmp_path / "hands"
    shutil.copytree(images, folder)
    for split in ("train", "val"):
        path = folder / "annotations" / f"instances_{split}2017.json"
        content = read_json(path)
        for record, name in zip(content["categories"], ("left hand", "right hand"), strict=True):
            record["name"] = name
        write_json(path, content)
    assert new_preset("hands", folder, 50.0)[1].preset.train.augment.fliplr == 0
    assert "'left hand'" in (project / "config" / "hands.yaml").read_text()


def test_a_survey_counts_what_is_labelled(images: Path) -> None:
    found = survey(images)
    content = read_json(images / "annotations" / "instances_train2017.json")
    assert (found.train, found.val, found.objects) == (8, 4, len(content["annotations"]))
    assert found.side == 64
    widths = sorted((record["bbox"][2] * record["bbox"][3]) ** 0.5 / 64 for record in content["annotations"])
    assert widths[0] <= found.small <= widths[len(widths) // 2]


@pytest.mark.usefixtures("process_settings")
@pytest.mark.parametrize(("value", "text"), [(149.6, "150"), (3.44, "3.4"), (0.0341, "0.034")])
def test_rough_numbers_have_no_exponent(value: float, text: str) -> None:
    assert rough(value) == text


def test_the_rate_is_measured_on_the_steps_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate, "LEAST_SECONDS", 0)
    monkeypatch.setattr(rate, "LEAST_STEPS", 2)
    assert rate.measured_rate(32, 2, batch=2) > 0


def test_a_rate_from_a_busy_machine_is_told_before_the_command_and_can_be_measured_again(
    project: Path, images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mnv4bench.machine.load.busy_cores", lambda: 99.0)
    monkeypatch.setattr("mnv4bench.train.proposal.measured_rate", lambda *_: 50.0)
    cli.main(["new-preset", "mine", "--data", str(images)])
    lines = capsys.readouterr().out.splitlines()
    again = lines.index(f"mnv4bench new-preset mine --data {images} --force")
    assert "measured on a busy machine, so hours and seeds may be wrong" in lines[again - 1]
    assert again < lines.index("snakemake --cores all --config preset=mine")
    assert (
        "on a busy machine, so that hours and seeds may be wrong,\n" in (project / "config" / "mine.yaml").read_text()
    )
    monkeypatch.setattr("mnv4bench.machine.load.busy_cores", lambda: 0.0)
    cli.main(["new-preset", "mine", "--data", str(images), "--force"])
    assert "busy" not in capsys.readouterr().out + (project / "config" / "mine.yaml").read_text()


def test_a_preset_that_is_not_replaced_stays(project: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _, _ = new_preset("mine", images, 50.0)
    before = path.read_text()
    monkeypatch.setattr("mnv4bench.train.proposal.preset_text", lambda _: "surprise: 1\n")
    with pytest.raises(SpecError, match="surprise"):
        new_preset("mine", images, 60.0, force=True)
    assert path.read_text() == before


def test_a_preset_counts_objects_as_it_trains_on_them(project: Path, images: Path) -> None:
    path, _, _ = new_preset("mine", images, 50.0)
    count = len(read_json(images / "annotations" / "instances_train2017.json")["annotations"])
    assert (
        f"8 with {count} objects (crowds not counted) to train\n# on, and 4 to validate; 2 classes." in path.read_text()
    )


def test_images_that_were_moved_are_told_with_the_line_to_change(
    project: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = Path(shutil.copytree(images, tmp_path / "there"))
    path, made, _ = new_preset("mine", there, 50.0)
    cli.main(["plan", "--preset", "mine"])
    cli.main(["check"])
    assert capsys.readouterr().err == ""
    there.rename(tmp_path / "elsewhere")
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if text.startswith("data:"))
    told = f"config/mine.yaml:{line}: data.path: {there} does not exist; {MOVED}"
    for command in (["plan", "--preset", "mine"], ["check"]):
        cli.main(command)
        assert capsys.readouterr().err == f"mnv4bench: warning: {told}\n"
    with pytest.raises(Mnv4benchError, match=f"^{re.escape(told)}$"):
        run_step("data", Context(made, tmp_path / "results"))


def prepared_and_finished(folder: Path) -> tuple[plan.Plan, Path]:
    """Return a preset of the images in a folder, and its results, in which every run is finished."""
    made, results = new_preset("mine", folder, 50.0)[1], Path("results/mine")
    run_step("data", Context(made, results))
    for run in made.runs:
        write_json(results / "runs" / run / "metrics.json", {})
    return made, results


def test_a_plan_tells_that_images_or_labels_were_changed(
    project: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = Path(shutil.copytree(images, tmp_path / "there"))
    made, results = prepared_and_finished(there)
    cli.main(["plan", "--preset", "mine"])
    told = capsys.readouterr()
    assert "nothing: all runs are finished" in told.out
    assert told.err == ""
    path = there / "annotations" / "instances_train2017.json"
    path.write_text(path.read_text() + "\n")
    cli.main(["plan", "--preset", "mine"])
    told = capsys.readouterr()
    assert f"to do      {len(made.runs)} runs\n" in told.out
    data = results / "data" / key(made.preset.data)
    assert f"mnv4bench: warning: {data}: the images or labels have changed since they were prepared" in told.err
    run_step("data", Context(made, results))
    cli.main(["plan", "--preset", "mine"])
    assert capsys.readouterr().err == ""


def test_a_run_of_earlier_labels_is_to_do(project: Path, images: Path) -> None:
    made, results = prepared_and_finished(images)
    run = next(iter(made.runs))
    digest = load(results / "data" / key(made.preset.data)).digest
    write_json(results / "runs" / run / "status.json", status_of(run, digest))
    assert finished(made, results) == list(made.runs)
    write_json(results / "runs" / run / "status.json", status_of(run, "of other labels"))
    assert finished(made, results) == list(made.runs)[1:]


def status_of(run: str, digest: str) -> Status:
    environment = {"cpu": "", "cpu_flags": "", "cores": 1, "platform": "", "python": "", "packages": {}, "threads": 1}
    fields = {"run": run, "state": "done", "epochs": 1, "steps": 1, "images_per_second": 1.0, "seconds": 1.0}
    machine = {"environment": {**environment, "gpu": None, "commit": None}}
    return Status.model_validate({**fields, **machine, "peak_memory_mib": 1.0, "data_digest": digest})


def test_refused_data_leave_the_earlier_record(project: Path, images: Path, tmp_path: Path) -> None:
    there = Path(shutil.copytree(images, tmp_path / "there"))
    made, results = prepared_and_finished(there)
    before = load(results / "data" / key(made.preset.data))
    (there / "images" / "val" / "1.png").write_bytes(b"")
    with pytest.raises(Mnv4benchError, match=r"1\.png"):
        run_step("data", Context(made, results))
    assert intact(results / "data" / key(made.preset.data)) == before


@pytest.mark.parametrize("rate", ["0", "-5", "nan", "inf"])
def test_a_rate_that_is_none_is_named_before_anything_is_read(rate: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["new-preset", "mine", "--data", "nowhere", f"--rate={rate}"])
    assert capsys.readouterr().err.startswith(f"mnv4bench: --rate {rate}: ")
