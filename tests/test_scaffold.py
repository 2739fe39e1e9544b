"""`mnv4bench new` and `mnv4bench plan`: a file that is valid as it stands, and what is left to do."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mnv4bench import cli, plan
from mnv4bench.errors import SpecError
from mnv4bench.expected import GUESSED_RATE, expected, in_words
from mnv4bench.files import write_json, write_text
from mnv4bench.scaffold import new_ablation

ROOT = Path(__file__).parent.parent


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("ablations", "config"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_new_ablation_is_valid_under_every_preset(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["new", "my_part"])
    assert "--config only=my_part" in capsys.readouterr().out
    for preset in project.glob("config/*.yaml"):
        assert [arm.name for arm in plan.load(preset.stem, "my_part").arms] == ["small", "large"]
    cli.main(["check"])
    text = (project / "ablations" / "my_part.yaml").read_text()
    assert text.startswith("# my_part: one question")
    assert "title: My part" in text
    # What stands in comments is valid, too: a reader takes the sign away.
    for line in ("fresh: [", "start: scratch", "common: {", "core: ["):
        other = text.replace(f"# {line}", line)
        assert other != text
        write_text(project / "ablations" / "my_part.yaml", other)
        assert plan.load("quick", "my_part").arms


@pytest.mark.parametrize("name", ["My_Part", "a/b", "../a", "a.b", ""])
def test_a_name_that_is_no_plain_file_name_is_refused(project: Path, name: str) -> None:
    with pytest.raises(SpecError, match="a name is lower-case letters"):
        new_ablation(name)


def test_an_ablation_is_never_overwritten(project: Path) -> None:
    before = (project / "ablations" / "psa.yaml").read_text()
    with pytest.raises(SpecError, match=r"psa\.yaml: exists already"):
        new_ablation("psa")
    assert (project / "ablations" / "psa.yaml").read_text() == before


def finish(results: Path, run: str, rate: float) -> None:
    folder = results / "runs" / run
    environment = {"cpu": "", "cpu_flags": "", "cores": 1, "platform": "", "python": "", "packages": {}, "threads": 1}
    status = {
        "run": run, "state": "done", "epochs": 1, "steps": 1, "images_per_second": rate, "seconds": 1.0,
        "peak_memory_mib": 1.0, "environment": {**environment, "gpu": None, "commit": None},
    }  # fmt: skip
    write_json(folder / "status.json", status)
    write_text(folder / "metrics.json", "x" * 3_000_000)


def test_without_a_finished_run_the_time_is_a_guess_and_says_so(project: Path, tmp_path: Path) -> None:
    found = plan.load("quick", "scdown")
    left = expected(found, tmp_path / "results", cores=2)
    images = 600 * (14 + 5 * 6)  # the trunk's epochs; two arms of three seeds
    assert left.runs == 7
    # The trunk has two threads, so it takes as many core seconds as one thread at the guessed rate.
    assert left.seconds == pytest.approx(images / GUESSED_RATE / 2)
    assert "a guess of 30 images/s" in in_words(left, 2)


def test_finished_runs_give_the_rate_and_the_disk(project: Path, tmp_path: Path) -> None:
    found, results = plan.load("quick", "scdown"), tmp_path / "results"
    conv, scdown = (arm.runs for arm in found.arms)
    finish(results, conv[0], 10.0)
    finish(results, scdown[0], 40.0)
    left = expected(found, results, cores=2)
    assert (left.runs, left.measured_on) == (5, 2)
    assert left.megabytes == pytest.approx(5 * 3.0, rel=0.01)
    seconds = 2 * 3000 / 10 + 2 * 3000 / 40 + 2 * 600 * 14 / 40  # the trunk is scdown's model, on two threads
    assert left.seconds == pytest.approx(seconds / 2)
    write_text(results / "benchmarks" / "latency.tsv", "s\th:m:s\n90.5\t0:01:30\n")
    assert "took 2 min the last time" in in_words(expected(found, results, cores=2), 2)
    for run in found.runs:
        finish(results, run, 10.0)
    assert in_words(expected(found, results, cores=2), 2) == "All runs are finished."


def test_a_reader_that_stops_early_causes_no_traceback() -> None:
    command = [sys.executable, "-m", "mnv4bench", "plan", "--preset", "full"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0
