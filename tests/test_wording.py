"""Words follow records: a printed verdict is its record's, and rewording a template changes no table."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import fake_results as fake
import pytest
from jinja2 import Environment, PackageLoader

from mnv4bench.io.files import read_json, write_json
from mnv4bench.reference.plans import plan_of
from mnv4bench.report import rendering
from mnv4bench.report.findings import scope
from mnv4bench.report.paper.facts import facts
from mnv4bench.report.results import ArmResult, Results, collect
from mnv4bench.report.tables.latency import stages
from mnv4bench.report.tables.write import tables
from mnv4bench.report.text import about
from mnv4bench.results.comparison import Comparison, Verdict
from mnv4bench.results.latency import Latency, LatencyVerdict
from mnv4bench.spec.plan import load

ROOT = Path(__file__).resolve().parents[1]
ON_AP, ON_TIME = get_args(Verdict), get_args(LatencyVerdict)
REFERENCES = ("scenes",)


@pytest.fixture(scope="module")
def every_verdict(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Made-up results in which every verdict on time stands somewhere, and four of those on AP."""
    root = tmp_path_factory.mktemp("verdicts")
    plan = fake.make_plan(root)
    fake.write_results(plan, root / "results")
    comparison = Comparison.model_validate(read_json(root / "results/compare.json"))
    some = [d.model_copy(update={"verdict": word}) for d, word in zip(comparison.differences, ON_AP[2:6], strict=True)]
    write_json(root / "results/compare.json", comparison.model_copy(update={"differences": tuple(some)}))
    latency = Latency.model_validate(read_json(root / "results/latency/latency.json"))
    words = itertools.cycle(ON_TIME)
    rows = [row.model_copy(update={"verdict": next(words)}) if row.baseline else row for row in latency.rows]
    write_json(root / "results/latency/latency.json", latency.model_copy(update={"rows": tuple(rows)}))
    return collect(plan, root / "results")


@pytest.fixture(scope="module", params=["made up", *REFERENCES])
def results(request: pytest.FixtureRequest, every_verdict: Results) -> Results:
    if request.param == "made up":
        return every_verdict
    return collect(plan_of(request.param, ROOT), ROOT / "results/reference" / request.param)


@pytest.fixture(scope="module")
def files(results: Results) -> dict[str, str]:
    return tables(results, detections=False)


def verdicts_in(cells: list[str], known: tuple[str, ...]) -> list[str | None]:
    """Return the verdict that each cell names; a cell that names two is a mistake."""
    words = [re.findall(rf"\b(?:{'|'.join(known)})\b", cell) for cell in cells]
    assert max(map(len, words)) == 1
    return [names[0] if names else None for names in words]


def markdown_tables(text: str) -> list[dict[str, list[str]]]:
    """Return every table as title → cells."""
    parsed = []
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        header, _, *rows = (re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines())
        parsed.append(by_title(header, rows))
    return parsed


def latex_tables(text: str) -> list[dict[str, list[str]]]:
    """Return every tabular as title → cells, its groups of rows one below the other."""
    parsed = []
    for content in re.findall(r"\\toprule\n(.*?)\\bottomrule", text, re.DOTALL):
        lines = [line for line in content.splitlines() if "&" in line and "multicolumn" not in line]
        header, *rows = (re.split(r"(?<!\\)&", line.removesuffix(r"\\")) for line in lines)
        parsed.append(by_title(header, rows))
    return parsed


def by_title(header: list[str], rows: list[list[str]]) -> dict[str, list[str]]:
    titles = [title.replace("\\", "").strip() for title in header]
    return {title: [row[place].strip() for row in rows] for place, title in enumerate(titles)}


def on_ap(arms: list[ArmResult]) -> list[str | None]:
    return [arm.difference.verdict if arm.difference else None for arm in arms]


def on_time(arms: list[ArmResult], runtime: str, stage: Any = "end_to_end") -> list[str | None]:
    return [row.verdict if (row := arm.row(runtime, stage)) else None for arm in arms]


def test_every_verdict_in_a_csv_is_its_records(results: Results, files: dict[str, str]) -> None:
    rows = list(csv.DictReader(io.StringIO(files["ablations.csv"])))
    assert [row["verdict"] or None for row in rows] == on_ap(results.arms)
    for runtime in results.runtimes:
        assert [row[f"{runtime}_verdict"] or None for row in rows] == on_time(results.arms, runtime)
    rows = list(csv.DictReader(io.StringIO(files["latency.csv"])))
    assert [row["verdict"] or None for row in rows] == [row.verdict for row in results.latency.rows]


