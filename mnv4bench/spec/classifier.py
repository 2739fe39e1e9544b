"""What a classifier of single objects is, in ablations with `start: classifiers`: how its network was found, what it
learned from, and its seed.

Everything that can change its result is a field here; its content digest is its identity.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal, get_args

from pydantic import Field, ValidationInfo, field_validator

from mnv4bench.spec.base import Spec
from mnv4bench.spec.run import Seed
from mnv4bench.spec.search import Schedule, SearchSpec

PROTOCOL = 2
"""Raise it when code changes what an unchanged spec comes to."""
SEARCHES = 2
"""Raise it when code changes what an unchanged search comes to."""

LabelSet = Literal["D1", "D2", "D3"]
"""Images with a teacher's stored labels (MobileNetV4, section 8): copies of the training images under RandAugment, or
mixed with each other, and further images that no ground truth is known of."""
Network = Literal["conv_s", "random", "one_stage", "two_stage"]
SEARCHED: tuple[Network, ...] = ("one_stage", "two_stage")


class TeacherSpec(Spec):
    """The network that labels, and how much it labels."""

    steps: int = Field(3000, ge=1, le=100_000)
    """Of its training, on ground truth."""
    copies: int = Field(4, ge=1, le=1000)
    """Of the training images in D1, and in D2; D3 holds as many images as one of them."""


class RankingSpec(Spec):
    """Random networks that say whether shared weights rank networks as training them alone does (ablation nas)."""

    networks: int = Field(20, ge=2, le=1000)
    final_steps: int = Field(1000, ge=1, le=100_000)
    """Of each network's own training."""


class ClassifiersSpec(Schedule):
    """A preset's settings of all classifiers."""

    train: int = Field(4000, ge=4, le=1_000_000)
    """Objects cut from Scenes, resized to 64 pixels, that weights are learned from."""
    search: int = Field(2000, ge=4, le=1_000_000)
    """Others, that searches reward networks on."""
    test: int = Field(4000, ge=4, le=1_000_000)
    """Others, that finished networks are scored on."""
    budget: float | None = Field(None, gt=0, le=1e15)
    """Multiply-accumulates that every network of a search has to cost; None is what Conv-S costs."""
    teacher: TeacherSpec = TeacherSpec()
    ranking: RankingSpec = RankingSpec()

    @property
    def of_runs(self) -> ClassifiersSpec:
        """Return the settings without those that no classifier of an arm depends on."""
        return self.model_copy(update={"ranking": RankingSpec()})

    def labels_name(self) -> str:
        """Return the name of the folder that holds the teacher's labels, which depend on these fields alone."""
        content = self.model_dump(mode="json", include={"train", "search", "test", "batch", "lr", "threads", "teacher"})
        return _digest("labels", content)[:12]


class ClassifierArm(Spec):
    """What an arm's overrides may say."""

    network: Network = "conv_s"
    """MobileNetV4-Conv-S's own rows, a random choice from the joint space, or the result of a search."""
    labels: tuple[LabelSet, ...] = ()
    """What the network learns from; empty is ground truth. Sets are drawn from 1:1, all three 1:1:2."""
    search_labels: tuple[LabelSet, ...] | None = None
    """What the search's shared weights learn from; None is the same."""

    @field_validator("labels", "search_labels")
    @classmethod
    def _each_once(cls, value: tuple[LabelSet, ...] | None) -> tuple[LabelSet, ...] | None:
        if value is None:
            return None
        if len(set(value)) != len(value):
            raise ValueError("each set may stand once")
        return tuple(name for name in get_args(LabelSet) if name in value)

    @field_validator("search_labels")
    @classmethod
    def _of_a_search(cls, value: tuple[LabelSet, ...] | None, info: ValidationInfo) -> tuple[LabelSet, ...] | None:
        if value is not None and info.data.get("network") not in SEARCHED:
            raise ValueError("only a search has shared weights; drop this field, or set network to one_stage")
        return None if value == info.data.get("labels") else value

    @property
    def searched_on(self) -> tuple[LabelSet, ...]:
        return self.labels if self.search_labels is None else self.search_labels

    @property
    def slug(self) -> str:
        """Return "two_stage+D1_D2_D3", for readers."""
        words = [self.network, "_".join(self.labels) or "ground_truth"]
        if self.search_labels is not None:
            words.append("searched_on_" + ("_".join(self.search_labels) or "ground_truth"))
        return "+".join(words)


class ClassifierRun(Spec):
    """One classifier."""

    settings: ClassifiersSpec = ClassifiersSpec()
    arm: ClassifierArm = ClassifierArm()
    seed: Annotated[int, Seed] = 0

    @property
    def name(self) -> str:
        """Return the name of its folder."""
        kind = f"classifier, search {SEARCHES}" if self.arm.network in SEARCHED else "classifier"
        digest = _digest(kind, self.model_dump(mode="json", exclude_defaults=True))
        return f"{self.arm.slug}-{digest[:12]}-s{self.seed}"

    @property
    def taught(self) -> bool:
        """Whether it needs the teacher's labels."""
        return bool(self.arm.labels or self.arm.searched_on)

    def search(self, budget: float) -> SearchSpec:
        """Return the search that finds its network."""
        method = "two_stage" if self.arm.network == "two_stage" else "one_stage"
        shared = {name: getattr(self.settings, name) for name in Schedule.model_fields}
        return SearchSpec(method=method, budget=budget, seed=self.seed, **shared)


def _digest(kind: str, content: object) -> str:
    text = json.dumps([kind, PROTOCOL, content], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
