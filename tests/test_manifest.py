"""A scored run's manifest: a file that was damaged or exchanged since is noticed by whoever reads it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import tiny_dataset, tiny_run

from mnv4bench.evaluate.detections import evaluate
from mnv4bench.io.errors import FileError
from mnv4bench.io.files import read_json, sha256, write_bytes, write_text
from mnv4bench.results import manifest, matches
from mnv4bench.results.curve import read_curve
from mnv4bench.results.detections import read_detections
from mnv4bench.results.metrics import read_metrics
from mnv4bench.results.pretrained import PRETRAINED
from mnv4bench.results.run import read_spec, read_status
from mnv4bench.train.run import train

pytestmark = pytest.mark.usefixtures("process_settings")

READERS: dict[str, Callable[[Path], object]] = {
    "status.json": read_status,
    "spec.json": read_spec,
    "curve.csv": lambda folder: read_curve(folder / "curve.csv", 1),
    "metrics.json": read_metrics,
    "matches.npz": lambda folder: matches.load(folder / "matches.npz"),
    "detections.json": lambda folder: read_detections(folder / "detections.json", ["nms"]),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data/ and runs/ of two runs, trained and scored."""
    root = tmp_path_factory.mktemp("manifest")
    data = tiny_dataset(root / "data")
    for seed, name in enumerate(("run", "other")):
        train(name, tiny_run(seed=seed), data, root / "runs")
        evaluate(name, tiny_run(seed=seed), data, root / "runs")
    return root


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def altered(name: str, content: bytes) -> bytes:
    """Return content that a reader understands and that says something else."""
    if name.endswith(".npz"):
        return content
    digits = [place for place, byte in enumerate(content) if chr(byte) in "0123456789"]
    place = digits[-1]
    return content[:place] + (b"1" if content[place : place + 1] != b"1" else b"2") + content[place + 1 :]


def test_the_manifest_holds_the_sum_of_every_file_of_a_scored_run(root: Path) -> None:
    folder = root / "runs" / "run"
    files = read_json(folder / manifest.FILE)["files"]
    assert set(files) == {*manifest.TRAINED, *manifest.SCORED} - {PRETRAINED}  # which nothing was loaded for
    assert files == {name: sha256(folder / name) for name in files}
    manifest.check_run(folder)


@pytest.mark.parametrize("name", READERS)
def test_a_changed_digit_is_noticed_by_the_reader(name: str, root: Path) -> None:
    folder = root / "runs" / "run"
    READERS[name](folder)
    if name == "matches.npz":
        records = matches.load(folder / name)
        one = next(iter(records))
        flipped = matches.MatchRecords(**{**vars(records[one]), "tp": np.logical_not(records[one].tp)})
        matches.save(folder / name, {**records, one: flipped})
    else:
        write_bytes(folder / name, altered(name, (folder / name).read_bytes()))
    with pytest.raises(FileError, match=rf"{name}: .*manifest\.json says; delete .* and start again"):
        READERS[name](folder)


@pytest.mark.parametrize("name", ["matches.npz", "detections.json"])
def test_files_of_another_run_are_noticed_and_the_remedy_works(name: str, root: Path) -> None:
    folder = root / "runs" / "run"
    before = sha256(folder / name)
    shutil.copyfile(root / "runs" / "other" / name, folder / name)
    with pytest.raises(FileError, match=rf"{name}: .*delete .*metrics\.json and start again"):
        READERS[name](folder)
    (folder / "metrics.json").unlink()
    evaluate("run", tiny_run(), root / "data", root / "runs")
    assert sha256(folder / name) == before
    manifest.check_run(folder)


@pytest.mark.parametrize("name", ["weights.safetensors", "curve.csv", "pairing.json"])
def test_scoring_again_does_not_accept_what_changed_since_training(name: str, root: Path) -> None:
    folder = root / "runs" / "run"
    shutil.copyfile(root / "runs" / "other" / name, folder / name)
    (folder / "metrics.json").unlink()
    with pytest.raises(FileError, match=rf"{name}: .*delete the .*folder"):
        evaluate("run", tiny_run(), root / "data", root / "runs")
    assert not (folder / "metrics.json").exists()


def test_a_damaged_manifest_is_one_error_whose_remedy_works(root: Path) -> None:
    folder = root / "runs" / "run"
    write_text(folder / manifest.FILE, "{}")
    with pytest.raises(FileError, match=r"manifest\.json: not a Manifest.*delete it and metrics\.json"):
        read_metrics(folder)
    for name in (manifest.FILE, "metrics.json"):
        (folder / name).unlink()
    evaluate("run", tiny_run(), root / "data", root / "runs")
    manifest.check_run(folder)


def test_a_run_that_is_trained_again_gets_a_manifest_of_its_own(root: Path) -> None:
    folder = root / "runs" / "run"
    for name in ("status.json", "metrics.json"):
        (folder / name).unlink()
    train("run", tiny_run(), root / "data", root / "runs")
    assert not (folder / manifest.FILE).exists()
    evaluate("run", tiny_run(), root / "data", root / "runs")
    manifest.check_run(folder)


def test_a_status_of_another_run_is_told_from_a_folder_of_another_name(root: Path) -> None:
    folder = root / "runs" / "run"
    folder.rename(root / "runs" / "mine")
    with pytest.raises(FileError, match=r"status\.json: the run inside is called run; rename the folder .*mine to run"):
        read_status(root / "runs" / "mine")
    (root / "runs" / "mine").rename(folder)
    shutil.copyfile(root / "runs" / "other" / "status.json", folder / "status.json")
    with pytest.raises(FileError, match=r"status\.json: its SHA-256 is .*; delete the folder .*run and start again"):
        read_status(folder)
