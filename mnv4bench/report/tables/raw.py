"""The tables as CSV: complete, unrounded, one fact per field."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any, get_args

from mnv4bench.report.results import ArmResult, Results
from mnv4bench.results.latency import LatencyRow, Stage

SCORES = ("AP", "AP50", "AP75", "APs", "APm", "APl")
STAGES: tuple[Stage, ...] = get_args(Stage)
SLICE_COLUMNS = ("ablation", "arm", "baseline", "slice", "images", "AP", "AP_seeds", "difference", "difference_seeds")


def to_csv(rows: Sequence[dict[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Return rows as CSV (RFC 4180 with \\n), floats at full precision, None as an empty field.

    Args:
        columns: needed where `rows` may be empty.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns or list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def raw_rows(results: Results) -> list[dict[str, Any]]:
    """Return one row per arm: AP, verdicts and times, with what is needed to trace them."""
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
    judged = ("smallest_effect", "equivalence_low", "equivalence_high", "p", "p_holm", "mde", "verdict")
    return {
        **values,
        "seeds_compared": len(d.seeds) if d else None,
        "seeds_agreeing": d.agreeing if d else None,
        **{name: getattr(d, name) if d else None for name in judged},
    }


def _cost(arm: ArmResult) -> dict[str, Any]:
    c = arm.cost
    return {
        "params_M": c.params / 1e6 if c else None,
        "flops_G": c.flops / 1e9 if c else None,
        "conv_flops_G": c.conv_flops / 1e9 if c else None,
        "activations_M": c.activations / 1e6 if c else None,
        "train_params_M": c.train_params / 1e6 if c else None,
    }


def _latency(arm: ArmResult, runtimes: Sequence[str]) -> dict[str, Any]:
    """Times at the first thread count; ratio and verdict of the end-to-end time (latency.csv has the other stages)."""
    values: dict[str, Any] = {}
    for runtime in runtimes:
        for stage in STAGES:
            row = arm.row(runtime, stage)
            for field in ("p50_ms", "min_ms", "p90_ms"):
                values[f"{runtime}_{stage}_{field}"] = getattr(row, field) if row else None
        row = arm.row(runtime)
        for suffix in ("", "_low", "_high"):
            values[f"{runtime}_ratio_to_baseline{suffix}"] = getattr(row, f"ratio{suffix}") if row else None
        values[f"{runtime}_verdict"] = row.verdict if row else None
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
        "AP_seeds": per_seed(arm.scores("AP", name)),
        "difference": d.mean if d else None,
        "difference_seeds": per_seed(d.seeds) if d else None,
    }


def per_seed(values: dict[int, float]) -> str:
    return " ".join(f"{seed}:{value!r}" for seed, value in values.items())


LATENCY_COLUMNS = (*LatencyRow.model_fields, "AP", "AP_float")


def latency_rows(results: Results) -> list[dict[str, Any]]:
    """Return every row of latency.json, at all thread counts; AP stands beside the times of int8 runtimes."""
    quantised = {(found.runtime, found.arm): found for found in results.latency.quantised}
    rows = []
    for row in results.latency.rows:
        ap = quantised.get((row.runtime, row.arm))
        sessions = " ".join(repr(value) for value in row.ratio_sessions)
        known = {"AP": ap.AP if ap else None, "AP_float": ap.AP_float if ap else None}
        rows.append({**row.model_dump(), "ratio_sessions": sessions, **known})
    return rows
