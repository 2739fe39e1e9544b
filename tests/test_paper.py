"""The paper: its facts are those of the records, its text has them all, and a missing one is an error."""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_results as fake
import pytest
import typst

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import read_json, write_json
from mnv4bench.report import accuracy, unanswered
from mnv4bench.report import formatting as fmt
from mnv4bench.report.figures import style
from mnv4bench.report.ledger_in_short import farthest, ledger_in_short
from mnv4bench.report.paper.facts import facts
from mnv4bench.report.paper.write import FACTS, FIGURES, SOURCES, render, write_paper
from mnv4bench.report.results import Results, collect
from mnv4bench.results.ledger import OUTCOMES, LedgerSummary, Row, SourceSummary
from mnv4bench.spec import plan as planning
from mnv4bench.spec.arms import Arm
from mnv4bench.spec.plan import Plan
from mnv4bench.spec.run import DataSpec

SOURCE = Path(__file__).parents[1] / "paper"
MAY_BE_NULL = (
    r"training\.(recipes|trunks|teachers)\.\d+\.images|"
    r"ledger|replication|noise\.(copies|canary)|machine\.(gpu|commit)|raw\..*"
)
"""Facts that main.typ asks for before it prints them."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    """Results with empty figures: seed 1 of psa/psa diverged, distillation/outputs ran out of memory."""
    root = tmp_path_factory.mktemp("paper")
    plan = fake.make_plan(root)
    ends = {run: ("out_of_memory", "cannot allocate 2 GiB") for run in plan.arms[-1].runs.values()}
    fake.write_results(plan, root / "results", ends | {plan.arms[1].runs[1]: ("diverged", "the loss is not finite")})
    draw_nothing(root / "results")
    return plan, root / "results"


@pytest.fixture(scope="module")
def results(made: tuple[Plan, Path]) -> Results:
    return collect(*made)


def test_the_commits_of_the_trainings_are_counted(results: Results) -> None:
    runs = len(results.statuses)
    assert facts(results)["machine"]["trained"] == f"trained at ffffffff ({fmt.count(runs, 'run')})"
    name, status = next(iter(results.statuses.items()))
    environment = status.environment.model_copy(update={"commit": "a" * 40 + "+"})
    other = {name: status.model_copy(update={"environment": environment})}
    told = facts(replace(results, statuses={**results.statuses, **other}))["machine"]["trained"]
    assert told.startswith(f"trained at ffffffff ({runs - 1} runs), aaaaaaaa+ (1); + marks a tree with changes")


@pytest.mark.parametrize(("rows", "pages"), [(30, (2, 2)), (200, (1, 6))])
def test_a_table_that_fits_a_page_stands_in_one_piece(tmp_path: Path, rows: int, pages: tuple[int, int]) -> None:
    shutil.copyfile(SOURCE / "layout.typ", tmp_path / "layout.typ")
    (tmp_path / "page.typ").write_text(
        f"""#import "layout.typ": *
        #set page(paper: "a4", margin: (x: 2.3cm, y: 2cm))
        #v(15cm)
        #let cells = range({rows}).map(k => [#k#metadata(k)<cell>])
        #whole[#figure(table(columns: 1, table.header[head], ..cells), caption: [Numbers.], kind: table)]
        #context [#metadata(query(<cell>).map(m => m.location().page())) <pages>]
        """
    )
    found = typst.query(str(tmp_path / "page.typ"), "<pages>", field="value", one=True, ignore_system_fonts=True)
    numbers = json.loads(found)
    assert (numbers[0], numbers[-1]) == pages


def draw_nothing(results: Path) -> None:
    for name in FIGURES:
        style.save(style.figure(1, 1), results / "figures", Path(name).stem)


def typeset(folder: Path, content: dict[str, Any]) -> str:
    """Return the text of the paper with these facts; `folder` has figures/ and keeps what is compiled."""
    (folder / "paper").mkdir(exist_ok=True)
    for name in SOURCES:
        shutil.copy(SOURCE / name, folder / "paper")
    (folder / "paper" / FACTS).write_text(json.dumps(content))
    render(folder / "paper", folder / "paper/main.html", "html")
    body = re.sub(r"<style.*?</style>|<[^>]+>", " ", (folder / "paper/main.html").read_text(), flags=re.DOTALL)
    return re.sub(r"[ \n]+", " ", html.unescape(body))


def test_each_comparison_stands_under_one_outcome(results: Results) -> None:
    settled = dict(facts(results)["settled"])
    names = [name for names in settled.values() for name in names]
    assert sorted(names) == [
        "Attention_{psa} & none", "Distillation", "NMS and NMS-free (dual nms free)", "NMS and NMS-free (dual nms)",
    ]  # fmt: skip
    assert settled["Not judged: not scored, or not timed"] == ["Distillation"]


def test_what_was_not_answered_names_open_comparisons_and_undecided_times(results: Results) -> None:
    """OpenVINO's times have no verdict in these results, and distillation/outputs no seed."""
    told = unanswered.unanswered(results)
    assert told[-1].startswith("Whether the time changes in openvino: ")
    assert "Distillation: there is no difference to judge." in told
    (counted,) = [line for line in facts(results)["concluded"] if line.startswith("Of ")]
    assert sum(map(int, re.findall(r"\b(\d+) w", counted))) == len(results.comparison.differences)


