"""From YAML to runs: a preset and its ablations resolve to the set of unique training runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from mnv4bench.io.errors import SpecError
from mnv4bench.io.names import checked_name
from mnv4bench.spec.model import ModelSpec, PartName, Read, Spec, contested, default_read, readings
from mnv4bench.spec.run import DataSpec, LossSpec, MixtureSpec, RunSpec, TrainSpec
from mnv4bench.spec.yamlfile import YamlFile, nearest

ABLATIONS = Path("ablations")
PRESETS = Path("config")
ARM_FIELDS = ("model", "train", "loss", "distill", "mixture")
"""What the arms of an ablation may override."""


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


class LatencySpec(Spec):
    """How arms are timed (docs/method.md, latency)."""

    runtimes: tuple[str, ...] = ("torch", "onnxruntime", "openvino")
    """Names of mnv4bench.latency.runtimes.registry.RUNTIMES; those that are not installed are reported as absent."""
    threads: tuple[int | Literal["all"], ...] = (1,)
    """Thread counts, each with sessions of its own; tables and verdicts are about the first."""
    images: int = Field(32, ge=1)
    sessions: int = Field(8, ge=1)
    """Fresh processes; from five on, their scatter makes the interval. Where networks lie in memory differs between
    processes by more than rounds differ within one, so sessions are worth more than rounds."""
    rounds: int = Field(24, ge=1)
    """In each session; every arm has one turn in each."""
    blocks: int = Field(3, ge=1)
    """Timed blocks in each turn; the fastest counts."""
    block_ms: float = Field(20.0, gt=0)
    """A timed block repeats the arm's images until it lasts at least this long. Short turns and many of them: what
    disturbs a machine for a second then meets an arm and its baseline alike."""
    calibration: int = Field(64, ge=1)
    """Training images that int8 runtimes are calibrated with."""
    claims: bool = False
    """Also time the networks that published claims on time are about, at 640 pixels; takes about half an hour."""


def latency_spec(given: Mapping[str, Any]) -> LatencySpec:
    """Return the protocol with some settings changed on the command line.

    Raises:
        SpecError: names the option and what is wrong with it.
    """
    try:
        return LatencySpec.model_validate(given)
    except ValidationError as error:
        problems = [
            f"--{str(one['loc'][0]).replace('_', '-')}: {one['msg']} (got {one['input']!r})" for one in error.errors()
        ]
        raise SpecError("\n".join(dict.fromkeys(problems))) from error


class Preset(Spec):
    """config/<name>.yaml: data, schedule and seeds shared by every arm."""

    title: str
    model: ModelSpec = ModelSpec()
    data: DataSpec
    train: TrainSpec
    trunk: TrunkSpec | None = None
    scratch: ScratchSpec = ScratchSpec()
    teacher: TeacherSpec = TeacherSpec()
    seeds: tuple[int, ...] = Field(..., min_length=1)
    ablations: tuple[str, ...] = Field(..., min_length=1)
    arms: Literal["core", "all"] = "core"
    """Which arms of an ablation are run: those that it names as its core, or all."""
    latency: LatencySpec = LatencySpec()
    bootstrap: int = Field(2000, ge=100)
    """Image resamples behind the intervals."""

    @field_validator("seeds", "ablations")
    @classmethod
    def _no_repeats(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) != len(values):
            raise ValueError("each entry may stand once")
        return values


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
    """ablations/<name>.yaml: one question, and the arms that answer it."""

    title: str
    question: str
    about: str = ""
    """What the part is and what differs here from the source; for docs/ablations.md."""
    published: PublishedSpec | None = None
    start: Literal["trunk", "scratch"] = "trunk"
    """trunk: from the preset's trunk where it has one; scratch: from random weights, by the preset's `scratch`."""
    fresh: tuple[PartName, ...] | None = None
    """The parts that start from random weights in this ablation's arms, in place of those that the preset names."""
    common: dict[str, Any] = {}
    """Overrides of every arm, which an arm's own win over."""
    baseline: str
    arms: dict[str, dict[str, Any]] = Field(..., min_length=2)
    """Arm name → overrides by dotted field, such as {model.downsample: conv}; `read` says how detections are read."""
    core: tuple[str, ...] = ()
    """The arms that presets with `arms: core` run, the baseline among them; all where none is named."""
    primary: str = "AP"
    smallest_effect: float = Field(..., gt=0)
    """The difference of the primary metric (0–1) below which nobody would care."""

    @model_validator(mode="after")
    def _consistent(self) -> AblationSpec:
        if self.baseline not in self.arms:
            raise ValueError(f"baseline {self.baseline!r} is not an arm; {nearest(self.baseline, list(self.arms))}")
        if self.primary != "AP":
            raise ValueError("primary: allowed: AP")
        if self.start == "scratch" and self.fresh is not None:
            raise ValueError("fresh: from scratch everything is fresh; drop `fresh` or `start: scratch`")
        if self.core and self.baseline not in self.core:
            raise ValueError(f"core: the baseline {self.baseline!r} must be among them")
        figures = self.published.figures if self.published else {}
        for place, named in (("core", self.core), ("published.figures", figures)):
            for arm in named:
                if arm not in self.arms:
                    raise ValueError(f"{place}: {arm!r} is not an arm; {nearest(arm, list(self.arms))}")
        return self


