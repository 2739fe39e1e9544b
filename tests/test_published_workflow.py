"""Published networks through the real command: with files that the test makes, with the release's, and with none."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_published import checkpoint, photographs
from test_workflow import copy_project, snakemake

from mnv4bench.data import weights
from mnv4bench.io.places import DATA_VARIABLE, WEIGHTS
from mnv4bench.results.comparison import Comparison
from mnv4bench.results.record import read_record
from mnv4bench.results.run import read_status

PAPER = "results/smoke/paper/mnv4bench.pdf"
RELEASED = weights.known()["yolov10n"]
BASE = Path(os.environ.get(DATA_VARIABLE, "absent"))
ABSENT = [
    str(path) for path in (BASE / WEIGHTS / RELEASED.file, BASE / "coco-val-206") if not path.exists()
]  # what the test of the release's file needs


def project(folder: Path, **fields: Any) -> Path:
    """A project whose preset smoke, which makes no ledger, is the preset `published` on a few small images."""
    copied = copy_project(folder)
    content = yaml.safe_load((copied / "config" / "published.yaml").read_text())
    content["latency"] |= {"runtimes": ["onnxruntime"], "images": 1, "sessions": 1, "rounds": 1, "calibration": 1}
    content |= {"ablations": ["published_heads"], "bootstrap": 100, **fields}
    (copied / "config" / "smoke.yaml").write_text(yaml.safe_dump(content))
    return copied


def check(folder: Path) -> Comparison:
    """Check what the workflow wrote; return its comparison."""
    out = folder / "results" / "smoke"
    assert (folder / PAPER).read_bytes().startswith(b"%PDF")
    with (out / "tables" / "ablations.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["arm"] for row in rows] == ["nms", "nms_free"]
    comparison = read_record(out / "compare.json", Comparison)
    (difference,) = comparison.differences
    assert difference.given_weights
    assert difference.p is not None
    assert float(rows[1]["difference_mean"]) == pytest.approx(difference.mean, abs=1e-4)
    return comparison


def test_a_made_checkpoint_gives_tables_figures_and_the_paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    checkpoint(data / "weights" / "yolov10s.pt")
    photographs(data / "few")
    monkeypatch.setenv(DATA_VARIABLE, str(data))
    small = {"name": "coco", "folder": "few", "train": 0, "imgsz": 64}
    made = project(tmp_path / "project", model={"weights": "yolov10s"}, data=small)
    result = snakemake(made, "preset=smoke", flags=("--until", "paper"))
    assert result.returncode == 0, result.stderr[-6000:]
    assert check(made).images == 4
    (run,) = (made / "results" / "smoke" / "runs").iterdir()
    assert read_status(run).checkpoint == "yolov10s.pt"


@pytest.mark.skipif(bool(ABSENT), reason=f"not on this machine: {', '.join(ABSENT)}")
def test_the_released_checkpoint_gives_tables_figures_and_the_paper(tmp_path: Path) -> None:
    few = {"name": "coco", "folder": "coco-val-206", "train": 0, "imgsz": 320, "val": 12}
    made = project(tmp_path / "project", data=few)
    result = snakemake(made, "preset=smoke", flags=("--until", "paper"))
    assert result.returncode == 0, result.stderr[-6000:]
    assert check(made).images == 12
