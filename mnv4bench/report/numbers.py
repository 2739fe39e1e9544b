"""paper/numbers.json: every number and generated sentence that the paper prints, with the raw numbers beside."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from mnv4bench.files import write_json
from mnv4bench.report import error_types, findings, method, speed, words
from mnv4bench.report import verdict_words as say
from mnv4bench.report.blocks import Block, block, columns, verdicts
from mnv4bench.report.cells import Table
from mnv4bench.report.collect import Results
from mnv4bench.report.pareto import same_arms
from mnv4bench.report.raw import raw_rows
from mnv4bench.report.sheet import RULE, RULE_WITHOUT_SLICES, THRESHOLD


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
        "accuracy_words": _pairs(say.accuracy_legend(results)),
        "latency": method.latency(results),
        "speed_words": _pairs(say.speed_legend()),
        "noise": method.noise(results),
        "limits": method.limits(results),
        "machine": method.machine(results),
        "model": _model(results),
        "ablations": [_ablation(results, name) for name in results.ablations],
        "verdicts": _printable(verdicts(results)),
        "table": _table(results),
        "errors": _errors(results),
        "quantised": _printable(speed.quantised(results)),
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


def _pairs(legend: dict[str, str]) -> list[list[str]]:
    """Words in their order, which an object in JSON would lose."""
    return [list(item) for item in legend.items()]


def _printable(table: Table) -> dict[str, Any]:
    """The table as main.typ sets it."""
    return {
        "header": list(table.header),
        "align": list(table.align),
        "rows": [[asdict(cell) for cell in row] for row in table.rows],
    }


def _table(results: Results) -> dict[str, Any]:
    """Every arm's scores, noise, cost and times; the differences stand in the table of verdicts."""
    made = [
        _printable(_everything(results, b)) | {"title": b.title, "notes": [list(note) for note in b.notes]}
        for b in (block(results, name) for name in results.ablations)
    ]
    return {"header": made[0]["header"], "align": made[0]["align"], "blocks": made, "foot": list(columns(results))}


def _everything(results: Results, b: Block) -> Table:
    scores = b.scores.pick("AP50", "APs", "APm", "APl")
    noise = b.accuracy.pick("± seed", "± image", "agree", "p (Holm)", "MDE")
    cost = b.cost.pick("params (M)", "FLOPs (G)", *(f"{runtime} (ms)" for runtime in results.timed))
    return b.accuracy.pick("arm", "read", "AP").beside(scores).beside(noise).beside(cost)


def _errors(results: Results) -> dict[str, Any]:
    """Empty rows where the metrics hold no error types."""
    table = _printable(error_types.changes(results))
    return {
        **table,
        "rows": table["rows"] if error_types.recorded(results) else [],
        "legend": error_types.legend(results),
    }


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
        "effects": f"Differences in AP with their {words.percent(results.comparison.level)} intervals; ticks are "
        "seeds, the grey band is ± the smallest effect declared to matter. Filled and bold: better or worse; all else "
        "is open.",
        "pareto": f"AP against end-to-end latency. {bars} bars are the interval of the latency ratio to the ablation's "
        f"baseline, in milliseconds of that baseline. Squares are baselines, the dashed line is the front.{same}",
        "curves": "Training loss (box, class and distribution terms) over epochs"
        + (": seeds thin, their mean thick" if seeds > 1 else "")
        + ". The loss of a dual head is the sum of two heads', so its level is not to be compared with one head's.",
        "slices": f"AP per {parts}; bars are means, dots are seeds, lines span them. Exploratory.",
        "detections": f"Detections of seed {results.plan.preset.seeds[0]} with a score of at least "
        f"{words.plain(THRESHOLD)}, labelled with the number of the class and the score. Images were chosen by rule: "
        f"{RULE if results.data.slices else RULE_WITHOUT_SLICES}.",
    }