def test_noise_is_that_of_the_sessions_of_the_first_thread_count(results: Results) -> None:
    noise = facts(results)["noise"]
    sessions = [session for session in results.latency.sessions if session.threads == results.latency.threads]
    assert noise["copies"] == max(abs(value) for session in sessions for value in session.copies.values())
    assert noise["canary"] == max(abs(session.canary_drift or 0) for session in sessions)
    (dirty,) = noise["contaminated"]
    assert dirty["session"] == 2
    assert "7.1" in dirty["reasons"][0]


def test_recipes_name_their_ablations_the_most_common_first(tmp_path: Path) -> None:
    fake.make_plan(tmp_path)
    for name, line in (
        ("ablations/distillation", "start: scratch"),
        ("config/fake", "scratch: {train: {epochs: 7}}"),
        ("ablations/nms_free", "fresh: [head]"),
    ):
        path = tmp_path / f"{name}.yaml"
        path.write_text(f"{path.read_text()}{line}\n")
    mixed = planning.load("fake", root=tmp_path)
    fake.write_results(mixed, tmp_path / "results")
    draw_nothing(tmp_path / "results")
    content = facts(collect(mixed, tmp_path / "results"))
    recipes = [(recipe["epochs"], recipe["ablations"]) for recipe in content["training"]["recipes"]]
    assert recipes == [(4, ["psa", "nms_free"]), (7, ["distillation"])]
    assert (content["training"]["trunk"], content["training"]["scratch"]) == (True, 1)
    assert (content["limits"]["trunk"], content["limits"]["short_training"]) == (True, [7])
    printed = typeset(tmp_path / "results", content)
    assert re.search(r"distillation\b[^.]*\b7\sepochs[^.]*\b16\b[^.]*AdamW", printed)
    assert re.search(r"\b4\sepochs[^.]*\b16\b[^.]*AdamW", printed)
    assert re.search(r"\b1\sablation\b", printed)
    alone = planning.load("fake", "distillation", root=tmp_path)
    fake.write_results(alone, tmp_path / "alone")
    limits = facts(collect(alone, tmp_path / "alone"))["limits"]
    assert (limits["trunk"], limits["short_training"]) == (False, [7])


def test_arms_of_other_random_numbers_are_excepted_from_what_a_seed_shares(tmp_path: Path) -> None:
    fake.make_plan(tmp_path)
    path = tmp_path / "ablations/psa.yaml"
    path.write_text(path.read_text().replace("psa: {model.attention: psa}", "psa: {train.draw: 1}"))
    anew = planning.load("fake", root=tmp_path)
    fake.write_results(anew, tmp_path / "results")
    draw_nothing(tmp_path / "results")
    printed = " ".join(typeset(tmp_path / "results", facts(collect(anew, tmp_path / "results"))).split())
    assert "every arm, except psa: psa, the same data order" in printed


