"""What came of each trial, a line a time, so that a campaign that was stopped goes on where it was."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.faults.outcome import Outcome
from benchmarks.faults.processes import ROOT


def commit() -> str:
    """Return the commit that is tried, with a + where files differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    return git("rev-parse", "HEAD") + "+" * bool(git("status", "--porcelain", "--untracked-files=no"))


@dataclass(frozen=True)
class Journal:
    """A file with the outcomes of one campaign or of several."""

    path: Path
    commit: str
    seed: int

    def known(self, campaign: str) -> dict[int, list[Outcome]]:
        """Return number → outcomes of the trials of this commit and seed."""
        found: dict[int, list[Outcome]] = {}
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                entry = json.loads(line)
                if (entry["commit"], entry["seed"], entry["campaign"]) == (self.commit, self.seed, campaign):
                    found[entry["number"]] = [Outcome(**outcome) for outcome in entry["outcomes"]]
        return found

    def add(self, campaign: str, number: int, outcomes: list[Outcome]) -> None:
        entry = {"commit": self.commit, "seed": self.seed, "campaign": campaign, "number": number}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry | {"outcomes": [asdict(outcome) for outcome in outcomes]}) + "\n")
