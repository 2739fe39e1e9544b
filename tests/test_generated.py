"""Figures in README and docs/ come from files, and are those that the files hold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import fake_results as fake
import jsonschema
import pytest
import yaml
from tokens import difference, tokens

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import write_json
from mnv4bench.report.docs import generated
from mnv4bench.report.docs import passages as passage_module
from mnv4bench.report.docs.catalogue import catalogue
from mnv4bench.report.docs.generated import CATALOGUE, DOCUMENTS, PASSAGE, SCHEMAS, refreshed, schema
from mnv4bench.report.docs.passages import PASSAGES
from mnv4bench.report.rendering import render
from mnv4bench.report.tables.markdown import escape
from mnv4bench.results.dataset import Dataset, Split
from mnv4bench.results.reference import FOLDER, names
from mnv4bench.spec.ablation import ABLATIONS, AblationSpec
from mnv4bench.spec.yamlfile import YamlFile

ROOT = Path(__file__).parent.parent
SPECS = {path.stem: YamlFile(path).parse(AblationSpec) for path in sorted((ROOT / ABLATIONS).glob("*.yaml"))}
ARMS = [arm for spec in SPECS.values() for arm in spec.arms]
NAMES = frozenset([*SPECS, *ARMS, *names(ROOT / FOLDER), "torch", "onnxruntime", "openvino"])


def passages(text: str) -> dict[str, tuple[str, str]]:
    """Return name → (what stands in the document, what the committed files give now)."""
    found = PASSAGE.finditer(text)
    return {match["name"]: (match["text"], PASSAGES[match["name"]].render(ROOT / FOLDER)) for match in found}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_says_what_the_result_files_hold(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert PASSAGE.search(text)
    for passage, (committed, current) in passages(text).items():
        absent = not (ROOT / FOLDER / PASSAGES[passage].file).exists()
        assert tokens(current, NAMES).total() > 3 or absent or current == "No other reference asks them yet."
        assert difference(committed, current, NAMES) == [], f"{passage}: run `mnv4bench docs`"


@pytest.mark.parametrize("path", SCHEMAS)
def test_an_editor_knows_the_keys_of_every_yaml_file(path: Path) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    assert text == schema(SCHEMAS[path]), "run `mnv4bench docs`"
    check = jsonschema.Draft202012Validator(json.loads(text))
    files = sorted((ROOT / path.parent).glob("*.yaml"))
    assert len(files) > 10
    for file in files:
        # As JSON has it: names of keys are text.
        content = json.loads(json.dumps(yaml.safe_load(file.read_text(encoding="utf-8"))))
        assert [error.message for error in check.iter_errors(content)] == [], file
        assert not check.is_valid({**content, "tittle": "misspelt"})


README = """\
3 comparisons with 8 seeds of psa/psa. One stays the same; about 0.2 would by chance.

| ablation | arm | ΔAP \\[95\N{NO-BREAK SPACE}%\\] | verdict |
| --- | --- | ---: | --- |
| nms\\_free | none | **−0.025 \\[−0.041, −0.008\\]** | **worse** |
| psa | psa | +0.002 | same (MDE 2\N{NO-BREAK SPACE}%) |
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("3 comparisons with 8 seeds of psa/psa.", "With 8 seeds, psa/psa was compared 3 times."),
        ("One stays the same; about 0.2 would by chance.", "About 0.2 would by chance, and none is better."),
        ("verdict |", "what the test says |"),
        ("ΔAP \\[95\N{NO-BREAK SPACE}%\\]", "difference in AP"),
    ],
)
def test_a_reworded_sentence_needs_no_regeneration(old: str, new: str) -> None:
    assert old in README
    assert difference(README.replace(old, new), README, NAMES) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("−0.025", "−0.026"),
        ("+0.002", "−0.002"),
        ("**worse**", "**better**"),
        ("same (MDE", "unresolved (MDE"),
        ("| none |", "| psa |"),
        ("nms\\_free", "nms\\_based"),
        ("3 comparisons", "4 comparisons"),
        ("psa/psa", "psa/none"),
        ("0.2 would", "2 would"),
        (README.splitlines(keepends=True)[-1], ""),
    ],
)
def test_a_changed_number_name_or_verdict_does(old: str, new: str) -> None:
    assert old in README
    assert difference(README.replace(old, new), README, NAMES) != []


