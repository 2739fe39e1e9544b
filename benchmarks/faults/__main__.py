"""A campaign of faults: kills, damaged files and broken settings, counted by what came of them.

    python -m benchmarks.faults [--kills 24] [--files 63] [--settings 99] [--seed 0]

Every trial ends in the right answer (the numbers of an undisturbed run), in a clear error (no traceback; it names the
file and a remedy, and doing what it says gives the right answer), or it is a fault. The choice of faults follows from
the seed alone. Prints every trial and a table, writes results/benchmarks/faults.json, and exits with 1 after a fault.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.faults import kills, records, settings
from benchmarks.faults.outcome import KINDS, Outcome
from benchmarks.faults.processes import interpreter, kill
from benchmarks.faults.project import REFERENCE, Project, make
from mnv4bench.io.files import write_json

RECORD = Path("results/benchmarks/faults.json")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--files", type=int, default=63, help="three of each kind by default")
    parser.add_argument("--settings", type=int, default=99)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="mnv4bench-faults-") as folder, interpreter(Path(folder)) as python:
        outcomes = _all(options, Path(folder), python)
    counts = _counts(outcomes)
    write_json(
        RECORD,
        {
            "options": vars(options),
            "counts": {campaign: dict(kinds) for campaign, kinds in counts.items()},
            "subjects": {campaign: _subjects(outcomes, campaign) for campaign in counts},
            "faults": [asdict(outcome) for outcome in outcomes if outcome.kind == "fault"],
        },
    )
    print(f"\n{'':10}" + "".join(f"{kind:>14}" for kind in KINDS))
    for campaign, kinds in counts.items():
        print(f"{campaign:10}" + "".join(f"{kinds[kind]:14}" for kind in KINDS))
    sys.exit(1 if any(kinds["fault"] for kinds in counts.values()) else 0)


def _all(options: argparse.Namespace, folder: Path, python: Path) -> list[Outcome]:
    empty = make(folder / "empty", python)
    outcomes: list[Outcome] = []
    if options.settings:
        outcomes += _shown(settings.campaign(settings.without_results(empty), options.settings, _rng(options, 1)))
    if options.kills or options.files:
        finished = _finished(empty)
        expected = finished.results()
        if options.files:
            halfway = _halfway(empty, finished)
            outcomes += _shown(records.campaign(finished, halfway, expected, options.files, _rng(options, 2)))
        outcomes += _shown(kills.campaign(empty, expected, options.kills, _rng(options, 3)))
    return outcomes


def _rng(options: argparse.Namespace, campaign: int) -> random.Random:
    return random.Random(f"{options.seed} {campaign}")


def _finished(empty: Project) -> Project:
    """Return a project whose workflow has run, compared with its own results as a reference."""
    project = empty.copy(empty.root.with_name("finished"))
    for step in (project.run, lambda: project.command("publish", "--preset", "smoke", REFERENCE), project.run):
        ended = step()
        if ended.status:
            raise SystemExit(f"the undisturbed workflow fails:\n{ended.output[-4000:]}")
    return project


def _halfway(empty: Project, finished: Project) -> Project:
    """Return a project that was killed when its first run had a checkpoint."""
    for _ in range(5):
        project = empty.copy(empty.root.with_name("halfway"))
        process = project.start()
        while process.poll() is None and not list(project.out.glob("runs/*/checkpoint.pt")):
            time.sleep(0.002)
        kill(process)
        if list(project.out.glob("runs/*/checkpoint.pt")) and list(project.out.glob("runs/*/starts.json")):
            return project
        shutil.rmtree(project.root)
    raise SystemExit("no run could be killed between its epochs")


def _shown(outcomes: Iterable[Outcome]) -> list[Outcome]:
    kept = []
    for outcome in outcomes:
        kept.append(outcome)
        print(f"{outcome.kind:12} {outcome.campaign} {outcome.subject}: {outcome.disturbance}", flush=True)
        if outcome.kind == "fault":
            print(f"    {outcome.detail}", flush=True)
    return kept


def _counts(outcomes: list[Outcome]) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        counts.setdefault(outcome.campaign, Counter())[outcome.kind] += 1
    return counts


def _subjects(outcomes: list[Outcome], campaign: str) -> dict[str, int]:
    return dict(sorted(Counter(o.subject for o in outcomes if o.campaign == campaign).items()))


if __name__ == "__main__":
    main()
