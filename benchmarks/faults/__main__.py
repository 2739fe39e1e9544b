"""A campaign of faults: kills, damaged files and broken settings, counted by what came of them.

    python -m benchmarks.faults [--kills 100] [--files 200] [--settings 200] [--seed 0] [--jobs 2]

Every trial ends in the right answer (the numbers of an undisturbed run), in a clear error (no traceback; it names the
file and a remedy, and doing what it says gives the right answer), or it is a fault. The choice of faults follows from
the seed alone. Prints every trial and a table, and exits with 1 after a fault. Writes results/benchmarks/faults.json,
and every trial as it ends into faults.jsonl beside it: a campaign that was stopped goes on from there. After a fault
was mended, `--since COMMIT` tries it again and takes the other trials of that commit as they are; the record says so.
"""

from __future__ import annotations

import argparse
import itertools
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from benchmarks.faults import kills, records, settings
from benchmarks.faults.journal import Journal, Trial, commit
from benchmarks.faults.outcome import KINDS, Outcome
from benchmarks.faults.processes import Ended, interpreter, kill
from benchmarks.faults.project import REFERENCE, Project, make, make_small
from mnv4bench.io.files import write_json
from mnv4bench.machine.environment import environment

RECORD = Path("results/benchmarks/faults.json")
ABSOLUTE = re.compile(r"(?<![\w./])/(?:[\w.-]+/)+")
Try = Callable[[int, random.Random, str], list[Outcome]]
"""Number, random stream and a name for its folder in, outcomes out."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="thirteen of each workflow, one in each phase")
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--settings", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--since",
        action="append",
        default=[],
        metavar="COMMIT",
        help="trials of that commit, in full, count too, but for those that found a fault",
    )
    parser.add_argument("--jobs", type=int, default=2, help="trials at a time")
    parser.add_argument(
        "--work", type=Path, metavar="DIR", help="keep the undisturbed projects there for another start"
    )
    options = parser.parse_args(arguments)
    folder = options.work.resolve() if options.work else None
    tried = Journal(RECORD.with_suffix(".jsonl"), commit(), options.seed, tuple(options.since))
    with projects(folder, tried.commit) as make_trials:
        for campaign, count in (("settings", options.settings), ("files", options.files), ("kills", options.kills)):
            _run(campaign, count, make_trials, tried, options.jobs)
    counted = {name: _counted(tried, name, getattr(options, name)) for name in ("kills", "files", "settings")}
    outcomes = {name: [outcome for trial in trials for outcome in trial.outcomes] for name, trials in counted.items()}
    _write(tried, counted, outcomes)
    print(f"\n{'':10}" + "".join(f"{kind:>14}" for kind in KINDS))
    for name, found in outcomes.items():
        kinds = Counter(outcome.kind for outcome in found)
        print(f"{name:10}" + "".join(f"{kinds[kind]:14}" for kind in KINDS))
    sys.exit(1 if any(outcome.kind == "fault" for found in outcomes.values() for outcome in found) else 0)


def units(campaign: str, count: int) -> int:
    """Return how many trials make so many outcomes; a workflow is killed once in each phase."""
    return -(-count // len(kills.MADE)) if campaign == "kills" else count


def _run(campaign: str, count: int, make_trials: Callable[[str], Try], tried: Journal, jobs: int) -> None:
    missing = [number for number in range(units(campaign, count)) if number not in tried.known(campaign)]
    if not missing:
        return
    trial = make_trials(campaign)
    with ThreadPoolExecutor(jobs) as pool:
        waiting = {
            pool.submit(
                trial, number, random.Random(f"{tried.seed} {campaign} {number}"), f"{campaign}-{number}"
            ): number
            for number in missing
        }
        for done in as_completed(waiting):
            tried.add(campaign, waiting[done], done.result())
            for outcome in done.result():
                print(f"{outcome.kind:12} {campaign} {outcome.subject}: {outcome.disturbance}", flush=True)
                if outcome.kind == "fault":
                    print(f"    {outcome.detail}", flush=True)


def _counted(tried: Journal, campaign: str, count: int) -> list[Trial]:
    known = tried.known(campaign)
    return [known[number] for number in range(units(campaign, count))]


def _write(tried: Journal, counted: dict[str, list[Trial]], outcomes: dict[str, list[Outcome]]) -> None:
    commits: Counter[str] = Counter()
    for trial in itertools.chain(*counted.values()):
        commits[trial.commit] += len(trial.outcomes)
    mended = [fault for name in counted for trial in tried.mended(name) for fault in trial.faults]
    counts = {
        name: {kind: sum(outcome.kind == kind for outcome in found) for kind in KINDS}
        for name, found in outcomes.items()
    }
    subjects = {
        name: {
            subject: dict(Counter(outcome.kind for outcome in found if outcome.subject == subject))
            for subject in dict.fromkeys(sorted(outcome.subject for outcome in found))
        }
        for name, found in outcomes.items()
    }
    faults = [told(outcome) for found in outcomes.values() for outcome in found if outcome.kind == "fault"]
    write_json(
        RECORD,
        {
            "commit": tried.commit,
            "commits": dict(commits),
            "seed": tried.seed,
            "counts": counts,
            "subjects": subjects,
            "faults": faults,
            "mended": list(map(told, mended)),
            "environment": environment().model_dump(mode="json"),
        },
    )


def told(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as it is published: files of this machine without their folders."""
    return asdict(replace(outcome, detail=ABSOLUTE.sub("", outcome.detail)))


