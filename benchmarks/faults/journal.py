"""What came of each trial, a line a time, so that a campaign that was stopped goes on where it was."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.faults.outcome import Outcome
from benchmarks.faults.processes import ROOT


def commit() -> str:
    """Return the commit that is tried, with a + where files differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    return git("rev-parse", "HEAD") + "+" * bool(git("status", "--porcelain", "--untracked-files=no"))


class Trial(NamedTuple):
    """One trial, or the kills of one workflow."""

    commit: str
    number: int
    outcomes: list[Outcome]

    @property
    def faults(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.kind == "fault"]


@dataclass(frozen=True)
class Journal:
    """A file with the outcomes of one campaign or of several."""

    path: Path
    commit: str
    seed: int
    earlier: tuple[str, ...] = ()
    """Commits of which trials without a fault count too; one with a fault is tried again."""

    def known(self, campaign: str) -> dict[int, Trial]:
        """Return number → the trial that counts."""
        return {
            trial.number: trial for trial in self._tried(campaign) if trial.commit == self.commit or not trial.faults
        }

    def mended(self, campaign: str) -> list[Trial]:
        """Return the trials of earlier commits that found a fault; each has to be tried again."""
        return [trial for trial in self._tried(campaign) if trial.commit != self.commit and trial.faults]

    def add(self, campaign: str, number: int, outcomes: list[Outcome]) -> None:
        entry = {"commit": self.commit, "seed": self.seed, "campaign": campaign, "number": number}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry | {"outcomes": [asdict(outcome) for outcome in outcomes]}) + "\n")

    def _tried(self, campaign: str) -> Iterator[Trial]:
        """Yield the trials of these commits in the order in which they ended."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        for entry in map(json.loads, lines):
            ours = entry["commit"] in (*self.earlier, self.commit)
            if ours and (entry["seed"], entry["campaign"]) == (self.seed, campaign):
                yield Trial(entry["commit"], entry["number"], [Outcome(**outcome) for outcome in entry["outcomes"]])
