"""Reference results: the committed ones, which tables are rebuilt from and other results are compared with.

results/reference/<name>/ has the layout of results/<preset>/ (docs/files.md) without what is large: weights,
detections and images.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar

from pydantic import AfterValidator

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import sha256
from mnv4bench.io.names import checked_name
from mnv4bench.results.record import Sealed, read_record
from mnv4bench.spec.problems import nearest

FOLDER = Path("results/reference")
REBUILT = Path("results/rebuilt")
TRUNKS = FOLDER / "trunks"
"""Shipped trunks, a folder each."""
RECORD = "reference.json"


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{name!r} lies outside the reference")
    return name


Inside = Annotated[str, AfterValidator(_inside)]
"""A file's path in its folder, from which nobody is led out."""


class Reference(Sealed):
    """reference.json: what was run, and the sums of what it left behind."""

    remedy: ClassVar[str] = "check it out again"

    preset: str
    only: str | None
    """As for `plan.load`: the ablations that were run, where they are not the preset's."""
    seeds: int | None
    title: str
    """The plan's."""
    trunk: bool
    """Whether the arms started from a trained trunk."""
    detectors: bool = True
    """Whether it compares detectors; one that does not holds classifiers alone."""
    rendered: bool = False
    """Whether Markdown, LaTeX, figures and paper stand beside the records, for readers of the repository."""
    files: dict[Inside, str]
    """Every measured record → SHA-256."""
    computed: dict[Inside, str] = {}
    """Every computed file → SHA-256; empty in older references. What is rendered for people has none."""
    matches: dict[str, str]
    """Run → SHA-256 of its matches.npz as it was scored; the committed one holds the readings that arms use."""


def names(folder: Path = FOLDER) -> list[str]:
    """Return the references that there are."""
    return sorted(path.parent.name for path in folder.glob(f"*/{RECORD}"))


def of_detectors(folder: Path = FOLDER) -> list[str]:
    """Return the references that compare detectors.

    Raises:
        Mnv4benchError: a record is damaged.
    """
    return [name for name in names(folder) if read_reference(name, folder).detectors]


def read_reference(name: str, folder: Path = FOLDER) -> Reference:
    """Return a reference's record.

    Raises:
        Mnv4benchError: the name is not allowed, there is no such reference, or its record is damaged.
    """
    path = folder / checked_name(name, "reference", hyphens=True) / RECORD
    if not path.exists():
        raise Mnv4benchError(f"no reference {name!r}: {path} does not exist; {nearest(name, names(folder))}")
    return read_record(path, Reference)


def check_files(record: Reference, folder: Path) -> None:
    """Refuse a reference whose files are not those that were published, measured and computed.

    Raises:
        Mnv4benchError: lists the files.
    """
    wrong = []
    for file, digest in {**record.files, **record.computed}.items():
        if not (folder / file).is_file():
            wrong.append(f"{folder / file}: is missing; check it out again")
        elif sha256(folder / file) != digest:
            wrong.append(f"{folder / file}: is not what {RECORD} was written for; check it out again")
    if wrong:
        raise Mnv4benchError("\n".join(wrong))