def test_captions_depend_on_what_was_drawn(results: Results) -> None:
    figures = facts(results)["figures"]
    assert (figures["published"], figures["own_scales"], figures["one_network"]) == (True, False, False)
    first, *others = results.ablations["distillation"]
    arms = (first, *(replace(arm, latency=first.latency, seeds=first.seeds) for arm in others))
    alone = replace(results, ablations={"distillation": arms})
    assert facts(alone)["figures"]["one_network"] is True


def test_the_text_has_the_values_of_the_records(made: tuple[Plan, Path], results: Results) -> None:
    content = facts(results)
    printed = typeset(made[1], content)
    nobreak = printed.replace("\N{NO-BREAK SPACE}", " ")
    for value in (
        f"{results.data.record.train.count} training images",
        f" {results.comparison.bootstrap} ",
        fmt.share(content["noise"]["copies"]),
        "1 of 3 sessions",
        results.plan.title,
        results.data.record.digest,
        fake.FAKE,
    ):
        assert value.replace("\N{NO-BREAK SPACE}", " ") in nobreak
    decimals = accuracy.decimals_of(results)
    for arm in results.arms:
        assert all(cell in printed for cell in accuracy.per_seed(arm, decimals))
        assert accuracy.interval(arm.difference, decimals) in nobreak
    assert not re.search(r"\b1 (seed|session|thread|image|arm|ablation|epoch)s\b", nobreak)


def nulls(value: Any, path: str = "") -> Iterator[str]:
    if value is None:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for name, item in items:
        yield from nulls(item, f"{path}.{name}".strip("."))


def test_only_what_the_text_asks_for_may_be_null(results: Results) -> None:
    assert [path for path in nulls(facts(results)) if not re.fullmatch(MAY_BE_NULL, path)] == []


def test_a_missing_fact_is_an_error(made: tuple[Plan, Path], results: Results) -> None:
    content = json.loads(json.dumps(facts(results)))
    del content["raw"]
    groups = [("", content)] + [(name, value) for name, value in content.items() if isinstance(value, dict)]
    kept = []
    for name, group in groups:
        for key in list(group):
            if name == "model":
                continue
            value = group.pop(key)
            try:
                typeset(made[1], content)
            except Mnv4benchError as error:
                assert f'does not contain key "{key}"' in str(error)  # noqa: PT017
            else:
                kept.append(f"{name}.{key}")
            group[key] = value
    assert kept == []


def test_the_paper_of_published_weights_says_that_nothing_was_trained(
    made: tuple[Plan, Path], results: Results, tmp_path: Path
) -> None:
    given = replace(results, plan=replace(results.plan, arms=tuple(map(with_weights, results.plan.arms))))
    shutil.copytree(made[1] / "figures", tmp_path / "figures")
    said = typeset(tmp_path, json.loads(json.dumps(facts(given))))
    assert "permutation" in said
    false = (
        "trained for",
        "trained with the same seeds",
        "moving average after",
        "learning rate",
        "sign-flip test over",
    )
    assert not [words for words in false if words in said]


def test_the_paper_of_a_folder_says_whose_images_they_are(
    made: tuple[Plan, Path], results: Results, tmp_path: Path
) -> None:
    own = DataSpec(name="folder", path="photographs/cranes", imgsz=64)
    plan = replace(results.plan, preset=results.plan.preset.model_copy(update={"data": own}))
    record = results.data.record.model_copy(update={"name": own.label})
    shutil.copytree(made[1] / "figures", tmp_path / "figures")
    content = facts(replace(results, plan=plan, data=replace(results.data, record=record)))
    said = typeset(tmp_path, json.loads(json.dumps(content)))
    assert "folder of the user’s own, cranes" in said.replace("\n", " ")
    assert "COCO 2017" not in said
    assert content["ledger"] is None


