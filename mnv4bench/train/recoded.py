"""Finished runs whose network is built by other code today than when it was trained."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.words import count
from mnv4bench.models.code import changed
from mnv4bench.results.record import read_record
from mnv4bench.results.run import Status


def recoded(names: Iterable[str], runs: Path) -> list[str]:
    """Return a warning for every class whose source has changed since runs were trained with it.

    Args:
        names: of runs; those that are not finished are passed over.
        runs: their folder.
    """
    trained: dict[str, list[str]] = {}
    for name in names:
        for kind in changed(_code(runs / name / "status.json")):
            trained.setdefault(kind, []).append(name)
    return [_warning(kind, found, runs) for kind, found in trained.items()]


def _warning(kind: str, names: list[str], runs: Path) -> str:
    file, _, name = kind.partition(":")
    others = f" and {count(len(names) - 1, 'other run')}" if len(names) > 1 else ""
    return (
        f"{runs / names[0]}{others}: trained with another {name} than stands in mnv4bench/models/{file} now; delete "
        f"{'their folders' if others else 'this folder'} to train again, or undo the change"
    )


def _code(path: Path) -> dict[str, str]:
    try:
        return read_record(path, Status).code
    except Mnv4benchError:  # not finished, or damaged, which whoever reads it in earnest will say
        return {}
