"""The tables: raw and complete as CSV, rounded for people as Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnv4bench.files import write_text
from mnv4bench.plan import Plan
from mnv4bench.report import words
from mnv4bench.report.collect import ArmResult, Results, collect
from mnv4bench.report.latex import tabular

SCORES = ("AP", "AP50", "AP75", "APs", "APm", "APl")
STAGES = ("end_to_end", "forward", "post")


@dataclass(frozen=True)
class Block:
    """One ablation as people read it."""

    name: str
    title: str
    question: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marks: tuple[str, ...]
    """Per row, the letters of its notes."""
    notes: tuple[tuple[str, str], ...]
    """Letter and sentence."""
    claims: tuple[str, ...]
    """The published claim and what was measured beside it; empty where the ablation names none."""


def write_tables(plan: Plan, results: Path, dataset: Path | None = None) -> None:
    """Write tables/ablations.{csv,md,tex} and tables/slices.csv under `results`.

    Raises:
        Mnv4benchError: a result file is missing or wrong.
    """
    found = collect(plan, results, dataset)
    folder = Path(results) / "tables"
    write_text(folder / "ablations.csv", to_csv(raw_rows(found)))
    write_text(folder / "slices.csv", to_csv(slice_rows(found), SLICE_COLUMNS))
    write_text(folder / "ablations.md", markdown(found))
    blocks = [block(found, name) for name in found.ablations]
    write_text(folder / "ablations.tex", tabular(blocks, foot(found)))


def to_csv(rows: Sequence[dict[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Return rows as CSV (RFC 4180 with \\n), floats at full precision, None as an empty field."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns or list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def raw_rows(results: Results) -> list[dict[str, Any]]:
    """Return one row per arm: AP and times unrounded, with what is needed to trace it."""
    return [
        {
            **_identity(arm),
            **{name: arm.mean(name) for name in SCORES},
            **{f"AP_seed{result.seed}": result.score("AP") for result in arm.seeds},
            **_difference(arm),
            **_cost(arm),
            **_latency(arm, results.runtimes),
            **_provenance(arm, results),
        }
        for arm in results.arms
    ]


def _identity(arm: ArmResult) -> dict[str, Any]:
    return {
        "ablation": arm.arm.ablation,
        "arm": arm.arm.name,
        "baseline": int(arm.is_baseline),
        "read": arm.arm.read,
        "seeds": len(arm.seeds),
        "seeds_done": len(arm.done),
        "states": " ".join(f"{result.seed}:{result.state}" for result in arm.seeds),
    }


def _difference(arm: ArmResult) -> dict[str, Any]:
    d = arm.difference
    fields = ("mean", "low", "high", "seed_sd", "image_se", "df")
    values = {f"difference_{name}": getattr(d, name) if d else None for name in fields}
    compared = {"seeds_compared": len(d.seeds), "seeds_agreeing": d.agreeing} if d else {}
    return {**values, "seeds_compared": None, "seeds_agreeing": None, **compared}


def _cost(arm: ArmResult) -> dict[str, Any]:
    c = arm.cost
    return {
        "params_M": c.params / 1e6 if c else None,
        "flops_G": c.flops / 1e9 if c else None,
        "conv_flops_G": c.conv_flops / 1e9 if c else None,
        "activations_M": c.activations / 1e6 if c else None,
        "train_params_M": c.train_params / 1e6 if c else None,
    }


def _latency(arm: ArmResult, runtimes: tuple[str, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for runtime in runtimes:
        rows = arm.latency.get(runtime, {})
        for stage in STAGES:
            row = rows.get(stage)
            for field in ("p50_ms", "min_ms", "p90_ms", "ratio", "ratio_low", "ratio_high"):
                values[f"{runtime}_{stage}_{field}"] = getattr(row, field) if row else None
        values[f"{runtime}_ratio_to_baseline"] = arm.ratios.get(runtime)
    return values


def _provenance(arm: ArmResult, results: Results) -> dict[str, Any]:
    environments = [results.statuses[run].environment for run in arm.arm.runs.values()]
    return {
        "runs": " ".join(arm.arm.runs.values()),
        "data_digest": results.data.record.digest,
        "commit": " ".join(dict.fromkeys(str(e.commit) for e in environments if e.commit)),
        "cpu": "; ".join(dict.fromkeys(e.cpu for e in environments)),
        "reasons": "; ".join(f"{result.seed}: {result.reason}" for result in arm.seeds if result.reason),
    }


SLICE_COLUMNS = ("ablation", "arm", "baseline", "slice", "images", "AP", "AP_seeds", "difference", "difference_seeds")


def slice_rows(results: Results) -> list[dict[str, Any]]:
    """Return one row per arm and slice; exploratory, so without interval or p-value."""
    return [_slice_row(arm, name, images) for arm in results.arms for name, images in results.data.slices.items()]


def _slice_row(arm: ArmResult, name: str, images: int) -> dict[str, Any]:
    d = arm.difference.slices.get(name) if arm.difference else None
    return {
        "ablation": arm.arm.ablation,
        "arm": arm.arm.name,
        "baseline": int(arm.is_baseline),
        "slice": name,
        "images": images,
        "AP": arm.mean("AP", name),
        "AP_seeds": _per_seed(arm.scores("AP", name)),
        "difference": d.mean if d else None,
        "difference_seeds": _per_seed(d.seeds) if d else None,
    }


def _per_seed(values: dict[int, float]) -> str:
    return " ".join(f"{seed}:{value!r}" for seed, value in values.items())


def block(results: Results, name: str) -> Block:
    """Return one ablation's table, rounded: AP to the digits that the preset's narrowest interval carries."""
    spec, arms = results.plan.ablations[name], results.ablations[name]
    decimals = words.decimals_for(arm.difference for arm in results.arms)
    letters = _letters(arms, len(results.plan.preset.seeds))
    baseline = next(arm for arm in arms if arm.is_baseline)
    claim = words.published_claim(spec.published)
    claims = [f"Published: {claim}."] if claim else []
    if claim:
        for arm in words.claimed_arms(spec.published, arms):
            beside = words.measured_beside(spec.published, arm, baseline)
            claims.append(f"Measured here, {arm.arm.name} − {baseline.arm.name}: {beside}.")
    return Block(
        name=name,
        title=spec.title,
        question=spec.question,
        header=header(results),
        rows=tuple(_row(arm, results, decimals) for arm in arms),
        marks=tuple(
            " ".join(letters[note] for note in words.arm_notes(arm, len(results.plan.preset.seeds))) for arm in arms
        ),
        notes=tuple((letter, words.capital(note)) for note, letter in letters.items()),
        claims=tuple(claims),
    )


def _letters(arms: Sequence[ArmResult], planned: int) -> dict[str, str]:
    notes = dict.fromkeys(note for arm in arms for note in words.arm_notes(arm, planned))
    return {note: _letter(position) for position, note in enumerate(notes)}


def _letter(position: int) -> str:
    return chr(ord("a") + position) if position < 26 else f"a{position - 25}"


def header(results: Results) -> tuple[str, ...]:
    times = [name for runtime in results.runtimes for name in (f"{runtime} (ms)", "× base")]
    level = words.percent(results.comparison.level)
    return (
        *("arm", "read", "AP", f"ΔAP [{level}]", "AP50", "APs", "APm", "APl", "params (M)", "FLOPs (G)"),
        *times,
        "AP per seed",
    )


def _row(arm: ArmResult, results: Results, decimals: int) -> tuple[str, ...]:
    times: list[str] = []
    for runtime in results.runtimes:
        row = arm.latency.get(runtime, {}).get("end_to_end")
        times += [words.significant(row.p50_ms if row else None), words.number(arm.ratios.get(runtime), 3)]
    return (
        arm.arm.name + (" (baseline)" if arm.is_baseline else ""),
        words.READS[arm.arm.read],
        words.mean_cell(arm, decimals),
        words.interval(arm.difference, decimals),
        *(words.number(arm.mean(name), 3) for name in ("AP50", "APs", "APm", "APl")),
        words.number(arm.cost.params / 1e6 if arm.cost else None, 3),
        words.number(arm.cost.flops / 1e9 if arm.cost else None, 3),
        *times,
        " ".join(words.seed_cells(arm, decimals)) if arm.done else words.NONE,
    )


def foot(results: Results) -> tuple[str, ...]:
    """Return the sentences that hold for every block."""
    latency = results.latency
    sentences = [
        words.protocol(results.plan),
        f"{words.uncertainty(results)} AP is COCO's on 0–1; APs, APm and APl are small, medium and large objects.",
        f"Parameters and FLOPs (2 × multiply-accumulates, {results.cost.imgsz} pixels) are those of the fused network "
        "with the one head that is read.",
        f"Times are end to end, one image, {words.count(latency.threads, 'thread')}, the median; “× base” is over "
        "the ablation's baseline, from ratios paired by round.",
    ]
    if not latency.comparable:
        sentences.append(
            f"The machine was busy when timing began (load {words.number(latency.load_before, 2)}): the times are "
            "shown, and not to be compared."
        )
    sentences += [f"Not timed: {name} ({why.rstrip('.')})." for name, why in sorted(latency.absent.items())]
    return tuple(sentences)


def markdown(results: Results) -> str:
    """Return all blocks and the foot as GitHub-flavoured Markdown."""
    parts = [f"# {_cell(results.plan.preset.title)}"]
    for name in results.ablations:
        parts += _markdown_block(block(results, name))
    parts.append("## How to read\n\n" + "\n".join(f"- {sentence}" for sentence in foot(results)))
    return "\n\n".join(parts) + "\n"


def _markdown_block(b: Block) -> list[str]:
    align = ["---", "---", *["---:"] * (len(b.header) - 2)]
    lines = [b.header, align]
    for row, marks in zip(b.rows, b.marks, strict=True):
        lines.append((_cell(row[0]) + (f" <sup>{marks}</sup>" if marks else ""), *map(_cell, row[1:])))
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    under = [f"- <sup>{letter}</sup> {_cell(note)}" for letter, note in b.notes] + [f"- {_cell(c)}" for c in b.claims]
    return [f"## {_cell(b.title)}", _cell(b.question), table, *(["\n".join(under)] if under else [])]


def _cell(text: str) -> str:
    for character in "\\|*_<>[]`":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())
