"""ablations/<name>.yaml: one question, and the arms that answer it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from mnv4bench.spec.base import Spec
from mnv4bench.spec.model import PartName
from mnv4bench.spec.problems import nearest

ABLATIONS = Path("ablations")

LARGEST_EFFECT = 0.1
"""Ten points of AP: who writes more has taken points for AP."""

ARM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.]*")
"""An arm's name, which stands in labels and names of files."""

WORDS = ("trunk", "scratch", "published", "classifiers")
"""Of `start`; anything else names a file or folder."""

Quantity = Literal["AP", "top1", "params_M", "flops_G", "macs_G", "latency_ms"]


class PublishedSpec(Spec):
    """What the source prints of the same parts; set beside the result and never used in computing it."""

    place: str
    """Publication, table and model, for the reader."""
    figures: dict[str, dict[Quantity, str]] = {}
    """Arm → quantity → id of a figure in mnv4bench/ledger, so that no number is typed twice."""
    note: str | None = None
    """What else a reader has to know to compare."""


class AblationSpec(Spec):
    """What an ablation's file holds."""

    one_of: ClassVar[dict[str, str]] = {"baseline": "arms"}
    """Field → the field whose keys it has to be one of."""

    title: str = Field(min_length=1)
    question: str = Field(min_length=1)
    about: str = ""
    """What the part is and what differs here from the source; for docs/ablations.md."""
    published: PublishedSpec | None = None
    start: str = "trunk"
    """trunk: from the preset's trunk, or its `start` where it has none; scratch: from random weights, by the preset's
    `scratch`; published: the arms name checkpoints in model.weights, which are scored as they are, without seeds;
    classifiers: the arms are classifiers of single objects, by the preset's `classifiers`, and no detectors; or
    something trained (mnv4bench.spec.pretrained), by the preset's `scratch`."""
    fresh: tuple[PartName, ...] = ()
    """The parts that start from random weights, in the baseline as in every arm; all others come from the trunk."""
    common: dict[str, Any] = {}
    """Overrides of every arm, which an arm's own win over."""
    baseline: str
    arms: dict[str, dict[str, Any]]
    """Arm name → overrides by dotted field, such as {model.downsample: conv}; `read` says how detections are read,
    `start` what an arm that does not start from a trunk starts from. Of classifiers the fields of
    mnv4bench.spec.classifier.ClassifierArm."""
    titles: dict[str, str] = {}
    """Arm name → what tables and figures call it; without one, its name with blanks for underscores."""
    core: tuple[str, ...] = ()
    """The arms that presets with `arms: core` run, the baseline among them; all where none is named."""
    primary: str = "AP"
    smallest_effect: float = Field(gt=0)
    """The smallest difference of the primary metric (0–1) that matters in practice."""

    @model_validator(mode="after")
    def _consistent(self) -> AblationSpec:
        if len(self.arms) < 2:
            raise ValueError("arms: name two at least, the baseline and another; each is indented below `arms:`")
        for arm in self.arms:
            if not ARM.fullmatch(arm):
                raise ValueError(
                    f"arms.{arm}: a name is letters, digits, underscores and full stops, a letter or digit first, as "
                    f"in large_kernel (got {arm!r}); rename the arm, and write what tables call it in `titles`"
                )
        if self.baseline not in self.arms:
            raise ValueError(f"baseline: {self.baseline!r} is not an arm; {nearest(self.baseline, list(self.arms))}")
        if self.smallest_effect > LARGEST_EFFECT:
            raise ValueError(
                f"smallest_effect: {self.smallest_effect:g} is {100 * self.smallest_effect:g} points of AP; "
                "AP is on 0–1 here, so half a point is 0.005"
            )
        if self.primary != "AP":
            raise ValueError("primary: allowed: AP")
        if self.start in WORDS[1:] and self.fresh:
            raise ValueError(f"fresh: only arms from a trunk have fresh parts; drop `fresh` or `start: {self.start}`")
        if self.core and self.baseline not in self.core:
            raise ValueError(f"core: the baseline {self.baseline!r} must be among them")
        figures = self.published.figures if self.published else {}
        for place, names in (("core", self.core), ("titles", self.titles), ("published.figures", figures)):
            for arm in names:
                if arm not in self.arms:
                    raise ValueError(f"{place}: {arm!r} is not an arm; {nearest(arm, list(self.arms))}")
        called = [self.title_of(arm) for arm in self.arms]
        if repeated := [title for title in called if called.count(title) > 1]:
            raise ValueError(f"titles: two arms are called {repeated[0]!r}; give one of them another title")
        return self

    def title_of(self, arm: str) -> str:
        return self.titles.get(arm, arm.replace("_", " "))
