"""What every record is: frozen, and without fields that nobody knows; and the one way to read it from a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from mnv4bench.io.errors import FileError
from mnv4bench.io.files import read_json
from mnv4bench.spec.problems import shortened

UNKNOWN = {"extra_forbidden", "literal_error"}
"""pydantic's types of errors about a field or word that another version may know."""


class Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    remedy: ClassVar[str] = "delete it and start again"
    """What to do about a damaged file; {folder} is the one it lies in."""


class Sealed(Record):
    """A record with its own sum: no other file has one of it, and what it says is obeyed."""

    digest: str | None = None
    """SHA-256 of the other fields; files of earlier versions have none."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        # A field that a later version adds is not set, and so not counted.
        if self.digest not in (None, self._digest(self.model_fields_set)):
            raise ValueError("digest is not that of the other fields")
        return self

    def sealed(self) -> Self:
        """Return the record with its digest."""
        return self.model_copy(update={"digest": self._digest(type(self).model_fields)})

    def _digest(self, fields: Iterable[str]) -> str:
        text = json.dumps(self.model_dump(mode="json", include={*fields} - {"digest"}), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


Kind = TypeVar("Kind", bound=BaseModel)


def read_record(path: Path, kind: type[Kind], remedy: str | None = None) -> Kind:
    """Return the record in a result file.

    Args:
        remedy: what to do about a damaged file, where that is not the record's own.

    Raises:
        FileError: the file is missing, unreadable, not JSON or of another schema; names the file, what is wrong and
            the remedy.
    """
    own: str = getattr(kind, "remedy", Record.remedy)
    remedy = (remedy or own).format(folder=path.parent)
    content = read_json(path, remedy)
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        found = error.errors()
        first, field = found[0], ".".join(map(str, found[0]["loc"])) or "the whole"
        if {problem["type"] for problem in found} <= UNKNOWN and not _misspelt(found, kind):
            raise FileError(
                f"{path}: this checkout does not know {field}: {shortened(first['input'])}; use the one that wrote the "
                f"file, or add to this one what it lacks. If the file is not needed: {remedy}"
            ) from error
        raise FileError(f"{path}: not a {kind.__name__} of this version ({field}: {first['msg']}); {remedy}") from error


def _misspelt(found: Sequence[Any], kind: type[BaseModel]) -> bool:
    """Whether an unknown field is a known one but for a letter or two, as damage makes it."""
    unknown = [str(problem["loc"][-1]) for problem in found if problem["type"] == "extra_forbidden"]
    return any(get_close_matches(name, kind.model_fields, n=1, cutoff=0.8) for name in unknown)
