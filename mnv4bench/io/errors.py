"""Errors that name the remedy."""

from __future__ import annotations

from pathlib import Path


class Mnv4benchError(Exception):
    """Base of every error that a user can mend; the command line prints its text and exits with 2."""


class SpecError(Mnv4benchError):
    """A YAML file asks for something that does not exist: says file, line, field and what is allowed."""


class UnderPreset(SpecError):
    """What an ablation asks for is wrong beside what one preset says; another may take it."""

    def __init__(self, problem: str, preset: Path) -> None:
        super().__init__("\n".join(f"{line} (under {preset})" for line in problem.splitlines()))
        self.problem = problem
        self.preset = preset


class FileError(Mnv4benchError):
    """A file cannot be written, or is not what was written there: says which, what is wrong and what to do."""


class DataError(Mnv4benchError):
    """A data set cannot be used as it is: lists every offender by name."""


class PairingError(Mnv4benchError):
    """Two arms that should share a random stream or an initial value do not."""


class Diverged(Mnv4benchError):
    """The training loss stopped being finite; becomes the run's status, not a crash."""


class Busy(Mnv4benchError):
    """Another process is at work on the same files."""
