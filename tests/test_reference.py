"""A reference is whole, small, names no machine, and is refused when damaged or no longer what the preset asks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fake_results as fake
import numpy as np
import pytest

from mnv4bench.cli import main
from mnv4bench.io.errors import FileError, Mnv4benchError
from mnv4bench.io.files import read_json, sha256, write_json, write_text
from mnv4bench.reference.contents import rendered_files
from mnv4bench.reference.plans import chosen, plan_of
from mnv4bench.reference.publish import _replacing_folder, publish, take_over
from mnv4bench.reference.rebuild import changed, restore
from mnv4bench.reference.result_set import reference_set
from mnv4bench.reference.values import changes
from mnv4bench.report.docs.measured import measured, references
from mnv4bench.report.replication import replicate
from mnv4bench.report.results import collect
from mnv4bench.report.tables.write import write_tables
from mnv4bench.results import matches, sums
from mnv4bench.results.dataset import Dataset
from mnv4bench.results.matches import MatchRecords
from mnv4bench.results.reference import FOLDER, REBUILT, RECORD, check_files, names, read_reference
from mnv4bench.results.selection import connect, folder_of, home
from mnv4bench.spec.plan import Plan

TABLES = ("ablations", "classes", "slices", "latency", "errors", "operating")


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
    record = read_reference("tiny")
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    computed = {"compare.json", "cost.json", *(f"tables/{name}.csv" for name in TABLES)}
    assert there == {*record.files, "reference.json"} | computed
    large = ("weights", "detections.json", "verify")
    assert not [file for file in there if any(name in file for name in large) or file.endswith("blocks.csv")]
    assert set(record.matches) == set(plan.runs)
    assert names() == ["tiny"]
    assert str(made[1].parent.parent) not in (folder / "data/scenes-64-20x10-seed0/dataset.json").read_text()
    check_files(record, folder)


def test_match_records_keep_the_readings_that_arms_use_and_the_sum_of_all(
    project: tuple[Plan, Path], made: tuple[Plan, Path]
) -> None:
    plan, folder = project
    for run in plan.runs:
        used = {arm.read for arm in plan.arms if run in arm.runs.values()}
        path = folder / "runs" / run / "matches.npz"
        whole = made[1] / "runs" / run / "matches.npz"
        assert read_reference("tiny").matches[run] == sha256(whole)
        assert (set(matches.load(path)) if used else path.exists()) == (used or False)
        for name in used:
            assert matches.load(path)[name].score == matches.load(whole)[name].score


def test_photographs_of_others_are_not_published(
    project: tuple[Plan, Path], made: tuple[Plan, Path], tmp_path: Path
) -> None:
    plan, folder = project
    theirs = tmp_path / "theirs"
    shutil.copytree(made[1], theirs)
    (record,) = (theirs / "data").glob("*/dataset.json")
    write_json(record, {**read_json(record), "name": "coco"})
    with pytest.raises(Mnv4benchError, match=r"figures/boxes\.png: is missing"):
        publish(plan, theirs, "tiny")
    write_text(theirs / "figures/boxes.png", "white")
    publish(plan, theirs, "tiny", rendered=True)
    assert (folder / "figures/detections.png").read_text() == "white"
    assert not (folder / "figures/boxes.png").exists()
    assert not (folder / "paper").exists()
    assert (folder / "figures/effects.png").exists()


def test_an_unfinished_preset_is_named_and_leaves_the_old_reference(
    project: tuple[Plan, Path], made: tuple[Plan, Path], tmp_path: Path
) -> None:
    plan, folder = project
    broken = tmp_path / "broken"
    shutil.copytree(made[1], broken)
    (broken / "cost.json").unlink()
    with pytest.raises(Mnv4benchError, match=r"cost\.json: is missing; finish the preset first"):
        publish(plan, broken, "tiny")
    check_files(read_reference("tiny"), folder)
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]


@pytest.mark.parametrize("name", ["..", ".", "", "/absolute", "a/b", "a/../..", "Upper", ".hidden", "-x", "tiny\n"])
def test_a_reference_is_named_by_the_rule_and_nothing_is_deleted(
    name: str, project: tuple[Plan, Path], made: tuple[Plan, Path], tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    for refused in (lambda: publish(*made, name), lambda: read_reference(name), lambda: chosen({"reference": name})):
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
    check_files(read_reference("tiny"), project[1])
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
    collected = references(tmp_path)
    assert list(collected) == ["again", "tiny"]
    table = measured("psa", collected)
    assert table is not None
    assert table.header[:4] == ("reference", "comparison", "ΔAP (points) [95\N{NO-BREAK SPACE}%]", "verdict")
    assert [row[0].text for row in table.rows] == ["again, 3 seeds", "tiny, 3 seeds"]
    assert table.rows[0][1:] == table.rows[1][1:]
    assert [cell.text for cell in table.rows[0][1:3]] == ["psa − none", "+1.91 [+1.31, +2.51]"]
    assert measured("uib", collected) is None


def test_damage_is_named_file_by_file(project: tuple[Plan, Path]) -> None:
    plan, folder = project
    first, second = sorted(folder.glob("runs/*/metrics.json"))[:2]
    first.unlink()
    write_text(second, "{}")
    with pytest.raises(Mnv4benchError) as error:
        check_files(read_reference("tiny"), folder)
    assert f"{first}: is missing" in str(error.value)
    assert f"{second}: is not what reference.json was written for" in str(error.value)
    for reader in (lambda: collect(plan, folder), lambda: reference_set(folder)):
        with pytest.raises(Mnv4benchError, match=r"is not what reference\.json was written for"):
            reader()
    assert len(str(error.value).splitlines()) == 2


def another_digit(path: Path) -> None:
    """As an editor might: the file keeps its form."""
    text = path.read_text()
    place = max(text.rfind(digit) for digit in "0123456789")
    write_text(path, f"{text[:place]}{(int(text[place]) + 1) % 10}{text[place + 1 :]}")


@pytest.mark.parametrize("file", ["compare.json", "cost.json", "tables/slices.csv", "tables/ablations.csv"])
def test_a_computed_file_with_another_digit_is_refused_by_whoever_reads_it(
    file: str, project: tuple[Plan, Path], rebuilt: Path, tmp_path: Path
) -> None:
    plan, folder = project
    results = collect(plan, folder)
    another_digit(folder / file)
    renamed = replace(results, plan=replace(plan, preset_name="other"))
    readers: list[Callable[[], object]] = [
        lambda: collect(plan, folder),
        lambda: reference_set(folder),
        lambda: restore(plan, folder, tmp_path / "restored"),
        lambda: changed(plan, folder, rebuilt),
        lambda: replicate(renamed, folder.parent),
    ]
    for reader in readers:
        with pytest.raises(
            Mnv4benchError, match=rf"tiny/{file}: is not what reference\.json was .*; check it out again"
        ):
            reader()


def test_a_reference_without_sums_of_computed_files_is_read(project: tuple[Plan, Path]) -> None:
    _, folder = project
    content = read_json(folder / "reference.json")
    write_json(folder / "reference.json", {k: v for k, v in content.items() if k not in ("computed", "digest")})
    another_digit(folder / "cost.json")
    check_files(read_reference("tiny"), folder)


@pytest.mark.parametrize(
    ("old", "new"), [('"title": "', '"title": "X'), ('"runs/', '"runs/x'), ('"digest"', '"digesu"')]
)
def test_a_changed_record_is_refused_itself(old: str, new: str, project: tuple[Plan, Path]) -> None:
    edit(project[1] / "reference.json", old, new)
    with pytest.raises(FileError, match=r"tiny/reference\.json: .*; check it out again"):
        read_reference("tiny")


def test_what_was_changed_since_it_was_made_is_not_published(
    project: tuple[Plan, Path], made: tuple[Plan, Path], tmp_path: Path
) -> None:
    plan, folder = project
    results = tmp_path / "results" / "fake"
    shutil.copytree(made[1], results)
    sums.record(results, "compare")
    another_digit(results / "compare.json")
    for publishing in (lambda: publish(plan, results, "tiny"), lambda: take_over(plan, folder, results)):
        with pytest.raises(FileError, match=r"compare\.json: its SHA-256 is .*; delete it and start again"):
            publishing()
    check_files(read_reference("tiny"), folder)


@pytest.fixture
def rebuilt(project: tuple[Plan, Path]) -> Path:
    """The reference's folder copied to where it is rebuilt."""
    shutil.copytree(project[1], REBUILT / "tiny")
    return REBUILT / "tiny"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    write_text(path, text.replace(old, new, 1))


