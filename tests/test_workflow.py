"""The real command, end to end, on the smoke preset and smaller."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from helpers import tiny_dataset

from mnv4bench.data.prepared import key
from mnv4bench.io.files import read_json, sha256, write_json
from mnv4bench.io.locks import exclusive
from mnv4bench.results.record import read_record
from mnv4bench.results.reference import RECORD, TRUNKS, Reference
from mnv4bench.spec.plan import load

ROOT = Path(__file__).parent.parent
SOURCES = ("Snakefile", "ablations", "config", "profiles", "paper")
RULES = ("compare", "cost", "latency")
SAME_BYTES = ("weights.safetensors", "curve.csv", "metrics.json", "matches.npz", "detections.json", "pairing.json")


def copy_project(target: Path) -> Path:
    """Copy what `snakemake` reads; the package itself is imported from the checkout."""
    target.mkdir(parents=True)
    for name in SOURCES:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target / name)
    return target


def command(*config: str, flags: tuple[str, ...] = ()) -> list[str]:
    return [sys.executable, "-m", "snakemake", "--cores", "2", *flags, "--config", *config]


def snakemake(project: Path, *config: str, flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*config, flags=flags), cwd=project, text=True, capture_output=True, env=environment())


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of every run that must not depend on when or how often the run was started."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("*/*"))
        if path.name in SAME_BYTES
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which the whole smoke preset has run; blanks in its path and in the interpreter's."""
    project = copy_project(tmp_path_factory.mktemp("smoke") / "a project")
    (project / "an env").symlink_to(sys.prefix)
    python = project / "an env" / "bin" / Path(sys.executable).name
    whole = [str(python), *command("preset=smoke")[1:]]
    result = subprocess.run(whole, cwd=project, text=True, capture_output=True, env=environment())
    assert result.returncode == 0, result.stderr[-6000:]
    closing = (project / "results" / "smoke" / "complete.txt").read_text()
    assert closing.strip() in result.stdout
    assert all(line.split()[0].rstrip(",").startswith("results/smoke/") for line in closing.splitlines()[-4:])
    return project


