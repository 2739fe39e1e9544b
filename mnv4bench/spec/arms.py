"""From a preset and its ablations to arms: overrides applied, runs shared, unfair starts refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from mnv4bench.io.errors import SpecError, UnderPreset
from mnv4bench.spec.ablation import WORDS, AblationSpec
from mnv4bench.spec.base import Spec
from mnv4bench.spec.model import ModelSpec, Read, contested, default_read, readings
from mnv4bench.spec.naming import run_name, slug
from mnv4bench.spec.preset import Preset
from mnv4bench.spec.pretrained import PretrainedSpec, pretrained
from mnv4bench.spec.problems import nearest, problems
from mnv4bench.spec.run import RunSpec, TrainSpec
from mnv4bench.spec.yamlfile import YamlFile

ARM_FIELDS = ("model", "train", "loss", "distill", "mixture")
"""What the arms of an ablation may override."""

PUBLISHED_FIELDS = ("model", "data", "deploy")
"""What the arms of an ablation of published networks may override; of the data the side in pixels alone."""

APART = ("read", "start")
"""What else an arm may say, which is no field of a run."""

AnySpec = TypeVar("AnySpec", bound=Spec)


class FieldError(SpecError):
    """A field that does not exist, or a value that it never takes: wrong whatever the preset."""


@dataclass(frozen=True)
class Arm:
    """One arm of one ablation: a run per seed and a way of reading it."""

    ablation: str
    name: str
    title: str
    """What people read."""
    read: Read
    model: ModelSpec
    runs: dict[int, str]
    """Seed → run name; published weights have one run, whatever the preset's seeds."""
    published: bool = False
    """Whether it judges given weights, so that only the images are a sample."""

    @property
    def label(self) -> str:
        return f"{self.ablation}/{self.name}"

    @property
    def full_title(self) -> str:
        """Return the title beside those of other ablations; settings of published weights need only their own."""
        return self.title if self.published else f"{self.ablation}: {self.title}"


@dataclass(frozen=True)
class Trunk:
    """A trained network that arms start from."""

    block: str
    name: str
    """Of its run."""
    spec: RunSpec


@dataclass(frozen=True)
class _Shared:
    """What a preset gives to all of its ablations."""

    file: YamlFile
    preset: Preset
    scratch: TrainSpec
    trunks: tuple[Trunk, ...]
    teacher: RunSpec


def resolve(
    file: YamlFile,
    preset: Preset,
    trunks: Sequence[Trunk],
    files: Mapping[str, YamlFile],
    ablations: Mapping[str, AblationSpec],
) -> tuple[tuple[Arm, ...], dict[str, RunSpec]]:
    """Return every arm, and name → spec of every run, each once, trunks and teacher included where they are needed.

    Args:
        file: the preset's, for errors.
        files: the ablations', likewise.

    Raises:
        SpecError: names the file, the line, the field and what is allowed; UnderPreset where it may be under another.
    """
    shared = _shared(file, preset, tuple(trunks))
    teacher = run_name(shared.teacher, "teacher")
    runs = {trunk.name: trunk.spec for trunk in trunks}
    arms = []
    for ablation, spec in ablations.items():
        try:
            blocks = [list(_runs(files[ablation], spec, shared, trunk)) for trunk in trunks or (None,)]
        except FieldError:
            raise
        except SpecError as error:
            raise UnderPreset(str(error), file.path) from error
        for versions in zip(*blocks, strict=True):
            name, read, run = versions[0]
            if run.teacher:
                runs[teacher] = shared.teacher
            published = spec.start == "published"
            by_seed = {
                seed: versions[seed % len(versions)][2].model_copy(update={"seed": seed})
                for seed in ((0,) if published else preset.seeds)
            }
            names = {seed: run_name(seeded, slug(seeded)) for seed, seeded in by_seed.items()}
            runs |= {names[seed]: seeded for seed, seeded in by_seed.items()}
            arms.append(Arm(ablation, name, spec.title_of(name), read, run.model, names, published))
    return tuple(arms), runs


def own_trunks(file: YamlFile, preset: Preset) -> tuple[Trunk, ...]:
    """Return the trunks that a preset trains, each of a seed of its own."""
    if preset.trunk is None:
        return ()
    train = override(file, preset.train, preset.trunk.train, ("trunk", "train"))
    train = train.model_copy(update={"half_weights": True})
    trunks = []
    for seed, (block, fields) in enumerate(preset.trunk.blocks.items()):
        model = override(file, preset.model, fields, ("trunk", "blocks", block))
        given = _pretrained(file, ("start",), preset.start, model)
        spec = RunSpec(model=model, data=preset.data, train=train, seed=seed, pretrained=given)
        trunks.append(Trunk(block, run_name(spec, "trunk"), spec))
    return tuple(trunks)


