"""Training and scoring never mix two contents of the data: a run is trained again, or refused by both digests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from helpers import prepare_again, tiny_dataset, tiny_run, train_until_killed

from mnv4bench.data.prepared import load, verify
from mnv4bench.evaluate.detections import evaluate
from mnv4bench.io.errors import DataError
from mnv4bench.io.files import read_json, write_json
from mnv4bench.latency.labelled import labelled
from mnv4bench.latency.named import Named
from mnv4bench.report.results import DataFacts
from mnv4bench.results.run import read_status
from mnv4bench.spec.run import DistillSpec
from mnv4bench.train import checkpoint
from mnv4bench.train.run import train

pytestmark = pytest.mark.usefixtures("process_settings")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tiny_dataset(tmp_path / "data")


def correct_labels(data: Path, split: str = "train") -> None:
    """Swap the two classes, and prepare again."""
    path = data / "annotations" / f"{split}.json"
    content = read_json(path)
    for annotation in content["annotations"]:
        annotation["category_id"] = 10 - annotation["category_id"]
    write_json(path, content)
    prepare_again(data)


def trained_anew(data: Path, folder: Path, **fields: Any) -> bytes:
    """Return the weights of a run that never saw other data."""
    train("run", tiny_run(**fields), data, folder)
    return (folder / "run" / "weights.safetensors").read_bytes()


def test_a_finished_run_is_trained_again_on_corrected_labels(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, before = tmp_path / "runs", load(data).digest
    train("run", tiny_run(), data, runs)
    evaluate("run", tiny_run(), data, runs)
    old = (runs / "run" / "weights.safetensors").read_bytes()
    correct_labels(data)
    status = train("run", tiny_run(), data, runs)
    assert status.data_digest == load(data).digest != before
    assert not (runs / "run" / "metrics.json").exists()
    assert evaluate("run", tiny_run(), data, runs).data_digest == status.data_digest
    aside = runs / "run" / f"of-data-{before[:12]}"
    assert (aside / "weights.safetensors").read_bytes() == old
    said = capsys.readouterr().err
    assert before in said
    assert str(status.data_digest) in said
    assert (runs / "run" / "weights.safetensors").read_bytes() == trained_anew(data, tmp_path / "anew") != old


def test_a_run_that_was_interrupted_starts_over_on_corrected_labels(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    train_until_killed(runs / "run", tiny_run(2), data, step=3)
    assert (runs / "run" / checkpoint.FILE).exists()
    correct_labels(data)
    assert train("run", tiny_run(2), data, runs).state == "done"
    assert "its data is" in capsys.readouterr().err
    assert (runs / "run" / checkpoint.ASIDE).exists()
    assert (runs / "run" / "weights.safetensors").read_bytes() == trained_anew(data, tmp_path / "anew", epochs=2)


def test_old_weights_are_not_scored_on_new_labels(data: Path, tmp_path: Path) -> None:
    before = load(data).digest
    train("run", tiny_run(), data, tmp_path)
    correct_labels(data, "val")
    with pytest.raises(DataError, match=rf"status\.json.*{before}.*{load(data).digest}"):
        evaluate("run", tiny_run(), data, tmp_path)
    assert not (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.parametrize("fields", [{"start": "trunk"}, {"teacher": "trunk", "distill": DistillSpec(logits=1.0)}])
def test_a_source_that_was_trained_on_other_data_is_refused(fields: dict[str, Any], data: Path, tmp_path: Path) -> None:
    train("trunk", tiny_run(), data, tmp_path)
    before = load(data).digest
    correct_labels(data)
    with pytest.raises(DataError, match=rf"trunk/status\.json.*{before}.*{load(data).digest}"):
        train("run", tiny_run(**fields), data, tmp_path)
    assert not (tmp_path / "run" / "status.json").exists()
    train("trunk", tiny_run(), data, tmp_path)
    assert train("run", tiny_run(**fields), data, tmp_path).state == "done"


def test_labels_that_changed_after_preparing_are_refused(data: Path, tmp_path: Path) -> None:
    path = data / "annotations" / "train.json"
    path.write_text(path.read_text() + " ")
    with pytest.raises(DataError, match="annotations changed"):
        train("run", tiny_run(), data, tmp_path)


@pytest.mark.parametrize("content", ["null", "[]", '{"images": 3}', "{"])
def test_labels_that_are_none_are_refused_by_whoever_reads_them(content: str, data: Path, tmp_path: Path) -> None:
    record = load(data)
    (data / "annotations" / "val.json").write_text(content)
    model = cast(Named, SimpleNamespace(data=data))
    readers: tuple[Callable[[], object], ...] = (
        lambda: labelled(model, None, tmp_path, 64, remedy=""),  # of export, and of latency --score
        lambda: DataFacts(data, record).annotations,  # of figures
        lambda: verify(data),
    )
    for read in readers:
        with pytest.raises(DataError, match="annotations changed"):
            read()


def test_a_status_that_does_not_know_its_data_is_not_obeyed(data: Path, tmp_path: Path) -> None:
    status = train("run", tiny_run(), data, tmp_path)
    write_json(tmp_path / "run" / "status.json", status.model_copy(update={"data_digest": None, "seconds": 0.0}))
    assert train("run", tiny_run(), data, tmp_path).weights_digest == status.weights_digest
    assert (tmp_path / "run" / "of-data-unknown" / "status.json").exists()
    assert read_status(tmp_path / "run").data_digest == load(data).digest


def test_arms_of_other_data_are_no_pair(data: Path, tmp_path: Path) -> None:
    train("one", tiny_run(), data, tmp_path)
    correct_labels(data)
    assert train("other", tiny_run(), data, tmp_path).state == "done"
