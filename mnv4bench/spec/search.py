"""What an architecture search is; its content decides its result to the byte."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from mnv4bench.io.errors import SpecError
from mnv4bench.spec.base import Spec
from mnv4bench.spec.problems import problems
from mnv4bench.spec.run import Seed


class Schedule(Spec):
    """How long and how a search runs, and each network's own training."""

    steps: int = Field(4000, ge=8, le=100_000)
    """Of a search."""
    final_steps: int = Field(3000, ge=1, le=100_000)
    """Of each network's own training, from scratch."""
    batch: int = Field(64, ge=2, le=65_536)
    reward_batch: int = Field(256, ge=2, le=65_536)
    """Held-out images that a sampled network is rewarded on: four times the batch, as TuNAS does by default."""
    lr: float = Field(2e-3, gt=0, le=10)
    threads: int = Field(1, ge=1, le=1024)


class SearchSpec(Schedule):
    """One search for a backbone at a budget, and the training that its result is judged by."""

    skeleton: Literal["conv_small", "tiny"] = "conv_small"
    """Whose places are filled: MobileNetV4-Conv-S's; tiny is for tests."""
    method: Literal["two_stage", "one_stage"] = "two_stage"
    """Filters and depth first and kernels second, or all at once; each in `steps` steps altogether."""
    cost: Literal["macs", "ms"] = "macs"
    budget: float = Field(gt=0, le=1e15)
    """Multiply-accumulates, or milliseconds in ONNX Runtime with one thread, of one image."""
    side: int = Field(64, ge=32, le=512, multiple_of=32)
    """Of the images, in pixels."""
    seed: Annotated[int, Seed] = 0


def search_spec(settings: Mapping[str, Any]) -> SearchSpec:
    """Return the search that the command line asks for.

    Raises:
        SpecError: names the option and what is wrong with it.
    """
    try:
        return SearchSpec.model_validate(settings)
    except ValidationError as error:
        lines = [f"--{str(place[0]).replace('_', '-')}: {message}" for place, message in problems(SearchSpec, error)]
        raise SpecError("\n".join(dict.fromkeys(lines))) from error
