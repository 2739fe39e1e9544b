"""`start: FILE`: found and identified when a run is planned; what fits is loaded, what does not is named."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import CLASSES, drawn_run, spread, tiny_dataset, tiny_run
from safetensors.torch import save_file
from torch import Tensor

from mnv4bench.io.errors import FileError, Mnv4benchError, SpecError
from mnv4bench.io.files import read_json, sha256, write_json
from mnv4bench.io.places import BACKBONE_VARIABLE, DATA_VARIABLE
from mnv4bench.models import detector, peers, torchvision_ops, weights
from mnv4bench.models.starting import Started, start_from
from mnv4bench.models.yolo import network
from mnv4bench.report.shown_run import describe
from mnv4bench.report.text import protocol
from mnv4bench.results.pretrained import PRETRAINED
from mnv4bench.spec import plan
from mnv4bench.spec.model import ModelSpec
from mnv4bench.spec.naming import run_name
from mnv4bench.spec.plan import Plan
from mnv4bench.spec.pretrained import CHECKPOINTS, PretrainedSpec, pretrained
from mnv4bench.spec.run import RunSpec
from mnv4bench.train.run import train

PRESET = """\
title: tiny
data: {name: scenes, imgsz: 64, train: 8, val: 4}
train: {epochs: 2}
seeds: [0]
ablations: [block]
"""
BLOCK = """\
title: C2fCIB vs C2f
question: Does it pay?
fresh: [p5_out]
baseline: c2f
arms:
  c2f: {model.block: c2f}
  c2fcib: {model.block: c2fcib}
smallest_effect: 0.005
"""
PEERS = """\
title: Peers
question: Which one?
start: scratch
baseline: ours
arms:
  ours: {}
  yolov8n: {model.peer: yolov8n, start: given.pt}
