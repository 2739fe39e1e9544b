"""The generated passages of README and docs/: what each is made from, and the values that its template prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mnv4bench.io.files import read_json
from mnv4bench.report import accuracy, text
from mnv4bench.report.answers import answers, answers_on, time
from mnv4bench.report.choices import across, baselines, ends
from mnv4bench.report.closing import told
from mnv4bench.report.docs.measured import reference
from mnv4bench.report.findings import outcomes, scope, seen
from mnv4bench.report.ledger import summary_table
from mnv4bench.report.ledger_in_short import in_short
from mnv4bench.report.rendering import render
from mnv4bench.report.replication import replicate
from mnv4bench.report.results import ArmResult, Results
from mnv4bench.report.searches import searches
from mnv4bench.report.tables.ablations import verdicts
from mnv4bench.report.tables.cells import table
from mnv4bench.report.timing import judged_times
from mnv4bench.results.ledger import LedgerSummary
from mnv4bench.results.record import read_record

Values = dict[str, Any]
PHOTOGRAPHS = ("bccd", "bccd_psa")
"""The references whose answers stand beside those on drawn images."""
NAS = "nas"
"""The ablation of searches."""
LAST = 7
"""Lines of complete.txt that README shows: two comparisons, and where to look."""


@dataclass(frozen=True)
class Passage:
    """A passage is templates/docs/<template>.md.j2, filled with what `values` takes from a file."""

    file: str
    """Under results/reference/."""
    template: str
    values: Callable[[Path], Values]
    absent: str | None = None
    """Template of what stands there while the file is not; None where it has to be."""

    def render(self, folder: Path) -> str:
        """Return the passage made from the files under `folder`."""
        if self.absent and not (folder / self.file).exists():
            return render(f"docs/{self.absent}.md.j2")
        return render(f"docs/{self.template}.md.j2", **self.values(folder / self.file))


def outcome(path: Path) -> Values:
    """Return how a reference's ablations came out, and every verdict; `path` is its reference.json."""
    results = reference(path.parent)
    return {"scope": scope(results), "outcomes": outcomes(results), "verdicts": verdicts(results)}


def answered(path: Path) -> Values:
    """Return a row per comparison of a reference, what it came to on photographs, and what both were measured on."""
    photographs = (path.parent.with_name(name) for name in PHOTOGRAPHS)
    several = [reference(folder) for folder in (path.parent, *filter(Path.is_dir, photographs))]
    return {
        "answers": answers_on(several),
        "opposed": [note for note in map(partial(_opposed, several[0]), several[0].arms) if note],
        "measured": [
            {
                "ap": baselines(results),
                "seen": seen(results),
                "data": results.data.record,
                "imgsz": results.cost.imgsz,
                "seeds": len(results.plan.preset.seeds),
            }
            for results in several
        ],
    }


def _opposed(results: Results, arm: ArmResult) -> str:
    note = text.opposed(arm, results, accuracy.decimals_of(results))
    part = results.plan.ablations[arm.arm.ablation].title
    return note and f"{part}, {arm.arm.title}. {note}"


def opening(path: Path) -> Values:
    """Return what dropping suppression did to a published network's AP and time, and the settings that do as well."""
    results = reference(path.parent)
    (arm,) = (arm for arm in results.ablations["published_heads"] if not arm.is_baseline)
    return {
        "network": arm.arm.model.weights,
        "data": results.data.record,
        "change": accuracy.interval(arm.difference, accuracy.decimals_of(results)),
        "verdict": accuracy.verdict(arm.difference),
        "time": time(results, arm),
        "in_graph": time(results, arm, "in_graph") if judged_times(results, arm, "in_graph") else "",
        "tuned": _behind(results, [arm for arm in results.ablations["published_nms"] if arm.arm.read == "nms"]),
    }


def _behind(results: Results, arms: Sequence[ArmResult]) -> dict[str, int]:
    """Return how many settings were shown to be less accurate than their baseline, slower in some runtime, neither."""
    worse = {arm.arm.name for arm in arms if arm.difference and arm.difference.verdict == "worse"}
    rows = {arm.arm.name: [arm.row(runtime) for runtime in results.timed] for arm in arms}
    slower = {name for name, found in rows.items() if any(row and row.verdict == "slower" for row in found)}
    return {"all": len(arms), "worse": len(worse), "slower": len(slower), "neither": len(arms) - len(worse | slower)}


def published(path: Path) -> Values:
    """Return a row per comparison on published weights that are at hand, and the ends of each runtime's front."""
    results = reference(path.parent)
    times = results.latency
    return {
        "name": path.parent.name,
        "scope": scope(results),
        "answers": answers(results.at_hand),
        "ends": ends(results),
        "threads": times.threads,
        "cpu": times.environment.cpu,
    }


def search(path: Path) -> Values:
    """Return a row per comparison of classifiers, and Kendall's τ of each one-stage search, where they were run."""
    found = searches(path.parent)
    return {name: getattr(found, name) for name in ("name", "scope", "answers", "ranking")}


def searched(path: Path) -> Values:
    """Return what the comparisons of the searches came to, a clause each."""
    found = searches(path.parent)
    rows = [d for d in found.found.comparison.differences if d.ablation == NAS]
    decimals = accuracy.decimals_for(rows)
    title = found.found.plan.classifiers.ablations[NAS].title_of
    clauses = [f"{title(d.arm)} {accuracy.interval(d, decimals)}, {accuracy.verdict(d)}" for d in rows]
    return {"baseline": title(rows[0].baseline), "clauses": clauses}