def with_weights(arm: Arm) -> Arm:
    return replace(arm, published=True)


def test_the_model_is_listed_by_what_is_set(results: Results) -> None:
    model = facts(results)["model"]
    assert model["attention"] == "psa"
    assert all(model.values())
    assert not {"none", "()"} & set(model.values()) - {results.plan.preset.model.attention}


def test_facts_are_json_with_raw_beside_rounded(results: Results) -> None:
    content = facts(results)
    json.dumps(content, allow_nan=False)
    row = next(row for row in content["raw"] if (row["ablation"], row["arm"]) == ("psa", "psa"))
    printed = next(row for row in content["tables"]["scores"]["blocks"][0]["rows"] if row[0]["text"] == "psa")
    assert printed[1] == {"text": f"{100 * row['AP']:.2f}", "strong": False, "marks": ""}


def test_the_paper_compiles_without_slices_and_with_one_seed_from_scratch(tmp_path: Path) -> None:
    plan = fake.make_plan(tmp_path, seeds=(0,), trunk=False)
    results = tmp_path / "results"
    fake.write_results(plan, results, slices=False)
    with pytest.raises(Mnv4benchError, match=r"effects\.pdf: is missing; draw the figures first"):
        write_paper(plan, results, source=SOURCE)
    draw_nothing(results)
    write_paper(plan, results, source=SOURCE)
    assert (results / "paper/mnv4bench.pdf").read_bytes().startswith(b"%PDF")
    assert not [path for path in (results / "paper").iterdir() if path.name.startswith(".")]
    printed = typeset(results, facts(collect(plan, results)))
    assert re.search(r"\bone seed\b", printed, re.IGNORECASE)
    assert not re.search(r"\b1\sseeds\b", printed)


def test_the_paper_is_made_where_no_network_but_the_baseline_is_at_hand(tmp_path: Path) -> None:
    plan = fake.make_plan(tmp_path, only="psa")
    results = tmp_path / "results"
    ends = {run: ("missing", "x.pt is not on this machine") for run in plan.arms[1].runs.values()}
    fake.write_results(plan, results, ends)
    draw_nothing(results)
    write_paper(plan, results, source=SOURCE)
    content = read_json(results / "paper" / FACTS)
    assert [ablation["title"] for ablation in content["ablations"]] == ["Attention_{psa} & none"]
    assert "x.pt is not on this machine" in typeset(results, content)
    (ablation,) = content["ablations"]
    ablation |= {"findings": ablation["findings"] * 7, "tally": [["–", 6], ["worse", 1]]}
    assert "7\N{NO-BREAK SPACE}comparisons: 6 not scored, 1 worse." in typeset(results, content)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("fixed(0.5, 2)", "0.50"),
        ("fixed(-1.005, 1)", "−1.0"),
        ("fixed(7, 2)", "7.00"),
        ("fixed(12.6, 0)", "13"),
        ("significant(1.4632, 2)", "1.5"),
        ("significant(0.00512, 2)", "0.0051"),
        ("significant(123.4, 2)", "123"),
        ("significant(0, 2)", "0"),
        ("plain(0.00001)", "0.00001"),
        ("plain(16.0)", "16"),
        ("percent(0.95)", "95\N{NO-BREAK SPACE}%"),
        ("percent(0.975)", "97.5\N{NO-BREAK SPACE}%"),
        ("about(0.0341)", "3.4\N{NO-BREAK SPACE}%"),
        ("about(0.02)", "2\N{NO-BREAK SPACE}%"),
        ("about(0.1)", "10\N{NO-BREAK SPACE}%"),
        ('count(1, "seed")', "1\N{NO-BREAK SPACE}seed"),
        ('count(0, "seed")', "0\N{NO-BREAK SPACE}seeds"),
        ('listed(("a",))', "a"),
        ('listed(("a", "b", "c"))', "a, b and c"),
        ('named(("a", "b"), "arm")', "a; b"),
        ('named(("a",) * 9, "arm")', "9\N{NO-BREAK SPACE}arms"),
    ],
)
def test_numbers_are_typeset_as_the_tables_print_them(tmp_path: Path, call: str, text: str) -> None:
    shutil.copy(SOURCE / "format.typ", tmp_path)
    (tmp_path / "call.typ").write_text(f'#import "format.typ": *\n#metadata({call})<text>\n')
    found = typst.query(str(tmp_path / "call.typ"), "<text>", field="value", one=True, ignore_system_fonts=True)
    assert json.loads(found) == text


