"""docs/adding.md does what it says: its three pieces of code, applied to a copy, make an arm that trains."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import get_args

import pytest

from mnv4bench.ledger.cited import check_cited
from mnv4bench.models import alternatives, stages
from mnv4bench.spec.ablation import AblationSpec
from mnv4bench.spec.model import ModelSpec
from mnv4bench.spec.plan import load
from mnv4bench.spec.yamlfile import YamlFile

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
    found = re.findall(rf"( *)```{language}\n(.*?)```", GUIDE, re.DOTALL)
    assert len(found) == 1
    return textwrap.dedent(found[0][1])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what the guide changes and what reads it."""
    for name in ("mnv4bench", "ablations", "config"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
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


def test_every_value_of_a_field_is_in_the_table_that_the_guide_names() -> None:
    values = {name: set(get_args(field.annotation)) for name, field in ModelSpec.model_fields.items()}
    assert {"c2f", "c2fcib", *stages.INNER} == values["block"]  # these two are built by hand
    assert {"none", *alternatives.ATTENTION} == values["attention"]
    assert set(alternatives.DOWNSAMPLE) == values["downsample"]


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
    spec = project / "mnv4bench" / "spec" / "model.py"
    old, new = (line[1:] for line in block("diff").splitlines())
    text = spec.read_text(encoding="utf-8")
    assert text.count(old) == 1
    spec.write_text(text.replace(old, new), encoding="utf-8")
    (project / "ablations" / "separable.yaml").write_text(block("yaml"), encoding="utf-8")

    checked = python(project, "-m", "mnv4bench", "check")
    assert checked.returncode == 0, checked.stderr
    trained = python(project, "-c", TRAIN)
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout.splitlines() == ["c2f ['Bottleneck']", "separable ['Sequential']"]
