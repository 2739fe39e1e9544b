"""Reference results: the committed ones, which tables are rebuilt from and other results are compared with.

results/reference/<name>/ has the layout of results/<preset>/ (docs/files.md) without what is large: weights,
detections and images.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import read_json
from mnv4bench.io.names import checked_name
from mnv4bench.results.record import Record
from mnv4bench.spec.problems import nearest

FOLDER = Path("results/reference")
REBUILT = Path("results/rebuilt")
RECORD = "reference.json"


class Reference(Record):
    """reference.json: what was run, and the sums of what it left behind."""

    preset: str
    only: str | None
    """As for `plan.load`: the ablations that were run, where they are not the preset's."""
    seeds: int | None
    title: str
    """The plan's."""
    trunk: bool
    """Whether the arms started from a trained trunk."""
    rendered: bool = False
    """Whether Markdown, LaTeX, figures and paper stand beside the records, for readers of the repository."""
    files: dict[str, str]
    """Every measured record → SHA-256. What is computed or rendered from them has none."""
    matches: dict[str, str]
    """Run → SHA-256 of its matches.npz as it was scored; the committed one holds the readings that arms use."""


def names(folder: Path = FOLDER) -> list[str]:
    """Return the references that there are."""
    return sorted(path.parent.name for path in folder.glob(f"*/{RECORD}"))


def read(name: str, folder: Path = FOLDER) -> Reference:
    """Return a reference's record.

    Raises:
        Mnv4benchError: the name is not allowed, there is no such reference, or its record is damaged.
    """
    path = folder / checked_name(name, "reference", hyphens=True) / RECORD
    if not path.exists():
        raise Mnv4benchError(f"no reference {name!r}: {path} does not exist; {nearest(name, names(folder))}")
    try:
        return Reference.model_validate(read_json(path))
    except (ValueError, ValidationError) as error:
        raise Mnv4benchError(f"{path}: not a reference's record ({error}); check it out again") from error
