"""Trunks that are shipped: half the size on disk, the same to the bit once taken, and refused where they are not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import CLASSES, tiny_dataset, tiny_run

from mnv4bench.data.prepared import load
from mnv4bench.evaluate.detections import evaluate, validation
from mnv4bench.io.errors import Diverged, FileError
from mnv4bench.io.files import read_json, write_json
from mnv4bench.latency.named import named
from mnv4bench.models import detector, weights
from mnv4bench.models.yolo import Detector
from mnv4bench.report.text import protocol
from mnv4bench.results import manifest
from mnv4bench.results.manifest import FILE
from mnv4bench.results.metrics import read_metrics
from mnv4bench.results.run import read_status
from mnv4bench.spec import plan
from mnv4bench.spec.model import ModelSpec
from mnv4bench.train import run as training
from mnv4bench.train.run import train
from mnv4bench.train.trunks import KEPT, WEIGHTS, ship, take

pytestmark = pytest.mark.usefixtures("process_settings")

SPEC = tiny_run(1, train={"half_weights": True})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trunk that was trained and scored here."""
    runs = tmp_path_factory.mktemp("trained")
    assert train("trunk", SPEC, data, runs, validation(SPEC, data)).state == "done"
    evaluate("trunk", SPEC, data, runs)
    return runs / "trunk"


@pytest.fixture
def shipped(trained: Path, tmp_path: Path) -> Path:
    ship("trunk", trained.parent, tmp_path / "shipped")
    return tmp_path / "shipped"


