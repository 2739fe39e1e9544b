"""index.html: whole, self-contained, escaped, and with the numbers of the records."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import fake_results as fake
import pytest
from PIL import Image

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.report import accuracy
from mnv4bench.report.page import arms, cards, plot
from mnv4bench.report.page.classes import classes
from mnv4bench.report.page.precision import precision
from mnv4bench.report.page.write import PICTURE, html, write_page
from mnv4bench.report.results import Results, collect
from mnv4bench.report.tables.write import write_tables
from mnv4bench.spec.plan import Plan

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Reader(HTMLParser):
    """Takes a page apart, and refuses one whose elements are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def values(self, *names: str) -> list[str]:
        return [attributes[name] for _, attributes in self.elements for name in names if name in attributes]


def finished(root: Path, ends: dict[int, tuple[str, str]] | None = None) -> tuple[Plan, Path]:
    """Return a plan and its folder.

    Args:
        ends: seed of psa/psa → state and reason.
    """
    plan = fake.make_plan(root)
    arm = next(arm for arm in plan.arms if arm.label == "psa/psa")
    fake.write_results(plan, root / "results", {arm.runs[seed]: end for seed, end in (ends or {}).items()})
    write_tables(plan, root / "results")
    kinds = ("precision", "confusion")
    for name in ("detections", *(f"{kind}/{ablation}" for kind in kinds for ablation in plan.ablations)):
        path = root / f"results/figures/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(path)
    return plan, root / "results"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("page"))[1]


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    return collect(fake.make_plan(folder.parent), folder)


@pytest.fixture(scope="module")
def page(results: Results, folder: Path) -> Reader:
    return Reader(html(results, folder))


def test_the_page_asks_nothing_of_a_server_or_a_network(results: Results, folder: Path) -> None:
    text = html(results, folder)
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    page = Reader(text)
    sources = [source[:22] for source in page.values("src")]
    assert sources == ["data:image/png;base64,"] * (1 + 2 * len(results.ablations))
    assert {tag for tag, _ in page.elements} & {"link", "iframe", "object"} == set()


def test_links_lead_to_files_of_the_folder_and_to_sections_of_the_page(page: Reader, folder: Path) -> None:
    inside = {link[1:] for link in page.values("href") if link.startswith("#")}
    assert inside <= set(page.values("id"))
    runs = [link for link in page.values("href") if link.startswith("runs/") and link != "runs/"]
    assert runs
    assert [link for link in runs if not (folder / unquote(link)).is_file()] == []


def test_ids_are_unique(page: Reader) -> None:
    assert [name for name, times in Counter(page.values("id")).items() if times > 1] == []


