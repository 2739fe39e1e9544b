"""The same comparisons in the committed reference results: on other data, from scratch, with other seeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mnv4bench.data.prepared import RECORD as DATASET
from mnv4bench.report import formatting as fmt
from mnv4bench.report import verdict_words as say
from mnv4bench.report import words
from mnv4bench.report.results import Results
from mnv4bench.report.tables.cells import Cell, Table, table
from mnv4bench.results import reference
from mnv4bench.results.comparison import Comparison, Difference, Verdict
from mnv4bench.results.dataset import Dataset
from mnv4bench.results.record import read_record

WEAKEST_FIRST: tuple[Verdict, ...] = ("inconclusive", "untestable", "equivalent", "tiny", "better", "worse")
HERE = "here"
SIGNED = {"tiny", "better", "worse"}
"""Verdicts whose interval excludes zero, on the mean's side of it."""
CONTRADICTIONS = ({"better", "worse"}, {"better", "equivalent"}, {"worse", "equivalent"})


@dataclass(frozen=True)
class Other:
    """A reference as the others' tables show it."""

    name: str
    record: reference.Reference
    dataset: Dataset
    comparison: Comparison

    @property
    def differences(self) -> dict[tuple[str, str], Difference]:
        return {(d.ablation, d.arm): d for d in self.comparison.differences}


def others(results: Results, folder: Path = reference.FOLDER) -> list[Other]:
    """Return every reference with a comparison in common, but those of the preset that `results` are of.

    Raises:
        Mnv4benchError: a reference's files are damaged.
    """
    found = []
    for name in reference.names(folder):
        record = reference.read(name, folder)
        if record.preset != results.plan.preset_name:
            dataset = next((folder / name / "data").glob(f"*/{DATASET}"))
            comparison = read_record(folder / name / "compare.json", Comparison)
            found.append(Other(name, record, read_record(dataset, Dataset), comparison))
    own = {(d.ablation, d.arm) for d in results.comparison.differences}
    return [other for other in found if own & other.differences.keys()]


@dataclass(frozen=True)
class Beside:
    """What is said of the references."""

    table: Table
    """The comparisons that they share."""
    which: tuple[str, ...]
    """A sentence on each."""
    apart: tuple[str, ...]
    """A sentence on each comparison that came out otherwise there."""


def beside(results: Results, folder: Path = reference.FOLDER, here: str = HERE) -> Beside | None:
    """Set results beside the references; None where there is no other one.

    Args:
        here: what the results' own column is called.
    """
    found = others(results, folder)
    if not found:
        return None
    return Beside(
        table=_table(results, found, here),
        which=tuple(_which(other) + _same_runs(results, other, here) for other in found),
        apart=tuple(sentence for other in found for sentence in _apart(results, other, here)),
    )


def _which(other: Other) -> str:
    seeds = max((len(d.seeds) for d in other.comparison.differences), default=0)
    start = "from one trained trunk" if other.record.trunk else "from random weights"
    count = fmt.count(len(other.comparison.differences), "comparison")
    data = other.dataset
    return (
        f"{other.name}: {other.record.title}; {data.name}, {fmt.count(data.train.count, 'image')} to train on "
        f"and {data.val.count} to score; {fmt.count(seeds, 'seed')}, {start}; {count}."
    )


def _same_runs(results: Results, other: Other, here: str) -> str:
    """Say how many of a reference's runs are these results' own: what they say twice is said once."""
    common = len(other.record.matches.keys() & results.plan.runs.keys())
    where = here if here == HERE else f"in {here}"
    return f" {fmt.count(common, 'run')} of it also stand {where}: no independent evidence." if common else ""


def _table(results: Results, found: list[Other], here: str) -> Table:
    rows: list[tuple[Cell | str, ...]] = []
    for d in results.comparison.differences:
        theirs = [other.differences.get((d.ablation, d.arm)) for other in found]
        if not any(theirs):
            continue
        rows.append((d.ablation, f"{d.arm} − {d.baseline}", _cell(d), *map(_cell, theirs)))
    header = ("ablation", "comparison", here, *(other.name for other in found))
    return table(header, "ll" + "r" * (1 + len(found)), rows)


def _cell(d: Difference | None) -> Cell:
    if d is None or d.mean is None:
        return Cell(fmt.NONE)
    return Cell(f"{words.interval(d, 3)} {say.verdict(d)}", say.strong(d))


def _apart(results: Results, other: Other, here: str) -> Iterator[str]:
    """Yield a sentence for each comparison that comes out otherwise there."""
    where = (here if here == HERE else f"in {here}", f"in {other.name}")
    same_data = other.dataset.digest == results.data.record.digest
    for d in results.comparison.differences:
        there = other.differences.get((d.ablation, d.arm))
        if there is None or d.mean is None or there.mean is None:
            continue
        how = _disagreement(d, there, where)
        if how:
            yield f"{d.ablation}/{d.arm}: {how}.{_weaker(d, there, where) if same_data else ''}"


def _disagreement(a: Difference, b: Difference, where: tuple[str, str]) -> str:
    """Say whether two differences disagree in sign or size; empty where they do not."""
    means = f"{fmt.number(a.mean, 3, sign=True)} {where[0]}, {fmt.number(b.mean, 3, sign=True)} {where[1]}"
    if (a.mean or 0) * (b.mean or 0) < 0:
        return f"the signs differ ({means})"
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return ""
    apart = max(a.low, b.low) > min(a.high, b.high)
    return f"the sizes differ, the intervals do not meet ({means})" if apart else ""


def _weaker(a: Difference, b: Difference, where: tuple[str, str]) -> str:
    """Say which verdict both protocols carry on the same data."""
    if a.verdict is None or b.verdict is None:
        return ""
    opposed = {a.verdict, b.verdict} <= SIGNED and (a.mean or 0) * (b.mean or 0) < 0
    held = None if opposed else weaker_verdict(a.verdict, b.verdict)
    if held is None:
        both = f"{say.verdict(a)} {where[0]}, {say.verdict(b)} {where[1]}"
        return f" The verdicts contradict each other, so neither is held: {both}."
    return f" The weaker verdict holds for both: {say.verdict(a if held == a.verdict else b)}."


def weaker_verdict(a: Verdict, b: Verdict) -> Verdict | None:
    """Return the verdict that claims less; None where both cannot be true."""
    return None if {a, b} in CONTRADICTIONS else min(a, b, key=WEAKEST_FIRST.index)
