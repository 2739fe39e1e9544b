"""What a step computed is what the next one reads, and what `complete` vouches for."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import fake_results as fake
import pytest
from helpers import tiny_dataset

from mnv4bench import cli, steps
from mnv4bench.data import prepared
from mnv4bench.io.errors import DataError, FileError
from mnv4bench.io.files import read_json, write_json, write_text
from mnv4bench.latency.campaign import first_images
from mnv4bench.report.figures.detections import _picture
from mnv4bench.report.results import DataFacts
from mnv4bench.results import sums
from mnv4bench.results.ledger import LedgerSummary
from mnv4bench.steps import Context, run_step


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """Results whose measured files have sums."""
    plan = fake.make_plan(tmp_path)
    results = tmp_path / "results" / "fake"
    fake.write_results(plan, results)
    for name in ("compare", "cost", "latency"):
        monkeypatch.setitem(steps.STEPS, name, lambda _: None)
        run_step(name, Context(plan, results))
    return Context(plan, results)


def change_a_digit(path: Path) -> None:
    """As an editor might, the time of modification kept."""
    status, text = path.stat(), path.read_text(encoding="utf-8")
    place = next(i for i, sign in enumerate(text) if sign in "12345678")
    path.write_text(f"{text[:place]}{int(text[place]) + 1}{text[place + 1 :]}", encoding="utf-8")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("name", ["compare.json", "cost.json", "latency/latency.json"])
def test_a_digit_changed_by_hand_is_refused(name: str, context: Context) -> None:
    change_a_digit(context.results / name)
    with pytest.raises(FileError, match=rf"{name}: its SHA-256 is .*; delete it and start again"):
        run_step("tables", context)
    assert not (context.results / "tables").exists()


def test_a_changed_table_is_refused_by_whatever_passes_it_on(context: Context) -> None:
    run_step("tables", context)
    change_a_digit(context.results / "tables" / "slices.csv")
    for step in ("verify", "paper", "complete"):
        with pytest.raises(FileError, match=r"tables/slices\.csv: its SHA-256"):
            run_step(step, context)


def test_every_changed_file_is_named(context: Context) -> None:
    for name in ("compare.json", "cost.json"):
        change_a_digit(context.results / name)
    with pytest.raises(FileError, match=r"(?s)cost\.json.*\n  .*compare\.json"):
        run_step("tables", context)


def test_what_is_made_again_is_accepted(context: Context) -> None:
    change_a_digit(context.results / "compare.json")
    run_step("compare", context)
    run_step("tables", context)
    assert "tables/ablations.csv" in read_json(context.results / "sums" / "tables.json")["files"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("compare.json", "compare.jsom"),
        lambda text: text.replace('"digest": "', '"digest": "0'),
        lambda text: text.replace('"digest"', '"digesu"'),
        lambda text: text[:40],
    ],
)
def test_damaged_sums_are_refused(damage: Callable[[str], str], context: Context) -> None:
    path = context.results / "sums" / "compare.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(FileError, match=r"sums/compare\.json: .*; delete it and start again"):
        run_step("tables", context)


def test_sums_of_another_step_are_refused(context: Context) -> None:
    folder = context.results / "sums"
    (folder / "compare.json").write_bytes((folder / "cost.json").read_bytes())
    with pytest.raises(FileError, match=r"sums/compare\.json: is that of step cost; delete it and start again"):
        run_step("tables", context)


def test_the_record_of_the_data_has_a_sum(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(steps.STEPS, "data", lambda _: None)
    run_step("data", context)
    change_a_digit(next(context.results.glob("data/*/dataset.json")))
    for step in ("train", "cost", "latency", "compare", "tables"):
        with pytest.raises(FileError, match=r"dataset\.json: its SHA-256 is .*; delete it and start again"):
            run_step(step, context)


def test_results_of_earlier_versions_have_no_sums(context: Context) -> None:
    change_a_digit(context.results / "compare.json")
    (context.results / "sums" / "compare.json").unlink()
    run_step("tables", context)


def test_every_step_that_reads_or_makes_something_exists() -> None:
    assert {*sums.MADE, *sums.READ} <= set(steps.STEPS)
    assert {source for read in sums.READ.values() for source in read} <= set(sums.MADE)


@pytest.mark.parametrize("command", ["verify results/fake --reference scenes", "ledger --preset fake --time"])
def test_complete_accepts_what_a_command_wrote_into_results(
    command: str, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = context.results.parent.parent
    (root / "results/reference").symlink_to(Path("results/reference").absolute())
    monkeypatch.chdir(root)
    times, table = context.results / "latency/claims.json", context.results / "tables/ledger.json"
    verified = context.results / "tables/verify.csv"
    for path in (times, table, verified):
        write_text(path, "of the workflow\n")
    for step in ("claims", "ledger", "verify"):
        sums.record(context.results, step)

    def write_ledger(*_: object) -> LedgerSummary:
        made = LedgerSummary(figures=0, verdicts={}, sources={}, differing=())
        write_json(table, made)
        return made

    monkeypatch.setattr("mnv4bench.report.ledger.write_ledger", write_ledger)
    monkeypatch.setitem(steps.STEPS, "claims", lambda _: write_text(times, "of the command\n"))
    run_step("tables", context)
    with contextlib.suppress(SystemExit):  # nothing here can be compared with the reference
        cli.main(command.split())
    assert "of the workflow" not in (verified if "verify" in command else times).read_text(encoding="utf-8")
    sums.check(context.results, "complete")


def test_complete_vouches_for_images_too(tmp_path: Path) -> None:
    folder = tiny_dataset(tmp_path / "data")
    dataset = prepared.load(folder)
    image = read_json(dataset.path(folder, dataset.val.annotations))["images"][0]
    path = dataset.path(folder, dataset.val.images) / image["file_name"]
    path.write_bytes(path.read_bytes() + b"\0")
    for read in (
        lambda: first_images(dataset, folder, "val", 1),
        lambda: _picture(DataFacts(folder, dataset), image),
        lambda: prepared.verify(folder),
    ):
        with pytest.raises(DataError, match=rf"{path.name}: changed since it was prepared"):
            read()