def test_a_number_or_a_verdict_that_comes_out_otherwise_is_named_with_both_values(
    project: tuple[Plan, Path], rebuilt: Path
) -> None:
    plan, folder = project
    assert changed(plan, folder, rebuilt) == []
    row = read_json(folder / "compare.json")["differences"][0]
    edit(rebuilt / "compare.json", f'"mean": {row["mean"]!r}', f'"mean": {row["mean"] * (1 + 1e-11)!r}')
    edit(rebuilt / "tables/ablations.csv", f",{row['verdict']},", ",worse,")
    edit(rebuilt / "cost.json", '"flops": ', '"flops": 1')
    edit(rebuilt / "latency/latency.json", '"verdict": "', '"verdict": "x')
    by_file = {change.file: change for change in changed(plan, folder, rebuilt)}
    assert set(by_file) == {"compare.json", "tables/ablations.csv", "cost.json", "latency/latency.json"}
    mean = by_file["compare.json"]
    assert (mean.published, mean.recomputed) == (row["mean"], row["mean"] * (1 + 1e-11))
    assert "row 1 (psa, psa, none), mean" in str(mean) or "mean" in mean.place
    said = str(by_file["tables/ablations.csv"])
    assert all(part in said for part in ("tables/ablations.csv", "psa, psa", "verdict", row["verdict"], "worse"))