@dataclass(frozen=True)
class Arm:
    """One arm of one ablation: a run per seed and a way of reading it."""

    ablation: str
    name: str
    read: Read
    model: ModelSpec
    runs: dict[int, str]
    """Seed → run name."""

    @property
    def label(self) -> str:
        return f"{self.ablation}/{self.name}"


@dataclass(frozen=True)
class Plan:
    """Everything that a preset asks for."""

    preset_name: str
    preset: Preset
    ablations: dict[str, AblationSpec]
    arms: tuple[Arm, ...]
    runs: dict[str, RunSpec] = field(default_factory=dict)
    """Run name → spec, each once, trunk and teacher included."""
    only: str | None = None
    seeds: int | None = None
    """As asked for, see `load`."""

    @property
    def title(self) -> str:
        """The preset's, with the ablations in brackets where they are not the preset's own."""
        return self.preset.title + (f" ({', '.join(self.ablations)})" if self.only else "")

    @property
    def config(self) -> str:
        """What follows the workflow's --config to get this plan again."""
        asked = {"preset": self.preset_name, "only": self.only, "seeds": self.seeds}
        return " ".join(f"{key}={value}" for key, value in asked.items() if value is not None)

    def arms_of(self, ablation: str) -> list[Arm]:
        return [arm for arm in self.arms if arm.ablation == ablation]

    def baseline(self, ablation: str) -> Arm:
        name = self.ablations[ablation].baseline
        return next(arm for arm in self.arms_of(ablation) if arm.name == name)

    def run(self, name: str) -> RunSpec:
        """Return the spec of a run.

        Raises:
            SpecError: the plan has no such run, which happens when YAML changed after the name was made.
        """
        if name not in self.runs:
            raise SpecError(f"preset {self.preset_name} has no run {name}; `mnv4bench plan` lists its runs")
        return self.runs[name]


def run_name(spec: RunSpec, role: str) -> str:
    """Return a run's folder name: what it is for a reader, the digest for the machine, the seed."""
    return f"{role}-{spec.digest()[:12]}-s{spec.seed}"


def slug(run: RunSpec) -> str:
    """Name a run by what differs from the default detector's; the digest tells apart what these words do not."""
    model, default = run.model, ModelSpec()
    implied = {"head"} if model.peer else {"block_stages", "kernel"} if model.block == "c2f" else set()
    words = [_word(key, value) for key, value in model if value != getattr(default, key) and key not in implied]
    if run.loss.weights != "sum":
        words.append(run.loss.weights)
    if (run.loss.alpha, run.loss.beta) != (LossSpec().alpha, LossSpec().beta):
        words.append(f"matching_{run.loss.alpha:g}_{run.loss.beta:g}")
    if run.mixture != MixtureSpec():
        words.append("from_" + "_".join(run.mixture.sets))
    return "+".join([*(words or ["default"]), *(["distilled"] if run.distill.wanted else [])])


def _word(key: str, value: Any) -> str:
    if isinstance(value, tuple):
        return "at_" + "_".join(value)
    if value in ("none", False):
        return f"no_{key}"
    return value if isinstance(value, str) else f"{key}_{value}"


def load(preset: str, only: str | None = None, root: Path = Path(), seeds: int | None = None) -> Plan:
    """Read config/<preset>.yaml and the ablations that it names, and resolve them.

    Args:
        only: one ablation of the preset's, or any other in ablations/, alone; or several, with commas between.
        seeds: how many of the preset's seeds to run, the first ones.

    Raises:
        SpecError: names the file, the line, the field and what is allowed.
    """
    path = root / PRESETS / f"{checked_name(preset, 'preset')}.yaml"
    if not path.exists():
        known = sorted(file.stem for file in (root / PRESETS).glob("*.yaml"))
        raise SpecError(f"no preset {preset!r}: {path} does not exist; {nearest(preset, known)}")
    config = YamlFile(path)
    spec = config.parse(Preset)
    if seeds is not None:
        if not 1 <= seeds <= len(spec.seeds):
            raise SpecError(f"seeds={seeds}: {path} has {len(spec.seeds)}; allowed: 1 to {len(spec.seeds)}")
        spec = spec.model_copy(update={"seeds": spec.seeds[:seeds]})
    known = sorted(file.stem for file in (root / ABLATIONS).glob("*.yaml"))
    names = spec.ablations if only is None else tuple(dict.fromkeys(str(only).split(",")))
    for position, name in enumerate(names):
        if only is not None:
            checked_name(name, "ablation")
        if name not in known:
            message = f"no ablation {name!r} in {root / ABLATIONS}; {nearest(name, known)}"
            raise SpecError(message) if only else config.error(("ablations", position), message)
    files = {name: YamlFile(root / ABLATIONS / f"{name}.yaml") for name in names}
    return replace(_resolve(preset, config, spec, files), only=only, seeds=seeds)


