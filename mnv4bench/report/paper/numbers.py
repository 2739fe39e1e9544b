"""paper/numbers.json: every number and generated sentence that the paper prints, with the raw numbers beside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mnv4bench.io.files import write_json
from mnv4bench.report import formatting as fmt
from mnv4bench.report import verdict_words as say
from mnv4bench.report import words
from mnv4bench.report.beside import beside
from mnv4bench.report.checked import checked
from mnv4bench.report.figures import forest, pareto
from mnv4bench.report.figures.sheet import COLUMNS, RULE, RULE_WITHOUT_SLICES, THRESHOLD, shown
from mnv4bench.report.paper import findings, method, outlook
from mnv4bench.report.results import Results, distinct
from mnv4bench.report.tables import error_types, speed
from mnv4bench.report.tables.blocks import Block, block, columns, verdicts
from mnv4bench.report.tables.cells import Table, printable
from mnv4bench.report.tables.raw import raw_rows


def write_numbers(results: Results) -> Path:
    """Write paper/numbers.json and return its path."""
    path = results.folder / "paper" / "numbers.json"
    write_json(path, numbers(results))
    return path


def numbers(results: Results) -> dict[str, Any]:
    """Return all that main.typ reads; strings are ready to print, `raw` is not rounded."""
    plan = results.plan
    return {
        "config": plan.config,
        "title": plan.title,
        "ledger": checked(results.folder),
        "abstract": findings.abstract(results),
        "outcomes": [[title, arms] for title, arms in outlook.outcomes(results).items()],
        "data": method.data(results),
        "training": method.training(results),
        "statistics": method.statistics(results),
        "accuracy_words": _pairs(say.accuracy_legend(results)),
        "latency": method.latency(results),
        "speed_words": _pairs(say.speed_legend()),
        "noise": method.noise(results),
        "beside": _beside(results),
        "limits": method.limits(results),
        "machine": method.machine(results),
        "model": _model(results),
        "ablations": [_ablation(results, name) for name in results.ablations],
        "verdicts": printable(verdicts(results)),
        "table": _table(results),
        "errors": _errors(results),
        "quantised": printable(speed.quantised(results)),
        "seeds": _seeds(results),
        "slices": _slices(results),
        "captions": captions(results),
        "sheet_is_tall": len(shown(distinct(results.arms))) >= COLUMNS,
        "raw": raw_rows(results),
    }


def _beside(results: Results) -> dict[str, Any] | None:
    found = beside(results)
    return {"table": printable(found.table), "which": found.which, "apart": found.apart} if found else None


def _model(results: Results) -> dict[str, str]:
    return {name: fmt.setting(value) for name, value in results.plan.preset.model}


def _ablation(results: Results, name: str) -> dict[str, Any]:
    spec = results.plan.ablations[name]
    arms = [
        {
            "name": arm.arm.name,
            "changes": fmt.settings(spec.common | spec.arms[arm.arm.name]) or "the default detector",
        }
        for arm in results.ablations[name]
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


def _table(results: Results) -> dict[str, Any]:
    """Every arm's scores, noise, cost and times; the differences stand in the table of verdicts."""
    made = [
        printable(_everything(results, b)) | {"title": b.title, "notes": [list(note) for note in b.notes]}
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
    table = printable(error_types.changes(results))
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
            fmt.number(arm.mean("AP", part), 3)
            if d is None
            else fmt.number(d.slices[part].mean if part in d.slices else None, 3, sign=True)
            for part in parts
        ]
        rows.append([arm.arm.ablation, arm.arm.name + (" (baseline, AP)" if arm.is_baseline else " (ΔAP)"), *cells])
    return {"header": header, "rows": rows}


def captions(results: Results) -> dict[str, str]:
    """Return each figure's caption."""
    seeds = results.plan.preset.seeds
    parts = "diagnostic slice" if results.data.slices else "object size"
    groups = distinct(results.arms)
    left_out = (
        " Of so many arms, those that a page holds are shown, baselines and peers before others."
        if len(shown(groups)) < len(groups)
        else ""
    )
    return {
        "effects": _effects(results),
        "cost": "Where parameters and FLOPs sit: the networks as deployed, by part. Arms whose networks cost the same "
        "in every part share a bar, which has the first one's name. A peer is divided by position into backbone, neck "
        "and head.",
        "pareto": _pareto(results),
        "curves": "Training loss (box, class and distribution terms) over epochs"
        + (": seeds thin, their mean thick" if len(seeds) > 1 else "")
        + ". The loss of a dual head is the sum of two heads', so its level is not to be compared with one head's.",
        "slices": f"AP per {parts}; bars are means, dots are seeds, lines span them. Exploratory.",
        "detections": f"Detections of seed {seeds[0]} with a score of at least {fmt.plain(THRESHOLD)}, labelled with "
        "the number of the class and the score. Images were chosen by rule: "
        f"{RULE if results.data.slices else RULE_WITHOUT_SLICES}.{left_out}",
    }


def _effects(results: Results) -> str:
    drawn = forest.panels(results)
    sentences = [
        f"Differences in AP with their {fmt.percent(results.comparison.level)} intervals; ticks are seeds, the grey "
        "band is ± the smallest effect declared to matter. Filled and bold: better or worse; all else is open.",
        "Open diamonds and triangles: what the source prints of the same part, in another network and on other data."
        if any(line.published for panel in drawn for line in panel.lines)
        else "",
        "Every ablation has a scale of its own." if len(forest.columns(drawn)) > 1 else "",
    ]
    return " ".join(filter(None, sentences))


def _pareto(results: Results) -> str:
    if pareto.one_network([pareto.points(results, runtime) for runtime in results.timed]):
        return "AP against end-to-end latency: nothing to weigh, as training alone differs between the arms."
    shared = pareto.same_arms(results)
    seeds = "Vertical bars span the seeds" if len(results.plan.preset.seeds) > 1 else "There is one seed"
    sentences = [
        f"AP against end-to-end latency. {seeds}; horizontal bars are as long as the interval of the paired "
        "ratio to the ablation's baseline, about the median. Numbers go by AP. Squares are baselines, diamonds peers, "
        "the dashed line is the front.",
        f"The same runs under several names are one black point: {'; '.join(shared)}." if shared else "",
        "Triangles on the lower edge are larger sizes, which are not trained: their forward pass alone, without AP."
        if results.sizes
        else "",
    ]
    return " ".join(filter(None, sentences))