def choice(path: Path) -> Values:
    """Return the fastest and the most accurate network of a reference in each runtime, and where they were timed."""
    results = reference(path.parent)
    times = results.latency
    return {
        "ends": ends(results),
        "across": across(results),
        "imgsz": results.cost.imgsz,
        "threads": times.threads,
        "cpu": times.environment.cpu,
        "sessions": len(times.sessions),
        "quantised": bool(results.timed_int8),
        "steady": sum(all(d.code != "canary_drift" for d in session.contaminated) for session in times.sessions),
    }


def last_lines(path: Path) -> Values:
    """Return the end of what a workflow prints that made this reference."""
    results = reference(path.parent)
    folder = Path("results") / results.plan.preset_name
    return {"lines": told(results, folder).splitlines()[-LAST:]}


def elsewhere(path: Path) -> Values:
    """Return a reference's comparisons in the other references, and where they come out differently."""
    folder = path.parent
    return {"here": folder.name, "shared": replicate(reference(folder), folder.parent, here=folder.name)}


def ledger(path: Path) -> Values:
    return {"summary": summary_table(read_record(path, LedgerSummary))}


def ledger_in_short(path: Path) -> Values:
    return {"lines": in_short(read_record(path, LedgerSummary))}


def repeatability(path: Path) -> Values:
    """Return what one network timed against copies of itself came out as, a row for each load and runtime."""
    content = read_json(path)
    rows = []
    for load in ("idle", "busy"):
        comparisons = content[load]["comparisons"]
        for runtime in dict.fromkeys(row["runtime"] for row in comparisons):
            copies = [row for row in comparisons if row["runtime"] == runtime]
            halves = [(row["ratio_high"] - row["ratio_low"]) / 2 for row in copies]
            rows.append(
                {
                    "load": load,
                    "runtime": runtime,
                    "copies": len(copies),
                    "with_1": sum(row["ratio_low"] <= 1 <= row["ratio_high"] for row in copies),
                    "least": min(halves),
                    "most": max(halves),
                    "false": sum(row["verdict"] in ("faster", "slower") for row in copies),
                    "sequential": content[load]["sequential"][runtime],
                }
            )
    return {"rows": rows, "options": content["options"], "environment": content["environment"]}


def coverage(path: Path) -> Values:
    """Return the share of simulated samples whose interval holds the truth."""
    content = read_json(path)
    intervals = tuple(dict.fromkeys(row["interval"] for row in content["rows"]))
    shares: dict[tuple[str, int], list[str]] = {}
    for row in content["rows"]:
        shares.setdefault((row["mode"], row["seeds"]), []).append(f"{row['coverage']:.3f} ± {row['error']:.3f}")
    rows = [(mode, str(seeds), *cells) for (mode, seeds), cells in shares.items()]
    head = ("seeds drawn", "n", *intervals)
    return {
        **_picked(content, "preset", "images", "trials", "level"),
        "comparisons": len(content["comparisons"]),
        "rows": table(head, "lr" + "r" * len(intervals), rows),
    }


def controls(path: Path) -> Values:
    """Return what each slice of Scenes lost under each positive control, and whether that was found there alone."""
    return dict(read_json(path))


def faults(path: Path) -> Values:
    """Return how many trials of each campaign ended in what, and how often each phase, file and setting was tried."""
    content = read_json(path)
    tried = {
        campaign: {subject: sum(kinds.values()) for subject, kinds in subjects.items()}
        for campaign, subjects in content["subjects"].items()
    }
    return {**_picked(content, "commits", "counts", "environment"), "tried": tried, "mended": len(content["mended"])}


def time_to_table(path: Path) -> Values:
    """Return how long the table took here and by ultralytics alone."""
    return dict(read_json(path))


def search_times(path: Path) -> Values:
    """Return how far predicted times of networks are off, and what they were measured on."""
    return dict(read_json(path))


def _picked(content: Mapping[str, Any], *keys: str) -> Values:
    return {key: content[key] for key in keys}


PASSAGES = {
    "answers": Passage("scenes/reference.json", "answers", answered),
    "choices": Passage("scenes/reference.json", "choices", choice),
    "closing": Passage("scenes/reference.json", "closing", last_lines),
    "opening": Passage("published/reference.json", "opening", opening, absent="opening_absent"),
    "published": Passage("published/reference.json", "published", published, absent="published_absent"),
    "published_voc": Passage("published_voc/reference.json", "published", published, absent="published_absent"),
    "search": Passage("search/reference.json", "search", search, absent="published_absent"),
    "searched": Passage("search/reference.json", "searched", searched, absent="published_absent"),
    "search_times": Passage("benchmarks/search_times.json", "search_times", search_times),
    "scenes": Passage("scenes/reference.json", "outcome", outcome),
    "elsewhere": Passage("scenes/reference.json", "elsewhere", elsewhere),
    "ledger": Passage("scenes/tables/ledger.json", "ledger", ledger),
    "ledger_in_short": Passage("scenes/tables/ledger.json", "ledger_in_short", ledger_in_short),
    "repeatability": Passage("benchmarks/latency_repeatability.json", "repeatability", repeatability),
    "coverage": Passage("benchmarks/coverage.json", "coverage", coverage),
    "controls": Passage("benchmarks/controls.json", "controls", controls),
    "faults": Passage("benchmarks/faults.json", "faults", faults, absent="faults_absent"),
    "time_to_table": Passage("benchmarks/time_to_table.json", "time_to_table", time_to_table),
}
