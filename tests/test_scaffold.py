"""`mnv4bench new` and `mnv4bench plan`: a file that is valid as it stands, and what is left to do."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mnv4bench import cli
from mnv4bench.eta import GUESSED_RATE, expected, lines
from mnv4bench.io.errors import SpecError
from mnv4bench.io.files import read_json, write_json, write_text
from mnv4bench.results.dataset import Dataset, Split
from mnv4bench.results.reference import TRUNKS
from mnv4bench.spec import plan
from mnv4bench.spec.scaffold import new_ablation

ROOT = Path(__file__).parent.parent

SHORT = """\
title: short
data: {name: scenes, imgsz: 160, train: 600, val: 200}
train: {epochs: 5}
trunk: {train: {epochs: 14, threads: 2}}
teacher: {from_trunk: true, train: {epochs: 8}}
seeds: [0, 1, 2]
ablations: [scdown]
"""
"""A preset whose times are worked out below by hand."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("ablations", "config"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "config" / "short.yaml").write_text(SHORT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_new_ablation_is_valid_under_every_preset(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["new", "my_part"])
    assert "--config only=my_part" in capsys.readouterr().out
    presets = {path.stem for path in project.glob("config/*.yaml")} - {"published", "published_voc"}  # train nothing
    for preset in presets:
        assert [arm.name for arm in plan.load(preset, "my_part").arms] == ["small", "large"]
    cli.main(["check"])
    text = (project / "ablations" / "my_part.yaml").read_text()
    assert text.startswith("# my_part: one question")
    assert 'title: "My part"' in text
    # What stands in comments is valid, too: a reader takes the sign away.
    for line in ("fresh: [", "start: scratch", "common: {", "core: ["):
        other = text.replace(f"# {line}", line)
        assert other != text
        write_text(project / "ablations" / "my_part.yaml", other)
        assert plan.load("quick", "my_part").arms


@pytest.mark.parametrize("name", ["on", "null", "n"])
def test_a_name_that_is_a_word_of_yaml_makes_a_title_all_the_same(project: Path, name: str) -> None:
    new_ablation(name)
    assert plan.load("smoke", name).ablations[name].title == name.capitalize()


def test_the_published_figures_of_the_template_exist(project: Path) -> None:
    path = new_ablation("my_part")
    text = path.read_text()
    for line in ("published:", "  place:", "  figures:", "    small: {AP", "    large: {AP"):
        assert text.count(f"# {line}") == 1
        text = text.replace(f"# {line}", line)
    write_text(path, text)
    assert set(plan.load("smoke", "my_part").ablations["my_part"].published.figures) == {"small", "large"}  # type: ignore[union-attr]
    cli.main(["check"])


COLOUR = """\
title: Colour
question: Does it pay?
baseline: plain
arms:
  plain: {}
  other: {train.augment.hsv_h: 0.015, train.augment.hsv_s: 0.7, train.augment.hsv_v: 0.4}
smallest_effect: 0.005
"""


@pytest.mark.parametrize(
    ("arm", "presets"),
    [(COLOUR.splitlines()[5], ["coco", "coco_short", "voc"]), ("  other: {model.block: c2fcib}", [])],
)
def test_check_names_the_presets_under_which_alone_something_is_wrong(
    project: Path, capsys: pytest.CaptureFixture[str], arm: str, presets: list[str]
) -> None:
    write_text(project / "ablations" / "colour.yaml", COLOUR.replace(COLOUR.splitlines()[5], arm))
    with pytest.raises(SystemExit):
        cli.main(["check"])
    line = capsys.readouterr().err
    assert line.startswith("mnv4bench: ablations/colour.yaml:6: arms.other: resolves to the same run as arm 'plain'")
    named = f" (under {', '.join(f'config/{preset}.yaml' for preset in presets)})" if presets else ""
    assert line.endswith(f"or drop one{named}\n")