@pytest.mark.parametrize("name", ["main.typ", "method.typ", "results.typ", "appendix.typ"])
def test_every_number_in_the_paper_comes_from_a_file(name: str) -> None:
    """Digits in the text are layout lengths, names of models, machines and protocols, or the protocol's own numbers."""
    text = (SOURCE / name).read_text()
    text = re.sub(r"//.*|\d+(\.\d+)?(pt|cm|em|%|fr)|columns: \d|columns == \d|size: \d|(<=|>|==) \d", "", text)
    text = re.sub(r"MobileNetV4|YOLOv10|YOLOv9|yolov10|AP50|T4|FP16|COCO 2017|@\w+|\"[^\"]*\"", "", text)
    text = text.replace("significant(n.training.hours, 2)", "")
    assert set(re.findall(r"\d+(?:\.\d+)?", text)) <= {"0", "0.50", "0.95", "1", "100"}


def test_no_semicolon_follows_code() -> None:
    """It would end the code and not be printed."""
    lines = [line for path in SOURCE.glob("*.typ") for line in path.read_text().splitlines()]
    assert [line for line in lines if re.search(r"#.*[\])];", line)] == []


def test_the_workflow_names_every_source_of_the_paper() -> None:
    rule = (SOURCE.parent / "Snakefile").read_text().split("rule paper:")[1].split("output:")[0]
    names = re.findall(r"\w+", rule.split("name=[")[1].split("]")[0])
    assert {f"{name}.typ" for name in names} | {"references.bib"} == set(SOURCES)
    assert sorted(path.name for path in SOURCE.iterdir()) == sorted(SOURCES)


def differing(source: str, published: float | str, measured: float | str, decimals: int = 1) -> Row:
    return Row(
        id=f"{source}/x/{published}",
        source=source,
        place="Table 1",
        claim="a claim",
        published=published,
        measured=measured,
        unit="G",
        tolerance=0.05,
        decimals=decimals,
        verdict="differs",
        basis="counted here",
        reason="why",
    )


def test_the_paper_quotes_the_farthest_figure_of_each_source(tmp_path: Path) -> None:
    rows = (differing("a", 10.0, 11.0), differing("a", 1.0, 1.5), differing("b", "yes", "no"), differing("c", 2.0, 1.9))
    verdicts = dict(zip(OUTCOMES, (7, 4, 3, 2, 1), strict=True))
    sources = {
        key: SourceSummary(name=key.upper(), title="t", reference="r", figures=17, verdicts=verdicts) for key in "abc"
    }
    summary = LedgerSummary(figures=17, verdicts=verdicts, sources=sources, differing=rows)
    first, second = farthest(summary)
    for line, values in ((first, ("A, Table 1, a claim", "1.0 G", "1.500 G counted here")), (second, ("C, ", "2.0 G"))):
        assert [value for value in values if value not in line] == []
    assert ledger_in_short(tmp_path) is None
    write_json(tmp_path / "tables/ledger.json", summary)
    content = ledger_in_short(tmp_path)
    assert content is not None
    assert re.findall(r"\d+ ?\w*", " ".join(content["text"])) == [
        "17 published", "3 sources", "11 that", "7 agree", "4 do", "3 have", "2 need", "1 are",
    ]  # fmt: skip
    assert [row[0]["text"] for row in content["table"]["rows"]] == ["A", "B", "C", "all"]
