"""What became of one trial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["right", "clear error", "fault"]
KINDS: tuple[Kind, ...] = ("right", "clear error", "fault")


@dataclass(frozen=True)
class Outcome:
    """One trial of a campaign."""

    campaign: str
    subject: str
    """Phase, kind of file or kind of setting."""
    disturbance: str
    """What was done, so that it can be done again."""
    kind: Kind
    detail: str = ""
    """Message of an error, or what is wrong with a fault."""