def test_check_refuses_a_title_twice_and_endings_that_nothing_reads(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("colour", "other_colour"):
        write_text(project / "ablations" / f"{name}.yaml", COLOUR.replace("hsv_h: 0.015", "hsv_h: 0.016"))
    for path in ("ablations/new.yml", "config/new.yml"):
        (project / path).touch()
    with pytest.raises(SystemExit):
        cli.main(["check"])
    assert set(capsys.readouterr().err.removeprefix("mnv4bench: ").splitlines()) == {
        "ablations/other_colour.yaml:1: title: 'Colour' is the title of ablations/colour.yaml, too; change one",
        "ablations/new.yml: is not read; rename it to new.yaml",
        "config/new.yml: is not read; rename it to new.yaml",
    }


@pytest.mark.parametrize("command", [["check"], ["plan"], ["plan", "--preset", "mine"], ["ledger"], ["new", "mine"]])
def test_outside_the_project_a_command_says_so(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(command)
    assert ended.value.code == 2
    assert "no such folder; run from the project's folder" in capsys.readouterr().err


def test_finished_runs_are_those_of_the_preset_whichever_selection_asks(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = next(iter(plan.load("smoke", "psa").runs))
    write_text(project / "results" / "smoke" / "runs" / run / "metrics.json", "{}")
    cli.main(["plan", "--preset", "smoke", "--only", "psa"])
    assert "; 1 finished" in capsys.readouterr().out
    assert not (project / "results" / "smoke" / "only").exists()


def test_the_plan_shows_arms_and_on_demand_the_runs_of_each(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = plan.load("short")
    conv = next(arm for arm in found.arms if arm.label == "scdown/conv")
    write_text(project / "results" / "short" / "runs" / conv.runs[0] / "metrics.json", "{}")
    cli.main(["plan", "--preset", "short"])
    arms = capsys.readouterr().out.splitlines()
    assert [line.split() for line in arms[:3]] == [
        ["scdown/conv", "1", "of", "3", "runs"],
        ["scdown/scdown", "0", "of", "3", "runs"],
        [found.trunks[0].name, "to", "do", "start", "of", "the", "others"],
    ]
    assert arms[3].startswith("7 runs for 2 arms of 1 ablation; 1 finished")
    cli.main(["plan", "--preset", "short", "--runs"])
    runs = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()[: len(found.runs)]}
    assert set(runs) == set(found.runs)
    assert runs[conv.runs[0]] == ["finished", "scdown/conv"]
    assert runs[conv.runs[1]] == ["to", "do", "scdown/conv"]


@pytest.mark.parametrize("name", ["My_Part", "a/b", "../a", "a.b", ""])
def test_a_name_that_is_no_plain_file_name_is_refused(project: Path, name: str) -> None:
    with pytest.raises(SpecError, match="a name is lower-case letters"):
        new_ablation(name)


def test_an_ablation_is_never_overwritten(project: Path) -> None:
    before = (project / "ablations" / "psa.yaml").read_text()
    with pytest.raises(SpecError, match=r"psa\.yaml: exists already"):
        new_ablation("psa")
    assert (project / "ablations" / "psa.yaml").read_text() == before


def finish(results: Path, run: str, rate: float, memory: float = 1.0) -> None:
    folder = results / "runs" / run
    environment = {"cpu": "", "cpu_flags": "", "cores": 1, "platform": "", "python": "", "packages": {}, "threads": 1}
    status = {
        "run": run, "state": "done", "epochs": 1, "steps": 1, "images_per_second": rate, "seconds": 1.0,
        "peak_memory_mib": memory, "environment": {**environment, "gpu": None, "commit": None},
    }  # fmt: skip
    write_json(folder / "status.json", status)
    write_text(folder / "metrics.json", "x" * 3_000_000)


def test_without_a_finished_run_the_time_is_a_guess_and_says_so(project: Path, tmp_path: Path) -> None:
    left = expected(plan.load("short", "scdown"), tmp_path / "results", cores=2)
    trunk, arm = 600 * 14 / GUESSED_RATE / 2, 600 * 5 / GUESSED_RATE  # on two threads, and on one
    assert left.runs == 7
    assert left.seconds == pytest.approx(trunk + 3 * arm)  # two arms of three seeds, two at a time
    text = "\n".join(lines(left, 2))
    assert "7 min of training on 2 cores" in text
    assert "a guess from 30 images/s per thread at 160 pixels" in text


def test_what_cannot_be_guessed_is_not(project: Path, tmp_path: Path) -> None:
    on_gpu = expected(plan.load("coco", "scdown"), tmp_path / "results", cores=2)
    assert (on_gpu.seconds, on_gpu.measured_on) == (None, 0)
    assert any(line.split()[:2] == ["time", "unknown"] for line in lines(on_gpu, 2))
    found, results = plan.load("bccd", "scdown"), tmp_path / "bccd"
    assert expected(found, results, cores=2).seconds is None  # nobody has counted the photographs
    split = Split(annotations="", images="", count=160, objects=300)
    dataset = Dataset(name="bccd", digest="", classes=(), category_ids=(), train=split, val=split)
    write_json(results / "data" / "bccd-allxall" / "dataset.json", dataset)
    slower = (224 / 160) ** 2 / GUESSED_RATE
    assert expected(found, results, cores=2).seconds == pytest.approx(slower * (20 * 1460 / 2 + 9 * 2 * 2044))


def test_scoring_alone_has_no_rate(project: Path, tmp_path: Path) -> None:
    found = plan.load("short", "scdown")
    runs = {
        name: spec.model_copy(update={"train": spec.train.model_copy(update={"epochs": 0})})
        for name, spec in found.runs.items()
    }
    left = expected(replace(found, runs=runs), tmp_path / "results", cores=2)
    assert (left.trains, left.seconds) == (False, None)
    assert any("unknown (nothing is trained" in line for line in lines(left, 2))


def test_finished_runs_give_the_rate_and_the_disk(project: Path, tmp_path: Path) -> None:
    found, results = plan.load("short", "scdown"), tmp_path / "results"
    conv, scdown = (arm.runs for arm in found.arms)
    finish(results, conv[0], 10.0)
    finish(results, scdown[0], 40.0)
    left = expected(found, results, cores=2)
    assert (left.runs, left.measured_on) == (5, 2)
    assert left.megabytes == pytest.approx(5 * 3.0, rel=0.01)
    trunk = 600 * 14 / (2 * 25)  # nothing has run on two threads yet: twice the median of what one thread does
    assert left.seconds == pytest.approx(trunk + 3000 / 10 + 3000 / 40)
    assert any("measured on 2 finished runs here" in line for line in lines(left, 2))
    write_text(results / "benchmarks" / "train" / f"{conv[0]}.tsv", "s\th:m:s\n21.0\t0:00:21\n")  # 1 s was training
    scored = expected(found, results, cores=2)
    assert scored.seconds == pytest.approx(left.seconds + 3 * 20)  # the trunk, two at a time, two at a time
    assert any("of training and scoring" in line for line in lines(scored, 2))
    write_text(results / "benchmarks" / "latency.tsv", "s\th:m:s\n90.5\t0:01:30\n")
    assert expected(found, results, cores=2).later_seconds == 90.5
    assert any("2 min the last time" in line for line in lines(expected(found, results, cores=2), 2))
    for run in list(found.runs)[:-1]:
        finish(results, run, 10.0)
    last = expected(found, results, cores=2)
    assert last.seconds == pytest.approx(3000 / 10 + 20)  # one thread of one run, whatever the cores
    assert lines(last, 2)[0].split() == ["to", "do", "1", "run"]
    assert "5 min" in lines(last, 2)[1]
    for run in found.runs:
        finish(results, run, 10.0)
    assert lines(expected(found, results, cores=2), 2) == ["to do      nothing: all runs are finished"]


def test_shipped_trunks_take_no_time_and_tell_no_rate(project: Path, tmp_path: Path) -> None:
    text = SHORT.replace("trunk: {train: {epochs: 14, threads: 2}}", "trunk: {preset: short}")
    (project / "config" / "taking.yaml").write_text(text.replace("{epochs: 5}", "{epochs: 5, images: 100}"))
    found, results = plan.load("taking", "scdown"), tmp_path / "results"
    trunk = found.trunks[0].name
    arms = 3 * 100 * 5 / GUESSED_RATE  # two arms of three seeds, two at a time; an epoch is a hundred of 600 images
    trained = expected(found, results, cores=2)
    assert (trained.runs, trained.seconds) == (7, pytest.approx(600 * 14 / GUESSED_RATE / 2 + arms))
    (project / TRUNKS / trunk).mkdir(parents=True)
    left = expected(found, results, cores=2)
    assert (left.runs, left.seconds) == (6, pytest.approx(arms))
    assert expected(plan.load("short", "scdown"), results, cores=2).runs == 7  # which is to train its own
    finish(results, trunk, 1.0)
    path = results / "runs" / trunk / "status.json"
    assert expected(found, results, cores=2).measured_on == 1
    write_json(path, read_json(path) | {"shipped": True})
    taken = expected(found, results, cores=2)
    assert (taken.measured_on, taken.runs, taken.seconds) == (0, 6, pytest.approx(arms))


def test_a_distilled_run_has_a_rate_of_its_own(project: Path, tmp_path: Path) -> None:
    found, results = plan.load("short", "distillation"), tmp_path / "results"
    distilled = found.arms[-1].runs
    for run in set(found.runs) - {distilled[1]}:
        finish(results, run, 10.0 if run in distilled.values() else 30.0)
    assert expected(found, results, cores=1).seconds == pytest.approx(3000 / 10)


def test_a_damaged_status_tells_nothing(project: Path, tmp_path: Path) -> None:
    found, results = plan.load("short", "scdown"), tmp_path / "results"
    write_text(results / "runs" / next(iter(found.runs)) / "status.json", "{}")
    assert expected(found, results, cores=2).measured_on == 0


def test_a_run_takes_no_less_time_on_more_cores_than_it_has_threads(project: Path, tmp_path: Path) -> None:
    found, results = plan.load("short", "scdown"), tmp_path / "results"
    for run in list(found.runs)[:-1]:
        finish(results, run, 10.0)
    assert [expected(found, results, cores).seconds for cores in (1, 2, 64)] == [300, 300, 300]


def test_a_reader_that_stops_early_causes_no_traceback() -> None:
    command = [sys.executable, "-m", "mnv4bench", "plan", "--preset", "full"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0