smallest_effect: 0.005
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, in which no other folder is looked into."""
    for name in (DATA_VARIABLE, BACKBONE_VARIABLE, "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CACHE_HOME", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(preset: str = PRESET, **ablations: str) -> None:
    for path, text in {
        "config/tiny.yaml": preset,
        **{f"ablations/{name}.yaml": text for name, text in {"block": BLOCK, **ablations}.items()},
    }.items():
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_text(text, encoding="utf-8")


def planned(preset: str = PRESET, only: str | None = None, **ablations: str) -> Plan:
    write(preset, **ablations)
    return plan.load("tiny", only)


def archive(path: Path, content: str = "a") -> Path:
    """Write what passes for a checkpoint until it is read."""
    save_file({"model.0.conv.weight": torch.full((1,), float(ord(content)))}, path)
    if path.suffix == ".pt":
        path.unlink()
        torch.save({"model": content}, path)
    return path


def files(found: Plan) -> dict[str, str | None]:
    return {name: run.pretrained and run.pretrained.file for name, run in found.runs.items()}


# --- planning --------------------------------------------------------------------------------------------------------


def test_without_a_trunk_the_arms_start_from_the_presets_file(project: Path) -> None:
    archive(project / "given.pt")
    found = planned(PRESET + "start: given.pt\n")
    assert set(files(found).values()) == {"given.pt"}
    assert {run.fresh for run in found.runs.values()} == {("p5_out",)}
    assert all("from_given" in name for name in found.runs)


def test_with_a_trunk_the_trunk_does_and_the_arms_start_from_the_trunk(project: Path) -> None:
    archive(project / "given.pt")
    found = planned(PRESET + "start: given.pt\ntrunk: {}\n")
    assert found.trunks[0].spec.pretrained == PretrainedSpec(file="given.pt", sha256=sha256(project / "given.pt"))
    arms = {name: run for name, run in found.runs.items() if name != found.trunks[0].name}
    assert {(run.start, run.pretrained) for run in arms.values()} == {(found.trunks[0].name, None)}


def test_an_ablation_or_an_arm_may_name_its_own(project: Path) -> None:
    archive(project / "given.pt")
    found = planned(only="block,peers", block=f"start: given.pt\n{BLOCK}", peers=PEERS)
    assert {run.pretrained is not None for run in map(found.spec, found.arms_of("block"))} == {True}
    ours, yolov8n = map(found.spec, found.arms_of("peers"))
    assert ours.pretrained is None
    assert yolov8n.pretrained == PretrainedSpec(file="given.pt", sha256=sha256(project / "given.pt"))


def test_what_was_loaded_is_part_of_the_protocol(project: Path) -> None:
    archive(project / "given.pt")
    told = protocol(planned(PRESET + "start: given.pt\n"))
    assert "The arms of block started from weights trained elsewhere (given.pt)" in told
    assert "from scratch" not in told
    told = protocol(planned(PRESET + "start: given.pt\ntrunk: {}\n"))
    assert "The trained trunks had themselves started from given.pt." in told
    assert "trained elsewhere" not in told
    told = protocol(planned(only="block,peers", peers=PEERS))
    assert "Every arm of block was trained from scratch." in told
    assert "The arms of peers started from weights trained elsewhere (given.pt)" in told
    assert protocol(planned()).startswith("Every arm was trained from scratch with the same recipe")


def test_a_run_is_named_by_the_files_content_and_not_by_its_place(project: Path) -> None:
    (project / "elsewhere").mkdir()
    archive(project / "given.pt")
    shutil.copy(project / "given.pt", project / "elsewhere" / "given.pt")
    names = [list(planned(PRESET + f"start: {file}\n").runs) for file in ("given.pt", "elsewhere/given.pt")]
    assert names[0] == names[1]
    archive(project / "given.pt", "b")
    assert not set(planned(PRESET + "start: given.pt\n").runs) & set(names[0])
    assert not set(planned().runs) & set(names[0])


def test_runs_without_a_file_keep_their_names() -> None:
    assert "pretrained" not in RunSpec(train={"epochs": 1}).canonical()  # type: ignore[arg-type]


def test_files_are_looked_for_among_the_data_first(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "data" / "weights").mkdir(parents=True)
    archive(project / "data" / "weights" / "yolov10n.pt")
    monkeypatch.setenv(DATA_VARIABLE, str(project / "data"))
    digests = {pretrained(file, ModelSpec()).sha256 for file in ("yolov10n", "weights/yolov10n.pt")}
    assert digests == {sha256(project / "data" / "weights" / "yolov10n.pt")}


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def _run(state: str) -> None:
    _with_status(f'{{"state": "{state}"}}')


def _with_status(text: str) -> None:
    Path("run").mkdir()
    archive(Path("run/weights.safetensors"))
    Path("run/status.json").write_text(text)


BAD: dict[str, tuple[Any, str, str]] = {
    "nothing": (lambda: None, "given.pt", "no such file or folder 'given.pt'; allowed: a run's folder"),
    "a slip": (lambda: None, "trnk", "no such file or folder 'trnk'; did you mean 'trunk'?"),
    "cut checkpoint": (lambda: _cut(archive(Path("a.pt"))), "a.pt", "a.pt: damaged, or no checkpoint"),
    "cut tensors": (
        lambda: Path("a.safetensors").write_bytes(b"x" * 30),
        "a.safetensors",
        "a.safetensors: damaged, or no safetensors file",
    ),
    "other kind": (lambda: Path("a.onnx").touch(), "a.onnx", "a.onnx: is no kind of weights"),
    "tensors whose header is no mapping": (
        lambda: Path("a.safetensors").write_bytes(b"\x02" + bytes(7) + b"5 "),
        "a.safetensors",
        "a.safetensors: damaged, or no safetensors file",
    ),
    "tensors whose header is too deep": (
        lambda: Path("a.safetensors").write_bytes(b"\xff\xff" + bytes(6) + b"[" * 65_535),
        "a.safetensors",
        "a.safetensors: damaged, or no safetensors file",
    ),
    "run whose status is too deep": (
        lambda: _with_status("[" * 65_535),
        "run",
        "run/status.json: cannot be read .*name another run",
    ),
    "empty folder": (lambda: Path("run").mkdir(), "run", "run: holds no weights.safetensors; name the folder of a run"),
    "diverged": (lambda: _run("diverged"), "run", "run: its run ended diverged; name one that is done"),
    "not there": (
        lambda: None,
        "yolov10n",
        "yolov10n is not on this machine; put its .* as .*yolov10n.pt",
    ),
    "no timm": (lambda: None, "timm", "timm's weights for mnv4_conv_small are not on this machine; fetch them once"),
}


@pytest.mark.parametrize(("prepare", "given", "message"), BAD.values(), ids=BAD)
def test_a_bad_file_is_one_error_with_its_place(project: Path, prepare: Any, given: str, message: str) -> None:
    prepare()
    with pytest.raises(SpecError, match=rf"config/tiny\.yaml:6: start: .*{message}"):
        planned(PRESET + f"start: {given}\n")
    with pytest.raises(SpecError, match=rf"ablations/block\.yaml:1: start: .*{message}"):
        planned(block=f"start: {given}\n{BLOCK}")


REFUSED = {
    "trunk": (
        {
            "preset": PRESET + "trunk: {}\n",
            "block": BLOCK.replace("model.block: c2f}", "model.block: c2f, start: a.pt}"),
        },
        r"block\.yaml:6: arms\.c2f\.start: its arms start from trunk; write `start: scratch`",
    ),
    "contested": (
        {"preset": PRESET + "start: a.pt\n", "block": BLOCK.replace("fresh: [p5_out]\n", "")},
        r"block\.yaml:6: arms\.c2fcib\.model\.block: decides p5_out, which arms load from a\.pt, .* `start` of its own",
    ),
    "timm for a peer": (
        {"only": "peers", "peers": PEERS.replace("given.pt", "timm")},
        r"peers\.yaml:7: arms\.yolov8n\.start: timm has no weights for the peer yolov8n",
    ),
    "trunks of another": (
        {"preset": PRESET + "start: a.pt\ntrunk: {preset: other}\n"},
        r"tiny\.yaml:.* start: its arms start from the trunks of preset other; write it there",
    ),
}


@pytest.mark.parametrize(("texts", "message"), REFUSED.values(), ids=REFUSED)
def test_what_would_be_unfair_or_means_nothing_is_refused(project: Path, texts: Any, message: str) -> None:
    archive(project / "a.pt")
    with pytest.raises(SpecError, match=message):
        planned(**texts)


def test_timms_weights_are_found_in_the_folder_and_in_the_hubs_cache(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = CHECKPOINTS["mnv4_conv_small"]
    hub = project / "cache" / "hub" / f"models--timm--{name}" / "snapshots" / "1" / "model.safetensors"
    hub.parent.mkdir(parents=True)
    save_file({"conv_stem.weight": torch.ones(1)}, hub)
    assert pretrained("timm", ModelSpec()).sha256 == sha256(hub)
    save_file({"conv_stem.weight": torch.zeros(1)}, project / f"{name}.safetensors")
    monkeypatch.setenv(BACKBONE_VARIABLE, str(project))
    assert pretrained("timm", ModelSpec()).sha256 == sha256(project / f"{name}.safetensors") != sha256(hub)


# --- loading ---------------------------------------------------------------------------------------------------------


def started(file: Path, model: ModelSpec, classes: int, **fields: Any) -> tuple[Started, dict[str, Tensor]]:
    """Return what a network of that model loads from a file, and its tensors then."""
    spec = tiny_run(model=model, pretrained=pretrained(str(file), model), **fields)
    built = detector.build(model, classes, seed=1)
    return start_from(built, spec), built.part_state()


def drawn(model: ModelSpec, classes: int, seed: int = 1) -> dict[str, Tensor]:
    return detector.build(model, classes, seed=seed).part_state()


def equal(state: dict[str, Tensor], other: dict[str, Tensor], group: str) -> bool:
    names = [name for name in state if name.startswith(f"{group}.")]
    assert names
    return all(torch.equal(state[name], other[name]) for name in names)


@pytest.fixture(scope="module")
def yolov10(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Tensor]]:
    """An untrained YOLOv10-N of 80 classes as ultralytics saves it, and its tensors."""
    model = network(peers.definition("yolov10", "n"), 80)
    spread(model)
    path = tmp_path_factory.mktemp("checkpoint") / "yolov10n.pt"
    torch.save({"model": model}, path)
    return path, model.state_dict()


def test_of_a_run_all_is_loaded_but_what_other_classes_decide(project: Path) -> None:
    folder = drawn_run(project)
    theirs = weights.read(folder / "weights.safetensors")
    found, state = started(folder, ModelSpec(), len(CLASSES))
    assert found.fresh == ()
    assert all(torch.equal(state[name], theirs[name]) for name in state)
    found, state = started(folder, ModelSpec(), 5)
    assert {group.rsplit(".", 1)[0] for group in found.fresh} == {"head.cv3", "head.one2one_cv3"}
    assert all(equal(state, theirs, group) for group in found.loaded)
    assert all(equal(state, drawn(ModelSpec(), 5), group) for group in found.fresh)


def test_a_shipped_trunk_is_read_from_half_its_bytes(project: Path) -> None:
    folder = drawn_run(project)
    model = detector.build(ModelSpec(), len(CLASSES), seed=4)
    weights.round_to_half(model)
    digest = weights.digest(model.part_state())
    weights.save_half(model.part_state(), folder / "weights.safetensors")
    status = read_json(folder / "status.json")
    (folder / "manifest.json").unlink()
    write_json(folder / "status.json", {**status, "weights_digest": digest})
    found, state = started(folder, ModelSpec(), len(CLASSES))
    assert found.fresh == ()
    assert weights.digest(state) == digest
    write_json(folder / "status.json", {**status, "weights_digest": "0" * 64})
    with pytest.raises(FileError, match=r"weights\.safetensors: digest is .*, not 000.*; name another run"):
        started(folder, ModelSpec(), len(CLASSES))


def test_fresh_parts_and_other_blocks_start_from_the_seed(project: Path) -> None:
    folder = drawn_run(project)
    found, state = started(folder, ModelSpec(block="c2f"), 2, fresh=("p4_mid",))
    assert {group.split(".")[0] for group in found.fresh} == {"p4_mid", "p5_out"}
    assert not any(group.startswith("p4_mid.") for group in found.loaded)
    assert all(equal(state, drawn(ModelSpec(block="c2f"), 2), group) for group in found.fresh)


def test_a_one_to_one_head_takes_that_branch_of_a_dual_one(project: Path) -> None:
    folder = drawn_run(project)
    found, state = started(folder, ModelSpec(head="one_to_one"), 2)
    assert found.fresh == ()
    theirs = weights.read(folder / "weights.safetensors")
    assert torch.equal(state["head.cv2.0.0.conv.weight"], theirs["head.one2one_cv2.0.0.conv.weight"])


def test_a_peer_starts_from_its_own_checkpoint(project: Path, yolov10: tuple[Path, dict[str, Tensor]]) -> None:
    path, theirs = yolov10
    found, state = started(path, ModelSpec(peer="yolov10n"), 80)
    assert found.fresh == ()
    assert torch.equal(state["layer4.cv1.conv.weight"], theirs["model.4.cv1.conv.weight"])
    found, _ = started(path, ModelSpec(peer="yolov10n"), 2)
    assert {group.rsplit(".", 1)[0] for group in found.fresh} == {"layer23.cv3", "layer23.one2one_cv3"}


def test_ours_takes_what_it_shares_with_yolov10(project: Path, yolov10: tuple[Path, dict[str, Tensor]]) -> None:
    path, theirs = yolov10
    own = ModelSpec(backbone="yolov10", p5_tap=256)
    found, state = started(path, own, 80)
    assert found.fresh == ()
    assert torch.equal(state["p5_down.cv1.conv.weight"], theirs["model.20.cv1.conv.weight"])
    found, _ = started(path, ModelSpec(), 80)
    assert {"attention.ffn.0", "p4_out.cv1", "head.cv2.0"} <= set(found.loaded)
    assert all(group.startswith(("backbone.", "sppf.", "p4_mid.", "p3_out.", "p5_out.")) for group in found.fresh)


def test_tensors_alone_and_our_own_checkpoints_are_read(project: Path, yolov10: tuple[Path, dict[str, Tensor]]) -> None:
    tensors = {f"model.{name}": value.contiguous() for name, value in yolov10[1].items() if "num_batches" not in name}
    save_file(tensors, project / "yolov10n.safetensors")
    assert started(project / "yolov10n.safetensors", ModelSpec(peer="yolov10n"), 80)[0].fresh == ()
    ours = detector.build(ModelSpec(), 2, seed=4)
    torch.save({"model": ours}, project / "ours.pt")
    found, state = started(project / "ours.pt", ModelSpec(), 2)
    assert found.fresh == ()
    assert all(torch.equal(state[name], value) for name, value in ours.part_state().items())


def test_timms_backbone_fills_the_backbone(project: Path) -> None:
    torchvision_ops.provide()  # timm imports torchvision
    timm = pytest.importorskip("timm")
    reference = timm.create_model("mobilenetv4_conv_small", pretrained=False)
    save_file(reference.state_dict(), project / "backbone.safetensors")
    found, state = started(project / "backbone.safetensors", ModelSpec(), 2)
    assert {group.split(".")[0] for group in found.loaded} == {"backbone"}
    assert not any(group.startswith("backbone.") for group in found.fresh)
    assert torch.equal(state["backbone.blocks.17.conv.weight"], reference.state_dict()["blocks.4.0.conv.weight"])
    assert equal(state, drawn(ModelSpec(), 2), "p4_out.cv1")
    with pytest.raises(ValueError, match="timm has no weights for this form of yolov10"):
        pretrained("backbone.safetensors", ModelSpec(backbone="yolov10", p5_tap=256))


def test_a_file_of_which_nothing_fits_is_refused(project: Path) -> None:
    save_file({"model.0.conv.weight": torch.ones(1)}, project / "a.safetensors")
    with pytest.raises(SpecError, match=r"a\.safetensors: none of its 1 layers fits this network"):
        started(project / "a.safetensors", ModelSpec(peer="yolov8n"), 2)


def test_code_in_a_checkpoint_is_not_run(project: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.system, ("touch ran",)

    torch.save({"model": Evil()}, project / "evil.pt")
    with pytest.raises(Mnv4benchError, match=r"evil\.pt: names .*system, which no network needs"):
        started(project / "evil.pt", ModelSpec(), 2)
    assert not (project / "ran").exists()


def test_a_file_that_changed_since_planning_is_refused(project: Path) -> None:
    folder = drawn_run(project)
    spec = tiny_run(pretrained=pretrained(str(folder), ModelSpec()))
    weights.save(detector.build(ModelSpec(), 2, seed=9), folder / "weights.safetensors")
    with pytest.raises(SpecError, match=r"weights\.safetensors: SHA-256 is .* when the run was planned; start again"):
        start_from(detector.build(ModelSpec(), 2), spec)


# --- training --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("process_settings")
def test_arms_that_start_from_a_file_are_paired_and_say_what_they_loaded(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = pretrained(str(drawn_run(project)), ModelSpec())
    data, runs = tiny_dataset(project / "tiny"), project / "trained"
    for block in ("c2fcib", "c2f"):
        spec = tiny_run(model=ModelSpec(block=block), pretrained=given, fresh=("p5_out",))  # type: ignore[arg-type]
        name = run_name(spec, block)
        assert train(name, spec, data, runs).state == "done"
        record = read_json(runs / name / PRETRAINED)
        assert record["sha256"] == given.sha256
        assert {layer.split(".")[0] for layer in record["fresh"]} == {"p5_out"}
        printed = capsys.readouterr().err
        assert re.search(rf"{name}  starts from .*a-run: \d+ of \d+ layers; fresh: p5_out\.cv1, ", printed)
        assert re.search(
            r"Starts from .*a-run .SHA-256 \w{12}., \d+ of \d+ layers; fresh: p5_out", describe(runs / name)
        )
