"""The figures that ablations cite: found, refused with their line, subtracted, and set beside what was measured."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import fake_results as fake
import pytest

from mnv4bench import cli
from mnv4bench.io.errors import SpecError
from mnv4bench.ledger.cited import Printed, alone, changes, check_cited
from mnv4bench.report import claims
from mnv4bench.report.results import collect
from mnv4bench.spec.ablation import ABLATIONS, AblationSpec
from mnv4bench.spec.yamlfile import YamlFile

ROOT = Path(__file__).parent.parent
TABLE5 = "yolov10/table5/S"
BODY = """\
title: t
question: q
baseline: a
arms: {a: {model.attention: none}, b: {model.attention: psa}, c: {model.attention: psa2}}
smallest_effect: 0.005
published:
  place: Table 5
  figures:
"""


def written(folder: Path, *figures: str) -> YamlFile:
    (folder / "t.yaml").write_text(BODY + "".join(f"    {line}\n" for line in figures))
    return YamlFile(folder / "t.yaml")


def spec(folder: Path, *figures: str) -> AblationSpec:
    return written(folder, *figures).parse(AblationSpec)


@pytest.mark.parametrize(
    ("figure", "message"),
    [
        (f"AP: {TABLE5} +cls/ap_vall", rf"t\.yaml:10: .*b\.AP: there is no .*did you mean '{TABLE5} \+cls/ap_val'\?"),
        (f"AP: {TABLE5} +cls/params_M", r"t\.yaml:10: .*b\.AP: .* has the unit 'M'; cite a figure in 'AP'"),
        ("AP: mobilenetv4/absent", r"t\.yaml:10: published\.figures\.b\.AP: there is no figure 'mobilenetv4/absent'"),
    ],
)
def test_a_figure_that_does_not_fit_is_refused_with_its_line(tmp_path: Path, figure: str, message: str) -> None:
    file = written(tmp_path, f"a: {{AP: {TABLE5} base/ap_val}}", f"b: {{{figure}}}")
    with pytest.raises(SpecError, match=message):
        check_cited(file, file.parse(AblationSpec))


@pytest.mark.parametrize("path", sorted((ROOT / ABLATIONS).glob("*.yaml")), ids=lambda path: path.stem)
def test_every_ablation_cites_figures_that_exist(path: Path) -> None:
    file = YamlFile(path)
    check_cited(file, file.parse(AblationSpec))


def test_the_check_reads_published_figures_without_torch(tmp_path: Path) -> None:
    fake.make_plan(tmp_path)
    text = (tmp_path / "ablations/psa.yaml").read_text()
    (tmp_path / "ablations/psa.yaml").write_text(text.replace("+downs/ap_val", "+ups/ap_val"))
    program = (
        "import sys\nfrom mnv4bench import cli\ntry:\n    cli.main(['check'])\n"
        "except SystemExit as end:\n    print(end.code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "2 False\n"
    assert f"psa.yaml:12: published.figures.psa.AP: there is no figure '{TABLE5} +ups/ap_val'" in done.stderr


def test_the_check_passes_where_all_is_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.make_plan(tmp_path)
    monkeypatch.chdir(tmp_path)
    cli.main(["check"])
    assert "1 presets and 3 ablations are valid" in capsys.readouterr().out


def test_a_change_is_arm_minus_baseline_with_the_printed_decimals(tmp_path: Path) -> None:
    """Table 5 of YOLOv10 prints 44.3 AP and 2.44 ms, then 44.2 AP and 2.39 ms; Table 9 of MobileNetV4 73.8 and 75.5."""
    found = spec(
        tmp_path,
        f"a: {{AP: {TABLE5} base/ap_val, latency_ms: {TABLE5} base/latency_ms}}",
        f"b: {{AP: {TABLE5} +cls/ap_val, latency_ms: {TABLE5} +cls/latency_ms, params_M: {TABLE5} +cls/params_M}}",
    )
    change = changes(found, "b")
    assert {quantity: (round(p.value, 9), p.decimals) for quantity, p in change.items()} == {
        "AP": (-0.1, 1), "latency_ms": (-0.05, 2),
    }  # fmt: skip
    assert changes(found, "a") == changes(found, "c") == {}
    assert alone(found, "b", "abc") == {"params_M": Printed(9.9, 1)}
    assert alone(found, "a", "abc") == {}
    # Where b is not shown, the baseline's figures have no counterpart.
    assert set(alone(found, "a", "ac")) == {"AP", "latency_ms"}


def test_figures_without_a_counterpart_are_said_apart(tmp_path: Path) -> None:
    found = spec(
        tmp_path,
        f"a: {{AP: {TABLE5} base/ap_val}}",
        f"b: {{AP: {TABLE5} +cls/ap_val, params_M: {TABLE5} +cls/params_M}}",
        "c: {top1: mobilenetv4/table9/MNv4-Conv-S/our_distill}",
    )
    assert claims.published(found, "abc", {"b": ["+0.31 AP points"]}) == (
        "Published (Table 5): b − a: −0.1 AP points (here +0.31 AP points).",
        "Figures without a counterpart: b: 9.9 M parameters; c: 75.5\N{NO-BREAK SPACE}% ImageNet top-1.",
    )


def test_multiply_accumulates_are_half_of_all_flops_and_yolov10s_flops_convolutions_alone(tmp_path: Path) -> None:
    plan = fake.make_plan(tmp_path)
    fake.write_results(plan, tmp_path / "results")
    baseline, arm = collect(plan, tmp_path / "results").ablations["psa"]
    assert baseline.cost is not None
    costs = [
        baseline.cost.model_copy(update={"params": 10**6, "flops": flops, "conv_flops": conv})
        for flops, conv in ((3 * 10**9, 2 * 10**9), (5 * 10**9, 25 * 10**8))
    ]
    sides = [replace(side, cost=cost) for side, cost in zip((arm, baseline), reversed(costs), strict=True)]
    asked = {"flops_G": Printed(0, 1), "macs_G": Printed(0, 1)}
    assert claims.measured(asked, *sides) == ["+0.500 GFLOPs", "+1.000 GMACs"]  # type: ignore[arg-type]
