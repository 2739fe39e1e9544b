"""`mnv4bench export`, `show` and `models`: a trained run as files, and what it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from helpers import CLASSES, SIDE, drawn_run, spread, thin_set
from tiny_network import EXECUTORCH, LITERT, NCNN
from ultralytics import YOLO

from mnv4bench import cli
from mnv4bench.deploy import comparison
from mnv4bench.deploy import export as exporting
from mnv4bench.deploy.export import export
from mnv4bench.deploy.formats import FORMATS, About, TorchScript
from mnv4bench.io.errors import DataError, FileError, SpecError
from mnv4bench.io.files import read_json, write_json
from mnv4bench.latency.runtimes.outputs import TOLERANCE, Thresholds
from mnv4bench.latency.runtimes.pytorch import Torch
from mnv4bench.latency.runtimes.runtime import Deployment
from mnv4bench.models.published import networks
from mnv4bench.report.exported import describe
from mnv4bench.results.exported import Exported, ExportedFile
from mnv4bench.results.metrics import read_metrics

pytestmark = [
    pytest.mark.usefixtures("process_settings"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning"),
]

FLOATS = ("onnx", "openvino", "torchscript", "ncnn", "litert", "executorch")
OPTIONAL = ("ncnn", "litert", "executorch")
INSTALLED = [form for form in FORMATS if form not in OPTIONAL or form in (*NCNN, *LITERT, *EXECUTORCH)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_run(tmp_path_factory.mktemp("results"))


def test_every_format_computes_what_the_network_does_and_says_what_it_is(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["export", str(run), "--format", ",".join(INSTALLED), "--out", str(tmp_path)])
    record = Exported.model_validate(read_json(tmp_path / "a-run.json"))
    assert (record.classes, record.imgsz, record.read, record.failed) == (CLASSES, SIDE, "nms_free", {})
    assert [file.format for file in record.files] == INSTALLED
    assert pytest.approx(read_metrics(run).readings["nms_free"].scores.AP, abs=1e-3) == record.AP
    for file in record.files:
        path = tmp_path / file.file
        assert file.bytes == sum(part.stat().st_size for part in (path, *path.rglob("*")) if part.is_file())
        if file.format in FLOATS:
            assert file.difference is not None
            assert file.difference <= TOLERANCE
            assert file.detections_kept == 1
            assert pytest.approx(record.AP, abs=2e-3) == file.AP
        assert YOLO(path, task="detect").names == dict(enumerate(CLASSES))
    assert set(tmp_path.iterdir()) == {tmp_path / "a-run.json", *(tmp_path / file.file for file in record.files)}
    printed, told = capsys.readouterr()
    assert all(str(tmp_path / file.file) in printed for file in record.files)
    assert "AP in points, on 4 labelled images" in printed
    assert "Detections kept: of the network's above 0.25, those that the file finds too" in printed
    assert [line for line in told.splitlines() if ": written, " in line] == [
        f"{file.format}: written, {file.bytes / 1e6:.1f} MB" for file in record.files
    ]


def test_shares_of_detections_have_one_decimal() -> None:
    files = [
        ExportedFile(format="onnx", file="a.onnx", bytes=1, detections_kept=share, difference=None, AP=None, ms=1.0)
        for share in (0.95264623955432, 1.0)
    ]
    record = Exported.model_construct(
        source="a", AP=None, ms=1.0, files=tuple(files), failed={}, replaced=(), earlier=(), images=2, scored=0,
        confidence=0.25, threads=1, quiet=True, nms=False, read="nms_free",
    )  # fmt: skip
    printed = describe(record, Path("out"))
    assert "95.3\N{NO-BREAK SPACE}%" in printed
    assert "100.0\N{NO-BREAK SPACE}%" in printed


@pytest.mark.parametrize(("source", "read", "told"), [("a:nms", "nms", True), ("a", "nms_free", False)])
def test_what_is_bare_and_what_found_nothing_is_told(source: str, read: str, told: bool) -> None:
    file = ExportedFile(format="onnx", file="a.onnx", bytes=1, detections_kept=None, difference=None, AP=None, ms=1.0)
    record = Exported.model_construct(
        source=source, AP=None, ms=1.0, files=(file,), failed={}, replaced=(), earlier=(), images=2, scored=0,
        confidence=0.25, threads=1, quiet=True, nms=False, read=read,
    )  # fmt: skip
    printed = describe(record, Path("out"))
    assert "none to keep, as the network found nothing above 0.25" in printed
    assert ("These files are bare, without suppression" in printed) is told


def test_suppression_goes_into_the_file_where_it_can(run: Path, tmp_path: Path) -> None:
    record = export(f"{run}:nms", ["onnx", "torchscript"], tmp_path, nms=True)
    (file,) = record.files
    assert file.file == "a-run_nms.onnx", record.failed
    assert file.detections_kept is not None
    assert file.detections_kept > 0.95
    graph = onnx.load(tmp_path / file.file).graph
    assert "NonMaxSuppression" in {node.op_type for node in graph.node}
    assert "leave out --nms" in record.failed["torchscript"]


def test_files_of_an_earlier_export_are_told(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for formats in ("onnx,torchscript", "onnx"):
        cli.main(["export", str(run), "--format", formats, "--out", str(tmp_path)])
        printed = capsys.readouterr().out
    record = Exported.model_validate(read_json(tmp_path / "a-run.json"))
    assert (record.replaced, record.earlier) == (("a-run.onnx",), ("a-run.torchscript",))
    assert "Replaced: a-run.onnx." in printed
    assert "Of an earlier export of this name remain, and were not checked now: a-run.torchscript." in printed


def test_a_file_that_computes_something_else_is_not_kept(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = run.parent.parent / "data" / "tiny" / "images" / "val"
    record = export(str(run), ["torchscript"], tmp_path, images=images)
    assert (record.AP, record.scored) == (None, 0)
    before = (tmp_path / record.files[0].file).read_bytes()
    write = TorchScript.write

    def off(self: TorchScript, network: Deployment, about: About, path: Path) -> None:
        spread(network.model, seed=1)
        write(self, network, about, path)

    monkeypatch.setattr(TorchScript, "write", off)
    with pytest.raises(SystemExit, match="1"):
        cli.main(["export", str(run), "--format", "torchscript", "--images", str(images), "--out", str(tmp_path)])
    printed, told = capsys.readouterr()
    assert "torchscript was not written: what it computes differs from the network's" in printed
    assert "torchscript: not written\n" in told
    assert (tmp_path / record.files[0].file).read_bytes() == before
    assert not list(tmp_path.glob(".draft*"))


@pytest.mark.parametrize("part", ["kept", "score", "median_ms"])
def test_a_format_that_fails_at_its_end_leaves_the_earlier_file(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    whole = getattr(exporting, part)

    def fail(call: object, *arguments: object) -> object:
        if isinstance(call, Torch):  # the network itself
            return whole(call, *arguments)
        raise RuntimeError("too slow")

    target = tmp_path / "a-run.torchscript"
    target.write_text("mine")
    monkeypatch.setattr(exporting, part, fail)
    record = export(str(run), ["torchscript"], tmp_path)
    assert (record.files, record.replaced, list(record.failed)) == ((), (), ["torchscript"])
    assert target.read_text() == "mine"
    assert not list(tmp_path.glob(".draft*"))


@pytest.mark.parametrize("part", ["score", "median_ms"])
def test_a_network_that_fails_does_so_before_anything_is_converted(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("too slow")

    monkeypatch.setattr(exporting, part, fail)
    converted: list[str] = []
    with pytest.raises(RuntimeError, match="too slow"):
        export(str(run), ["torchscript"], tmp_path, done=lambda form, _: converted.append(form))
    assert not converted


def test_what_a_killed_export_left_does_not_hinder_a_process_of_the_same_number(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(TorchScript, "write", die)
        killed.setattr("shutil.rmtree", lambda *_, **__: None)  # a kill removes nothing
        with pytest.raises(KeyboardInterrupt):
            export(str(run), ["torchscript"], tmp_path)
    assert list(tmp_path.glob(".draft*"))
    assert not export(str(run), ["torchscript"], tmp_path).failed


def test_no_format_is_taken_by_default_that_cannot_hold_suppression(run: Path, tmp_path: Path) -> None:
    cli.main(["export", f"{run}:nms", "--nms", "--out", str(tmp_path)])  # exits 1 where a format fails
    record = Exported.model_validate(read_json(tmp_path / "a-run_nms.json"))
    assert [file.format for file in record.files] == ["onnx", "openvino"]


@pytest.mark.parametrize("fit", ["letterbox", "stretch"])
def test_a_file_says_how_images_become_square(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fit: str
) -> None:
    monkeypatch.setattr(exporting, "fit_of", lambda _: fit)
    export(str(run), ["torchscript"], tmp_path)
    extra = {"config.txt": ""}
    torch.jit.load(str(tmp_path / "a-run.torchscript"), _extra_files=extra)
    assert json.loads(extra["config.txt"])["fit"] == fit


def test_labelled_images_are_checked_at_the_side_that_they_are_scored_at(run: Path, tmp_path: Path) -> None:
    data = thin_set(tmp_path / "set")
    assert export(str(run), [], tmp_path / "out", imgsz=640, data=data).scored == 2
    with pytest.raises(DataError, match=r"data .*set: 1 problem.*\n.*2\.png: .* nothing is left at 64 pixels"):
        export(str(run), [], tmp_path / "out", data=data)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("imgsz", 100, "multiple of 32"),
        ("imgsz", 0, "greater than or equal to 32"),
        ("imgsz", -32, "greater than or equal to 32"),
        ("imgsz", 4128, "less than or equal to 4096"),
        ("threads", 0, "greater than or equal to 1"),
        ("threads", -1, "greater than or equal to 1"),
        ("threads", 10_000, "less than or equal to 1024"),
    ],
)
def test_a_side_or_a_count_that_cannot_be_is_refused_by_its_option(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: int, message: str
) -> None:
    with pytest.raises(SpecError, match=rf"^--{option}: .*{message} \(got {value}\)"):
        export(str(run), ["onnx"], tmp_path, **{option: value})
    with pytest.raises(SystemExit, match="2"):
        cli.main(["export", str(run), f"--{option}", str(value), "--out", str(tmp_path)])
    assert f"mnv4bench: --{option}: " in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_refused_before_anything_is_loaded(run: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copytree(run, tmp_path / "copied" / "away"))
    for model, formats, options, message in (
        ("yolov10n", ["onnx"], {}, "fresh weights; name a run's folder or a checkpoint"),
        (str(run), ["onxx"], {}, "no format 'onxx'; did you mean 'onnx'"),
        (str(run), ["onnx"], {"nms": True}, f"leave it out, or name the other half of its head: {run}:nms$"),
        (f"{run}:foo", ["onnx"], {}, "no reading 'foo'; allowed behind the colon: nms, nms_free"),
        (str(tmp_path / "x.pt"), ["onnx"], {}, "no such checkpoint"),
        (str(alone), ["onnx"], {}, "are not beside it; give --images DIR, any pictures .*, or --data DIR, labelled"),
    ):
        with pytest.raises(SpecError, match=message):
            export(model, formats, tmp_path, **options)


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/x"])
def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_computed(
    run: Path, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(exporting, "_network", None)
    with pytest.raises(
        FileError, match=rf"^--out: .*{place} is not a folder that can be written \(.*\); name another$"
    ):
        export(str(run), None, tmp_path / place)


def test_a_twin_has_the_class_and_half_of_the_place() -> None:
    image = np.zeros((3, SIDE, SIDE), np.float32)
    rows = np.array([[0, 0, 10, 10, 0.9, 0], [20, 20, 30, 30, 0.8, 1]], np.float32)
    expected = comparison.Expected((image,), (rows,), "nms_free", Thresholds())
    for found, share in (
        (rows, 1),
        (rows + np.array([0, 0, 0, 4, 0, 0]), 1),
        (rows + np.array([0, 0, 0, 11, 0, 0]), 0),
        (rows + np.array([0, 0, 0, 0, 0, 1]), 0),
        (rows[1:], 0.5),
        (rows[:0], 0),
    ):
        assert comparison.kept(lambda _, found=found: found, expected, inside=True) == share  # type: ignore[misc]
    nothing = comparison.Expected((image,), (rows[:0],), "nms_free", Thresholds())
    assert comparison.kept(lambda _: rows, nothing, inside=True) is None


def test_a_run_is_shown_with_its_scores_by_class_the_worst_first(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["show", str(run)])
    printed = capsys.readouterr().out
    assert "a-run: done, 1 epoch in 1.5 minutes" in printed
    assert "scenes at 64 pixels" in printed
    for read, reading in read_metrics(run).readings.items():
        parts = printed.split("\n\n")
        (place,) = (place for place, part in enumerate(parts) if part.startswith(f"read {read} "))
        whole, classes = ([line.split() for line in part.splitlines()] for part in parts[place : place + 2])
        assert [row[:2] for row in whole[1:]] == [["all", f"{100 * (reading.scores.AP or 0):.1f}"]]
        assert " ".join(classes[0][:4]) == "class, lowest AP first"
        assert sorted(float(row[1]) for row in classes[1:]) == [float(row[1]) for row in classes[1:]]
        assert {row[0] for row in classes[1:]} == set(CLASSES)
        assert (f"Untrained: read {read}, its AP is below 5 points" in printed) is ((reading.scores.AP or 0) < 0.05)


def test_a_run_is_shown_under_whatever_name_its_folder_has(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["show", str(run)])
    printed = capsys.readouterr().out
    shutil.copytree(run, tmp_path / "my-detector")
    cli.main(["show", str(tmp_path / "my-detector")])
    assert capsys.readouterr().out == printed


def test_a_run_of_another_version_is_not_taken_for_a_damaged_one(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(run, tmp_path / "eca")
    spec = read_json(folder / "spec.json")
    for fields, told in (
        ({"model": {"attention": "eca"}}, "does not know model.attention: 'eca'; use the one that wrote the file"),
        ({"surprise": 1}, "does not know surprise: 1; use the one that wrote the file"),
        ({"seed": "x"}, "spec.json: not a RunSpec of this version (seed: "),
    ):
        write_json(folder / "spec.json", {**spec, **fields})
        with pytest.raises(SystemExit):
            cli.main(["show", str(folder)])
        assert told in capsys.readouterr().err


def test_a_folder_without_a_finished_run_is_told_for_what_it_is(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "mine.yaml").touch()
    whose = "`mnv4bench plan --preset mine --runs` says which arm each is of\n"
    begun = tmp_path / "mine" / "runs" / "begun"
    (begun / "of-data-0").mkdir(parents=True)
    for folder in (begun, begun / "of-data-0"):
        shutil.copy(run / "spec.json", folder)
    for folder, told in (
        (begun, "this run has not ended; `mnv4bench plan --preset mine` shows what is left to do"),
        (begun.parent, f"holds 1 run; name one of them: begun; {whose}"),
        (begun.parent.parent, f"holds 1 run; name one of them: begun; {whose}"),
        (run.parent, "holds 1 run; name one of them: a-run\n"),
        (run.parent.parent, "holds 1 run; name one of them: a-run\n"),
        (tmp_path, "holds no run, as status.json is missing; name a run's folder, for example"),
        (tmp_path / "typo", "no such folder"),
    ):
        with pytest.raises(SystemExit):
            cli.main(["show", str(folder)])
        assert f"mnv4bench: {folder}: {told}" in capsys.readouterr().err


def test_the_catalogue_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["models"])
    printed = capsys.readouterr().out
    lines = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line}
    assert "Where the last column is empty, this project knows of no published weights" in printed
    assert set(networks.names()) <= set(lines)
    assert lines["yolo11n"][0] == "nms"
    assert lines["mnv4-yolov10n"] == ["nms_free"]