def pages(folder: Path, rebuilt: Path, *lines: tuple[str, str]) -> None:
    """Write a page of tables into both folders, of lines as published and as rebuilt."""
    for place, text in zip((folder, rebuilt), zip(*lines, strict=True), strict=True):
        write_text(place / "tables/ablations.md", "\n".join(text))


def test_words_pixels_and_last_bits_are_not_compared(project: tuple[Plan, Path], rebuilt: Path) -> None:
    plan, folder = project
    row = read_json(folder / "compare.json")["differences"][0]
    edit(rebuilt / "compare.json", f'"mean": {row["mean"]!r}', f'"mean": {row["mean"] * (1 + 1e-13)!r}')
    edit(rebuilt / "latency/latency.json", "no GPU <here>", "none of them")
    pages(folder, rebuilt, ("Words of 2026", "Other words, 1"), ("| arm | AP |", "| setting | AP |"))
    write_text(rebuilt / "figures/effects.png", "other pixels")
    assert changed(plan, folder, rebuilt) == []


@pytest.mark.parametrize(
    ("published", "recomputed", "same"),
    [
        ("0:0.25 1:0.5", "0:0.25000000000000006 1:0.5", True),
        ("0:0.25 1:0.5", "0:0.2500001 1:0.5", False),
        ("0:0.25 1:0.5", "0:0.25", False),
        ("1", "2", False),
        ("1000000000000000", "1000000000000001", False),
        ("", "0.0", False),
        ("2e-17", "0.0", True),
        ("unstable", "same", False),
    ],
)
def test_a_field_of_csv_is_compared_number_by_number(
    published: str, recomputed: str, same: bool, tmp_path: Path
) -> None:
    for name, value in (("a", published), ("b", recomputed)):
        write_text(tmp_path / name / "x.csv", f"arm,value\npsa,{value}\n")
    assert (changes(tmp_path / "a", tmp_path / "b", "x.csv") == []) == same


def test_a_number_in_a_pages_table_is_compared(project: tuple[Plan, Path], rebuilt: Path) -> None:
    plan, folder = project
    pages(folder, rebuilt, ("| a | −1.1 [−2, +1] |", "| a | −7.1 [−2, +1] |"))
    [change] = changed(plan, folder, rebuilt)
    assert (change.file, change.published, change.recomputed) == ("tables/ablations.md", "−1.1", "−7.1")


