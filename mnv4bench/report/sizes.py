"""The next size of every detector beside the one that is trained: its cost and its forward pass, tables/sizes.{csv,md}.

Nothing here is trained, so there is no AP, no post-processing and no time end to end.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnv4bench.io.files import read_json, write_text
from mnv4bench.latency.campaign import first_images
from mnv4bench.latency.forward import time_forward
from mnv4bench.ledger import counted
from mnv4bench.report import formatting as fmt
from mnv4bench.report import text, timing
from mnv4bench.report.results import QUANTISED, SIZES, UNTRAINED
from mnv4bench.report.tables import markdown
from mnv4bench.report.tables.cells import Table, table
from mnv4bench.report.tables.csv import to_csv
from mnv4bench.results.dataset import Dataset
from mnv4bench.results.latency import Latency
from mnv4bench.spec.latency import LatencySpec
from mnv4bench.spec.plan import Plan

BASELINE = "mnv4-yolov10n"
TRAINED = (BASELINE, "yolov8n", "yolov10n", "yolo11n", "yolo26n")
COLUMNS = ("model", "trained", "params", "flops", "runtime", "threads", "p50_ms", "ratio", "ratio_low", "ratio_high")


def write_sizes(plan: Plan, results: Path, data: Path) -> None:
    """Time and count every size; write latency/sizes.{csv,json} and tables/sizes.{csv,md}.

    Args:
        data: folder of dataset.json.

    Raises:
        Mnv4benchError: an image cannot be read, or a session was killed.
    """
    dataset = Dataset.model_validate(read_json(data / "dataset.json"))
    images = first_images(dataset, data, "val", plan.preset.latency.images)
    classes, imgsz = len(dataset.classes), plan.preset.data.imgsz
    baselines = {name: None if name == BASELINE else BASELINE for name in (*TRAINED, *UNTRAINED)}
    record = time_forward(baselines, images, imgsz, protocol(plan), results / SIZES, classes)
    rows = [row for name in baselines for row in _rows(name, record, imgsz, classes)]
    write_text(results / "tables" / "sizes.csv", to_csv(rows, COLUMNS))
    write_text(results / "tables" / "sizes.md", _document(rows, record, imgsz))


def protocol(plan: Plan) -> LatencySpec:
    """Return the preset's, in its float runtimes and at its first thread count."""
    spec = plan.preset.latency
    floats = tuple(name for name in spec.runtimes if not name.endswith(QUANTISED))
    return spec.model_copy(update={"runtimes": floats, "threads": spec.threads[:1]})


def _rows(name: str, record: Latency, imgsz: int, classes: int) -> list[dict[str, Any]]:
    cost = counted.counted(name, imgsz, classes)
    return [
        {
            "model": name,
            "trained": int(name in TRAINED),
            "params": cost.params,
            "flops": cost.flops,
            "runtime": row.runtime,
            "threads": row.threads,
            "p50_ms": row.p50_ms,
            "ratio": row.ratio,
            "ratio_low": row.ratio_low,
            "ratio_high": row.ratio_high,
        }
        for row in record.rows
        if row.arm == name and row.stage == "forward"
    ]


def _document(rows: Sequence[dict[str, Any]], record: Latency, imgsz: int) -> str:
    threads = fmt.count(record.threads, "thread")
    return markdown.document(
        [
            "# Sizes, not trained",
            markdown.table(_table(rows, record)),
            markdown.bullets(
                [
                    f"The forward pass alone, with fresh weights, of one image at {imgsz} pixels with {threads} on "
                    f"{record.environment.cpu}; “× base” is over {BASELINE}, paired by round, with its 95 % interval.",
                    "Parameters and FLOPs (2 × multiply-accumulates) are those of the fused network with the one head "
                    "that is read.",
                    "The larger sizes are not trained here, so they have no AP.",
                    *text.not_timed(record),
                ]
            ),
        ]
    )


def _table(rows: Sequence[dict[str, Any]], record: Latency) -> Table:
    runtimes = tuple(dict.fromkeys(row["runtime"] for row in rows))
    timed = {(row.arm, row.runtime): row for row in record.rows if row.stage == "forward"}
    header, align = ["model", "params (M)", "FLOPs (G)"], "lrr"
    for runtime in runtimes:
        header += [f"{runtime} (ms)", f"{runtime} × base"]
        align += "rl"
    lines = []
    for name in dict.fromkeys(row["model"] for row in rows):
        cost = next(row for row in rows if row["model"] == name)
        line = [name, fmt.number(cost["params"] / 1e6, 3), fmt.number(cost["flops"] / 1e9, 3)]
        for runtime in runtimes:
            row = timed.get((name, runtime))
            line += [timing.milliseconds(row), timing.ratio_and_verdict(row)]
        lines.append(line)
    return table(header, align, lines)
