"""The next size of every detector beside the one that is trained: its cost and its forward pass, tables/sizes.{csv,md}.

Nothing here is trained, so there is no AP, no post-processing and no time end to end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mnv4bench.data.prepared import load
from mnv4bench.io.files import write_text
from mnv4bench.latency.campaign import first_images
from mnv4bench.latency.forward import time_forward
from mnv4bench.ledger.costs import detector_cost
from mnv4bench.report import formatting as fmt
from mnv4bench.report import text, timing
from mnv4bench.report.rendering import page_of
from mnv4bench.report.tables.cells import Table, table
from mnv4bench.report.tables.csv import to_csv
from mnv4bench.results.latency import Latency
from mnv4bench.results.record import read_record
from mnv4bench.spec.extensions import Extension
from mnv4bench.spec.latency import INT8, LatencySpec
from mnv4bench.spec.plan import Plan

BASELINE = "mnv4-yolov10n"
TRAINED = (BASELINE, "yolov8n", "yolov10n", "yolo11n", "yolo26n")
UNTRAINED = ("mnv4-yolov10s", "yolov8s", "yolov10s", "yolo11s", "yolo26s")
RECORD = Path("latency") / "sizes.json"
COLUMNS = ("model", "trained", "params", "flops", "runtime", "threads", "p50_ms", "ratio", "ratio_low", "ratio_high")

PAGE = """\
# Sizes, not trained

{{ table | table }}

- The forward pass alone, with fresh weights, of one image at {{ imgsz }} pixels with \
{{ record.threads | count("thread") | md }} on {{ record.environment.cpu | md }}; “× base” is over \
{{ baseline | md }}, paired by round, with its 95 % interval.
- Parameters and FLOPs (2 × multiply-accumulates) are those of the fused network with the one head that is read.
- The larger sizes are not trained here, so they have no AP.
{{ not_timed | bullets }}
"""


def write_sizes(plan: Plan, results: Path, data: Path) -> None:
    """Time and count every size; write latency/sizes.{csv,json} and tables/sizes.{csv,md}.

    Raises:
        Mnv4benchError: an image cannot be read, or a session was killed.
    """
    dataset = load(data)
    images = first_images(dataset, data, "val", plan.preset.latency.images)
    classes, imgsz = len(dataset.classes), plan.preset.data.imgsz
    baselines = {name: None if name == BASELINE else BASELINE for name in (*TRAINED, *UNTRAINED)}
    record = time_forward(baselines, images, imgsz, protocol(plan), results / RECORD, classes)
    rows = [row for name in baselines for row in _rows(name, record, imgsz, classes)]
    write_text(results / "tables" / "sizes.csv", to_csv(rows, COLUMNS))
    page = page_of(
        PAGE,
        table=_table(rows, record),
        record=record,
        imgsz=imgsz,
        baseline=BASELINE,
        not_timed=text.not_timed(record),
    )
    write_text(results / "tables" / "sizes.md", page)


def protocol(plan: Plan) -> LatencySpec:
    """Return the preset's, in its float runtimes and at its first thread count."""
    spec = plan.preset.latency
    floats = tuple(name for name in spec.runtimes if not name.endswith(INT8))
    return spec.model_copy(update={"runtimes": floats, "threads": spec.threads[:1]})


def untrained_times(results: Path) -> Mapping[str, Mapping[str, float]]:
    """Return network → runtime → milliseconds, of those that no arm trains."""
    if not (results / RECORD).exists():
        return {}
    rows = read_record(results / RECORD, Latency).rows
    return {name: {row.runtime: row.p50_ms for row in rows if row.arm == name} for name in UNTRAINED}


def _rows(name: str, record: Latency, imgsz: int, classes: int) -> list[dict[str, Any]]:
    cost = detector_cost(name, imgsz, classes)
    return [
        {
            "model": name,
            "trained": int(name in TRAINED),
            "params": cost.params,
            "flops": cost.flops,
            **{column: getattr(row, column) for column in COLUMNS[4:]},
        }
        for row in record.rows
        if row.arm == name and row.stage == "forward"
    ]


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


EXTENSION = Extension(steps={"sizes": write_sizes}, untrained=untrained_times)
