"""How arms are timed: the settings of a preset, and those of the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from mnv4bench.io.errors import SpecError
from mnv4bench.spec.base import Spec
from mnv4bench.spec.problems import problems

INT8 = "_int8"
"""Ends the name of a runtime that computes in eight-bit integers; before it stands that of its float32 form."""

Runtime = Literal[
    "torch",
    "onnxruntime",
    "openvino",
    "ncnn",
    "litert",
    "executorch",
    "onnxruntime_int8",
    "openvino_int8",
    "torch_cuda",
    "onnxruntime_cuda",
]
"""Names of mnv4bench.latency.runtimes.registry.RUNTIMES."""

Threads = Annotated[int, Field(ge=1, le=1024)]


class LatencySpec(Spec):
    """How arms are timed (docs/method.md, latency)."""

    runtimes: tuple[Runtime, ...] = Field(("torch", "onnxruntime", "openvino"), min_length=1)
    """Those that are not installed are reported as absent."""
    threads: tuple[Threads | Literal["all"], ...] = Field((1,), min_length=1)
    """Thread counts, each with sessions of its own; tables and verdicts are about the first."""
    images: int = Field(32, ge=1, le=10_000)
    sessions: int = Field(8, ge=1, le=1000)
    """Fresh processes; from five on, their scatter makes the interval. Where networks lie in memory differs between
    processes by more than rounds differ within one, so sessions are worth more than rounds."""
    rounds: int = Field(24, ge=1, le=10_000)
    """In each session; every arm has one turn in each."""
    blocks: int = Field(3, ge=1, le=1000)
    """Timed blocks in each turn; the fastest counts."""
    block_ms: float = Field(20.0, gt=0, le=60_000)
    """A timed block repeats the arm's images until it lasts at least this long. Short turns and many of them: what
    disturbs a machine for a second then meets an arm and its baseline alike."""
    calibration: int = Field(64, ge=1, le=100_000)
    """Training images that int8 runtimes are calibrated with."""
    claims: bool = False
    """Also time the networks that published claims on time are about, at 640 pixels; takes about half an hour."""


def latency_spec(settings: Mapping[str, Any]) -> LatencySpec:
    """Return the protocol with some settings changed on the command line.

    Raises:
        SpecError: names the option and what is wrong with it.
    """
    try:
        return LatencySpec.model_validate(settings)
    except ValidationError as error:
        found: dict[tuple[str | int, ...], list[str]] = {}
        for place, message in problems(LatencySpec, error):
            found.setdefault(place[:2], []).append(message)  # what one value might have been, in one line
        lines = [f"--{str(place[0]).replace('_', '-')}: {_either(told)}" for place, told in found.items()]
        raise SpecError("\n".join(dict.fromkeys(lines))) from error


def _either(told: Sequence[str]) -> str:
    """Return "Input should be a, or b (got c)" from what each of several types says of one value."""
    *others, last = told
    words = [*(text.rpartition(" (got ")[0] for text in others), last]
    return ", or ".join([words[0], *(word.removeprefix("Input should be ") for word in words[1:])])


def float_form(runtime: str) -> str:
    """Return the same library's runtime in float32."""
    return runtime.removesuffix(INT8)
