"""The schema of the YAML files in this folder."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from mnv4bench.results.record import Record

Figure = int | float | str
"""A number, or a word where the source prints one ("Failed")."""

Relation = Literal["equals", "exceeds"]
"""How a measured value has to stand to the published one; "exceeds" for claims such as "most"."""


class Source(Record):
    """Who says so."""

    name: str
    """Short, for the tables."""
    title: str
    reference: str
    """arXiv number and version, or repository, file and commit."""


class Part(Record):
    """An ablation of this project that tries the same part on the data at hand."""

    ablation: str
    arm: str
    quantity: Literal["AP", "latency"]


class Timed(Record):
    """Networks of the catalogue whose forward passes, timed here, say the same as a claim on time."""

    model: str
    over: str
    beyond: str | None = None
    """A network that both are an addition to: the figure is by how many per cent the time that `model` adds is less
    than what `over` adds."""
    form: Literal["ratio", "speedup", "less_percent"] = "ratio"
    """The time of `model` over that of `over`; its inverse; by how many per cent it is less."""

    @property
    def unit(self) -> str:
        return " %" if self.beyond or self.form == "less_percent" else " ×"

    @property
    def decimals(self) -> int:
        return 1 if self.unit == " %" else 3


class Tested(Record):
    """How a figure is tested: exactly one of `check`, `needs` and `device` is given."""

    check: dict[str, Any] | str | None = None
    """A measurement and its arguments, or the id of another figure that should be the same. In a table, "$name" stands
    for what the row holds under that name; a row without it cannot be tested."""
    needs: str | None = None
    """Name of one of the file's `needs`: what it would take to test this."""
    device: str | None = None
    """Name of one of the file's `devices`: a time on hardware that is not here."""
    exact: bool = False
    """Whether the figure is a whole or an exact one, so that any deviation counts, not a rounded one."""
    remark: str = ""
    """Said where the figures differ, and of a time on another device."""
    unmatched: str = ""
    """How the configurations of the two figures differ, in a sentence; no verdict on the figure then follows from the
    check."""
    beside: dict[str, dict[str, Any] | str] = {}
    """Further measurements to show with this one, by their names."""

    @model_validator(mode="after")
    def _one_way(self) -> Tested:
        if sum(way is not None for way in (self.check, self.needs, self.device)) != 1:
            raise ValueError("give exactly one of check, needs, device")
        if self.unmatched and (self.check is None or self.remark):
            raise ValueError("unmatched goes with a check, and takes the place of a remark")
        return self


class Column(Tested):
    claim: str
    """What the column's figures say, without the row's name."""
    unit: str = ""
    decimals: int | None = None
    """Printed decimals; None for words."""
    checkpoint: str | None = None
    """"$name" of the setting that names the published checkpoint whose score or time the figures are; none where a row
    leaves it empty, or names no published checkpoint (spec.model.Weights)."""
    score: Literal["AP", "AP50", "AP75", "APs", "APm", "APl"] = "AP"
    """Which of the checkpoint's scores."""


class Table(Record):
    source: str
    place: str
    title: str
    row: str
    """The column that names a row; its values are unique."""
    settings: tuple[str, ...] = ()
    """Columns that say how a row was made or what it is called here; they carry no claim."""
    columns: dict[str, Column]
    rows: tuple[dict[str, Any], ...]
    """A missing or empty cell is one that the source does not print."""

    @model_validator(mode="after")
    def _rows_fit(self) -> Table:
        known = {self.row, *self.settings, *self.columns}
        names = [row.get(self.row) for row in self.rows]
        for row, name in zip(self.rows, names, strict=True):
            if unknown := sorted(set(row) - known):
                raise ValueError(f"row {name!r}: unknown column {unknown[0]!r}; allowed: {', '.join(sorted(known))}")
            if not isinstance(name, str):
                raise ValueError(f"row {name!r}: {self.row} must be a word")
        if twice := sorted({str(name) for name in names if names.count(name) > 1}):
            raise ValueError(f"row {twice[0]!r} stands twice")
        return self


class Claim(Tested):
    """One sentence with one figure."""

    source: str
    place: str
    claim: str
    published: Figure | None = None
    quotes: dict[str, Any] | str | None = None
    """The published figure where it is another one of these files, or follows from several."""
    unit: str = ""
    decimals: int | None = None
    """Printed decimals; by default those of the figure as it stands in the file."""
    relation: Relation = "equals"
    part: Part | None = None
    timed: Timed | None = None

    @model_validator(mode="after")
    def _one_figure(self) -> Claim:
        if (self.published is None) == (self.quotes is None):
            raise ValueError("give exactly one of published, quotes")
        if self.quotes is not None and self.decimals is None:
            raise ValueError("quotes needs decimals")
        return self


class Publications(Record):
    """One YAML file."""

    sources: dict[str, Source]
    needs: dict[str, str] = {}
    """Name → sentence: what a test would take."""
    devices: dict[str, str] = {}
    """Name → the hardware and software that times were taken with."""
    tables: dict[str, Table] = {}
    claims: dict[str, Claim] = {}