def test_every_template_of_a_passage_may_be_reworded(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a sentence put in front of every template, the committed documents are still up to date."""
    committed = (ROOT / "docs/method.md").read_text(encoding="utf-8")
    render = passage_module.render
    monkeypatch.setattr(passage_module, "render", lambda *a, **b: f"Said in other words.\n\n{render(*a, **b)}")
    both = passages(committed)
    assert both
    for stands, current in both.values():
        assert current not in stands
        assert difference(stands, current, NAMES) == []


def test_a_number_changed_by_hand_in_a_document_is_noticed() -> None:
    text = (ROOT / "docs/method.md").read_text(encoding="utf-8")
    committed, current = passages(text)["coverage"]
    number = next(token for token in tokens(committed, ()) if token.startswith("0."))
    assert difference(committed.replace(number, "0.123", 1), current, NAMES) == [f"+{number}", "-0.123"]


def test_every_passage_stands_somewhere() -> None:
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS]
    assert {match["name"] for text in texts for match in PASSAGE.finditer(text)} == set(PASSAGES)


def repeatability(ratio: float, verdict: str) -> dict[str, object]:
    row = {"runtime": "torch", "verdict": verdict, "ratio_low": ratio - 0.01, "ratio_high": ratio + 0.02}
    part = {"comparisons": [row], "sequential": {"torch": 0.125}}
    options = {"sessions": 8, "busy_sessions": 5, "rounds": 24, "blocks": 3, "block_ms": 20.0}
    return {"idle": part, "busy": part, "options": options, "environment": {"cpu": "a CPU", "cores": 2}}


def test_a_passage_is_made_from_its_file_and_the_rest_is_left(tmp_path: Path) -> None:
    write_json(tmp_path / "benchmarks" / "latency_repeatability.json", repeatability(1.1, "slower"))
    text = "before\n<!-- generated: repeatability -->\nold\n<!-- end -->\nafter\n"
    made = refreshed(text, tmp_path, "x.md")
    assert made.startswith("before\n<!-- generated: repeatability -->\n| machine |")
    assert made.endswith("<!-- end -->\nafter\n")
    assert "| idle | torch | 0 of 1 | 1.5% to 1.5% | 1 of 1 | 12.5% |" in made
    assert "old" not in made
    assert refreshed(made, tmp_path, "x.md") == made


def test_the_time_to_the_table_is_that_of_both_sides(tmp_path: Path) -> None:
    content = {
        "ours": {"trainings": 14, "seconds": 100.4, "until_scored": 70.2, "until_table": 80.0},
        "theirs": {"trainings": 22, "seconds": 400.0, "repeated": 90.0},
        "ratios": {"whole job": 3.984},
        "epochs": 3,
        "images": 200,
        "seeds": 2,
        "environment": {"cpu": "a CPU", "cores": 2},
    }
    write_json(tmp_path / "benchmarks" / "time_to_table.json", content)
    made = refreshed("<!-- generated: time_to_table -->\n<!-- end -->", tmp_path, "x.md")
    for line in (
        "| this workflow | 14 | 100 |",
        "| the same, no training repeated | – | 310 |",
        "| whole job | 3.98 |",
        "scored after 70 s",
    ):
        assert line in made


def test_readme_opens_with_published_networks_once_there_are_results(tmp_path: Path) -> None:
    text = "<!-- generated: opening -->\nold\n<!-- end -->"
    assert "![Differences in AP" in refreshed(text, tmp_path, "README.md")
    split = Split(annotations="", images="", count=206, objects=0)
    said = render(
        "docs/opening.md.j2",
        network="yolov10n",
        data=Dataset(name="coco", digest="", classes=(), category_ids=(), train=split, val=split),
        change="−0.46 [−0.81, −0.10]",
        verdict="tiny",
        time="0.93 to 0.97, faster in openvino",
        in_graph="1.00 to 1.01, no change shown",
        tuned={"all": 12, "worse": 6, "slower": 3, "neither": 4},
    )
    assert "results/reference/published/figures/pareto.png" in said
    for words in (
        "yolov10n as released",
        "206 photographs of COCO",
        "−0.46 \\[−0.81, −0.10\\] points (tiny)",
        "On these weights",
        "faster in openvino; with NMS inside the runtime's graph, by × 1.00 to 1.01, no change shown.",
    ):
        assert words in " ".join(said.split())
    assert (
        "Of 12 settings of NMS, 6 are shown to be less accurate than no NMS, 3 slower in a runtime, 4 neither." in said
    )


def test_the_campaign_of_faults_is_counted_by_end_and_subject(tmp_path: Path) -> None:
    content = {
        "commit": "a" * 40,
        "commits": {"b" * 40: 2, "a" * 40: 4},
        "mended": [{"campaign": "files"}],
        "counts": {
            "kills": {"right": 3, "clear error": 0, "fault": 0},
            "files": {"right": 1, "clear error": 2, "fault": 0},
        },
        "subjects": {
            "kills": {"data": {"right": 1}, "verify": {"right": 2}},
            "files": {"images": {"right": 1, "clear error": 2}},
        },
        "environment": {"cpu": "a CPU", "cores": 2},
    }
    write_json(tmp_path / "benchmarks" / "faults.json", content)
    made = refreshed("<!-- generated: faults -->\n<!-- end -->", tmp_path, "x.md")
    for line in (
        "| kills | 3 | 3 | 0 | 0 |\n",
        "| files | 3 | 1 | 2 | 0 |\n",
        "- kills: data 1, verify 2.\n",
        "- files: images 3.\n",
        "Commit aaaaaaaaaaaa: 4 trials,\ncommit bbbbbbbbbbbb: 2 trials.\n",
        "mended and tried again at a later one: 1.\n",
        "a CPU, 2 cores.\n",
    ):
        assert line in made


def test_a_missing_file_and_an_unknown_passage_are_named(tmp_path: Path) -> None:
    with pytest.raises(Mnv4benchError, match=r"coverage\.json: is missing, and passage coverage of x\.md"):
        refreshed("<!-- generated: coverage -->\n<!-- end -->", tmp_path, "x.md")
    with pytest.raises(Mnv4benchError, match=r"x\.md: no passage 'cover'; allowed: answers, choices, closing, "):
        refreshed("<!-- generated: cover -->\n<!-- end -->", tmp_path, "x.md")


def test_refreshing_writes_only_what_changed(tmp_path: Path) -> None:
    write_json(tmp_path / FOLDER / "benchmarks" / "latency_repeatability.json", repeatability(1.0, "same"))
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("nothing generated\n")
    for name in ("data", "ledger", "published", "reliability", "results", "search"):
        (tmp_path / "docs" / f"{name}.md").write_text("nothing generated\n")
    (tmp_path / "docs" / "method.md").write_text("<!-- generated: repeatability -->\n<!-- end -->\n")
    fake.make_plan(tmp_path)
    every = [CATALOGUE, *SCHEMAS, Path("docs/method.md")]
    assert generated.refresh(tmp_path) == [tmp_path / path for path in every]
    assert generated.refresh(tmp_path) == []
    (tmp_path / CATALOGUE).write_text("stale")
    assert generated.refresh(tmp_path) == [tmp_path / CATALOGUE]


def test_the_list_of_ablations_is_what_the_yaml_says() -> None:
    page = (ROOT / CATALOGUE).read_text(encoding="utf-8")
    assert difference(page, catalogue(ROOT), NAMES) == [], "run `mnv4bench docs`"
    for spec in SPECS.values():  # the YAML's own words are records here
        note = spec.published.note if spec.published and spec.published.note else ""
        for text in (spec.title, spec.question, spec.about, note.rstrip(".")):
            assert escape(text) in page, "run `mnv4bench docs`"


def add(path: Path, lines: str) -> None:
    path.write_text(path.read_text() + lines)


def test_an_ablation_is_told_with_its_arms_figures_and_presets(tmp_path: Path) -> None:
    fake.make_plan(tmp_path)
    (tmp_path / "ablations/nms_free.yaml").unlink()
    add(tmp_path / "ablations/psa.yaml", "core: [none, psa]\nabout: It *is*.\n")
    add(tmp_path / "ablations/distillation.yaml", "start: scratch\ncommon: {model.block_stages: [p5_out]}\n")
    shutil.copy(tmp_path / "config/fake.yaml", tmp_path / "config/whole.yaml")
    add(tmp_path / "config/whole.yaml", "arms: all\n")
    psa, distillation = catalogue(tmp_path).split("\n## ")[:0:-1]
    assert psa.startswith("psa\n\n**Attention\\_{psa} & none.** Does it pay, at 100 % certainty?")
    for said in (
        "\nIt \\*is\\*.\n",
        "| none (baseline) | none | model.attention = none | 44.2 AP, 9.9 M parameters, 23.5 GFLOPs, 2.39 ms",
        "2.36 ms (YOLOv10, Table 5) | +0.2 AP points, −1.9 M parameters, −1.3 GFLOPs, −0.03 ms |",
        "- Published: invented\\_100%, Table & 5; in another network.\n",
        "- Smallest effect that matters: 0.5 points of AP.\n",
        "- Start: every arm from the preset's trunk, with attention fresh; from random weights where",
        "- Run by: fake with none and psa; whole with all arms.",
    ):
        assert said in psa
    for said in (
        "| none (baseline) | none | the preset's detector | 73.8\N{NO-BREAK SPACE}% ImageNet top-1 (MobileNetV4, ",
        "- All arms: model.block\\_stages = p5\\_out.\n",
        "\n\nMeasured: in none of the references yet.\n\n",
        "- Start: every arm from random weights.\n- Run by: fake and whole.",
    ):
        assert said in distillation


def test_the_list_says_nothing_of_what_was_not_there(tmp_path: Path) -> None:
    fake.make_plan(tmp_path)
    add(tmp_path / "ablations/distillation.yaml", "fresh: []\n")
    assert "- Start: every arm from the preset's trunk, with nothing fresh; from" in catalogue(tmp_path)
    page = (ROOT / CATALOGUE).read_text(encoding="utf-8")
    assert "Measured: in none" in page.split("\n## published_peers\n")[1].split("\n## ")[0]
    assert "| – | – | – | – | – |" not in page
