"""From YAML to runs: a preset and its ablations resolve to the set of unique training runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from mnv4bench.errors import SpecError
from mnv4bench.spec import (
    PARTS_OF,
    DataSpec,
    DistillSpec,
    ModelSpec,
    PartName,
    Read,
    RunSpec,
    Spec,
    TrainSpec,
    default_read,
    readings,
)
from mnv4bench.yamlfile import YamlFile, nearest

ABLATIONS = Path("ablations")
PRESETS = Path("config")


class TrunkSpec(Spec):
    """The run that all arms start from, and the parts that start fresh in every arm."""

    fresh: tuple[PartName, ...]
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
    """Names of mnv4bench.latency.runtimes.RUNTIMES; those that are not installed are reported as absent."""
    threads: tuple[int | Literal["all"], ...] = (1,)
    """Thread counts, each with sessions of its own; tables and verdicts are about the first."""
    images: int = Field(32, ge=1)
    sessions: int = Field(3, ge=1)
    """Fresh processes."""
    rounds: int = Field(12, ge=1)
    """In each session; every arm has one turn in each."""
    blocks: int = Field(5, ge=1)
    """Timed blocks in each turn; the fastest counts."""
    block_ms: float = Field(100.0, gt=0)
    """A timed block repeats the arm's images until it lasts at least this long."""
    calibration: int = Field(64, ge=1)
    """Training images that int8 runtimes are calibrated with."""


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
    teacher: TeacherSpec = TeacherSpec()
    seeds: tuple[int, ...] = Field(..., min_length=1)
    ablations: tuple[str, ...] = Field(..., min_length=1)
    latency: LatencySpec = LatencySpec()
    bootstrap: int = Field(2000, ge=100)
    """Image resamples behind the intervals."""

    @field_validator("seeds", "ablations")
    @classmethod
    def _no_repeats(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) != len(values):
            raise ValueError("each entry may stand once")
        return values


class AblationSpec(Spec):
    """ablations/<name>.yaml: one question, and the arms that answer it."""

    title: str
    question: str
    published: dict[str, Any] = {}
    """What the source claims, with its place; printed beside the result and never used in computing it."""
    baseline: str
    arms: dict[str, dict[str, Any]] = Field(..., min_length=2)
    """Arm name → overrides by dotted field, such as {model.downsample: conv}; `read` says how detections are read."""
    primary: str = "AP"
    smallest_effect: float = Field(..., gt=0)
    """The difference of the primary metric (0–1) below which nobody would care."""

    @model_validator(mode="after")
    def _baseline_is_an_arm(self) -> AblationSpec:
        if self.baseline not in self.arms:
            raise ValueError(f"baseline {self.baseline!r} is not an arm; {nearest(self.baseline, list(self.arms))}")
        if self.primary != "AP":
            raise ValueError("primary: allowed: AP")
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


def slug(model: ModelSpec, distill: DistillSpec) -> str:
    """Name a model by what differs from the default detector."""
    default = ModelSpec()
    words = [
        f"{value}" if isinstance(value, str) else f"{key}-{value}".lower()
        for key, value in model
        if value != getattr(default, key) and not (key == "large_kernel" and model.p5_block == "c2f")
    ]
    words = ["no_attention" if word == "none" else word for word in words]
    return "+".join([*(words or ["default"]), *(["distilled"] if distill.wanted else [])])


def load(preset: str, only: str | None = None, root: Path = Path(), seeds: int | None = None) -> Plan:
    """Read config/<preset>.yaml and the ablations that it names, and resolve them.

    Args:
        only: one ablation of the preset's, or any other in ablations/, alone.
        seeds: how many of the preset's seeds to run, the first ones.

    Raises:
        SpecError: names the file, the line, the field and what is allowed.
    """
    path = root / PRESETS / f"{preset}.yaml"
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
    names = spec.ablations if only is None else (only,)
    for position, name in enumerate(names):
        if name not in known:
            message = f"no ablation {name!r} in {root / ABLATIONS}; {nearest(name, known)}"
            raise SpecError(message) if only else config.error(("ablations", position), message)
    files = {name: YamlFile(root / ABLATIONS / f"{name}.yaml") for name in names}
    return _resolve(preset, config, spec, files)


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
        train = _override(config, spec.train, spec.teacher.train, ("teacher", "train"))
        start = trunk if spec.teacher.from_trunk else None
        return add(RunSpec(model=model, data=spec.data, train=train, start=start), "teacher")

    ablations, arms = {}, []
    for name, file in files.items():
        ablation = ablations[name] = file.parse(AblationSpec)
        seen: dict[tuple[str, Read], str] = {}
        for arm_name, overrides in ablation.arms.items():
            place = ("arms", arm_name)
            fields = dict(overrides)
            read = fields.pop("read", None)
            base = RunSpec(model=spec.model, data=spec.data, train=spec.train, start=trunk, fresh=fresh or ())
            run = _override(file, base, fields, place, allowed=("model", "train", "distill"))
            if run.distill.wanted:
                run = run.model_copy(update={"teacher": teacher()})
            possible = readings(run.model)
            if read is None:
                read = default_read(run.model)
            elif read not in possible:
                raise file.error(
                    (*place, "read"), f"a {run.model.head} head cannot be read {read!r}; allowed: {', '.join(possible)}"
                )
            if fresh is not None:
                _check_fresh(file, place, spec.model, run.model, fresh)
            key = (run.canonical(), read)
            if key in seen:
                raise file.error(place, f"resolves to the same run as arm {seen[key]!r}; change a field or drop one")
            seen[key] = arm_name
            seeded = {
                seed: add(run.model_copy(update={"seed": seed}), slug(run.model, run.distill)) for seed in spec.seeds
            }
            arms.append(Arm(name, arm_name, read, run.model, seeded))
    return Plan(preset, spec, ablations, tuple(arms), runs)


def _check_fresh(
    file: YamlFile, place: tuple[str, ...], trunk: ModelSpec, model: ModelSpec, fresh: tuple[str, ...]
) -> None:
    """Refuse an arm that contests a part which the others would load ready-trained."""
    for key, value in model:
        if value == getattr(trunk, key):
            continue
        parts = PARTS_OF.get(key)
        if parts is None or not set(parts) <= set(fresh):
            named = " and ".join(parts) if parts else "the whole network"
            raise file.error(
                (*place, f"model.{key}"),
                f"decides {named}, which this preset loads from its trunk, so the arms would not start alike; "
                "add it to the preset's trunk.fresh, or use a preset without trunk",
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
            lines.append(str(file.error((*place, dotted), f"{message} (got {problem['input']!r})")))
        raise SpecError("\n".join(lines)) from error
