"""Reference results: the committed ones, which tables are rebuilt from and other results are held against.

results/reference/<name>/ has the layout of results/<preset>/ (docs/files.md) without what is large: weights,
detections and images.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mnv4bench.errors import Mnv4benchError
from mnv4bench.files import read_json
from mnv4bench.plan import Plan, load
from mnv4bench.records import Record
from mnv4bench.yamlfile import nearest

FOLDER = Path("results/reference")
REBUILT = Path("results/rebuilt")
RECORD = "reference.json"


class Reference(Record):
    """reference.json: what was run, and the sums of what it left behind."""

    preset: str
    only: str | None
    """As for `plan.load`: the ablations that were run, where they are not the preset's."""
    seeds: int | None
    title: str
    """The plan's."""
    trunk: bool
    """Whether the arms started from a trained trunk."""
    files: dict[str, str]
    """Every other file of the folder → SHA-256."""
    matches: dict[str, str]
    """Run → SHA-256 of its matches.npz as it was scored; the committed one holds the readings that arms use."""


def names(folder: Path = FOLDER) -> list[str]:
    """Return the references that there are."""
    return sorted(path.parent.name for path in folder.glob(f"*/{RECORD}"))


def read(name: str, folder: Path = FOLDER) -> Reference:
    """Return a reference's record.

    Raises:
        Mnv4benchError: there is no such reference, or its record is damaged.
    """
    path = folder / name / RECORD
    if not path.exists():
        raise Mnv4benchError(f"no reference {name!r}: {path} does not exist; {nearest(name, names(folder))}")
    try:
        return Reference.model_validate(read_json(path))
    except (ValueError, ValidationError) as error:
        raise Mnv4benchError(f"{path}: not a reference's record ({error}); check it out again") from error


def plan_of(name: str, root: Path = Path()) -> Plan:
    """Return the plan that a reference was made by.

    Raises:
        Mnv4benchError: the preset or an ablation has changed since, so that the plan has runs that are not there.
    """
    record = read(name, root / FOLDER)
    plan = load(record.preset, record.only, root, record.seeds)
    missing = sorted(set(plan.runs) - set(record.matches))
    if missing:
        raise Mnv4benchError(
            f"{root / FOLDER / name}: has no run {missing[0]}{f' and {len(missing) - 1} more' * (len(missing) > 1)} of "
            f"preset {record.preset}; the preset or an ablation has changed since. Run it, then `mnv4bench publish`"
        )
    return plan


def chosen(config: Mapping[str, Any]) -> tuple[Plan, Path]:
    """Return the plan that `--config` (or the command line) asks for, and the folder of its results.

    Args:
        config: preset, only and seeds, or reference alone; what is absent or None takes its default.

    Raises:
        Mnv4benchError: both are given, or what is asked for does not exist or is not valid.
    """
    given = {key: value for key, value in config.items() if value is not None}
    name = given.pop("reference", None)
    if name is None:
        preset = given.get("preset", "quick")
        return load(preset, given.get("only"), seeds=given.get("seeds")), Path("results") / preset
    if given:
        raise Mnv4benchError(f"reference={name} brings its own preset, ablations and seeds; drop {', '.join(given)}")
    return plan_of(name), REBUILT / name