def test_a_lost_row_or_column_is_a_change_and_a_new_column_is_none(tmp_path: Path) -> None:
    for name, text in (("old", "a,b\n1,2\n3,4\n"), ("wider", "a,b,c\n1,2,9\n3,4,9\n"), ("narrow", "a\n1\n")):
        write_text(tmp_path / name / "x.csv", text)
    assert changes(tmp_path / "old", tmp_path / "wider", "x.csv") == []
    places = [change.place for change in changes(tmp_path / "old", tmp_path / "narrow", "x.csv")]
    assert places == ["rows", "row 1, b"]


def test_a_damaged_computed_file_is_named(project: tuple[Plan, Path], rebuilt: Path) -> None:
    for file in ("compare.json", "tables/ablations.csv"):
        kept = (rebuilt / file).read_bytes()
        for damaged in (b'{"differences": [', b'"', b"\xff", None):
            (rebuilt / file).unlink(missing_ok=True)
            if damaged is not None:
                (rebuilt / file).write_bytes(damaged)
            if (file, damaged) != ("tables/ablations.csv", b'{"differences": ['):  # a header like any other
                with pytest.raises(Mnv4benchError, match=rf"rebuilt/tiny/{file}: .*; check it out, or rebuild it"):
                    changed(*project, rebuilt)
            else:
                assert changed(*project, rebuilt)
        (rebuilt / file).write_bytes(kept)


@pytest.mark.parametrize("name", ["../outside", "/outside", "runs/../../outside"])
def test_a_record_that_names_files_outside_is_refused(name: str, project: tuple[Plan, Path]) -> None:
    path = project[1] / "reference.json"
    content = read_json(path)
    write_json(path, {**content, "files": {**content["files"], name: "0" * 64}})
    with pytest.raises(Mnv4benchError, match=r"tiny/reference\.json: .*outside the reference.*; check it out again"):
        read_reference("tiny")


def test_sums_cover_records_and_what_is_computed_from_them(project: tuple[Plan, Path]) -> None:
    record = read_reference("tiny")
    files = set(record.files)
    assert set(record.computed) == {"compare.json", "cost.json", *(f"tables/{name}.csv" for name in TABLES)}
    assert record.computed == {file: sha256(project[1] / file) for file in record.computed}
    assert {"latency/latency.json", "latency/blocks.csv.xz", "figures/detections.png"} <= files
    assert not {"compare.json", "cost.json"} & files
    found = [file for file in files if file.startswith(("tables/", "paper/", "figures/effects"))]
    assert found == ["tables/confusion.csv"]  # counted from detections, which a reference does not hold


@pytest.mark.parametrize("rendered", [True, False])
def test_what_was_rebuilt_is_taken_over_and_the_records_stay(
    rendered: bool, project: tuple[Plan, Path], made: tuple[Plan, Path], rebuilt: Path
) -> None:
    plan, folder = project
    publish(*made, "tiny", rendered=rendered)
    before = read_reference("tiny").files
    assert read_reference("tiny").computed
    for file in ("tables/ablations.md", "figures/effects.png", "paper/mnv4bench.pdf"):
        assert (folder / file).exists() == rendered
    render_anew(*made, rebuilt)
    shutil.rmtree(rebuilt / "runs")
    edit(rebuilt / "tables/ablations.csv", "inconclusive", "equivalent")
    take_over(plan, folder, rebuilt)
    assert read_reference("tiny").files == before
    assert changed(plan, folder, rebuilt) == []
    rendered_now = [path for path in folder.rglob("*") if path.suffix in {".md", ".pdf"} or path.name == "effects.png"]
    assert [path.read_text() for path in rendered_now] == ["made anew"] * len(rendered_now)
    assert bool(rendered_now) == rendered
    check_files(read_reference("tiny"), folder)


