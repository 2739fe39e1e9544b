"""The two readings of one dual head beside each other: after each epoch, over all, per slice and per class.

Exploratory. Writes tables/readings.{csv,md}, with the trunks that the arms started from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from mnv4bench.io.files import write_text
from mnv4bench.ledger.cited import figures
from mnv4bench.report import formatting as fmt
from mnv4bench.report.rendering import page_of
from mnv4bench.report.tables.columns import Column, points, printed, raw, words
from mnv4bench.report.tables.csv import to_csv
from mnv4bench.results.curve import VALIDATED, VALIDATION, read_curve
from mnv4bench.results.metrics import read_metrics
from mnv4bench.results.run import read_status
from mnv4bench.spec.extensions import Extension
from mnv4bench.spec.plan import Plan

ABLATION = "nms_free"
PRINTED = "yolov10/one-to-many+nms-over-nms-free-{}"
"""Id of the ledger's figure for a size."""

PAGE = """\
# The two readings of a dual head

{% if rows %}
{{ table | table }}

- AP of the NMS-free reading and of the reading with NMS, of the same weights: means over seeds, no interval, no test.
- “epoch” is the AP of the averaged weights on the first {{ images }} validation images; all else is on all of them.
- YOLOv10's paper has the training with one-to-many assignment alone, read with NMS, {% for size, points in printed \
%}{{ points | number(1) }} points of AP above its {{ size }} size{{ " and " if not loop.last }}{% endfor %} (Table 1, \
section A.7; COCO).
{% else %}
No network with a dual head was trained to its end.
{% endif %}
"""


class Gap(NamedTuple):
    """AP (0–1) of both readings of the same networks; None of a class without objects."""

    network: str
    part: str
    """epoch, all, slice or class."""
    name: str
    nms_free: float | None
    nms: float | None

    @property
    def gap(self) -> float | None:
        return None if self.nms_free is None or self.nms is None else self.nms_free - self.nms


COLUMNS: list[Column[Gap]] = [
    words("network", "network", lambda row: row.network),
    words("part", "part", lambda row: row.part),
    words("name", "", lambda row: row.name or fmt.NONE),
    points("AP_nms_free", "NMS-free (points)", lambda row: row.nms_free, 1),
    points("AP_nms", "with NMS (points)", lambda row: row.nms, 1),
    points("gap", "gap (points)", lambda row: row.gap, 2, sign=True),
]


def write_readings(plan: Plan, results: Path, data: Path) -> None:
    """Write tables/readings.{csv,md} under `results`.

    Raises:
        Mnv4benchError: a file of a run is missing or damaged.
    """
    rows = [row for network, runs in networks(plan).items() for row in gaps(network, _done(runs, results))]
    text = to_csv(raw(COLUMNS, rows), [column.name for column in COLUMNS])
    write_text(results / "tables" / "readings.csv", text)
    claims = {size: figures()[PRINTED.format(size.lower())].published for size in ("N", "S")}
    page = page_of(PAGE, rows=rows, table=printed(COLUMNS, rows), images=VALIDATED, printed=claims.items())
    write_text(results / "tables" / "readings.md", page)


def networks(plan: Plan) -> dict[str, list[str]]:
    """Return name → runs: the trunks one by one, and the dual arms, each over its seeds."""
    found = {f"trunk {trunk.block}": [trunk.name] for trunk in plan.trunks}
    for arm in plan.arms_of(ABLATION):
        runs = list(arm.runs.values())
        if arm.model.head == "dual" and runs not in found.values():
            found[arm.name] = runs
    return found


def _done(runs: Sequence[str], results: Path) -> list[Path]:
    folders = [results / "runs" / run for run in runs]
    return [folder for folder in folders if read_status(folder).state == "done"]


def gaps(network: str, folders: Sequence[Path]) -> Iterator[Gap]:
    """Yield the rows of one network, trained to its end in these folders."""
    if not folders:
        return
    curves = [read_curve(folder / "curve.csv", read_status(folder).epochs) for folder in folders]
    for epoch, seeds in enumerate(zip(*curves, strict=True), start=1):
        free, nms = ([row[VALIDATION[read]] for row in seeds if VALIDATION[read] in row] for read in VALIDATION)
        if free and nms:
            yield Gap(network, "epoch", str(epoch), fmean(free), fmean(nms))
    scored = [read_metrics(folder).readings for folder in folders]
    free, nms = ([readings[read] for readings in scored] for read in ("nms_free", "nms"))
    yield Gap(network, "all", "", _mean(r.scores.AP for r in free), _mean(r.scores.AP for r in nms))
    for part in ("slices", "classes"):
        for name in getattr(free[0], part):
            values = [_mean(getattr(r, part)[name].AP for r in reading) for reading in (free, nms)]
            yield Gap(network, {"slices": "slice", "classes": "class"}[part], name, *values)


def _mean(values: Iterator[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


EXTENSION = Extension(steps={"readings": write_readings})
