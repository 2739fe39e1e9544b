"""What `mnv4bench export` prints: a line for the network and for each of its files."""

from __future__ import annotations

from pathlib import Path

from mnv4bench.report import formatting as fmt
from mnv4bench.report.rendering import render, sentences
from mnv4bench.report.terminal import aligned
from mnv4bench.results.exported import Exported, ExportedFile

HEADER = ("format", "MB", "AP (points)", "detections kept", "ms/image", "file")


def progress(form: str, file: ExportedFile | None) -> str:
    """Return a line on a format that is over; `file` is None where it failed."""
    return render("text/export_progress.j2", form=form, file=file)


def describe(record: Exported, out: Path) -> str:
    """Return a table of the files, and what a reader should know of it."""
    lines = [
        HEADER,
        (
            "network (torch)",
            "",
            fmt.points(record.AP, 1),
            "",
            fmt.significant(record.ms, 3),
            record.source,
        ),
    ]
    for file in record.files:
        kept = fmt.NONE if file.detections_kept is None else fmt.one_decimal(file.detections_kept)
        size, ms = fmt.significant(file.bytes / 1e6, 3), fmt.significant(file.ms, 3)
        lines.append((file.format, size, fmt.points(file.AP, 1), kept, ms, str(out / file.file)))
    return "\n".join([*aligned(lines), "", *sentences("text/exported.j2", record=record)])
