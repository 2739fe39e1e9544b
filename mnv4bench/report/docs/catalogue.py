"""docs/ablations.md: every ablation in words, made from its YAML, the presets, the published figures, and what the
committed reference results measured."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from mnv4bench.ledger.cited import changes, figures, printed
from mnv4bench.ledger.facts import load
from mnv4bench.report import formatting as fmt
from mnv4bench.report.claims import changes_in_words, figures_in_words
from mnv4bench.report.docs.measured import measured, references
from mnv4bench.report.results import Results
from mnv4bench.report.tables import markdown
from mnv4bench.report.tables.cells import table
from mnv4bench.spec.ablation import ABLATIONS, AblationSpec
from mnv4bench.spec.preset import PRESETS, Preset
from mnv4bench.spec.yamlfile import YamlFile

INTRODUCTION = """\
# The ablations

One file of [ablations/](../ablations) each; this page is made from them by `mnv4bench docs`. “printed” is what the
source prints of an arm, with its place, “change” its difference to the baseline. Neither is used in computing a result.
The second table is what was measured, in each of the project's own [results](reproducing.md) that ran the ablation: the
difference in AP to the baseline with its interval, the time over the baseline's, and the verdicts
([method](method.md)). Any ablation runs by itself, with all of its arms, by
`snakemake --cores all --config preset=full only=NAME`."""


def catalogue(root: Path) -> str:
    """Return the page for the ablations, presets and references under `root`.

    Raises:
        SpecError: a YAML file is not valid.
        Mnv4benchError: an ablation cites a figure that does not exist, or a reference is damaged.
    """
    presets = {path.stem: YamlFile(path).parse(Preset) for path in sorted((root / PRESETS).glob("*.yaml"))}
    specs = {path.stem: YamlFile(path).parse(AblationSpec) for path in sorted((root / ABLATIONS).glob("*.yaml"))}
    found = references(root)
    sections = [part for name, spec in specs.items() for part in section(name, spec, presets, found)]
    return markdown.document([INTRODUCTION, _contents(specs), *sections])


def _contents(specs: Mapping[str, AblationSpec]) -> str:
    return "\n".join(f"- [{name}](#{name}): {markdown.escape(spec.question)}" for name, spec in specs.items())


def section(name: str, spec: AblationSpec, presets: Mapping[str, Preset], found: Mapping[str, Results]) -> list[str]:
    """Return one ablation's heading, question, text, arms, results, and how it is run."""
    results = measured(name, found)
    return [
        f"## {name}",
        f"**{markdown.escape(spec.title)}.** {markdown.escape(spec.question)} ([file](../ablations/{name}.yaml))",
        markdown.escape(spec.about),
        _arms(spec),
        markdown.table(results) if results else "Measured: in none of the references yet.",
        markdown.bullets(_facts(name, spec, presets)),
    ]


def _arms(spec: AblationSpec) -> str:
    rows = [
        (
            arm + (" (baseline)" if arm == spec.baseline else ""),
            fmt.settings(overrides) or "the preset's detector",
            _printed(spec, arm),
            changes_in_words(changes(spec, arm)) or fmt.NONE,
        )
        for arm, overrides in spec.arms.items()
    ]
    if spec.published is None:
        return markdown.table(table(("arm", "sets"), "ll", [row[:2] for row in rows]))
    return markdown.table(table(("arm", "sets", "printed", "change"), "llll", rows))


def _printed(spec: AblationSpec, arm: str) -> str:
    """Return "44.3 AP, 2.44 ms (YOLOv10, Table 5)", the figures of each place together."""
    by_place: dict[str, list[str]] = {}
    for quantity, figure in printed(spec, arm).items():
        assert spec.published is not None  # else nothing is printed
        fact = figures()[spec.published.figures[arm][quantity]]
        where = ", ".join(filter(None, (_source(fact.source), fact.place)))
        by_place.setdefault(where, []).append(figures_in_words({quantity: figure}))
    return "; ".join(f"{', '.join(found)} ({where})" for where, found in by_place.items()) or fmt.NONE


@cache
def _source(key: str) -> str:
    return load().sources[key].name


def _facts(name: str, spec: AblationSpec, presets: Mapping[str, Preset]) -> list[str]:
    found = []
    if spec.published is not None:
        note = f"; {spec.published.note.rstrip('.')}" if spec.published.note else ""
        found.append(f"Published: {spec.published.place}{note}.")
    else:
        found.append("Published: no figure.")
    if spec.common:
        found.append(f"All arms: {fmt.settings(spec.common)}.")
    found.append(f"Smallest effect that matters: {fmt.plain(spec.smallest_effect)} AP.")
    found.append(_start(spec))
    found.append(_run_by(name, spec, presets))
    return found


def _start(spec: AblationSpec) -> str:
    if spec.start == "scratch":
        return "Start: every arm from random weights."
    fresh = f"with {fmt.join(spec.fresh)} fresh" if spec.fresh is not None else "with the parts fresh that it names"
    return f"Start: every arm from the preset's trunk, {fresh}; from random weights where the preset has no trunk."


def _run_by(name: str, spec: AblationSpec, presets: Mapping[str, Preset]) -> str:
    """Say which presets run it, and with which arms."""
    users = {preset: content.arms for preset, content in presets.items() if name in content.ablations}
    if not users:
        return "Run by: no preset; ask for it with only=."
    if not spec.core:
        return f"Run by: {fmt.join(users)}."
    core = [preset for preset, arms in users.items() if arms == "core"]
    whole = [preset for preset, arms in users.items() if arms == "all"]
    parts = [f"{fmt.join(core)} with {fmt.join(spec.core)}"] if core else []
    parts += [f"{fmt.join(whole)} with all arms"] if whole else []
    return f"Run by: {'; '.join(parts)}."
