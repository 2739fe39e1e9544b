"""`mnv4bench latency`: any models on this machine."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import ROOT, drawn_run, spread, thin_set, tiny_dataset
from PIL import Image

from mnv4bench import cli
from mnv4bench.data.prepared import load
from mnv4bench.io.errors import DataError, FileError, Mnv4benchError, SpecError
from mnv4bench.io.files import read_json, write_text
from mnv4bench.latency import campaign, direct
from mnv4bench.latency.forward import most_common_baseline, recomputed, time_forward
from mnv4bench.latency.labelled import Labelled
from mnv4bench.models import detector, weights
from mnv4bench.report.timed_models import describe
from mnv4bench.report.untrained import least_ap
from mnv4bench.results.environment import Environment
from mnv4bench.results.latency import Latency
from mnv4bench.results.metrics import read_metrics
from mnv4bench.results.run import Status
from mnv4bench.spec.latency import LatencySpec
from mnv4bench.spec.model import ModelSpec
from mnv4bench.spec.preset import GateSpec
from mnv4bench.spec.run import DataSpec, RunSpec, TrainSpec

TINY = LatencySpec(runtimes=("torch",), images=2, sessions=1, rounds=2, blocks=1, block_ms=1)

MACHINE = Environment(
    cpu="made up", cpu_flags="", gpu=None, cores=1, platform="", python="", packages={}, threads=1, commit=None
)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for k in range(2):
        cv2.imwrite(str(folder / f"{k}.png"), generator.integers(0, 255, (64, 64, 3), np.uint8))
    return folder


def make_run(folder: Path, **model: str) -> str:
    spec = RunSpec(model=ModelSpec(**model), data=DataSpec(imgsz=64), train=TrainSpec(epochs=1))
    write_text(folder / "spec.json", spec.model_dump_json())
    built = detector.build(spec.model, 3)
    spread(built)
    weights.save(built, folder / "weights.safetensors")
    return str(folder)


@pytest.mark.parametrize(
    ("models", "told"),
    [
        (["nothing"], "neither a run's folder .* nor an ultralytics checkpoint"),
        (["missing.pt"], r"missing\.pt: no such checkpoint"),
        (["yolov10n", "yolov10n"], "each model may be named once"),
        (["yolov10n:nms"], "is read nms_free; leave out “:nms”"),
        (["yolov10n:foo"], r"^yolov10n:foo: no reading 'foo'; allowed behind the colon: nms, nms_free$"),
        (["a.pt:"], r"no reading ''; allowed behind the colon"),
    ],
)
def test_models_that_cannot_be_timed_are_refused_by_name(
    models: list[str], told: str, images: Path, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=told):
        direct.time_models(models, images, tmp_path / "out", TINY)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["a.onnx", "a_openvino_model"])
def test_an_exported_file_is_told_from_what_is_timed(name: str, images: Path, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(SpecError, match=rf"{name}: a file that was exported; .* Name what it was made of: a run's"):
        direct.time_models([str(tmp_path / name)], images, tmp_path / "out", TINY)


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_timed(images: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match=r"^--out: .*file is not a folder that can be written \(File exists\); name"):
        direct.time_models(["yolov10n"], images, tmp_path / "file", TINY)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no image \(.*\.jpg, .*name a folder"):
        direct.time_models(["yolov10n"], tmp_path, tmp_path / "out", TINY)


def test_of_a_folder_the_images_are_taken_and_nothing_else(images: Path) -> None:
    (images / "._0.png").write_bytes(b"\0\5\26\7")  # of macOS
    (images / ".hidden.png").write_bytes(b"")
    (images / "folder.png").mkdir()
    (images / "notes.txt").write_text("notes")
    pixels = Image.new("RGB", (8, 8))
    rarer = ["a.gif", "b.jp2", "c.PPM", "d.jfif"]
    for name in rarer[:3]:
        pixels.save(images / name)
    pixels.save(images / rarer[3], "JPEG")
    found = direct.images_in(images, 10)
    assert [path.name for path in found] == sorted(["0.png", "1.png", *rarer])
    assert direct.images_in(images, 2) == found[:2]


@pytest.mark.parametrize("side", [100, 0, -32, 4128])
def test_a_side_that_no_network_takes_is_refused_by_its_option(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], side: int
) -> None:
    with pytest.raises(SpecError, match=rf"^--imgsz: .* \(got {side}\)"):
        direct.time_models(["yolov10n"], images, tmp_path / "out", TINY, imgsz=side)
    with pytest.raises(SystemExit, match="2"):
        cli.main(["latency", "yolov10n", "--images", str(images), "--imgsz", str(side)])
    assert "mnv4bench: --imgsz: " in capsys.readouterr().err


def test_labelled_images_are_checked_at_the_side_that_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, data = make_run(tmp_path / "run"), thin_set(tmp_path / "set")
    monkeypatch.setattr(direct, "busy_cores", lambda: 99.0)  # which is looked at when all else is well
    for side, message in ((640, "cores are at work"), (None, r"2\.png: .* nothing is left at 64 pixels")):
        with pytest.raises(Mnv4benchError, match=message):
            direct.time_models([run], None, tmp_path / "out", TINY, imgsz=side, score=True, data=data)


def test_a_busy_machine_is_refused_unless_allowed(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "busy_cores", lambda: 99.0)
    with pytest.raises(Mnv4benchError, match=r"99\.0 cores are at work for others.*--allow-busy"):
        direct.time_models(["yolov10n"], images, tmp_path / "out", TINY)


def test_a_committed_run_is_never_said_to_be_deleted(images: Path, tmp_path: Path) -> None:
    run = Path(make_run(tmp_path / "reference" / "scenes" / "runs" / "a"))
    (run / "weights.safetensors").unlink()
    for record, message in ((False, "missing; delete the run's folder"), (True, r"keeps records and no weights; name")):
        if record:
            write_text(run.parent.parent / "reference.json", "{}")
        with pytest.raises(FileError, match=message):
            direct.time_models([str(run)], images, tmp_path / "out", TINY, allow_busy=True)


def test_runs_of_different_sides_need_one_to_be_chosen(images: Path, tmp_path: Path) -> None:
    first = make_run(tmp_path / "a")
    second = make_run(tmp_path / "b")
    spec = read_json(tmp_path / "b" / "spec.json")
    spec["data"]["imgsz"] = 96
    write_text(tmp_path / "b" / "spec.json", RunSpec.model_validate(spec).model_dump_json())
    with pytest.raises(SpecError, match=r"trained at 64 and 96 pixels: choose one side with --imgsz"):
        direct.time_models([first, second], images, tmp_path / "out", TINY)


def test_weights_that_are_not_those_of_the_status_are_refused(images: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    model = make_run(folder)
    status = Status(run="a", state="done", epochs=1, steps=1, seconds=1.0, weights_digest="0" * 64, environment=MACHINE)
    write_text(folder / "status.json", status.model_dump_json())
    with pytest.raises(FileError, match=rf"weights\.safetensors: digest is .*, not {'0' * 64}"):
        direct.time_models([model], images, tmp_path / "out", TINY)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_command_times_runs_and_prints_the_verdict(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, same = make_run(tmp_path / "first"), make_run(tmp_path / "same")
    other = make_run(tmp_path / "other", block="c2f")
    out = tmp_path / "out"
    settings = ["--runtimes", "torch", "--sessions", "1", "--rounds", "2", "--block-ms", "1", "--allow-busy"]
    cli.main(["latency", first, same, other, f"{first}:nms", "--images", str(images), "--out", str(out), *settings])
    printed = capsys.readouterr().out
    assert f"torch: {same} is the same network as {first}" in printed
    assert "1 (baseline)" in printed
    record = Latency.model_validate(read_json(out / "latency.json"))
    assert (out / "blocks.csv").is_file()
    verdicts = {row.arm: row.verdict for row in record.rows if row.stage == "end_to_end"}
    assert set(verdicts) == {first, same, other, f"{first}:nms"}
    assert (verdicts[first], verdicts[same]) == (None, "identical")
    assert verdicts[other] is not None
    assert all(row.baseline == first for row in record.rows if row.arm != first)


def test_models_are_scored_beside_their_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = drawn_run(tmp_path / "results")
    out = tmp_path / "out"
    short = ["--sessions", "1", "--rounds", "2", "--block-ms", "1", "--allow-busy", "--out", str(out)]
    cli.main(["latency", str(run), f"{run}:nms", "--score", "--runtimes", "torch,onnxruntime_int8", *short])
    record = Latency.model_validate(read_json(out / "latency.json"))
    scored = read_metrics(run).readings
    wanted = {str(run): scored["nms_free"].scores.AP, f"{run}:nms": scored["nms"].scores.AP}
    assert record.scores == pytest.approx(wanted, abs=1e-3)
    assert {(score.arm, score.AP_float) for score in record.quantised} == set(record.scores.items())
    printed = capsys.readouterr().out
    assert "Not scored" not in printed
    table = printed.split("\n\n")[-2]
    rows = [line.split() for line in table.splitlines()[1:]]
    assert {(row[0], row[1]) for row in rows} == {(m, r) for m in wanted for r in ("torch", "onnxruntime_int8")}
    assert {row[-1] for row in rows} == {"untrained"}  # drawn weights find next to nothing
    learned = record.model_copy(update={"scores": dict.fromkeys(wanted, 0.3), "quantised": ()})
    first, second = (line for line in describe(learned).splitlines() if line.split()[1:2] == ["torch"])
    assert first.endswith("best so far")
    assert not second.endswith("best so far")
    (tmp_path / "config").mkdir()
    smoke = (ROOT / "config" / "smoke.yaml").read_text()
    (tmp_path / "config" / "results.yaml").write_text(f"{smoke}gates: {{class_ap: 0.4}}\n")  # the run's own preset
    monkeypatch.chdir(tmp_path)
    assert [line.split()[-1] for line in describe(learned).splitlines() if line.split()[1:2] == ["torch"]] == [
        "untrained",
        "untrained",
    ]
    cli.main(["show", str(run)])
    assert "its AP is below 40 points, which is next to nothing" in capsys.readouterr().out
    assert least_ap(tmp_path / "results" / "other" / "x.pt") == GateSpec().class_ap


def test_labels_that_are_not_there_are_asked_for(images: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with pytest.raises(
        SpecError, match="images that it was trained on are not beside it; name labelled images with --score"
    ):
        direct.time_models([run], images, tmp_path / "out", TINY, allow_busy=True, score=True)
    with pytest.raises(SpecError, match="--images: missing"):
        direct.time_models([run], None, tmp_path / "out", TINY, allow_busy=True)


def test_no_image_is_read_but_those_that_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def unchanged(path: Path, record: object, folder: Path) -> Path:
        read.append(path)
        return path

    monkeypatch.setattr(campaign, "unchanged", unchanged)
    folder = tiny_dataset(tmp_path)
    labels = Labelled(folder, load(folder))
    assert [path.parent.name for path in (*labels.images(1), *labels.calibration(2))] == ["val", "train", "train"]
    assert len(read) == 3


def test_wrong_settings_are_named_by_their_option(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["latency", "yolov10n", "--images", str(images), "--rounds", "0", "--threads", "x"])
    assert stopped.value.code == 2
    told = capsys.readouterr().err.splitlines()
    assert sorted(line.rpartition("--")[2].split(":")[0] for line in told) == ["rounds", "threads"]
    assert any("a whole number, or 'all' (got 'x')" in line for line in told)


@pytest.mark.parametrize("runtimes", ["tensorrt", ""])
def test_an_unknown_runtime_is_one_line_with_what_is_allowed(runtimes: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["latency", "yolov10n", "--runtimes", runtimes])
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("mnv4bench: --runtimes: Input should be 'torch', ")
    assert told.endswith(f"(got '{runtimes}')")


def test_a_run_is_timed_on_its_own_images_and_who_has_no_weights_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(drawn_run(tmp_path / "results"))
    out = tmp_path / "out"
    timed = direct.time_models([run], None, out, TINY, allow_busy=True)
    assert (timed.images, timed.scores) == (2, {})
    short = ["--runtimes", "torch", "--sessions", "1", "--rounds", "2", "--block-ms", "1", "--allow-busy"]
    cli.main(["latency", "yolov10n", run, "--score", "--out", str(out), *short])
    assert "Not scored: yolov10n, since a name of the catalogue has fresh weights" in capsys.readouterr().out
    with pytest.raises(SpecError, match="--score: none of these models is trained"):
        direct.time_models(["yolov10n"], None, out, TINY, allow_busy=True, score=True)


@pytest.mark.slow
def test_forward_passes_are_each_set_against_their_own_baseline(images: Path, tmp_path: Path) -> None:
    baselines = {"yolov8n": None, "yolov10n": "yolov8n", "yolov10s+cls": None, "yolov10s+downs": "yolov10s+cls"}
    files = tuple(enumerate(sorted(images.glob("*.png"))))
    spec = TINY.model_copy(update={"images": 9})  # more than there are
    record = time_forward(baselines, files, 64, spec, tmp_path / "claims.json")
    assert record.images == 2
    assert {row.arm: row.baseline for row in record.rows} == baselines
    assert {row.stage for row in record.rows} == {"forward"}
    assert {row.arm for row in record.rows if row.ratio} == {"yolov10n", "yolov10s+downs"}
    assert Latency.model_validate(read_json(tmp_path / "claims.json")) == record
    assert recomputed(tmp_path / "claims.json") == record
    assert (tmp_path / "claims.csv").is_file()


def test_the_network_that_most_are_set_against_is_timed_twice() -> None:
    baselines = {"slow": None, "a": "slow", "common": None, "b": "common", "c": "common"}
    assert most_common_baseline(baselines) == "common"
    assert most_common_baseline({"first": None, "second": None}) == "first"
