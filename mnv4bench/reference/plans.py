"""Which plan is meant: a preset's, or the one that a reference was made by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.models.unbuilt import check_built
from mnv4bench.results.classifier import FOLDER as CLASSIFIERS
from mnv4bench.results.classifier import RESULT
from mnv4bench.results.reference import FOLDER, REBUILT, read_reference
from mnv4bench.results.selection import folder_of
from mnv4bench.spec.plan import Plan, load


def plan_of(name: str, root: Path = Path()) -> Plan:
    """Return the plan that a reference was made by.

    Raises:
        Mnv4benchError: the preset or an ablation has changed since, so that the plan has runs that are not there.
    """
    record = read_reference(name, root / FOLDER)
    plan = load(record.preset, record.only, root, record.seeds)
    missing = sorted(set(plan.runs) - set(record.matches))
    missing += [run for run in plan.classifiers.runs if f"{CLASSIFIERS}/{run}/{RESULT}" not in record.files]
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
        Mnv4benchError: both are given, or what is asked for does not exist, is not valid or is built by nothing.
    """
    check_built()
    given = {key: value for key, value in config.items() if value is not None}
    name = given.pop("reference", None)
    if name is None:
        preset = given.get("preset", "quick")
        plan = load(preset, given.get("only"), seeds=given.get("seeds"))
        return plan, folder_of(preset, plan.only, plan.seeds)
    if given:
        raise Mnv4benchError(f"reference={name} brings its own preset, ablations and seeds; drop {', '.join(given)}")
    return plan_of(name), REBUILT / name
