"""paper/facts.json: every value that the paper prints, and the passages that README and docs print as well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mnv4bench.report import accuracy, text
from mnv4bench.report import formatting as fmt
from mnv4bench.report.answers import answers
from mnv4bench.report.choices import across, baselines
from mnv4bench.report.figures import effects, pareto
from mnv4bench.report.figures.detections import THRESHOLD, shown
from mnv4bench.report.findings import findings, scope
from mnv4bench.report.ledger_in_short import ledger_in_short
from mnv4bench.report.paper import method
from mnv4bench.report.replication import replication
from mnv4bench.report.results import ArmResult, Results, distinct
from mnv4bench.report.tables import arms, errors, latency
from mnv4bench.report.tables.ablations import Section, section, verdicts
from mnv4bench.report.tables.cells import printable
from mnv4bench.report.tables.columns import raw
from mnv4bench.report.unanswered import concluded, settled, unanswered

SCORES = (
    "arm", "AP", "AP50", "APs", "APm", "APl", "difference_seed_sd", "difference_image_se", "seeds_agreeing", "mde",
    "params_M", "flops_G",
)  # fmt: skip
"""Columns of the table of all arms; times follow."""


def facts(results: Results, searches: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Return all that main.typ reads: numbers unrounded but in tables, names, verdicts, lists, passages of text.

    Args:
        searches: what the paper says of searched backbones, which are no part of the results.
    """
    absent = {name: arms for name, arms in results.ablations.items() if name not in results.at_hand.ablations}
    results = results.at_hand
    plan = results.plan
    sections = [section(results, name) for name in results.ablations]
    return {
        "title": plan.title,
        "config": plan.config,
        "seeds": plan.preset.seeds,
        "comparison": results.comparison.model_dump(include={"level", "bootstrap", "images"}),
        "ledger": None if plan.preset.data.name == "folder" else ledger_in_short(results.folder),
        "scope": scope(results),
        "absent": [
            {"title": plan.ablations[name].title, "networks": sum(arm.is_missing for arm in arms)}
            for name, arms in absent.items()
        ],
        "baselines": baselines(results),
        "settled": _pairs(settled(results)),
        "concluded": concluded(results),
        "unanswered": unanswered(results),
        "published": plan.published,
        "model": {name: fmt.setting(value) for name, value in plan.preset.model if value not in (None, ())},
        "ablations": [_ablation(results, b) for b in sections],
        "protocol": text.protocol(plan),
        "accuracy_legend": _pairs(text.accuracy_legend(results)),
        "time_legend": _pairs(text.time_legend()),
        **method.method(results),
        "replication": replication(results),
        "searches": searches,
        "figures": _figures(results),
        "tables": {
            "answers": printable(answers(results)),
            "verdicts": printable(verdicts(results)),
            "scores": _scores(results, sections),
            "seeds": [] if plan.published else _seeds(results),
            "slices": _slices(results),
            "errors": _errors(results),
            "quantised": printable(latency.quantised(results)),
        },
        "raw": raw(arms.columns(results), results.arms),
    }


def _ablation(results: Results, b: Section) -> dict[str, Any]:
    spec = results.plan.ablations[b.name]
    arms = results.ablations[b.name]
    return {
        "name": b.name,
        "title": spec.title,
        "question": spec.question,
        "arms": [
            {
                "name": arm.arm.title,
                "baseline": arm.is_baseline,
                "changes": fmt.settings(spec.common | spec.arms[arm.arm.name]),
            }
            for arm in arms
        ],
        "findings": findings(results, b.name),
        "tally": _pairs(Counter(accuracy.verdict(arm.difference) for arm in arms if not arm.is_baseline)),
        "claims": list(b.claims),
    }


def _pairs(ordered: Mapping[str, Any]) -> list[list[Any]]:
    """Return items in their order, which an object in JSON would lose."""
    return [list(item) for item in ordered.items()]


def _figures(results: Results) -> dict[str, Any]:
    """Return what the captions depend on."""
    panels = effects.panels(results)
    groups = distinct(results.arms)
    return {
        "published": any(line.published for panel in panels for line in panel.lines),
        "own_scales": len(effects.columns(panels)) > 1,
        "one_network": pareto.one_network(results),
        "same_arms": pareto.same_arms(results),
        "across": across(results),
        "sizes": bool(results.untrained),
        "threshold": THRESHOLD,
        "arms_left_out": len(shown(groups)) < len(groups),
    }


def _scores(results: Results, sections: Sequence[Section]) -> dict[str, Any]:
    """Return every arm's scores, noise, cost and times; the differences stand in the table of verdicts."""
    times = [f"{runtime}_end_to_end_p50_ms" for runtime in results.timed]
    made = [
        printable(b.table(*SCORES, *times)) | {"title": b.title, "notes": [list(note) for note in b.notes]}
        for b in sections
    ]
    return {
        "header": made[0]["header"],
        "align": made[0]["align"],
        "blocks": made,
        "foot": text.about(results, "columns"),
    }


def _seeds(results: Results) -> list[dict[str, Any]]:
    """Return each arm's AP of every seed, or how its training ended."""
    decimals = accuracy.decimals_of(results)
    return [_whose(results, arm) | {"cells": accuracy.per_seed(arm, decimals)} for arm in results.arms]


def _whose(results: Results, arm: ArmResult) -> dict[str, Any]:
    """Return the names of a row."""
    return {"ablation": results.plan.ablations[arm.arm.ablation].title, "arm": arm.arm.title}


def _slices(results: Results) -> dict[str, Any]:
    """Return AP of baselines and differences of the others, per slice; no slices where the data has none."""
    slices = results.data.slices
    rows = []
    for arm in results.arms if slices else ():
        d = arm.difference
        values = (
            [fmt.points(arm.mean("AP", name), 1) for name in slices]
            if d is None
            else [fmt.points(d.slices[name].mean if name in d.slices else None, 1, sign=True) for name in slices]
        )
        rows.append(_whose(results, arm) | {"baseline": arm.is_baseline, "cells": values})
    return {"slices": _pairs(slices), "rows": rows}


def _errors(results: Results) -> dict[str, Any]:
    """Return no rows where the metrics hold no error types."""
    table = printable(errors.changes(results))
    rows = table["rows"] if errors.recorded(results) else []
    return {**table, "rows": rows, "legend": errors.legend(results)}