@pytest.mark.parametrize("file", ["tables/ablations.md", "figures/effects.png", "paper/mnv4bench.pdf", "cost.json"])
def test_an_unfinished_rebuild_is_named_and_leaves_the_reference(
    file: str, project: tuple[Plan, Path], made: tuple[Plan, Path], rebuilt: Path
) -> None:
    plan, folder = project
    publish(*made, "tiny", rendered=True)
    render_anew(*made, rebuilt)
    (rebuilt / file).unlink()
    before = contents(folder)
    with pytest.raises(Mnv4benchError, match=rf"rebuilt/tiny/{file}: is missing; "):
        take_over(plan, folder, rebuilt)
    assert contents(folder) == before
    (folder / file).unlink()  # made no more
    if not file.endswith("json"):
        take_over(plan, folder, rebuilt)
        assert not (folder / file).exists()


def test_a_rebuild_that_is_stopped_while_it_is_taken_over_leaves_the_reference(
    project: tuple[Plan, Path], rebuilt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, folder = project
    edit(rebuilt / "tables/ablations.csv", "inconclusive", "equivalent")
    before = contents(folder)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mnv4bench.reference.publish.write_json", stop)
    with pytest.raises(KeyboardInterrupt):
        take_over(plan, folder, rebuilt)
    assert contents(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]


def render_anew(plan: Plan, results: Path, rebuilt: Path) -> None:
    for file in rendered_files(plan, results):
        write_text(rebuilt / file, "made anew")


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_asked_for_is_a_preset_or_a_reference(project: tuple[Plan, Path]) -> None:
    plan, _ = project
    assert chosen({"preset": "fake", "only": None})[1] == Path("results/fake")
    found, results = chosen({"reference": "tiny"})
    assert (found.runs, results) == (plan.runs, REBUILT / "tiny")
    with pytest.raises(Mnv4benchError, match="brings its own preset, ablations and seeds; drop only"):
        chosen({"reference": "tiny", "only": "psa"})
    with pytest.raises(Mnv4benchError, match=r"no reference 'tinny'.*did you mean 'tiny'\?"):
        chosen({"reference": "tinny"})


def test_each_selection_has_a_folder_of_its_own_and_the_runs_of_its_preset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = folder_of("full", None, None)
    parts = [folder_of("full", "psa,uib", None), folder_of("full", "psa", None), folder_of("full", "psa", 1)]
    parts += [folder_of("full", None, 1), folder_of("full", ",".join(f"ablation{k}" for k in range(99)), None)]
    assert [str(part) for part in parts[:4]] == [
        f"results/full/only/{name}" for name in ("psa+uib", "psa", "psa-seeds1", "seeds1")
    ]
    assert len({whole, *parts}) == 6
    assert max(len(part.name) for part in parts) < 100
    for folder in (whole, *parts, *parts):
        assert home(folder) == whole
        connect(folder)
    write_text(parts[0] / "runs" / "a" / "metrics.json", "{}")
    assert all((folder / "runs" / "a" / "metrics.json").exists() for folder in (whole, *parts))
    other = folder_of("full", "scale", None)
    (other / "runs").mkdir(parents=True)
    with pytest.raises(FileError, match=r"only/scale/runs: is in the way of a link"):
        connect(other)


def test_a_preset_that_changed_since_is_refused(project: tuple[Plan, Path]) -> None:
    path = Path("config/fake.yaml")
    path.write_text(path.read_text().replace("epochs: 4", "epochs: 5"))
    with pytest.raises(Mnv4benchError, match=r"has no run .* of preset fake; the preset or an ablation has changed"):
        plan_of("tiny")


def test_a_reference_stays_where_another_cannot_take_its_place(tmp_path: Path) -> None:
    write_text(tmp_path / "old" / RECORD, "the old one")
    with pytest.raises(FileNotFoundError), _replacing_folder(tmp_path / "old"):
        pass  # what was made is gone
    assert (tmp_path / "old" / RECORD).read_text(encoding="utf-8") == "the old one"
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_selection_may_be_connected_by_two_processes_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, relative = tmp_path / "results/quick/only/psa", os.path.relpath

    def linked_meanwhile(original: Path, start: Path) -> str:
        (start / original.name).symlink_to(relative(original, start))
        return relative(original, start)

    monkeypatch.setattr(os.path, "relpath", linked_meanwhile)
    connect(folder)
    assert (folder / "runs").resolve() == tmp_path / "results/quick/runs"
