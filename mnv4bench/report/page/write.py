"""index.html: everything of a preset in one file, for a browser that has neither server nor network."""

from __future__ import annotations

from pathlib import Path

from mnv4bench.io.files import write_text
from mnv4bench.report import text
from mnv4bench.report.choices import across
from mnv4bench.report.findings import scope
from mnv4bench.report.page import arms, plot
from mnv4bench.report.page.cards import cards
from mnv4bench.report.page.classes import classes
from mnv4bench.report.page.pictures import address
from mnv4bench.report.page.precision import precision
from mnv4bench.report.rendering import page
from mnv4bench.report.results import Results, collect
from mnv4bench.spec.plan import Plan

PICTURE = "figures/detections.png"
LEDGER = "tables/ledger.md"
"""Made by most presets."""


def write_page(plan: Plan, results: Path, dataset: Path | None = None) -> None:
    """Write index.html under `results`.

    Raises:
        Mnv4benchError: a result file or a picture is missing or wrong.
    """
    results = Path(results)
    write_text(results / "index.html", html(collect(plan, results, dataset), results))


def html(results: Results, folder: Path) -> str:
    """Return the page; its pictures are read from `folder`, and its links lead there."""
    return page(
        "page/index.html.j2",
        title=results.plan.title,
        scope=scope(results),
        published=results.plan.published,
        protocol=text.protocol(results.plan),
        warnings=text.about(results, "not_comparable"),
        resolution=[*text.about(results, "resolution"), *text.not_timed(results.latency)],
        cards=cards(results),
        titles=arms.titles(results),
        rows=arms.rows(results),
        panels=plot.panels(results),
        ablations={name: spec.title for name, spec in results.plan.ablations.items()},
        picture=address(folder / PICTURE),
        precision=precision(results, folder),
        classes={name: classes(results, name) for name in results.ablations},
        accuracy_legend=text.accuracy_legend(results),
        time_legend=text.time_legend(),
        environment=results.latency.environment,
        commits=text.commits(results),
        across=across(results),
        threads=results.latency.threads,
        data=results.data.record,
        imgsz=results.cost.imgsz,
        ledger=LEDGER if (folder / LEDGER).is_file() else None,
        size=plot,
    )
