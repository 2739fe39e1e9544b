"""docs/adding.md does what it says: its three pieces of code, applied to a copy, make an arm that trains."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Literal, get_args

import pytest

from mnv4bench.io.errors import Mnv4benchError, SpecError
from mnv4bench.ledger.cited import check_cited
from mnv4bench.models import alternatives, stages
from mnv4bench.models.unbuilt import check_built
from mnv4bench.spec.ablation import AblationSpec
from mnv4bench.spec.extensions import extensions
from mnv4bench.spec.model import ModelSpec
from mnv4bench.spec.plan import load
from mnv4bench.spec.yamlfile import YamlFile
from mnv4bench.steps import Context, run_step

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")

TRAIN = """
import torch
from mnv4bench.models import detector
from mnv4bench.models.yolo import hyperparameters
from mnv4bench.spec.plan import load
from mnv4bench.spec.run import TrainSpec
from mnv4bench.train.loop import Trainer

plan = load("smoke", "separable")
for arm in plan.arms:
    model = detector.build(arm.model, 3)
    model.args = hyperparameters()
    trainer = Trainer(model, TrainSpec(epochs=1))
    trainer.model.train()
    batch = {
        "img": torch.randint(0, 255, (2, 3, 64, 64), dtype=torch.uint8), "cls": torch.zeros(2, 1),
        "bboxes": torch.full((2, 4), 0.5), "batch_idx": torch.arange(2.0),
    }
    assert torch.isfinite(trainer.step_on(batch)).all()
    print(arm.name, [type(block).__name__ for block in model.model[model.parts.index("p5_out")].m])
"""


def block(language: str) -> str:
    """Return the guide's one block of code in a language."""
    blocks = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    assert len(blocks) == 1
    return textwrap.dedent(blocks[0])


