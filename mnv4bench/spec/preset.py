"""config/<name>.yaml: data, schedule and seeds shared by every arm."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from mnv4bench.spec.base import Spec
from mnv4bench.spec.classifier import ClassifiersSpec
from mnv4bench.spec.latency import LatencySpec
from mnv4bench.spec.model import ModelSpec
from mnv4bench.spec.needs import NeedsSpec
from mnv4bench.spec.run import DataSpec, Seed, TrainSpec

PRESETS = Path("config")


class TrunkSpec(Spec):
    """The trained networks that arms start from, a block of seeds from each in turn.

    Several keep a result from being that of one trunk: a part may do well because the rest has learned beside its like.
    """

    preset: str | None = None
    """Another preset, whose trunks these are: the shipped weights are taken where they are of the same data."""
    train: dict[str, Any] = {}
    """Overrides of the preset's `train`."""
    blocks: dict[str, dict[str, Any]] = Field({"default": {}}, min_length=1)
    """Name of a trunk → overrides of the preset's model; each is trained from a seed of its own, 0, 1, …"""

    @model_validator(mode="after")
    def _of_one_preset(self) -> TrunkSpec:
        if self.preset is not None and {"train", "blocks"} & self.model_fields_set:
            raise ValueError(f"train, blocks: the trunks are those of preset {self.preset}; drop one or the other")
        return self


class GateSpec(Spec):
    """What a comparison has to pass before it gets a verdict; what does not is called under-trained."""

    recovered: float = Field(0.97, ge=0, le=1)
    """Least AP of the baseline as a share of its trunk's, where arms start from one."""
    from_scratch: float = Field(0.9, ge=0, le=1)
    """Least AP of a baseline from random weights, as a share of a trunk's on the same data."""
    class_ap: float = Field(0.05, ge=0, le=1)
    """Least AP of every class, in the arm and in the baseline, and of the baseline over all classes: a trunk, or a
    class with few objects, may have learned nothing either."""
    class_objects: int = Field(20, ge=1)
    """Validation objects below which a class is not asked for that."""


class ScratchSpec(Spec):
    """How ablations are trained that start from scratch although the preset has a trunk."""

    train: dict[str, Any] = {}
    """Overrides of the preset's `train`."""


class TeacherSpec(Spec):
    """The run that distilled arms learn from."""

    model: dict[str, Any] = {}
    train: dict[str, Any] = {}
    from_trunk: bool = False
    """Start from the whole trunk, so that the teacher is the same model trained for longer."""


class Preset(Spec):
    """What a preset's file holds."""

    title: str = Field(min_length=1)
    model: ModelSpec = ModelSpec()
    data: DataSpec
    train: TrainSpec
    start: str | None = None
    """Something trained (mnv4bench.spec.pretrained) that its trunks start from, or where it has none, its arms; None
    is random weights."""
    trunk: TrunkSpec | None = None
    gates: GateSpec = GateSpec()
    scratch: ScratchSpec = ScratchSpec()
    teacher: TeacherSpec = TeacherSpec()
    seeds: tuple[Annotated[int, Seed], ...] = Field(min_length=1, max_length=40)
    """The sign-flip test takes no more than 40."""
    ablations: tuple[str, ...]
    """None where the trunks themselves are what is trained."""
    arms: Literal["core", "all"] = "core"
    """Which arms of an ablation are run: those that it names as its core, or all."""
    classifiers: ClassifiersSpec = ClassifiersSpec()
    """Of ablations with `start: classifiers`."""
    latency: LatencySpec = LatencySpec()
    needs: NeedsSpec = NeedsSpec()
    bootstrap: int = Field(2000, ge=100, le=1_000_000)
    """Image resamples behind the intervals."""

    @field_validator("train")
    @classmethod
    def _published_or_trained(cls, value: TrainSpec, info: ValidationInfo) -> TrainSpec:
        model, data = info.data.get("model"), info.data.get("data")  # an impossible one is reported by itself
        if model is not None and model.weights is None and value.epochs < 1:
            raise ValueError("epochs: Input should be greater than or equal to 1 without published model.weights")
        if model is not None and model.weights is not None and value.epochs:
            raise ValueError("epochs: published weights are not trained; write 0, or drop model.weights")
        if data is not None and data.train == 0 and value.epochs:
            raise ValueError("epochs: data.train 0 leaves nothing to train on; drop it")
        return value

    @model_validator(mode="after")
    def _start_of_what_is_trained_here(self) -> Preset:
        if self.start is not None and self.model.weights is not None:
            raise ValueError("start: published weights are not trained; drop `start` or `model.weights`")
        if self.start is not None and self.trunk is not None and self.trunk.preset is not None:
            raise ValueError(f"start: its arms start from the trunks of preset {self.trunk.preset}; write it there")
        return self

    @field_validator("trunk")
    @classmethod
    def _only_trained_networks_have_a_trunk(cls, value: TrunkSpec | None, info: ValidationInfo) -> TrunkSpec | None:
        model = info.data.get("model")
        if value is not None and model is not None and model.weights is not None:
            raise ValueError("published weights start from nothing; drop `trunk` or `model.weights`")
        return value

    @model_validator(mode="after")
    def _something_to_train(self) -> Preset:
        if not self.ablations and (self.trunk is None or self.trunk.preset is not None):
            raise ValueError("ablations: name some; only a preset that trains trunks of its own may have none")
        return self

    @field_validator("seeds", "ablations")
    @classmethod
    def _no_repeats(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) != len(values):
            raise ValueError("each entry may stand once")
        return values