@pytest.mark.parametrize("name", ["table", "precision"])
def test_an_ablation_may_have_the_name_of_a_part_of_the_page(
    name: str, results: Results, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = [replace(card, name=name) for card in cards.cards(results)[:1]]
    monkeypatch.setattr("mnv4bench.report.page.write.cards", lambda _: named)
    assert Reader(html(results, folder)).values("id").count(name) == 1


def test_every_comparison_has_its_card_with_question_points_verdict_and_times(results: Results) -> None:
    made = {card.name: card for card in cards.cards(results)}
    assert list(made) == list(results.ablations)
    for arm in results.arms:
        if arm.is_baseline:
            continue
        card = made[arm.arm.ablation]
        (found,) = [c for c in card.comparisons if c.arm == arm.arm.title]
        assert card.question == results.plan.ablations[card.name].question
        assert found.points == accuracy.interval(arm.difference, accuracy.decimals_of(results))
        assert found.verdict == accuracy.verdict(arm.difference)
        assert [time.runtime for time in found.times] == list(results.timed)


def test_bars_share_one_scale_on_which_all_of_them_fit(results: Results) -> None:
    limit = cards.scale(results.comparison.differences)
    for d in results.comparison.differences:
        bar = cards.bar(d, limit)
        assert bar is not None
        assert 0 < bar.low <= bar.middle <= bar.high < 100
        assert bar.band == (pytest.approx(100 - bar.band[1]), bar.band[1])
        assert (bar.middle > 50) == ((d.mean or 0) > 0)
    assert cards.bar(results.comparison.differences[0].model_copy(update={"mean": None}), limit) is None


def test_the_table_has_a_cell_under_every_title_and_sorts_by_unrounded_values(results: Results) -> None:
    titles, rows = arms.titles(results), arms.rows(results)
    assert len(rows) == len(results.arms)
    for row, arm in zip(rows, results.arms, strict=True):
        assert [(cell.number, cell.runtime) for cell in row.cells] == [(t.number, t.runtime) for t in titles]
        assert row.cells[3].value == arm.mean("AP")
        assert row.cells[3].text == f"{100 * (arm.mean('AP') or 0):.{accuracy.decimals_of(results)}f}"
    assert {title.runtime for title in titles} == {"", *results.timed, *results.timed_int8}


def test_classes_stand_in_points_with_their_difference(results: Results) -> None:
    content = classes(results, "psa")
    none, psa = results.ablations["psa"]
    assert [row[0].text for row in content.rows] == list(results.data.record.classes)
    for row in content.rows:
        change = f"{100 * ((psa.mean('AP') or 0) - (none.mean('AP') or 0)):+.1f}".replace("-", "−")
        assert row[1].text == f"{100 * (none.mean('AP') or 0):.1f}"
        assert row[2].text.endswith(f"({change})")


def test_precision_and_recall_stand_by_arm_and_by_class_with_their_pictures(results: Results, folder: Path) -> None:
    """Every made-up run finds the first object of every image, which is a disc as 4 others are, and nothing else."""
    made = precision(results, folder)
    assert list(made) == list(results.ablations)
    psa = made["psa"]
    assert [[cell.text for cell in row[:1]] for row in psa.summary.rows] == [["none"], ["psa"]]
    assert [[cell.text for cell in row[:2]] for row in psa.classes.rows] == [
        [name, arm] for name in results.data.record.classes for arm in ("none", "psa")
    ]
    (disc, _, bar, _) = psa.classes.rows
    assert [cell.text for cell in disc[2:6]] == ["0.11", "1.000", "0.714", "0.833"]  # 10 of 14 discs
    assert [cell.text for cell in bar[3:6]] == ["–", "0.000", "0.000"]


def test_points_lie_on_the_plane_and_the_front_climbs(results: Results) -> None:
    made = plot.panels(results)
    assert [panel.runtime for panel in made] == [*results.timed, *results.timed_int8]
    for panel in made:
        for point in panel.points:
            assert all(plot.LEFT <= x <= plot.WIDTH - plot.RIGHT for x in (point.x, *point.across))
            assert all(plot.TOP <= y <= plot.HEIGHT - plot.BOTTOM for y in (point.y, *point.along))
        assert list(panel.front) == sorted(panel.front, key=lambda place: (place[0], -place[1]))
        assert any(point.named for point in panel.points)
        assert 3 <= len(panel.x.ticks()) <= 7


def test_names_that_would_touch_are_left_out() -> None:
    places = {"one": (50.0, 50.0), "two": (60.0, 55.0), "far": (50.0, 200.0)}
    assert plot._named(["far", "one", "two"], places) == {"two", "far"}


def test_what_comes_from_files_is_text_and_no_markup(results: Results, folder: Path) -> None:
    hostile = "<script>alert(1)</script>"
    specs = {name: spec.model_copy(update={"title": hostile}) for name, spec in results.plan.ablations.items()}
    text = html(replace(results, plan=replace(results.plan, ablations=specs)), folder)
    assert hostile not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert [tag for tag, _ in Reader(text).elements].count("script") == 1


def test_a_run_that_ended_badly_is_told_in_its_card_and_its_cell(tmp_path: Path) -> None:
    why = ("diverged", "the loss is <nan>")
    plan, folder = finished(tmp_path, dict.fromkeys((0, 1, 2), why))
    write_page(plan, folder)
    text = (folder / "index.html").read_text(encoding="utf-8")
    Reader(text)
    results = collect(plan, folder)
    (card,) = [card for card in cards.cards(results) if card.name == "psa"]
    assert "the loss is <nan>" in " ".join(card.comparisons[0].notes)
    assert card.comparisons[0].bar is None
    assert "the loss is &lt;nan&gt;" in text
    (row,) = [row for row in arms.rows(results) if row.arm.arm.label == "psa/psa"]
    assert (row.cells[3].text, row.cells[3].value) == ("diverged", None)


def test_without_times_the_page_says_so(results: Results, folder: Path) -> None:
    untimed = {
        name: tuple(replace(arm, latency={}, quantised={}) for arm in arms) for name, arms in results.ablations.items()
    }
    text = html(replace(results, ablations=untimed), folder)
    Reader(text)
    assert "No arm was both scored and timed." in text
    assert "not timed" in text


def test_the_same_results_give_the_same_bytes_and_a_missing_picture_is_named(tmp_path: Path) -> None:
    plan, folder = finished(tmp_path)
    write_page(plan, folder)
    first = (folder / "index.html").read_bytes()
    write_page(plan, folder)
    assert (folder / "index.html").read_bytes() == first
    (folder / "tables/operating.csv").rename(folder / "away.csv")
    with pytest.raises(Mnv4benchError, match=r"operating\.csv: missing"):
        write_page(plan, folder)
    (folder / "away.csv").rename(folder / "tables/operating.csv")
    (folder / PICTURE).unlink()
    with pytest.raises(Mnv4benchError, match=r"detections\.png: is missing"):
        write_page(plan, folder)


def test_the_page_of_published_weights_speaks_of_no_seeds(results: Results, folder: Path) -> None:
    arms_of_weights = tuple(replace(arm, published=True) for arm in results.plan.arms)
    given = replace(results, plan=replace(results.plan, arms=arms_of_weights))
    assert "seed" in html(results, folder)
    sections = html(given, folder).split('<section id="arms">')[1]
    assert "seed" not in sections
    assert ">scores</a>" in sections