@contextmanager
def projects(folder: Path | None, commit: str) -> Iterator[Callable[[str], Try]]:
    """Yield what returns the trials of a campaign; the projects that they start from are made once, when asked for.

    Args:
        folder: where the projects lie; what this commit made there is taken. A temporary one where None.
    """
    with ExitStack() as stack:
        folder = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mnv4bench-faults-")))
        folder.mkdir(parents=True, exist_ok=True)
        python = stack.enter_context(interpreter(folder))
        kept = Kept(folder, commit)

        def trials(campaign: str) -> Try:
            if campaign == "settings":
                sources = kept.project("sources", lambda: make(folder / "sources", python), python)
                return lambda number, rng, name: [settings.trial(sources, number, rng, name)]
            empty = kept.project("empty", lambda: make_small(folder / "empty", python), python)
            finished = kept.project("finished", lambda: _finished(empty), python)
            expected = finished.results()
            if campaign == "files":
                halfway = partial(kept.project, "halfway", lambda: _halfway(empty), python)
                return lambda number, rng, name: [records.trial(finished, halfway, expected, number, rng, name)]
            seconds = kills.durations(finished)
            return lambda number, rng, name: kills.chain(empty, seconds, expected, rng, name)

        yield trials


@dataclass(frozen=True)
class Kept:
    """Projects that are made once for a commit."""

    folder: Path
    commit: str
    turn: Lock = field(default_factory=Lock)

    def project(self, name: str, make_it: Callable[[], Project], python: Path) -> Project:
        """Return a project that is there for this commit, else a new one."""
        made_by = self.folder / f"{name}.commit"
        with self.turn:
            if not made_by.exists() or made_by.read_text() != self.commit:
                shutil.rmtree(self.folder / name, ignore_errors=True)
                make_it()
                made_by.write_text(self.commit)
        return Project(self.folder / name, python)


def _finished(empty: Project) -> Project:
    """Return a project whose workflow has run, compared with its own results as a reference."""
    project = empty.copy("finished")
    publish = partial(project.command, "publish", "--preset", "smoke", REFERENCE)
    for step in (project.run, publish, project.run):
        ended: Ended = step()
        if ended.status:
            raise SystemExit(f"the undisturbed workflow fails:\n{ended.output[-4000:]}")
    return project


def _halfway(empty: Project) -> Project:
    """Return a project that was killed when its first run had a checkpoint."""
    for _ in range(5):
        project = empty.copy("halfway")
        process = project.start()
        while process.poll() is None and not list(project.out.glob("runs/*/checkpoint.pt")):
            time.sleep(0.002)
        kill(process)
        if list(project.out.glob("runs/*/checkpoint.pt")) and list(project.out.glob("runs/*/starts.json")):
            return project
        shutil.rmtree(project.root)
    raise SystemExit("no run could be killed between its epochs")


if __name__ == "__main__":
    main()
