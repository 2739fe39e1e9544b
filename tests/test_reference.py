"""A reference is whole, small, names no machine, and is refused when damaged or no longer what the preset asks."""

from __future__ import annotations

import shutil
from pathlib import Path

import fake_results as fake
import numpy as np
import pytest

from mnv4bench.cli import main
from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import read_json, sha256, write_json, write_text
from mnv4bench.reference.plans import chosen, plan_of
from mnv4bench.reference.publish import publish, refresh
from mnv4bench.reference.rebuild import check, unlike
from mnv4bench.report.docs.measured import apart_from_zero, measured, references
from mnv4bench.report.tables.tables import write_tables
from mnv4bench.results import matches
from mnv4bench.results.dataset import Dataset
from mnv4bench.results.matches import MatchRecords
from mnv4bench.results.reference import FOLDER, REBUILT, names, read
from mnv4bench.spec.plan import Plan


def records(score: float) -> MatchRecords:
    """One image, one class, one detection."""
    return MatchRecords(
        image_ids=np.array([1]),
        slices=np.array(["plain"]),
        category_ids=np.array([1]),
        image=np.zeros(1, np.int32),
        category=np.zeros(1, np.int32),
        score=np.array([score]),
        tp=np.ones((4, 1, 10), np.bool_),
        ignored=np.zeros((4, 1, 10), np.bool_),
        objects=np.ones((4, 1, 1), np.int32),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    root = tmp_path_factory.mktemp("reference")
    plan = fake.make_plan(root)
    results = root / "results/fake"
    fake.write_results(plan, results)
    folder = results / "data" / "scenes-64-20x10-seed0"
    (results / "data" / "fake").rename(folder)
    dataset = Dataset.model_validate(read_json(folder / "dataset.json"))
    elsewhere = dataset.val.model_copy(update={"images": str(root / "elsewhere")})
    write_json(folder / "dataset.json", dataset.model_copy(update={"val": elsewhere}))
    for place, run in enumerate(plan.runs):
        both = {"nms": records(0.1 + place / 100), "nms_free": records(0.5)}
        matches.save(results / "runs" / run / "matches.npz", both)
        write_text(results / "runs" / run / "weights.safetensors", "large")
    write_tables(plan, results)
    write_text(results / "latency/blocks.csv", "session,threads\n" * 1000)
    for file in ("figures/effects.png", "figures/detections.png", "paper/mnv4bench.pdf", "tables/verify.md"):
        write_text(results / file, file)
    return plan, results


@pytest.fixture
def project(made: tuple[Plan, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Plan, Path]:
    """A project of its own, in which this process stands, with one reference; returns its folder."""
    for name in ("config", "ablations"):
        shutil.copytree(made[1].parent.parent / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    publish(*made, "tiny")
    return made[0], tmp_path / FOLDER / "tiny"


def test_a_reference_holds_the_records_and_nothing_large(project: tuple[Plan, Path], made: tuple[Plan, Path]) -> None:
    plan, folder = project
    record = read("tiny")
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == {*record.files, "reference.json"}
    large = ("weights", "detections.json", "verify")
    assert not [file for file in there if any(name in file for name in large) or file.endswith("blocks.csv")]
    assert set(record.matches) == set(plan.runs)
    assert names() == ["tiny"]
    assert str(made[1].parent.parent) not in (folder / "data/scenes-64-20x10-seed0/dataset.json").read_text()
    check(record, folder)


def test_match_records_keep_the_readings_that_arms_use_and_the_sum_of_all(
    project: tuple[Plan, Path], made: tuple[Plan, Path]
) -> None:
    plan, folder = project
    for run in plan.runs:
        used = {arm.read for arm in plan.arms if run in arm.runs.values()}
        path = folder / "runs" / run / "matches.npz"
        whole = made[1] / "runs" / run / "matches.npz"
        assert read("tiny").matches[run] == sha256(whole)
        assert (set(matches.load(path)) if used else path.exists()) == (used or False)
        for name in used:
            assert matches.load(path)[name].score == matches.load(whole)[name].score


def test_an_unfinished_preset_is_named_and_leaves_the_old_reference(
    project: tuple[Plan, Path], made: tuple[Plan, Path], tmp_path: Path
) -> None:
    plan, folder = project
    broken = tmp_path / "broken"
    shutil.copytree(made[1], broken)
    (broken / "cost.json").unlink()
    with pytest.raises(Mnv4benchError, match=r"cost\.json: is missing; finish the preset first"):
        publish(plan, broken, "tiny")
    check(read("tiny"), folder)
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]


@pytest.mark.parametrize("name", ["..", ".", "", "/absolute", "a/b", "a/../..", "Upper", ".hidden", "-x", "tiny\n"])
def test_a_reference_is_named_by_the_rule_and_nothing_is_deleted(
    name: str, project: tuple[Plan, Path], made: tuple[Plan, Path], tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    for refused in (lambda: publish(*made, name), lambda: read(name), lambda: chosen({"reference": name})):
        with pytest.raises(Mnv4benchError, match="a name is lower-case letters, digits, underscores and hyphens"):
            refused()
    assert sorted(tmp_path.rglob("*")) == before


def test_the_command_refuses_an_absolute_path_and_leaves_its_content(
    project: tuple[Plan, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_text(tmp_path / "mine/thesis.tex", "years of work")
    for name in (str(tmp_path / "mine"), "../../mine", ".."):
        with pytest.raises(SystemExit) as stop:
            main(["publish", "--preset", "fake", name])
        assert stop.value.code == 2
        assert "a name is lower-case letters" in capsys.readouterr().err
    assert (tmp_path / "mine/thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("content", [{"notes.txt": "mine"}, {}])
def test_a_folder_that_is_no_reference_is_never_replaced(
    content: dict[str, str], project: tuple[Plan, Path], made: tuple[Plan, Path]
) -> None:
    target = FOLDER / "mine"
    target.mkdir()
    for name, text in content.items():
        write_text(target / name, text)
    with pytest.raises(Mnv4benchError, match=r"mine: holds no reference\.json, so it is no reference"):
        publish(*made, "mine")
    assert {path.name: path.read_text() for path in target.iterdir()} == content


def test_publishing_again_replaces_all_of_a_reference(project: tuple[Plan, Path], made: tuple[Plan, Path]) -> None:
    write_text(project[1] / "runs/stale.json", "{}")
    publish(*made, "tiny")
    check(read("tiny"), project[1])
    assert not (project[1] / "runs/stale.json").exists()
    assert [path.name for path in project[1].parent.iterdir()] == ["tiny"]


@pytest.mark.parametrize(
    "config", [{"preset": "../config/fake"}, {"preset": "/fake"}, {"preset": 3}, {"only": "psa,../psa"}, {"only": ""}]
)
def test_presets_and_ablations_are_named_by_the_rule(config: dict[str, object], project: tuple[Plan, Path]) -> None:
    with pytest.raises(Mnv4benchError, match="a name is lower-case letters, digits and underscores"):
        chosen({"preset": "fake", **config})


def test_an_ablation_is_shown_as_each_reference_that_ran_it_measured_it(
    project: tuple[Plan, Path], made: tuple[Plan, Path], tmp_path: Path
) -> None:
    publish(*made, "again")
    found = references(tmp_path)
    assert list(found) == ["again", "tiny"]
    table = measured("psa", found)
    assert table is not None
    assert table.header[:4] == ("reference", "comparison", "ΔAP [95\N{NO-BREAK SPACE}%]", "verdict")
    assert [row[0].text for row in table.rows] == ["again, 3 seeds", "tiny, 3 seeds"]
    assert table.rows[0][1:] == table.rows[1][1:]
    assert [cell.text for cell in table.rows[0][1:3]] == ["psa − none", "+0.0191 [+0.0131, +0.0251]"]
    assert measured("uib", found) is None
    each = found["tiny"].comparison.differences
    apart = [d for d in each if d.mean is not None and abs(d.mean) > 0.006]  # half of every fake interval
    assert 0 < len(apart) < len(each)
    said, rows = apart_from_zero(found)
    named = [(row[0].text, row[1].text) for row in rows.rows]
    assert named == 2 * [(d.ablation, f"{d.arm} − {d.baseline}") for d in apart]
    assert said == (
        f"{2 * len(each)} comparisons with 3 seeds. {2 * len(apart)} of their 95\N{NO-BREAK SPACE}% intervals exclude "
        f"zero; about {0.05 * 2 * len(each):.0f} would if no part had an effect."
    )


def test_damage_is_named_file_by_file(project: tuple[Plan, Path]) -> None:
    _, folder = project
    first, second = sorted(folder.glob("runs/*/metrics.json"))[:2]
    first.unlink()
    write_text(second, "{}")
    with pytest.raises(Mnv4benchError) as error:
        check(read("tiny"), folder)
    assert f"{first}: is missing" in str(error.value)
    assert f"{second}: is not what reference.json was written for" in str(error.value)
    assert len(str(error.value).splitlines()) == 2


def test_rebuilt_tables_are_told_from_others_and_can_be_taken_over(project: tuple[Plan, Path]) -> None:
    _, folder = project
    rebuilt = REBUILT / "tiny"
    shutil.copytree(folder, rebuilt)
    assert unlike(folder, rebuilt) == []
    write_text(rebuilt / "tables/ablations.md", "other words")
    (rebuilt / "figures/effects.png").unlink()
    assert unlike(folder, rebuilt) == ["figures/effects.png", "tables/ablations.md"]
    before = sha256(folder / "runs" / next(iter(read("tiny").matches)) / "metrics.json")
    write_text(rebuilt / "figures/effects.png", "drawn")
    record = refresh(plan_of("tiny"), folder, rebuilt)
    assert (folder / "tables/ablations.md").read_text() == "other words"
    assert unlike(folder, rebuilt) == []
    assert before in record.files.values()
    check(record, folder)


def test_what_is_asked_for_is_a_preset_or_a_reference(project: tuple[Plan, Path]) -> None:
    plan, _ = project
    assert chosen({"preset": "fake", "only": None})[1] == Path("results/fake")
    found, results = chosen({"reference": "tiny"})
    assert (found.runs, results) == (plan.runs, REBUILT / "tiny")
    with pytest.raises(Mnv4benchError, match="brings its own preset, ablations and seeds; drop only"):
        chosen({"reference": "tiny", "only": "psa"})
    with pytest.raises(Mnv4benchError, match=r"no reference 'tinny'.*did you mean 'tiny'\?"):
        chosen({"reference": "tinny"})


def test_a_preset_that_changed_since_is_refused(project: tuple[Plan, Path]) -> None:
    path = Path("config/fake.yaml")
    path.write_text(path.read_text().replace("epochs: 4", "epochs: 5"))
    with pytest.raises(Mnv4benchError, match=r"has no run .* of preset fake; the preset or an ablation has changed"):
        plan_of("tiny")