def _shared(file: YamlFile, preset: Preset, trunks: tuple[Trunk, ...]) -> _Shared:
    scratch = override(file, preset.train, preset.scratch.train, ("scratch", "train"))
    if preset.teacher.from_trunk and not trunks:
        raise file.error(("teacher", "from_trunk"), "there is no trunk; add `trunk:` or drop this line")
    model = override(file, preset.model, preset.teacher.model, ("teacher", "model"))
    if model.peer is not None:
        raise file.error(("teacher", "model"), f"students learn from our own detector, not from {model.peer}")
    teacher = RunSpec(
        model=model,
        data=preset.data,
        train=override(file, preset.train, preset.teacher.train, ("teacher", "train")),
        start=trunks[0].name if preset.teacher.from_trunk else None,
        pretrained=None if preset.teacher.from_trunk else _pretrained(file, ("start",), preset.start, model),
    )
    return _Shared(file, preset, scratch, trunks, teacher)


def _runs(
    file: YamlFile, ablation: AblationSpec, shared: _Shared, trunk: Trunk | None
) -> Iterator[tuple[str, Read, RunSpec]]:
    """Yield name, reading and run (of no seed yet) of each arm that the preset asks for, beside one trunk's parts."""
    base = _base(file, ablation, shared, trunk)
    first: RunSpec | None = None
    known: dict[tuple[str, Read], str] = {}
    for name, fields in ablation.arms.items():
        if shared.preset.arms == "core" and ablation.core and name not in ablation.core:
            continue
        place = ("arms", name)
        overrides = {key: value for key, value in fields.items() if key not in APART}
        run = override(file, base, overrides, place, allowed=_allowed(ablation))
        if run.data.model_copy(update={"imgsz": base.data.imgsz}) != base.data:
            raise file.error(place, "data: all arms are scored on the same images; only data.imgsz may differ")
        if run.distill.wanted:
            run = run.model_copy(update={"teacher": run_name(shared.teacher, "teacher")})
        run = run.model_copy(update={"pretrained": _given(file, ablation, name, shared, run)})
        read = _read(file, ablation, name, run.model)
        if trunk and run.start:
            _check_fresh(file, place, trunk.spec.model, run.model, run.fresh)
        if run.pretrained:
            first = first or run
            if first.pretrained == run.pretrained:
                origin, remedy = run.pretrained.file, "give this arm a `start` of its own"
                _check_fresh(file, place, first.model, run.model, run.fresh, origin, remedy)
        key = (run.canonical(), read)
        if key in known:
            remedy = "change a field, write out that arm's values, or drop one"
            raise file.error(place, f"resolves to the same run as arm {known[key]!r}; {remedy}")
        known[key] = name
        yield name, read, run


def _base(file: YamlFile, ablation: AblationSpec, shared: _Shared, trunk: Trunk | None) -> RunSpec:
    """Return what all arms of an ablation have in common beside one trunk."""
    preset = shared.preset
    if ablation.start == "published" and not preset.model.weights:
        raise file.error(
            ("start",), "published weights need a preset that names some in model.weights: --config preset=published"
        )
    if ablation.start != "published" and preset.model.weights:
        raise file.error(
            ("start",), "trains its arms, and this preset has published weights alone; choose another preset"
        )
    base = RunSpec(model=preset.model, data=preset.data, train=preset.train)
    if ablation.start == "scratch":
        base = base.model_copy(update={"train": shared.scratch})
    elif ablation.start == "trunk" and trunk:
        base = base.model_copy(update={"model": trunk.spec.model, "start": trunk.name, "fresh": ablation.fresh})
    elif ablation.start not in WORDS:
        base = base.model_copy(update={"train": shared.scratch, "fresh": ablation.fresh})
    elif ablation.start == "trunk" and preset.start:
        base = base.model_copy(update={"fresh": ablation.fresh})
    common = {key: value for key, value in ablation.common.items() if key not in APART}
    return override(file, base, common, ("common",), allowed=_allowed(ablation))


