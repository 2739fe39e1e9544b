"""What a plan's reference holds: what was measured, what is computed from it, and what is rendered for people.

Records are kept to the byte. Computed files are kept to be recomputed: their numbers and verdicts must come out again.
Both have sums in reference.json, so that a damaged file is told from a number that comes out otherwise. Rendered files
(Markdown, LaTeX, figures, the paper) follow from both and have no sums; of Markdown the numbers in tables are compared,
of the others nothing. The pages for a browser, index.html and report.html, are never kept: a rebuild makes them.
"""

from __future__ import annotations

from pathlib import Path, PurePath

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.results.classifier import FOLDER, RESULT, TEACHER, TOP1
from mnv4bench.results.selection import COUNTS
from mnv4bench.spec.extensions import Extension, extensions
from mnv4bench.spec.plan import Plan

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
"""Of detectors, beside their runs and their data."""
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
"""Of detectors."""
CLASSIFIED = (TOP1, "tables/classifiers.csv")
"""Of classifiers."""
RENDERED = (
    *(
        f"tables/{name}.{kind}"
        for name in ("ablations", "classes", "latency", "errors", "ledger", "classifiers")
        for kind in ("md", "tex")
    ),
    "figures/*.png",
    PAPER,
)
APART = (BLOCKS, "tables/verify.*", "tables/precision_recall.csv", "tables/f1_confidence.csv")
"""Compressed, of a comparison with another reference, and long curves that a rebuild makes."""
OPTIONAL = ("tables/ledger.*", "tables/operating.csv")
"""Computed files that some presets do not make, and references of earlier versions lack."""


def measured_files(plan: Plan, results: Path) -> list[str]:
    """Return the records of a finished preset that lie outside runs/ and data/ and are copied as they are.

    Raises:
        Mnv4benchError: one that every such preset has is missing.
    """
    added = _added(plan)
    files = [*(MEASURED if plan.arms else ()), *classifier_files(plan)]
    files += [file for extension in added for file in extension.measured]
    made = [file for extension in added for file in (*extension.computed, *extension.rendered)]
    others = (*COMPUTED, *CLASSIFIED, *RENDERED, *APART, *made)
    optional = [file for file in _matching(results, IF_THERE) if not matches(file, others)]
    return sorted({*(_required(results, file) for file in files), *optional})


def classifier_files(plan: Plan) -> list[str]:
    """Return the records of a plan's classifiers, and of the teacher of those that have one."""
    runs = plan.classifiers.runs
    taught = any(run.taught for run in runs.values())
    teacher = [f"{FOLDER}/{plan.preset.classifiers.labels_name()}/{TEACHER}"] if taught else []
    return [*(f"{FOLDER}/{run}/{RESULT}" for run in runs), *teacher]


def computed_files(plan: Plan, results: Path) -> list[str]:
    """Return the computed files; of those that are OPTIONAL, the ones that are there.

    Raises:
        Mnv4benchError: one is missing.
    """
    wanted = [*(COMPUTED if plan.arms else ()), *(CLASSIFIED if plan.classifiers.arms else ())]
    wanted += [file for extension in _added(plan) for file in extension.computed]
    files = [file for file in wanted if (results / file).is_file() or not matches(file, OPTIONAL)]
    return [_required(results, file) for file in files]


def timed_files(folder: Path) -> list[str]:
    """Return the files of times that have their timed blocks beside them: records, for their sessions and machine; and
    computed, for their rows."""
    files = _matching(folder, ("latency/*.json",))
    return [file for file in files if file == LATENCY or (folder / file).with_suffix(".csv").is_file()]


def rendered_files(plan: Plan, results: Path) -> list[str]:
    """Return what was rendered for people."""
    added = [file for extension in _added(plan) for file in extension.rendered]
    return [file for file in _matching(results, (*RENDERED, *added)) if file not in (DETECTIONS, BOXES)]


def _added(plan: Plan) -> list[Extension]:
    return list(extensions(plan.names).values())


def matches(file: str, patterns: tuple[str, ...]) -> bool:
    return any(PurePath(file).match(pattern) for pattern in patterns)


def _matching(results: Path, patterns: tuple[str, ...]) -> list[str]:
    paths = sorted(path for pattern in patterns for path in results.glob(pattern) if path.is_file())
    return [path.relative_to(results).as_posix() for path in paths]


def _required(results: Path, file: str) -> str:
    if not (results / file).is_file():
        raise Mnv4benchError(f"{results / file}: is missing; finish the preset first")
    return file
