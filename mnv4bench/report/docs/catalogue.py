"""docs/ablations.md: every ablation in words, made from its YAML, the presets, the published figures, and what the
committed reference results measured."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from mnv4bench.ledger.cited import changes, figures, printed
from mnv4bench.ledger.facts import load
from mnv4bench.report import formatting as fmt
from mnv4bench.report.claims import changes_in_words, figures_in_words
from mnv4bench.report.docs.measured import measured, measured_top1, references, references_of_classifiers
from mnv4bench.report.rendering import page
from mnv4bench.report.tables.cells import Table, table
from mnv4bench.spec.ablation import ABLATIONS, AblationSpec
from mnv4bench.spec.preset import PRESETS, Preset
from mnv4bench.spec.yamlfile import YamlFile


def catalogue(root: Path) -> str:
    """Return the page for the ablations, presets and references under `root`.

    Raises:
        SpecError: a YAML file is not valid.
        Mnv4benchError: an ablation cites a figure that does not exist, or a reference is damaged.
    """
    presets = {path.stem: YamlFile(path).parse(Preset) for path in sorted((root / PRESETS).glob("*.yaml"))}
    specs = {path.stem: YamlFile(path).parse(AblationSpec) for path in sorted((root / ABLATIONS).glob("*.yaml"))}
    results = references(root)
    others = references_of_classifiers(root)
    tables = {name: measured(name, results) or measured_top1(name, others) for name in specs}
    sections = [_section(name, spec, presets, tables[name]) for name, spec in specs.items()]
    return page("docs/ablations.md.j2", sections=sections)


def _section(name: str, spec: AblationSpec, presets: Mapping[str, Preset], found: Table | None) -> dict[str, Any]:
    """Return what the page says of an ablation."""
    users = {preset: content.arms for preset, content in presets.items() if name in content.ablations}
    return {
        "name": name,
        "spec": spec,
        "arms": _arms(spec),
        "measured": found,
        "users": list(users),
        "core_users": [preset for preset, arms in users.items() if arms == "core"],
        "whole_users": [preset for preset, arms in users.items() if arms == "all"],
    }


def _arms(spec: AblationSpec) -> Table:
    rows = [
        (
            arm + (" (baseline)" if arm == spec.baseline else ""),
            spec.title_of(arm),
            fmt.settings(overrides) or "the preset's detector",
            _printed(spec, arm),
            changes_in_words(changes(spec, arm)) or fmt.NONE,
        )
        for arm, overrides in spec.arms.items()
    ]
    if spec.published is None:
        return table(("arm", "title", "sets"), "lll", [row[:3] for row in rows])
    return table(("arm", "title", "sets", "printed", "change"), "lllll", rows)


def _printed(spec: AblationSpec, arm: str) -> str:
    """Return "44.3 AP, 2.44 ms (YOLOv10, Table 5)", the figures of each place together."""
    by_place: dict[str, list[str]] = {}
    for quantity, figure in printed(spec, arm).items():
        assert spec.published is not None  # else nothing is printed
        fact = figures()[spec.published.figures[arm][quantity]]
        where = ", ".join(filter(None, (_source(fact.source), fact.place)))
        by_place.setdefault(where, []).append(figures_in_words({quantity: figure}))
    return "; ".join(f"{', '.join(quoted)} ({where})" for where, quoted in by_place.items()) or fmt.NONE


@cache
def _source(key: str) -> str:
    return load().sources[key].name
