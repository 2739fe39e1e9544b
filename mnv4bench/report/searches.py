"""What a reference of classifiers found: the searches of a backbone and a teacher's stored labels, in short."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnv4bench.reference.plans import plan_of
from mnv4bench.report import top1
from mnv4bench.report.rendering import sentences
from mnv4bench.report.tables.cells import Table, printable
from mnv4bench.report.tables.csv import read_csv
from mnv4bench.report.top1 import Classified, classified
from mnv4bench.results.classifier import TOP1
from mnv4bench.results.reference import FOLDER, names

RANKING = "tables/nas_ranking.csv"


@dataclass(frozen=True)
class Searches:
    """One reference."""

    name: str
    found: Classified
    ranking: tuple[str, ...]
    """Sentences on how well shared weights rank networks; none where no search was run."""

    @property
    def scope(self) -> str:
        return top1.scope(self.found)

    @property
    def answers(self) -> Table:
        return top1.answers(self.found)


def searches(folder: Path) -> Searches:
    """Read a reference of classifiers.

    Raises:
        Mnv4benchError: it is damaged, or its preset has changed since.
    """
    found = classified(plan_of(folder.name, folder.parent.parent.parent), folder)
    path = folder / RANKING
    rows = read_csv(path, ("tau", "p")) if path.is_file() else []
    ranks = [{name: float(row[name]) for name in ("tau", "p")} for row in rows]
    networks = found.plan.preset.classifiers.ranking.networks
    return Searches(folder.name, found, tuple(sentences("text/ranking.j2", networks=networks, ranks=ranks)))


def published_searches(folder: Path = FOLDER) -> dict[str, Searches]:
    """Return name → what was found, for every committed reference with classifiers.

    Raises:
        Mnv4benchError: as for `searches`.
    """
    return {name: searches(folder / name) for name in names(folder) if (folder / name / TOP1).is_file()}


def printed_searches() -> list[dict[str, Any]]:
    """Return what the paper prints of them."""
    return [
        {"name": found.name, "scope": found.scope, "answers": printable(found.answers), "ranking": list(found.ranking)}
        for found in published_searches().values()
    ]