def _given(file: YamlFile, ablation: AblationSpec, arm: str, shared: _Shared, run: RunSpec) -> PretrainedSpec | None:
    """Return what an arm starts from besides a trunk: its own `start`, all arms', the ablation's, the preset's."""
    for place, fields in ((("arms", arm), ablation.arms[arm]), (("common",), ablation.common)):
        if "start" in fields:
            if run.start or ablation.start == "published":
                raise file.error(
                    (*place, "start"), f"its arms start from {ablation.start}; write `start: scratch` above the arms"
                )
            return _pretrained(file, (*place, "start"), fields["start"], run.model)
    if ablation.start not in WORDS:
        return _pretrained(file, ("start",), ablation.start, run.model)
    if ablation.start == "trunk" and not run.start:
        return _pretrained(shared.file, ("start",), shared.preset.start, run.model)
    return None


def _pretrained(file: YamlFile, place: tuple[str, ...], given: object, model: ModelSpec) -> PretrainedSpec | None:
    """Return what a `start` names; None for random weights."""
    if given in (None, "scratch"):
        return None
    try:
        return pretrained(str(given), model)
    except (ValueError, OSError) as error:
        raise file.error(place, str(error)) from error


def _allowed(ablation: AblationSpec) -> tuple[str, ...]:
    return PUBLISHED_FIELDS if ablation.start == "published" else ARM_FIELDS


def _read(file: YamlFile, ablation: AblationSpec, arm: str, model: ModelSpec) -> Read:
    """Return how an arm is read: by its own `read`, all arms', or as its head is by default."""
    own = "read" in ablation.arms[arm]
    asked = (ablation.arms[arm] if own else ablation.common).get("read")
    if asked is None:
        return default_read(model)
    for read in readings(model):
        if read == asked:
            return read
    allowed = ", ".join(readings(model))
    place = ("arms", arm) if own else ("common",)
    raise file.error((*place, "read"), f"a {model.head} head cannot be read {asked!r}; allowed: {allowed}")


def _check_fresh(
    file: YamlFile,
    place: tuple[str, ...],
    trunk: ModelSpec,
    model: ModelSpec,
    fresh: tuple[str, ...],
    origin: str = "their trunk",
    remedy: str = "write `start: scratch`",
) -> None:
    """Refuse an arm that contests a part which the others would load ready-trained."""
    for key, parts in contested(trunk, model):
        if parts is None or not set(parts) <= set(fresh):
            named = " and ".join(parts) if parts else "the whole network"
            raise file.error(
                (*place, f"model.{key}"),
                f"decides {named}, which arms load from {origin}, so they would not start alike; "
                f"name the parts in this file's `fresh`, or {remedy}",
            )


def override(
    file: YamlFile,
    base: AnySpec,
    overrides: Mapping[str, Any],
    place: tuple[str, ...],
    allowed: tuple[str, ...] = (),
) -> AnySpec:
    """Return `base` with dotted fields replaced, validated as a whole; errors name the override's line.

    Args:
        allowed: the fields of `base` in which overrides may lie; all where none is named.
    """

    def wrong(dotted: str, message: str) -> FieldError:
        return FieldError(str(file.error((*place, dotted), message)))

    values = base.model_dump(mode="python")
    for dotted, value in overrides.items():
        owner, kind = values, type(base)
        *parents, last = dotted.split(".")
        for end in range(1, len(parents) + 1):
            if (group := ".".join(parents[:end])) in overrides:  # whichever came last would undo the other
                raise wrong(dotted, f"lies in {group}, which stands here too; drop one")
        if allowed and (not parents or parents[0] not in allowed):
            fields = sorted(f"{top}.{key}" for top in allowed for key in _fields(type(getattr(base, top))))
            raise wrong(dotted, f"unknown field; {nearest(dotted, [*fields, 'read'])}")
        for parent in parents:
            if parent not in _fields(kind) or not _fields(_kind(kind, parent)):
                raise wrong(dotted, f"unknown field; {nearest(parent, _fields(kind))}")
            owner, kind = owner[parent], _kind(kind, parent)
        if last not in _fields(kind):
            raise wrong(dotted, f"unknown field; {nearest(last, _fields(kind))}")
        owner[last] = value
    try:
        return type(base).model_validate(values)
    except ValidationError as error:
        lines = [str(wrong(".".join(map(str, where)), message)) for where, message in problems(type(base), error)]
        # What a whole record refuses may come of values beside it, the preset's.
        beside = any(problem["type"] == "value_error" for problem in error.errors())
        raise (SpecError if beside else FieldError)("\n".join(lines)) from error


def _fields(kind: Any) -> list[str]:
    """Return the names of a record's fields; none of anything else."""
    return sorted(getattr(kind, "model_fields", {}))


def _kind(kind: Any, field: str) -> Any:
    return kind.model_fields[field].annotation