def _resolve(preset: str, config: YamlFile, spec: Preset, files: Mapping[str, YamlFile]) -> Plan:
    runs: dict[str, RunSpec] = {}

    def add(run: RunSpec, role: str) -> str:
        name = run_name(run, role)
        runs[name] = run
        return name

    trunk = fresh = None
    if spec.trunk is not None:
        train = _override(config, spec.train, spec.trunk.train, ("trunk", "train"))
        trunk = add(RunSpec(model=spec.model, data=spec.data, train=train), "trunk")
        fresh = spec.trunk.fresh
    if spec.teacher.from_trunk and trunk is None:
        raise config.error(("teacher", "from_trunk"), "there is no trunk; add `trunk:` or drop this line")

    def teacher() -> str:
        model = _override(config, spec.model, spec.teacher.model, ("teacher", "model"))
        if model.peer is not None:
            raise config.error(("teacher", "model"), f"students learn from our own detector, not from {model.peer}")
        train = _override(config, spec.train, spec.teacher.train, ("teacher", "train"))
        start = trunk if spec.teacher.from_trunk else None
        return add(RunSpec(model=model, data=spec.data, train=train, start=start), "teacher")

    scratch = _override(config, spec.train, spec.scratch.train, ("scratch", "train"))
    ablations, arms = {}, []
    for name, file in files.items():
        ablation = ablations[name] = file.parse(AblationSpec)
        base = RunSpec(model=spec.model, data=spec.data, train=spec.train)
        if ablation.start == "scratch":
            base = base.model_copy(update={"train": scratch})
        elif trunk:
            base = base.model_copy(update={"start": trunk, "fresh": ablation.fresh or fresh})
        base = _override(file, base, ablation.common, ("common",), allowed=ARM_FIELDS)
        seen: dict[tuple[str, Read], str] = {}
        for arm_name, overrides in ablation.arms.items():
            if spec.arms == "core" and ablation.core and arm_name not in ablation.core:
                continue
            place = ("arms", arm_name)
            fields = dict(overrides)
            read = fields.pop("read", None)
            run = _override(file, base, fields, place, allowed=ARM_FIELDS)
            if run.distill.wanted:
                run = run.model_copy(update={"teacher": teacher()})
            possible = readings(run.model)
            if read is None:
                read = default_read(run.model)
            elif read not in possible:
                raise file.error(
                    (*place, "read"), f"a {run.model.head} head cannot be read {read!r}; allowed: {', '.join(possible)}"
                )
            if run.start:
                _check_fresh(file, place, spec.model, run.model, run.fresh)
            key = (run.canonical(), read)
            if key in seen:
                raise file.error(place, f"resolves to the same run as arm {seen[key]!r}; change a field or drop one")
            seen[key] = arm_name
            seeded = {seed: add(run.model_copy(update={"seed": seed}), slug(run)) for seed in spec.seeds}
            arms.append(Arm(name, arm_name, read, run.model, seeded))
    if trunk and not any(run.start == trunk for run in runs.values()):
        del runs[trunk]
    return Plan(preset, spec, ablations, tuple(arms), runs)


def _check_fresh(
    file: YamlFile, place: tuple[str, ...], trunk: ModelSpec, model: ModelSpec, fresh: tuple[str, ...]
) -> None:
    """Refuse an arm that contests a part which the others would load ready-trained."""
    for key, parts in contested(trunk, model):
        if parts is None or not set(parts) <= set(fresh):
            named = " and ".join(parts) if parts else "the whole network"
            raise file.error(
                (*place, f"model.{key}"),
                f"decides {named}, which this preset loads from its trunk, so the arms would not start alike; "
                "name the parts in this file's `fresh` or the preset's trunk.fresh, or write `start: scratch`",
            )


def _override(
    file: YamlFile, base: Any, overrides: Mapping[str, Any], place: tuple[str, ...], allowed: tuple[str, ...] = ()
) -> Any:
    """Return `base` with dotted fields replaced, validated as a whole; errors name the override's line."""
    values = base.model_dump(mode="python")
    for dotted, value in overrides.items():
        owner, kind = values, type(base)
        *parents, last = dotted.split(".")
        if allowed and (not parents or parents[0] not in allowed):
            choices = sorted(f"{top}.{key}" for top in allowed for key in type(getattr(base, top)).model_fields)
            raise file.error((*place, dotted), f"unknown field; {nearest(dotted, [*choices, 'read'])}")
        for parent in parents:
            if parent not in kind.model_fields or not isinstance(owner[parent], dict):
                raise file.error((*place, dotted), f"unknown field; {nearest(parent, sorted(kind.model_fields))}")
            owner, kind = owner[parent], kind.model_fields[parent].annotation
        if last not in kind.model_fields:
            raise file.error((*place, dotted), f"unknown field; {nearest(last, sorted(kind.model_fields))}")
        owner[last] = value
    try:
        return type(base).model_validate(values)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            dotted = ".".join(str(key) for key in problem["loc"])
            message = str(problem["msg"]).removeprefix("Value error, ")
            got = "" if isinstance(problem["input"], dict) else f" (got {problem['input']!r})"
            lines.append(str(file.error((*place, dotted), message + got)))
        raise SpecError("\n".join(lines)) from error