@pytest.mark.parametrize(
    ("name", "parsed"), [("ablations.md", markdown_tables), ("ablations.tex", latex_tables)], ids=["Markdown", "LaTeX"]
)
def test_every_verdict_in_a_table_of_ablations_is_its_records(
    results: Results, files: dict[str, str], name: str, parsed: Callable[[str], list[dict[str, list[str]]]]
) -> None:
    all_tables = parsed(files[name])
    with_ap = [table for table in all_tables if "verdict" in table and "arm" in table]
    assert verdicts_in([cell for table in with_ap for cell in table["verdict"]], ON_AP) == on_ap(results.arms)
    for runtime in results.timed:
        title = next(title for table in all_tables for title in table if re.match(rf"{runtime} .*base", title))
        cells = [cell for table in all_tables for cell in table.get(title, ())]
        assert verdicts_in(cells, ON_TIME) == on_time(results.arms, runtime)


def test_every_verdict_in_the_tables_of_all_comparisons_is_its_records(results: Results, files: dict[str, str]) -> None:
    others = [arm for arm in results.arms if not arm.is_baseline]
    markdown = markdown_tables(files["ablations.md"])[0]
    content = facts(results)["tables"]["verdicts"]
    paper = {name: [row[place]["text"] for row in content["rows"]] for place, name in enumerate(content["header"])}
    for table in (markdown, paper):
        assert verdicts_in(table["verdict"], ON_AP) == on_ap(others)
        for runtime in results.timed:
            assert verdicts_in(table[f"time in {runtime}"], ON_TIME) == on_time(others, runtime)


def test_every_verdict_on_the_page_of_times_is_its_records(results: Results, files: dict[str, str]) -> None:
    shown = iter(markdown_tables(files["latency.md"]))
    for runtime in (*results.timed, *results.timed_int8):
        measured = [arm for arm in results.arms if arm.latency.get(runtime)]
        others = [arm for arm in measured if not arm.is_baseline]
        ratios = next(table for table in shown if list(table)[:3] == ["ablation", "arm", "forward"])
        for stage in stages(results, runtime):
            cells = ratios[stage.replace("_", " ")]
            assert verdicts_in(cells, ON_TIME) == on_time(others, runtime, stage)


class Reworded(PackageLoader):
    """The project's templates with one word of each changed."""

    def __init__(self) -> None:
        super().__init__("mnv4bench.report")
        self.changed: set[str] = set()

    def get_source(self, environment: Environment, template: str) -> Any:
        source, *rest = super().get_source(environment, template)
        texts = [text for _, kind, text in environment.lex(source) if kind == "data"]
        prose = max((text for text in texts if re.search(r"\b[a-z]{4,}\b", text)), key=len, default="")
        if prose:
            self.changed.add(template)
            other = re.sub(r"\b[a-z]{4,}\b(?!.*\b[a-z]{4,}\b)", "reworded", prose, count=1, flags=re.DOTALL)
            source = source.replace(prose, other, 1)
        return source, *rest


def numbers_and_verdicts(files: dict[str, str]) -> Iterator[tuple[str, Any]]:
    for name, text in files.items():
        if name.endswith(".csv"):
            yield name, text
        else:
            yield name, latex_tables(text) if name.endswith(".tex") else markdown_tables(text)


def test_a_word_changed_in_every_template_changes_no_table(
    every_verdict: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, known = tables(every_verdict), facts(every_verdict)
    loader = Reworded()
    environment = rendering._environment().overlay(loader=loader)
    monkeypatch.setattr(rendering, "_environment", lambda: environment)
    after, again = tables(every_verdict), facts(every_verdict)
    assert dict(numbers_and_verdicts(after)) == dict(numbers_and_verdicts(before))
    texts = ("ablations.md", "latency.md", "errors.md", "ablations.tex")
    assert [name for name in texts if after[name] == before[name]] == []
    assert {f"{Path(name).name}.j2" for name in texts} <= loader.changed
    for table in ("verdicts", "seeds", "slices", "quantised"):
        assert again["tables"][table] == known["tables"][table]
    assert [block["rows"] for block in again["tables"]["scores"]["blocks"]] == [
        block["rows"] for block in known["tables"]["scores"]["blocks"]
    ]
    assert again["raw"] == known["raw"]


@pytest.mark.parametrize("name", rendering._environment().list_templates(extensions=["j2"]))
def test_a_template_is_valid(name: str) -> None:
    assert rendering._environment().get_template(name)


def test_pages_of_trained_arms_name_no_method_of_published_weights_and_the_reverse(every_verdict: Results) -> None:
    published = replace(every_verdict, plan=load("published", root=ROOT))
    trained, given = (" ".join(about(results, "how_to_read")) for results in (every_verdict, published))
    assert "sign-flip" in trained
    assert "permutation" not in trained
    assert "permutation" in given
    assert not [
        word for word in ("sign-flip", "was trained from", "seed noise", "over seeds", "n seeds") if word in given
    ]
    assert "trained on" in scope(every_verdict)
    assert "trained on" not in scope(published)
