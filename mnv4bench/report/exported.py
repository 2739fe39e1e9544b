"""What `mnv4bench export` prints: a line for the network and for each of its files."""

from __future__ import annotations

from pathlib import Path

from mnv4bench.report import formatting
from mnv4bench.report.rendering import sentences
from mnv4bench.report.terminal import ABSENT, aligned, points
from mnv4bench.results.exported import Exported

HEADER = ("format", "MB", "AP", "detections kept", "ms/image", "file")


def describe(record: Exported, out: Path) -> str:
    """Return a table of the files, and what a reader should know of it."""
    lines = [
        HEADER,
        ("network (torch)", "", points(record.AP), "", formatting.significant(record.ms, 3), record.source),
    ]
    for file in record.files:
        kept = ABSENT if file.detections_kept is None else formatting.percent(file.detections_kept)
        size, ms = formatting.significant(file.bytes / 1e6, 3), formatting.significant(file.ms, 3)
        lines.append((file.format, size, points(file.AP), kept, ms, str(out / file.file)))
    return "\n".join([*aligned(lines), "", *sentences("text/exported.j2", record=record)])