BROKEN = {
    "syntax": ("def f(:\n", r"ablations/separable\.py:1: cannot be loaded \(SyntaxError"),
    "import": ("x = 1\nimport nowhere_at_all\n", r"separable\.py:2: cannot be loaded \(ModuleNotFoundError"),
    "nothing declared": ("x = 1\n", r"separable\.py: declares no EXTENSION"),
    "something else declared": ("EXTENSION = {'steps': {}}\n", r"separable\.py: declares no EXTENSION"),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what the guide changes and what reads it."""
    for name in ("mnv4bench", "ablations", "config", "profiles"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", tmp_path)
    return tmp_path


def python(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        check=False,
    )


def name_the_part(project: Path) -> None:
    """Take the guide's new value into the spec."""
    spec = project / "mnv4bench" / "spec" / "model.py"
    old, new = (line[1:] for line in block("diff").splitlines())
    text = spec.read_text(encoding="utf-8")
    assert text.count(old) == 1
    spec.write_text(text.replace(old, new), encoding="utf-8")


def test_every_value_of_a_field_is_in_the_table_that_the_guide_names() -> None:
    values = {name: set(get_args(field.annotation)) for name, field in ModelSpec.model_fields.items()}
    assert {"c2f", "c2fcib", *stages.INNER} == values["block"]  # these two are built by hand
    assert {"none", *alternatives.ATTENTION} == values["attention"]
    assert set(alternatives.DOWNSAMPLE) == values["downsample"]


def test_a_name_that_nothing_builds_is_one_error() -> None:
    class Wider(ModelSpec):
        block: Literal["c2f", "c2firb", "c2fsep"] = "c2f"  # type: ignore[assignment]

    check_built()
    with pytest.raises(SpecError, match=r"models/stages\.py: INNER has no entry 'c2fsep', although block in"):
        check_built(Wider)


@pytest.mark.parametrize("command", [("mnv4bench", "plan"), ("snakemake", "-n", "--cores", "1")])
def test_a_name_that_nothing_builds_is_refused_before_anything_is_planned(
    command: tuple[str, ...], project: Path
) -> None:
    name_the_part(project)
    refused = python(project, "-m", *command)
    assert refused.returncode in (1, 2)
    assert "INNER has no entry 'c2fsep'" in refused.stderr
    assert "File " not in refused.stderr


def test_the_file_that_the_guide_opens_with_is_valid(project: Path) -> None:
    opening = re.search(r"\n\n((?: {4}.*\n)+)", GUIDE)
    assert opening is not None
    path = project / "ablations" / "opening.yaml"
    path.write_text(textwrap.dedent(opening[1]), encoding="utf-8")
    assert [arm.name for arm in load("smoke", "opening", root=project).arms] == ["conv", "scdown"]
    file = YamlFile(path)
    check_cited(file, file.parse(AblationSpec))


@pytest.mark.slow
def test_the_worked_example_makes_an_arm_that_trains(project: Path) -> None:
    with (project / "mnv4bench" / "models" / "stages.py").open("a", encoding="utf-8") as stream:
        stream.write("\n\n" + block("python"))
    name_the_part(project)
    (project / "ablations" / "separable.yaml").write_text(block("yaml"), encoding="utf-8")

    checked = python(project, "-m", "mnv4bench", "check")
    assert checked.returncode == 0, checked.stderr
    trained = python(project, "-c", TRAIN)
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout.splitlines() == ["c2f ['Bottleneck']", "separable ['Sequential']"]

    (project / "ablations" / "separable.py").write_text(block("py"), encoding="utf-8")
    (project / "ablations" / "separable.smk").write_text(block("snakemake"), encoding="utf-8")
    target = "results/smoke/only/separable/tables/weights.csv"
    flags = ("--cores", "2", "--config", "preset=smoke", "only=separable", "--", target)
    made = python(project, "-m", "snakemake", *flags)
    assert made.returncode == 0, made.stderr
    with (project / target).open(newline="") as stream:
        weights = {row["arm"]: int(row["weights"]) for row in csv.DictReader(stream)}
    assert weights["c2f"] > weights["separable"] > 0
    planned = python(project, "-m", "mnv4bench", "plan", "--preset", "smoke", "--only", "separable")
    assert "the last time" in planned.stdout


def test_a_part_that_cannot_be_computed_stops_the_workflow_before_anything_is_trained(project: Path) -> None:
    table = project / "mnv4bench" / "models" / "alternatives.py"
    text = table.read_text(encoding="utf-8")
    old = "lambda channels: DepthwiseFirstDown(channels, channels)"
    assert old in text
    table.write_text(text.replace(old, "lambda channels: DepthwiseFirstDown(2 * channels, channels)"), encoding="utf-8")
    (project / "ablations" / "order.yaml").write_text(
        "title: Order\nquestion: Which first?\nfresh: [p5_down]\nbaseline: conv\nsmallest_effect: 0.005\n"
        "arms: {conv: {model.downsample: conv}, dw_first: {model.downsample: dw_first}}\n"
    )
    flags = ("--cores", "2", "--config", "preset=smoke", "only=order", "--", "results/smoke/only/order/compare.json")
    stopped = python(project, "-m", "snakemake", *flags)
    assert stopped.returncode == 1
    said = stopped.stderr.splitlines()
    assert any(line.startswith("mnv4bench: ablations/order.yaml: arms.dw_first: cannot be computed") for line in said)
    assert "Traceback" not in stopped.stderr
    assert not list(project.glob("results/smoke/runs/*"))


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_extension_is_one_error(kind: str, tmp_path: Path) -> None:
    source, message = BROKEN[kind]
    (tmp_path / "ablations").mkdir()
    (tmp_path / "ablations" / "separable.py").write_text(source)
    with pytest.raises(SpecError, match=message):
        extensions(["plain", "separable"], tmp_path)


def test_two_extensions_may_not_name_one_step(tmp_path: Path) -> None:
    (tmp_path / "ablations").mkdir()
    for name in ("one", "other"):
        (tmp_path / "ablations" / f"{name}.py").write_text(block("py"))
    with pytest.raises(SpecError, match=r"other\.py: step 'weights' is a step of .*one\.py, too"):
        extensions(["one", "other"], tmp_path)


def test_an_unknown_step_is_named_with_those_that_there_are() -> None:
    context = Context(load("full", "peers,rank_guided", root=ROOT), ROOT / "results" / "full")
    with pytest.raises(Mnv4benchError, match=r"no step 'size'; did you mean 'sizes'\? allowed: data, .*, sizes, ranks"):
        run_step("size", context)
