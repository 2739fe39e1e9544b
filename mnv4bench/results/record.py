"""What every record is: frozen, and without fields that nobody knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import read_json


class Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Kind = TypeVar("Kind", bound=Record)


def read_record(path: Path, kind: type[Kind]) -> Kind:
    """Return the record in a result file.

    Raises:
        Mnv4benchError: the file is missing, is not JSON, or a field is wrong; names the file and the field.
    """
    try:
        return kind.model_validate(read_json(path))
    except FileNotFoundError as error:
        raise Mnv4benchError(f"{path}: is missing; run the workflow, which makes it") from error
    except json.JSONDecodeError as error:
        raise Mnv4benchError(f"{path}: is not JSON ({error}); delete it and run the workflow again") from error
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, problem["loc"])) for problem in error.errors())
        raise Mnv4benchError(
            f"{path}: not a {kind.__name__} record of this version (field {fields}); delete it and run the workflow "
            "again"
        ) from error
