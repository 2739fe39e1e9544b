"""paper/numbers.json: every number and generated sentence that the paper prints, with the raw numbers beside."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from mnv4bench.files import write_json
from mnv4bench.report import findings, method, words
from mnv4bench.report.collect import Results
from mnv4bench.report.pareto import same_arms
from mnv4bench.report.sheet import RULE, RULE_WITHOUT_SLICES, THRESHOLD
from mnv4bench.report.tables import block, foot, raw_rows


def write_numbers(results: Results) -> Path:
    """Write paper/numbers.json and return its path."""
    path = results.folder / "paper" / "numbers.json"
    write_json(path, numbers(results))
    return path


def numbers(results: Results) -> dict[str, Any]:
    """Return all that main.typ reads; strings are ready to print, `raw` is not rounded."""
    plan = results.plan
    return {
        "preset": plan.preset_name,
        "title": plan.preset.title,
        "abstract": findings.abstract(results),
        "data": method.data(results),
        "training": method.training(results),
        "statistics": method.statistics(results),
        "latency": method.latency(results),
        "limits": method.limits(results),
        "machine": method.machine(results),
        "model": _model(results),
        "ablations": [_ablation(results, name) for name in results.ablations],
        "table": _table(results),
        "seeds": _seeds(results),
        "slices": _slices(results),
        "captions": captions(results),
        "raw": raw_rows(results),
    }


def _model(results: Results) -> dict[str, str]:
    return {name: str(value) for name, value in results.plan.preset.model}


def _ablation(results: Results, name: str) -> dict[str, Any]:
    spec = results.plan.ablations[name]
    arms = [
        {
            "name": arm,
            "changes": words.join(f"{key} = {value}" for key, value in overrides.items()) or "the default detector",
        }
        for arm, overrides in spec.arms.items()
    ]
    b = block(results, name)
    return {
        "name": name,
        "title": spec.title,
        "question": spec.question,
        "baseline": spec.baseline,
        "arms": arms,
        "findings": findings.ablation(results, name),
        "claims": list(b.claims),
    }


def _table(results: Results) -> dict[str, Any]:
    """The main table without the column of seeds, which has a table of its own."""
    blocks = [asdict(block(results, name)) for name in results.ablations]
    for b in blocks:
        b["rows"] = [row[:-1] for row in b["rows"]]
    return {"header": blocks[0]["header"][:-1], "blocks": blocks, "foot": list(foot(results))}


def _seeds(results: Results) -> dict[str, Any]:
    decimals = words.decimals_for(arm.difference for arm in results.arms)
    header = ["ablation", "arm", *(f"seed {seed}" for seed in results.plan.preset.seeds)]
    rows = [[arm.arm.ablation, arm.arm.name, *words.seed_cells(arm, decimals)] for arm in results.arms]
    return {"header": header, "rows": rows}


def _slices(results: Results) -> dict[str, Any]:
    """AP of baselines and differences of the others, per slice; empty where the data has no slices."""
    parts = results.data.slices
    header = ["ablation", "arm", *(f"{name} ({images})" for name, images in parts.items())]
    rows = []
    for arm in results.arms if parts else ():
        d = arm.difference
        cells = [
            words.number(arm.mean("AP", part), 3)
            if d is None
            else words.number(d.slices[part].mean if part in d.slices else None, 3, sign=True)
            for part in parts
        ]
        rows.append([arm.arm.ablation, arm.arm.name + (" (baseline, AP)" if arm.is_baseline else " (ΔAP)"), *cells])
    return {"header": header, "rows": rows}


def captions(results: Results) -> dict[str, str]:
    """Return each figure's caption."""
    seeds = len(results.plan.preset.seeds)
    shared = same_arms(results)
    same = f" The same runs under several names are one black point: {'; '.join(shared)}." if shared else ""
    bars = "Vertical bars span the seeds; horizontal" if seeds > 1 else "There is one seed; horizontal"
    parts = "diagnostic slice" if results.data.slices else "object size"
    return {
        "pareto": f"AP against end-to-end latency. {bars} bars are the interval of the paired latency ratio, in "
        f"milliseconds of the reference arm. Squares are baselines, the dashed line is the front.{same}",
        "curves": "Training loss (box, class and distribution terms) over epochs"
        + (": seeds thin, their mean thick" if seeds > 1 else "")
        + ". The loss of a dual head is the sum of two heads', so its level is not to be compared with one head's.",
        "slices": f"AP per {parts}; bars are means, dots are seeds, lines span them. Exploratory.",
        "detections": f"Detections of seed {results.plan.preset.seeds[0]} with a score of at least "
        f"{words.plain(THRESHOLD)}, labelled with the number of the class and the score. Images were chosen by rule: "
        f"{RULE if results.data.slices else RULE_WITHOUT_SLICES}.",
    }
