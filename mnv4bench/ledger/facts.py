"""The YAML files of this folder, cell by cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from mnv4bench.io.errors import SpecError
from mnv4bench.ledger.checks import Check
from mnv4bench.ledger.measures import parse
from mnv4bench.ledger.schema import Claim, Column, Figure, Part, Publications, Relation, Source, Table, Tested, Timed
from mnv4bench.spec.model import Weights
from mnv4bench.spec.problems import nearest
from mnv4bench.spec.yamlfile import YamlFile

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Needs:
    """Cannot be tested with what is here; the sentence says what it would take."""

    sentence: str


@dataclass(frozen=True)
class OtherDevice:
    """A time on hardware that is not here."""

    name: str


@dataclass(frozen=True)
class Fact:
    """One published figure and the way to test it."""

    id: str
    """"<file>/<table>/<row>/<column>" or "<file>/<claim>"."""
    source: str
    """Key of the source."""
    place: str
    claim: str
    published: Figure | None
    """None where `quotes` gives it."""
    unit: str
    decimals: int | None
    test: Check | Needs | OtherDevice
    quotes: Check | None = None
    relation: Relation = "equals"
    exact: bool = False
    remark: str = ""
    unmatched: str = ""
    """How the two configurations differ; empty where they do not."""
    beside: Mapping[str, Check] = field(default_factory=dict)
    part: Part | None = None
    timed: Timed | None = None
    checkpoint: str | None = None
    """The published checkpoint that it is about."""
    score: str = "AP"
    """Which of the checkpoint's scores."""

    @property
    def tolerance(self) -> float | None:
        """Half a unit of the last printed digit, nothing for an exact figure; None for words."""
        if self.decimals is None:
            return None
        return 0.0 if self.exact else 0.5 * 10.0**-self.decimals


@dataclass(frozen=True)
class Published:
    """All files together."""

    sources: Mapping[str, Source]
    facts: Mapping[str, Fact]


def load(folder: Path = FOLDER) -> Published:
    """Read every YAML file of a folder.

    Raises:
        SpecError: a file, table or claim is not as schema.py says; names file, line and field.
    """
    files = [YamlFile(path) for path in sorted(folder.glob("*.yaml"))]
    contents = [file.parse(Publications) for file in files]
    sources: dict[str, Source] = {}
    for file, content in zip(files, contents, strict=True):
        for key, source in content.sources.items():
            if key in sources:
                raise file.error(("sources", key), "another file has a source of this name; rename one")
            sources[key] = source
    facts: dict[str, Fact] = {}
    for file, content in zip(files, contents, strict=True):
        facts |= {fact.id: fact for fact in _Reader(file, content, sources).facts()}
    for fact in facts.values():
        _check_references(fact, facts)
    return Published(sources, facts)


def _check_references(fact: Fact, facts: Mapping[str, Fact]) -> None:
    """Refuse a check on a figure that does not exist, or on the very figure that it is to test.

    Raises:
        SpecError: names the figure.
    """
    checks = [check for check in (fact.test, fact.quotes, *fact.beside.values()) if isinstance(check, Check)]
    for name in (name for check in checks for name in check.figures()):
        if name not in facts:
            raise SpecError(
                f"{fact.id}: there is no figure {name!r}; {nearest(name, sorted(facts)).split('allowed')[0]}"
            )
        if name == fact.id:
            raise SpecError(f"{fact.id}: is checked against itself; name another figure")


@dataclass(frozen=True)
class _Reader:
    file: YamlFile
    content: Publications
    sources: Mapping[str, Source]

    @property
    def name(self) -> str:
        return self.file.path.stem

    def facts(self) -> Iterator[Fact]:
        for key, table in self.content.tables.items():
            self._known("source", table.source, self.sources, ("tables", key))
            yield from self._cells(key, table)
        for key, claim in self.content.claims.items():
            yield self._claim(key, claim)

    def _cells(self, key: str, table: Table) -> Iterator[Fact]:
        for row in table.rows:
            for name, column in table.columns.items():
                if row.get(name) is not None:
                    yield self._cell(key, table, row, name, column)

    def _cell(self, key: str, table: Table, row: Mapping[str, Any], name: str, column: Column) -> Fact:
        place = ("tables", key, "columns", name)
        label = row[table.row]
        words = isinstance(row[name], str)
        return Fact(
            id=f"{self.name}/{key}/{label}/{name}",
            source=table.source,
            place=table.place,
            claim=f"{label}: {column.claim}",
            published=row[name],
            unit="" if words else column.unit,
            decimals=None if words else column.decimals,
            test=self._test(column, place, row),
            exact=column.exact,
            remark=column.remark,
            unmatched=column.unmatched,
            beside=self._beside(column, place, row),
            checkpoint=_checkpoint(column, row),
            score=column.score,
        )

    def _claim(self, key: str, claim: Claim) -> Fact:
        place = ("claims", key)
        self._known("source", claim.source, self.sources, place)
        quotes = None if claim.quotes is None else parse(self.file, claim.quotes, (*place, "quotes"))
        return Fact(
            id=f"{self.name}/{key}",
            source=claim.source,
            place=claim.place,
            claim=claim.claim,
            published=claim.published,
            unit=claim.unit,
            decimals=claim.decimals if claim.decimals is not None else printed_decimals(claim.published),
            test=self._test(claim, place, {}),
            quotes=quotes,
            relation=claim.relation,
            exact=claim.exact,
            remark=claim.remark,
            unmatched=claim.unmatched,
            beside=self._beside(claim, place, {}),
            part=claim.part,
            timed=claim.timed,
        )

    def _test(self, tested: Tested, place: tuple[str, ...], row: Mapping[str, Any]) -> Check | Needs | OtherDevice:
        if tested.needs is not None:
            self._known("needs", tested.needs, self.content.needs, place)
            return Needs(self.content.needs[tested.needs])
        if tested.device is not None:
            self._known("device", tested.device, self.content.devices, place)
            return OtherDevice(self.content.devices[tested.device])
        filled = fill(tested.check, row)
        if filled is None:
            self._known("needs", "definition", self.content.needs, place)
            return Needs(self.content.needs["definition"])
        return parse(self.file, filled, (*place, "check"))

    def _beside(self, tested: Tested, place: tuple[str, ...], row: Mapping[str, Any]) -> dict[str, Check]:
        filled = {label: fill(check, row) for label, check in tested.beside.items()}
        return {
            label: parse(self.file, check, (*place, "beside", label))
            for label, check in filled.items()
            if check is not None
        }

    def _known(self, field: str, name: str, allowed: Mapping[str, Any], place: tuple[str, ...]) -> None:
        if name not in allowed:
            raise self.file.error((*place, field), f"unknown name {name!r}; {nearest(name, sorted(allowed))}")


def fill(template: Any, row: Mapping[str, Any]) -> Any:
    """Return a check with the row's values in the place of "$name"; None where the row lacks one."""
    if isinstance(template, dict):
        filled = {key: fill(value, row) for key, value in template.items()}
        return None if None in filled.values() else filled
    if isinstance(template, str) and template.startswith("$"):
        return row.get(template[1:])
    return template


def _checkpoint(column: Column, row: Mapping[str, Any]) -> str | None:
    name = fill(column.checkpoint, row)
    return name if name in get_args(Weights) else None


def printed_decimals(figure: Figure | None) -> int | None:
    """Return the decimals of a number as its shortest form prints them; None for words."""
    if figure is None or isinstance(figure, str):
        return None
    _, point, decimals = repr(figure).partition(".")
    return len(decimals) if point else 0