def empty(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


# Half precision


def representable(state: dict[str, torch.Tensor]) -> list[bool]:
    return [torch.equal(value.half().float(), value) for value in state.values() if value.dtype == torch.float32]


def test_rounding_leaves_what_float16_holds_and_changes_no_value_by_more_than_its_last_digit() -> None:
    model = detector.build(ModelSpec(), len(CLASSES))
    before = {name: value.clone() for name, value in model.part_state().items()}
    assert not all(representable(before))
    weights.round_to_half(model)
    after = model.part_state()
    assert all(representable(after))
    assert {name: value.dtype for name, value in after.items()} == {name: v.dtype for name, v in before.items()}
    for name, value in after.items():
        torch.testing.assert_close(value, before[name], rtol=2**-11, atol=2**-25)


def test_a_value_beyond_float16_is_named() -> None:
    model = detector.build(ModelSpec(), len(CLASSES))
    name, value = next(iter(model.part_state().items()))
    model.load_part_state({**model.part_state(), name: torch.full_like(value, 65_520)})  # what rounds to infinity
    with pytest.raises(Diverged, match=rf"^{name}: holds values beyond float16's"):
        weights.round_to_half(model)
    model.load_part_state({**model.part_state(), name: torch.full_like(value, 65_519)})
    weights.round_to_half(model)
    assert (model.part_state()[name] == 65_504).all()


def test_a_run_that_cannot_be_rounded_ends_as_diverged(data: Path, tmp_path: Path) -> None:
    def enlarged(model: Detector) -> dict[str, float]:
        next(model.parameters()).data.fill_(1e6)
        return {}

    status = train("trunk", SPEC, data, tmp_path, enlarged)
    assert (status.state, status.epochs, status.weights_digest) == ("diverged", 1, None)
    assert "float16" in str(status.reason)
    assert not (tmp_path / "trunk" / WEIGHTS).exists()


def test_a_trained_trunks_weights_are_float32_that_float16_holds(trained: Path) -> None:
    state = weights.read(trained / WEIGHTS, read_status(trained).weights_digest)
    assert all(representable(state))
    assert {value.dtype for value in state.values()} == {torch.float32, torch.int64}


# Ship and take


def test_a_trunk_comes_back_to_the_bit_from_half_the_bytes(
    data: Path, trained: Path, shipped: Path, tmp_path: Path
) -> None:
    assert {path.name for path in (shipped / "trunk").iterdir()} == {*KEPT, WEIGHTS, FILE}
    sizes = [(folder / WEIGHTS).stat().st_size for folder in (trained, shipped / "trunk")]
    assert 0.49 < sizes[1] / sizes[0] < 0.53
    folder = empty(tmp_path / "runs" / "trunk")
    status = take(folder, SPEC, load(data), shipped)
    assert status == read_status(folder)
    assert status == read_status(trained).model_copy(update={"shipped": True})
    for name in (WEIGHTS, "curve.csv", "spec.json"):
        assert (folder / name).read_bytes() == (trained / name).read_bytes()
    evaluate("trunk", SPEC, data, tmp_path / "runs")
    assert read_metrics(folder) == read_metrics(trained) == read_metrics(shipped / "trunk")


def test_training_takes_the_shipped_trunk_and_nothing_else(
    data: Path, trained: Path, shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    with monkeypatch.context() as patch:
        patch.setattr(training, "prepare", lambda *_: pytest.fail("trained"))
        status = train("trunk", SPEC, data, runs, shipped=shipped)
        assert status.shipped
        assert train("trunk", SPEC, data, runs, shipped=shipped) == status
    assert status.weights_digest == read_status(trained).weights_digest
    assert not read_status(trained).shipped
    left = {path.name for path in (runs / "trunk").iterdir() if not path.name.startswith(".")}
    assert left == {"spec.json", "curve.csv", WEIGHTS, "status.json"}


def test_a_trunk_that_is_taken_replaces_one_in_the_making(data: Path, shipped: Path, tmp_path: Path) -> None:
    folder = empty(tmp_path / "runs" / "trunk")
    for name in ("checkpoint.pt", "starts.json"):
        (folder / name).write_text("of a start that was killed")
    assert train("trunk", SPEC, data, folder.parent, shipped=shipped).shipped
    assert not any((folder / name).exists() for name in ("checkpoint.pt", "starts.json"))


def test_other_data_need_a_trunk_of_their_own_and_it_is_said(
    shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Begun(BaseException):
        """Training has begun."""

    def begin(*_: object) -> None:
        raise Begun

    other = tiny_dataset(tmp_path / "other", train=9)
    folder = empty(tmp_path / "runs" / "trunk")
    assert take(folder, SPEC, load(other), shipped) is None
    said = capsys.readouterr().err
    assert read_status(shipped / "trunk").data_digest in said
    assert load(other).digest in said
    assert "trained anew" in said
    assert list(folder.iterdir()) == []
    monkeypatch.setattr(training, "prepare", begin)
    with pytest.raises(Begun):
        train("trunk", SPEC, other, folder.parent, shipped=shipped)


def test_a_trunk_that_is_not_shipped_is_trained_and_it_is_said(
    data: Path, shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert take(empty(tmp_path / "runs" / "other"), SPEC, load(data), shipped) is None
    assert f"other: {shipped} has no such trunk, so it is trained" in capsys.readouterr().err


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def another_digit(path: Path) -> None:
    """As an editor might: the file keeps its form."""
    text = path.read_text()
    place = max(text.rfind(digit) for digit in "0123456789")
    path.write_text(f"{text[:place]}{(int(text[place]) + 1) % 10}{text[place + 1 :]}")


DAMAGE: dict[str, tuple[str, Any, str]] = {
    "cut weights": (WEIGHTS, cut, "not readable as weights .*check it out again"),
    "a flipped bit": (WEIGHTS, flip, "digest is .*, not .* as status.json says; check it out again"),
    "no weights": (WEIGHTS, Path.unlink, "missing; check it out again"),
    "cut status": ("status.json", cut, "not JSON"),
    "cut spec": ("spec.json", cut, "not JSON"),
    "another run's spec": (
        "spec.json",
        lambda path: write_json(path, tiny_run(2, train={"half_weights": True})),
        "is another run's",
    ),
}
"""Noticed by those who read the files, also in trunks that were shipped without a manifest."""


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_trunk_is_refused_by_file_and_nothing_is_taken(
    damage: str, data: Path, shipped: Path, tmp_path: Path
) -> None:
    name, spoil, told = DAMAGE[damage]
    (shipped / "trunk" / FILE).unlink()
    spoil(shipped / "trunk" / name)
    folder = empty(tmp_path / "runs" / "trunk")
    with pytest.raises(FileError, match=rf"{shipped}/trunk/{name}: .*{told}"):
        take(folder, SPEC, load(data), shipped)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", [*KEPT, WEIGHTS])
def test_a_changed_file_of_a_trunk_is_refused_by_its_sum(name: str, data: Path, shipped: Path, tmp_path: Path) -> None:
    (flip if name == WEIGHTS else another_digit)(shipped / "trunk" / name)
    folder = empty(tmp_path / "runs" / "trunk")
    with pytest.raises(FileError, match=rf"trunk/{name}: its SHA-256 is .*manifest\.json says; {manifest.COPY_AGAIN}"):
        take(folder, SPEC, load(data), shipped)
    assert list(folder.iterdir()) == []
    (shipped / "trunk" / name).unlink()
    with pytest.raises(FileError, match=rf"trunk/{name}: missing.*; {manifest.COPY_AGAIN}"):
        manifest.check_shipped(shipped / "trunk")


@pytest.mark.parametrize("spoil", [cut, another_digit])
def test_a_damaged_manifest_of_a_trunk_is_refused(spoil: Any, data: Path, shipped: Path, tmp_path: Path) -> None:
    spoil(shipped / "trunk" / FILE)
    with pytest.raises(FileError, match=r"trunk/manifest\.json: .*; check it out again"):
        take(empty(tmp_path / "runs" / "trunk"), SPEC, load(data), shipped)


def test_a_shipped_trunk_can_be_deployed_and_a_damaged_one_is_to_be_checked_out(trained: Path, shipped: Path) -> None:
    folder = shipped / trained.name
    network = named(str(folder)).candidate.source.load()
    assert isinstance(network, Detector)
    assert weights.digest(network.part_state()) == read_status(trained).weights_digest
    flip(folder / WEIGHTS)
    with pytest.raises(FileError, match=rf"weights\.safetensors: its SHA-256 .*; {manifest.COPY_AGAIN}$"):
        named(str(folder))


def test_what_was_not_rounded_is_not_shipped(data: Path, trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "trunk"
    shutil.copytree(trained, folder)
    (folder / "manifest.json").unlink()
    state = weights.read(folder / WEIGHTS)
    name = next(name for name, value in state.items() if value.dtype == torch.float32)
    digest = weights.write({**state, name: state[name] * (1 + 2**-12)}, folder / WEIGHTS)
    write_json(folder / "status.json", read_status(folder).model_copy(update={"weights_digest": digest}))
    with pytest.raises(FileError, match="digest is"):
        ship("trunk", folder.parent, tmp_path / "shipped")


def test_what_starts_fresh_may_be_missing_on_both_sides() -> None:
    """psa's baseline has no attention, and neither has the trunk of plain parts."""
    plain = ModelSpec(attention="none")
    trunk = detector.build(plain, len(CLASSES), seed=1).part_state()
    model = detector.build(plain, len(CLASSES), seed=2)
    weights.load_parts(model, trunk, ("attention",))
    assert all(torch.equal(value, trunk[name]) for name, value in model.part_state().items())


# A one-to-one head of a dual trunk


def test_a_one_to_one_head_takes_the_one_to_one_branch_and_a_one_to_many_head_the_other(
    data: Path, trained: Path
) -> None:
    runs = trained.parent
    trunk = weights.read(trained / WEIGHTS)
    loaded = {}
    for head in ("one_to_many", "one_to_one"):
        model = detector.build(ModelSpec(head=head), len(CLASSES), seed=3)  # type: ignore[arg-type]
        weights.load_parts(model, trunk, ())
        loaded[head] = model.part_state()
    heads = [name for name in loaded["one_to_one"] if name.startswith("head.cv")]
    assert heads
    for name in heads:
        assert torch.equal(loaded["one_to_one"][name], trunk[name.replace("head.", "head.one2one_")])
        assert torch.equal(loaded["one_to_many"][name], trunk[name])
    assert any(not torch.equal(loaded["one_to_one"][name], loaded["one_to_many"][name]) for name in heads)
    assert all(torch.equal(value, trunk[name]) for name, value in loaded["one_to_one"].items() if name not in heads)
    # All three are paired in one folder, as the arms of nms_free are.
    for head in ("one_to_many", "one_to_one", "dual"):
        (runs / head).mkdir()
        training.prepare(head, tiny_run(start="trunk", model=ModelSpec(head=head)), data, runs)  # type: ignore[arg-type]
    prints = {head: read_json(runs / head / "pairing.json")["prints"] for head in ("one_to_many", "one_to_one", "dual")}
    for head, branch in (("one_to_many", "head.cv3.0"), ("one_to_one", "head.one2one_cv3.0")):
        shared = {name for name in prints[head] if name.startswith(branch)}
        assert shared
        assert all(prints[head][name] == prints["dual"][name] for name in shared)


def test_the_paper_counts_and_names_the_trunks() -> None:
    told = protocol(plan.load("quick"))
    assert "started from one of 2 trained trunks, which take turns from seed to seed (default and plain);" in told
