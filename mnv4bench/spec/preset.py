"""config/<name>.yaml: data, schedule and seeds shared by every arm."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from mnv4bench.spec.base import Spec
from mnv4bench.spec.latency import LatencySpec
from mnv4bench.spec.model import ModelSpec, PartName
from mnv4bench.spec.needs import NeedsSpec
from mnv4bench.spec.run import DataSpec, Seed, TrainSpec

PRESETS = Path("config")


class TrunkSpec(Spec):
    """The run that all arms start from, and the parts that start fresh in every arm."""

    fresh: tuple[PartName, ...]
    train: dict[str, Any] = {}
    """Overrides of the preset's `train`."""


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
    trunk: TrunkSpec | None = None
    scratch: ScratchSpec = ScratchSpec()
    teacher: TeacherSpec = TeacherSpec()
    seeds: tuple[Annotated[int, Seed], ...] = Field(min_length=1, max_length=40)
    """The sign-flip test takes no more than 40."""
    ablations: tuple[str, ...] = Field(min_length=1)
    arms: Literal["core", "all"] = "core"
    """Which arms of an ablation are run: those that it names as its core, or all."""
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

    @field_validator("trunk")
    @classmethod
    def _only_trained_networks_have_a_trunk(cls, value: TrunkSpec | None, info: ValidationInfo) -> TrunkSpec | None:
        model = info.data.get("model")
        if value is not None and model is not None and model.weights is not None:
            raise ValueError("published weights start from nothing; drop `trunk` or `model.weights`")
        return value

    @field_validator("seeds", "ablations")
    @classmethod
    def _no_repeats(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) != len(values):
            raise ValueError("each entry may stand once")
        return values