def test_smoke_makes_every_output(finished: Path) -> None:
    out = finished / "results" / "smoke"
    wanted = [
        *(f"tables/ablations.{kind}" for kind in ("csv", "md", "tex")),
        *(f"tables/{name}.{kind}" for name in ("latency", "errors") for kind in ("csv", "md")),
        "tables/slices.csv",
        *(
            f"figures/{name}.{kind}"
            for name in ("effects", "pareto", "curves", "slices", "detections")
            for kind in ("png", "pdf")
        ),
        "index.html",
        "report.html",
        "paper/mnv4bench.pdf",
        "cost.json",
        "latency/blocks.csv",
        "complete.txt",
    ]
    assert [name for name in wanted if not (out / name).stat().st_size] == []
    assert (out / "paper" / "mnv4bench.pdf").read_bytes().startswith(b"%PDF")
    with (out / "tables" / "ablations.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    named = yaml.safe_load((finished / "config" / "smoke.yaml").read_text())["ablations"]
    files = {name: yaml.safe_load((finished / "ablations" / f"{name}.yaml").read_text()) for name in named}
    arms = {(name, arm) for name, content in files.items() for arm in content["core"]}
    assert {(row["ablation"], row["arm"]) for row in rows} == arms


def test_a_second_run_does_nothing(finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (finished / "results").rglob("*") if path.is_file()}
    dry = snakemake(finished, "preset=smoke", flags=("-n",))
    assert "Nothing to be done" in dry.stdout + dry.stderr
    assert snakemake(finished, "preset=smoke").returncode == 0
    assert {path: path.stat().st_mtime_ns for path in (finished / "results").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("empty", ["only=", "seeds=", "reference="])
def test_an_empty_value_of_config_is_one_that_is_not_given(empty: str, tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    dry = snakemake(project, "preset=smoke", empty, flags=("-n", "-p", "--until", "data"))
    assert dry.returncode == 0, dry.stderr
    assert "-m mnv4bench step --preset=smoke data " in dry.stdout


def test_data_that_were_deleted_are_made_again_before_complete_looks_at_them(finished: Path) -> None:
    out = finished / "results" / "smoke"
    away = [*(out / "data").glob("*/dataset.json"), out / "complete.txt"]
    for path in away:
        path.rename(path.with_suffix(".away"))
    try:
        planned = snakemake(finished, "preset=smoke", flags=("--dry-run",)).stdout
    finally:
        for path in away:
            path.with_suffix(".away").rename(path)
    assert "rule data:" in planned
    assert "rule complete:" in planned


@pytest.mark.parametrize(
    ("away", "rule"),
    [
        ("latency/blocks.csv", "latency"),
        ("tables/slices.csv", "tables"),
        ("tables/confusion.csv", "tables"),
        ("figures/curves.pdf", "figures"),
        ("figures/precision/*.png", "figures"),
        ("tables/verify.csv", "verify"),
    ],
)
def test_a_file_that_was_deleted_is_made_again_before_complete_looks(finished: Path, away: str, rule: str) -> None:
    out = finished / "results" / "smoke"
    moved = [path.rename(path.with_name(f"{path.name}.away")) for path in [*out.glob(away), out / "complete.txt"]]
    assert len(moved) > 1
    try:
        dry = snakemake(finished, "preset=smoke", flags=("-n",))
    finally:
        for path in moved:
            path.rename(path.with_suffix(""))
    assert dry.returncode == 0, dry.stderr
    planned = dry.stdout + dry.stderr
    assert rule in planned.split()
    assert "train" not in planned.split()


def test_a_selection_uses_the_runs_that_are_there_and_leaves_the_other_tables_alone(finished: Path) -> None:
    before = {path: path.read_bytes() for path in (finished / "results" / "smoke" / "tables").iterdir()}
    result = snakemake(finished, "preset=smoke", "only=nms_free", flags=("--until", "tables"))
    assert result.returncode == 0, result.stderr[-6000:]
    assert "rule train:" not in result.stderr
    table = finished / "results" / "smoke" / "only" / "nms_free" / "tables" / "ablations.csv"
    with table.open() as stream:
        assert {row["ablation"] for row in csv.DictReader(stream)} == {"nms_free"}
    assert {path: path.read_bytes() for path in before} == before
    assert "Nothing to be done" in snakemake(finished, "preset=smoke", flags=("-n",)).stdout


def test_rewording_one_ablation_remakes_what_depends_on_its_words_and_no_run(finished: Path) -> None:
    path = finished / "ablations" / "nms_free.yaml"
    path.touch()
    assert "Nothing to be done" in snakemake(finished, "preset=smoke", flags=("-n",)).stdout  # same content
    text = path.read_text()
    try:
        path.write_text(text.replace("title: ", "title: On "))
        planned = snakemake(finished, "preset=smoke", flags=("-n",)).stdout.splitlines()
    finally:
        path.write_text(text)
    assert {"rule compare:", "rule tables:", "rule figures:", "rule paper:", "rule report:"} <= set(planned)
    assert not {"rule train:", "rule latency:", "rule cost:", "rule data:"} & set(planned)


def test_editing_one_ablation_trains_only_its_new_arm(finished: Path) -> None:
    path = finished / "ablations" / "c2fcib.yaml"
    text = path.read_text()
    try:
        path.write_text(text.replace("{model.block: c2f}", "{model.block: c2f, train.lr: 1.0e-3}"))
        dry = snakemake(finished, "preset=smoke", flags=("-n",)).stdout
    finally:
        path.write_text(text)
    assert dry.splitlines().count("rule train:") == 1


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose smoke preset is taken for compared, counted and timed, on empty files."""
    project = copy_project(tmp_path_factory.mktemp("computed") / "project")
    config = project / "config" / "smoke.yaml"
    config.write_text(re.sub("(?m)^ablations: .*", "ablations: [nms_free]", config.read_text()))
    plan, out = load("smoke", root=project), project / "results" / "smoke"
    for file in (
        f"data/{key(plan.preset.data)}/dataset.json",
        *(f"runs/{run}/metrics.json" for run in plan.runs),
        *("compare.json", "cost.json", "latency/latency.json", "latency/blocks.csv"),
        *(f"benchmarks/{rule}.tsv" for rule in RULES),
    ):
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        (out / file).touch()
    touched = snakemake(project, "preset=smoke", flags=("--touch", "--forcerun", *RULES, "--until", *RULES))
    assert touched.returncode == 0, touched.stderr
    assert made_again(project) == set()
    return project


def made_again(project: Path) -> set[str]:
    dry = snakemake(project, "preset=smoke", flags=("-n", "--until", *RULES))
    assert dry.returncode == 0, dry.stderr
    return {rule for rule in RULES if f"rule {rule}:" in dry.stdout.splitlines()}


DUAL = "  dual_nms_free: {{model.head: dual, read: {}}}\n  dual_nms: {{model.head: dual, read: {}}}\n"


@pytest.mark.parametrize(
    ("file", "old", "new", "rules"),
    [
        ("config/smoke.yaml", "title: ", "gates: {class_ap: 0.5}\ntitle: ", {"compare"}),
        ("ablations/nms_free.yaml", "smallest_effect: 0.005", "smallest_effect: 0.01", {"compare"}),
        ("ablations/nms_free.yaml", "baseline: one_to_many", "baseline: dual_nms", {"compare", "latency"}),
        ("ablations/nms_free.yaml", DUAL.format("nms_free", "nms"), DUAL.format("nms", "nms_free"), set(RULES)),
    ],
    ids=["gates", "smallest_effect", "baseline", "read"],
)
def test_what_a_rule_reads_of_a_plan_makes_its_files_again(
    file: str, old: str, new: str, rules: set[str], computed: Path
) -> None:
    path = computed / file
    text = path.read_text()
    assert old in text
    try:
        path.write_text(text.replace(old, new))
        assert made_again(computed) == rules
    finally:
        path.write_text(text)


def test_verdicts_that_are_older_than_the_comparison_are_not_printed(computed: Path) -> None:
    out = computed / "results" / "smoke"
    (out / "complete.txt").write_text("the verdicts\n")
    try:
        assert "the verdicts" in snakemake(computed, "preset=smoke", flags=("--until", *RULES)).stdout
        again = snakemake(computed, "preset=smoke", flags=("--touch", "--forcerun", "compare", "--until", "compare"))
    finally:
        (out / "complete.txt").unlink()
    assert again.returncode == 0, again.stderr
    assert "the verdicts" not in again.stdout


@pytest.mark.parametrize(("ablation", "rule"), [("peers", "sizes"), ("nas", "nas_times")])
def test_another_protocol_of_timing_makes_the_times_of_an_ablation_again(
    ablation: str, rule: str, tmp_path: Path
) -> None:
    project = copy_project(tmp_path / "project")
    config = project / "config" / "smoke.yaml"
    config.write_text(re.sub("(?m)^ablations: .*", f"ablations: [{ablation}]", config.read_text()))
    plan, out = load("smoke", root=project), project / "results" / "smoke"
    for file in (
        f"data/{key(plan.preset.data)}/dataset.json",
        *(f"runs/{run}/metrics.json" for run in plan.runs),
        *(f"classifiers/{run}/result.json" for run in plan.classifiers.runs),
        f"classifiers/{plan.preset.classifiers.labels_name()}/teacher.json",
        *("ranking.json", "latency/nas.json", "latency/sizes.json", "tables/sizes.csv", "tables/sizes.md"),
        f"benchmarks/{rule}.tsv",
    ):
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        (out / file).touch()
    until = ("--until", rule)
    touched = snakemake(project, "preset=smoke", flags=("--touch", "--forcerun", rule, *until))
    assert touched.returncode == 0, touched.stderr
    assert f"rule {rule}:" not in snakemake(project, "preset=smoke", flags=("-n", *until)).stdout
    config.write_text(config.read_text().replace("rounds: 2", "rounds: 3"))
    assert f"rule {rule}:" in snakemake(project, "preset=smoke", flags=("-n", *until)).stdout


def test_a_trunk_that_is_shipped_since_makes_comparisons_again(computed: Path) -> None:
    trunk = computed / TRUNKS / "trunk-0123456789ab-s0"
    trunk.mkdir(parents=True)
    try:
        (trunk / "metrics.json").write_text("{}")
        assert made_again(computed) == {"compare"}
    finally:
        shutil.rmtree(trunk)


def test_kill_and_restart_gives_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    """SIGKILL to the workflow and to everything that it started, twice, then the same bytes as a run left alone."""
    killed = copy_project(tmp_path / "killed")
    runs = killed / "results/smoke/runs"
    once = ("preset=smoke", "only=nms_free")
    target = ("--until", "compare")
    kill_after(killed, 2, command(*once, flags=target))
    assert list(runs.glob("trunk-*")), "the trunk had not begun"
    assert not list(runs.glob("*/metrics.json")), "the trunk had ended, and was scored"
    kill_after(killed, 2, command(*once, flags=target))
    result = snakemake(killed, *once, flags=target)
    assert result.returncode == 0, result.stderr[-6000:]

    found, calm = digests(runs), digests(finished / "results/smoke/runs")
    assert len(found) == 3 * len(SAME_BYTES)
    assert found == {name: calm[name] for name in found}


def kill_after(project: Path, epochs: int, arguments: list[str]) -> None:
    """Start the workflow and kill all of it once it has finished so many more epochs."""
    with subprocess.Popen(
        arguments, cwd=project, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment()
    ) as process:
        assert process.stderr is not None
        seen = 0
        for line in process.stderr:
            seen += "  epoch " in line
            if seen >= epochs:
                time.sleep(0.3)  # into the next epoch
                break
        os.killpg(process.pid, signal.SIGKILL)
        process.stderr.close()


def test_a_diverged_arm_is_a_cell_and_fails_the_last_rule_only(finished: Path) -> None:
    ablation = finished / "ablations" / "diverging.yaml"
    ablation.write_text(
        "title: diverging\nquestion: Is an absurd learning rate survived?\nbaseline: calm\nsmallest_effect: 0.005\n"
        "arms:\n  calm: {}\n  wild: {train.lr: 1.0e+30, train.optimizer: sgd}\n"
    )
    try:
        result = snakemake(finished, "preset=smoke", "only=diverging")
    finally:
        ablation.unlink()
    out = finished / "results" / "smoke" / "only" / "diverging"
    assert result.returncode != 0
    assert "did not end well" in result.stderr
    assert (out / "paper" / "mnv4bench.pdf").exists()
    assert "diverged" in (out / "tables" / "ablations.md").read_text()
    states = {json.loads(path.read_text())["state"] for path in out.glob("runs/*/status.json")}
    assert states == {"done", "diverged"}


@pytest.mark.parametrize("option", ["preset", "only", "seeds", "reference"])
def test_a_name_is_never_a_command_of_the_shell(option: str, tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    for name in ("config/$(touch x).yaml", "ablations/$(touch x).yaml"):
        shutil.copy(project / "config" / "smoke.yaml", project / name)
    reference = project / "results" / "reference" / "$(touch x)"
    reference.mkdir(parents=True)
    (reference / "reference.json").write_text("{}")
    result = snakemake(project, f"{option}=$(touch x)")
    assert result.returncode != 0
    assert "$(touch x)" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(project.rglob("x"))


def test_the_log_of_a_failed_rule_is_shown(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    config = (project / "config" / "coco.yaml").read_text().replace("folder: coco", "folder: nowhere")
    (project / "config" / "coco.yaml").write_text(config)
    result = snakemake(project, "preset=coco", flags=("--until", "data"))
    assert result.returncode != 0
    assert "nowhere" in result.stderr
    assert "rule data:" in result.stderr
    assert not re.search(r"SNAKEMAKE|reason:", result.stderr)
    closing = result.stderr[result.stderr.index("Stopped. What is finished is kept") :]
    assert re.search(r"stands in its log: results/coco/logs/data\.log$", closing, re.MULTILINE)


@pytest.mark.parametrize("option", ["only=psa", "reference=damaged", "onyl=psa"])
def test_what_is_wrong_with_an_option_is_told_without_lines_of_code(option: str, tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    (project / "ablations" / "psa.yaml").unlink()
    write_json(project / "results" / "reference" / "damaged" / RECORD, {})
    result = snakemake(project, option)
    assert result.returncode == 1
    assert [line.split(": ")[0] for line in result.stderr.splitlines()[1:]] == ["mnv4bench"]


def test_data_that_cannot_be_prepared_again_leave_their_record(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    images = tiny_dataset(project / "images")
    for split in ("train", "val"):
        (images / "annotations" / f"{split}.json").rename(images / "annotations" / f"instances_{split}2017.json")
    text = "title: t\ndata: {name: folder, path: images, imgsz: 64}\ntrain: {epochs: 1}\nseeds: [0]\nablations: [psa]\n"
    (project / "config" / "mine.yaml").write_text(text)
    until = ("--until", "data")
    assert snakemake(project, "preset=mine", flags=until).returncode == 0
    (record,) = (project / "results" / "mine" / "data").glob("*/dataset.json")
    before = record.read_bytes()
    images.rename(project / "elsewhere")
    moved = snakemake(project, "preset=mine", flags=until)
    assert moved.returncode == 1
    assert "data.path: " in moved.stderr + moved.stdout
    assert record.read_bytes() == before
    (project / "images").symlink_to(project / "elsewhere")
    assert snakemake(project, "preset=mine", flags=until).returncode == 0
    assert read_json(record)["digest"] == json.loads(before)["digest"]


def test_a_second_workflow_in_the_same_folder_is_told_who_works_there(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    with exclusive(project / "results" / "smoke" / ".lock"):
        refused = snakemake(project, "preset=smoke", flags=("--until", "data"))
        assert refused.returncode != 0
        assert f"results/smoke: process {os.getpid()} on " in refused.stderr
        assert "File " not in refused.stderr
        assert not (project / "results" / "smoke" / "data").exists()
        assert snakemake(project, "preset=smoke", flags=("-n",)).returncode == 0  # looks, and touches nothing
    done = snakemake(project, "preset=smoke", flags=("--until", "data"))
    assert done.returncode == 0, done.stderr
    assert re.search(r"1 of \d+ steps \(\d+%\) done", done.stderr)


def test_bad_yaml_is_one_error_before_anything_runs(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    (project / "ablations" / "psa.yaml").write_text((ROOT / "ablations/psa.yaml").read_text().replace(" psa}", " pza}"))
    result = snakemake(project, "preset=smoke", "only=psa")
    assert result.returncode != 0
    assert "ablations/psa.yaml:18: arms.psa.model.attention" in result.stderr
    assert not (project / "results").exists()


def test_a_published_reference_is_rebuilt_to_the_byte_and_held_against(finished: Path) -> None:
    def mnv4bench(*arguments: str) -> subprocess.CompletedProcess[str]:
        whole = [sys.executable, "-m", "mnv4bench", *arguments]
        return subprocess.run(whole, cwd=finished, text=True, capture_output=True, env=environment())

    reference = finished / "results/reference/tiny"
    try:
        published = mnv4bench("publish", "--preset", "smoke", "--rendered", "tiny")
        assert published.returncode == 0, published.stderr
        assert not list(reference.rglob("*.safetensors"))
        assert str(finished) not in "".join(path.read_text() for path in reference.rglob("*.json"))

        same = mnv4bench("verify", "results/smoke")
        assert same.returncode == 0, same.stdout + same.stderr
        assert " 0 differ" in same.stdout
        assert "identical" in same.stdout

        rebuilt = snakemake(finished, "reference=tiny")
        assert rebuilt.returncode == 0, rebuilt.stderr[-6000:]
        out = finished / "results/rebuilt/tiny"
        assert not list(out.rglob("*.safetensors"))
        names = [
            path.relative_to(reference)
            for kind in ("tables", "figures", "paper")
            for path in reference.glob(f"{kind}/*")
        ]
        assert len(names) > 12
        assert [name for name in names if (out / name).read_bytes() != (reference / name).read_bytes()] == []

        # A changed table is named; one that was published with another number is too, by its row; another word is not.
        table, record = reference / "tables/ablations.csv", reference / RECORD
        text, written = table.read_text(), record.read_text()
        page = reference / "tables/ablations.md"
        page.write_text("Other words.\n\n" + page.read_text(encoding="utf-8"), encoding="utf-8")
        table.write_text(text.replace(",0.0", ",0.1", 1))
        assert table.read_text() != text
        (out / "complete.txt").unlink()
        changed = snakemake(finished, "reference=tiny")
        assert changed.returncode != 0
        assert f"{table.relative_to(finished)}: is not what reference.json was written for" in changed.stderr
        # What follows is the last rule alone: the others would make the same once more.
        last = ("step", "--reference", "tiny", "complete")
        other = read_record(record, Reference)
        other = other.model_copy(update={"computed": {**other.computed, "tables/ablations.csv": sha256(table)}})
        write_json(record, other.sealed())
        changed = mnv4bench(*last)
        assert changed.returncode != 0
        assert re.search(r"results/reference/tiny: .*\ntables/ablations\.csv, row \d+ \(", changed.stderr)
        table.write_text(text)
        record.write_text(written)
        assert mnv4bench(*last).returncode == 0

        # A damaged record is named, and nothing is built from it.
        record = next(reference.glob("runs/*/metrics.json"))
        record.write_text(record.read_text().replace("0.", "1.", 1))
        shutil.rmtree(out)
        damaged = snakemake(finished, "reference=tiny")
        assert damaged.returncode != 0
        assert f"{record.relative_to(finished)}: is not what reference.json was written for" in damaged.stderr
    finally:
        shutil.rmtree(finished / "results/reference", ignore_errors=True)
        shutil.rmtree(finished / "results/rebuilt", ignore_errors=True)
