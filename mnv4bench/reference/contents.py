"""What a reference holds: what was measured, what is computed from it, and what is rendered for people.

Records are kept to the byte. Computed files are kept to be recomputed: their numbers and verdicts must come out again.
Both have sums in reference.json, so that a damaged file is told from a number that comes out otherwise. Rendered files
(Markdown, LaTeX, figures, the paper) follow from both, have no sums and are compared with nothing. The pages for a
browser, index.html and report.html, are never kept: a rebuild makes them.
"""

from __future__ import annotations

from pathlib import Path, PurePath

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.results.selection import COUNTS

OF_A_RUN = ("spec.json", "status.json", "metrics.json")
LATENCY = "latency/latency.json"
BLOCKS = "latency/blocks.csv"
PACKED = f"{BLOCKS}.xz"
DETECTIONS = "figures/detections.png"
"""A record: it shows images of the data set, which a reference does not hold."""
BOXES = "figures/boxes.png"
"""Stands in its place where the data set's images stay on their machine."""
PAPER = "paper/mnv4bench.pdf"
"""Shows the detections, too."""
MEASURED = (LATENCY, DETECTIONS)
IF_THERE = (COUNTS, "latency/*", "tables/*")
"""Records of some presets only. Counts spare a rebuild minutes; those of networks whose code has changed since are made
anew. Of the tables, those that a rule of one ablation made, by weights or the clock, and the one that is counted from
detections."""
COMPUTED = (
    "compare.json",
    "cost.json",
    *(f"tables/{name}.csv" for name in ("ablations", "classes", "slices", "latency", "errors", "operating", "ledger")),
    "tables/ledger.json",
)
RENDERED = (
    *(
        f"tables/{name}.{kind}"
        for name in ("ablations", "classes", "latency", "errors", "ledger")
        for kind in ("md", "tex")
    ),
    "figures/*.png",
    PAPER,
)
APART = (BLOCKS, "tables/verify.*", "tables/precision_recall.csv", "tables/f1_confidence.csv")
"""Compressed, of a comparison with another reference, and long curves that a rebuild makes."""
OPTIONAL = ("tables/ledger.*", "tables/operating.csv")
"""Computed files that some presets do not make, and references of earlier versions lack."""


def measured_files(results: Path) -> list[str]:
    """Return the records of a finished preset that lie outside runs/ and data/ and are copied as they are.

    Raises:
        Mnv4benchError: one that every preset has is missing.
    """
    for file in MEASURED:
        if not (results / file).is_file():
            raise Mnv4benchError(f"{results / file}: is missing; finish the preset first")
    optional = [file for file in _matching(results, IF_THERE) if not matches(file, (*COMPUTED, *RENDERED, *APART))]
    return sorted({*MEASURED, *optional})


def computed_files(results: Path) -> list[str]:
    """Return the computed files; of those that are OPTIONAL, the ones that are there.

    Raises:
        Mnv4benchError: one is missing.
    """
    files = [file for file in COMPUTED if (results / file).is_file() or not matches(file, OPTIONAL)]
    return [_required(results, file) for file in files]


def timed_files(folder: Path) -> list[str]:
    """Return the files of times: records, for their sessions and machine; and computed, for their rows."""
    return _matching(folder, ("latency/*.json",))


def rendered_files(results: Path) -> list[str]:
    """Return what was rendered for people."""
    return [file for file in _matching(results, RENDERED) if file not in (DETECTIONS, BOXES)]


def matches(file: str, patterns: tuple[str, ...]) -> bool:
    return any(PurePath(file).match(pattern) for pattern in patterns)


def _matching(results: Path, patterns: tuple[str, ...]) -> list[str]:
    paths = sorted(path for pattern in patterns for path in results.glob(pattern) if path.is_file())
    return [path.relative_to(results).as_posix() for path in paths]


def _required(results: Path, file: str) -> str:
    if not (results / file).is_file():
        raise Mnv4benchError(f"{results / file}: is missing; finish the preset first")
    return file
