"""What is written by `mnv4bench docs`: docs/ablations.md, and passages of README and docs/ from committed result files.

A passage stands between `<!-- generated: NAME -->` and `<!-- end -->`. `mnv4bench docs` writes them, and a test fails
when one is stale. The files lie in results/reference/: the references, and what the programs of benchmarks/ wrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import read_json, write_text
from mnv4bench.report.docs import measured
from mnv4bench.report.docs.catalogue import catalogue
from mnv4bench.report.findings import outcomes, scope
from mnv4bench.report.ledger import summary_table
from mnv4bench.report.ledger_in_short import in_short as ledger_text
from mnv4bench.report.replication import replicate
from mnv4bench.report.tables import markdown
from mnv4bench.report.tables.ablations import verdicts
from mnv4bench.report.tables.cells import table
from mnv4bench.results.ledger import LedgerSummary
from mnv4bench.results.reference import names, read

REFERENCE = Path("results/reference")
CATALOGUE = Path("docs/ablations.md")
DOCUMENTS = ("README.md", "docs/method.md")
PASSAGE = re.compile(r"(?P<head><!-- generated: (?P<name>\w+) -->\n).*?(?P<foot><!-- end -->)", re.DOTALL)
FALSE = ("faster", "slower")


def refresh(root: Path = Path()) -> list[Path]:
    """Write the list of ablations and every passage anew; return the documents that changed."""
    path = root / CATALOGUE
    changed = [path] if _update(path, catalogue(root)) else []
    for name in DOCUMENTS:
        text = (root / name).read_text(encoding="utf-8")
        if _update(root / name, refreshed(text, root / REFERENCE, where=name)):
            changed.append(root / name)
    return changed


def _update(path: Path, text: str) -> bool:
    """Write a document unless it says the same already; return whether it did not."""
    stale = not path.exists() or path.read_text(encoding="utf-8") != text
    if stale:
        write_text(path, text)
    return stale


def refreshed(text: str, reference: Path, where: str) -> str:
    """Return a document with its passages made from the files under `reference`.

    Raises:
        Mnv4benchError: a passage of an unknown name, or its file is missing.
    """

    def passage(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in PASSAGES:
            raise Mnv4benchError(f"{where}: no passage {name!r}; allowed: {', '.join(PASSAGES)}")
        file, make = PASSAGES[name]
        path = reference / file
        if not path.exists():
            raise Mnv4benchError(f"{path}: is missing, and passage {name} of {where} is made from it")
        return f"{found['head']}{make(path)}\n{found['foot']}"

    return PASSAGE.sub(passage, text)


def ledger(content: Mapping[str, Any]) -> str:
    return markdown.table(summary_table(LedgerSummary.model_validate(content)))


def in_short(content: Mapping[str, Any]) -> str:
    return " ".join(ledger_text(LedgerSummary.model_validate(content)))


def outcome(path: Path) -> str:
    """Return how a reference's ablations came out: in words, and every verdict.

    Args:
        path: its reference.json.
    """
    results = measured.reference(path.parent)
    kinds = [f"**{title}**\n\n{markdown.bullets(arms)}" for title, arms in outcomes(results).items()]
    return "\n\n".join([markdown.escape(scope(results)), *kinds, markdown.table(verdicts(results))])


def elsewhere(path: Path) -> str:
    """Return the same comparisons in the other references, and where they come out otherwise.

    Args:
        path: a reference's reference.json.
    """
    folder = path.parent
    shared = replicate(measured.reference(folder), folder.parent, here=folder.name)
    if shared is None:
        return "There is no other reference yet."
    parts = [markdown.bullets(shared.references), markdown.table(shared.table)]
    if shared.disagreements:
        parts.append(f"Disagreements with {folder.name}:\n\n{markdown.bullets(shared.disagreements)}")
    return "\n\n".join(parts)


def catalogue_in_short(path: Path) -> str:
    """Return what stands out in all references of one preset.

    Args:
        path: the reference.json of one of them.
    """
    folder = path.parent.parent
    preset = read(path.parent.name, folder).preset
    said, rows = measured.apart_from_zero(
        {name: measured.reference(folder / name) for name in names(folder) if read(name, folder).preset == preset}
    )
    return f"{said}\n\n{markdown.table(rows)}"


def repeatability(content: Mapping[str, Any]) -> str:
    """Return what one network against copies of itself came out as."""
    rows = []
    for part in ("idle", "busy"):
        found = content[part]
        for runtime in dict.fromkeys(row["runtime"] for row in found["comparisons"]):
            mine = [row for row in found["comparisons"] if row["runtime"] == runtime]
            halves = [(row["ratio_high"] - row["ratio_low"]) / 2 for row in mine]
            inside = sum(row["ratio_low"] <= 1 <= row["ratio_high"] for row in mine)
            false = sum(row["verdict"] in FALSE for row in mine)
            rows.append(
                (
                    part,
                    runtime,
                    f"{inside} of {len(mine)}",
                    f"{min(halves):.1%} to {max(halves):.1%}",
                    f"{false} of {len(mine)}",
                    f"{found['sequential'][runtime]:.1%}",
                )
            )
    header = ("machine", "runtime", "intervals with 1", "half-widths", "false verdicts", "one after the other")
    options = content["options"]
    return (
        markdown.table(table(header, "llrrrr", rows))
        + f"\n\n{options['sessions']} sessions idle and {options['busy_sessions']} busy × {options['rounds']} rounds × "
        f"{options['blocks']} blocks of {options['block_ms']:g} ms; {content['environment']['cpu']}, "
        f"{content['environment']['cores']} cores."
    )


def coverage(content: Mapping[str, Any]) -> str:
    """Return the share of simulated samples whose interval holds the truth."""
    intervals = tuple(dict.fromkeys(row["interval"] for row in content["rows"]))
    lines: dict[tuple[str, int], list[str]] = {}
    for row in content["rows"]:
        lines.setdefault((row["mode"], row["seeds"]), []).append(f"{row['coverage']:.3f} ± {row['error']:.3f}")
    rows = [(mode, str(seeds), *cells) for (mode, seeds), cells in lines.items()]
    return (
        markdown.table(table(("seeds drawn", "n", *intervals), "lr" + "r" * len(intervals), rows))
        + f"\n\n{len(content['comparisons'])} comparisons of preset {content['preset']}, {content['images']} images, "
        f"{content['trials']} draws of images; nominal {content['level']:.2f}."
    )


def time_to_table(content: Mapping[str, Any]) -> str:
    """Return how long the table took here and by ultralytics alone."""
    ours, theirs = content["ours"], content["theirs"]
    sides = [
        ("this workflow", ours["trainings"], ours["seconds"]),
        ("ultralytics, one after the other", theirs["trainings"], theirs["seconds"]),
        ("the same, no training repeated", "–", theirs["seconds"] - theirs["repeated"]),
    ]
    rows = [(name, str(trainings), f"{seconds:.0f}") for name, trainings, seconds in sides]
    ratios = [(label, f"{value:.2f}") for label, value in content["ratios"].items()]
    return "\n\n".join(
        [
            markdown.table(table(("side", "trainings", "seconds"), "lrr", rows)),
            markdown.table(table(("their time over ours", "×"), "lr", ratios)),
            f"{content['epochs']} epochs on {content['images']} images, {content['seeds']} seeds; "
            f"{content['environment']['cpu']}, {content['environment']['cores']} cores. Of ours, every run was scored "
            f"after {ours['until_scored']:.0f} s and the table was there after {ours['until_table']:.0f} s; starting "
            "processes, timing, the ledger, figures, paper and report cost the same however long the training is.",
        ]
    )


def _of(make: Callable[[Mapping[str, Any]], str]) -> Callable[[Path], str]:
    return lambda path: make(read_json(path))


PASSAGES: dict[str, tuple[str, Callable[[Path], str]]] = {
    "scenes": ("scenes/reference.json", outcome),
    "peers": ("full-peers/reference.json", outcome),
    "elsewhere": ("scenes/reference.json", elsewhere),
    "catalogue": ("full-parts/reference.json", catalogue_in_short),
    "ledger": ("scenes/tables/ledger.json", _of(ledger)),
    "ledger_in_short": ("scenes/tables/ledger.json", _of(in_short)),
    "repeatability": ("benchmarks/latency_repeatability.json", _of(repeatability)),
    "coverage": ("benchmarks/coverage.json", _of(coverage)),
    "time_to_table": ("benchmarks/time_to_table.json", _of(time_to_table)),
}
"""Name → the file under results/reference/ that it is made from, and what makes it."""
