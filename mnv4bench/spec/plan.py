"""A preset and its ablations, resolved: the arms, and the set of unique training runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mnv4bench.io.errors import SpecError
from mnv4bench.io.names import checked_name
from mnv4bench.spec.ablation import ABLATIONS, AblationSpec
from mnv4bench.spec.arms import Arm, Trunk, own_trunks, resolve
from mnv4bench.spec.classifier import ClassifierRun
from mnv4bench.spec.classifiers import Classifiers, resolve_classifiers
from mnv4bench.spec.preset import PRESETS, Preset
from mnv4bench.spec.problems import nearest
from mnv4bench.spec.run import RunSpec
from mnv4bench.spec.yamlfile import YamlFile


@dataclass(frozen=True)
class Plan:
    """Everything that a preset asks for."""

    preset_name: str
    preset: Preset
    ablations: dict[str, AblationSpec]
    arms: tuple[Arm, ...]
    runs: dict[str, RunSpec]
    """Run name → spec, each once, trunks and teacher included."""
    trunks: tuple[Trunk, ...] = ()
    only: str | None = None
    seeds: int | None = None
    """As asked for, see `load`."""
    classifiers: Classifiers = field(default_factory=Classifiers)
    """Ablations of classifiers, which `ablations`, `arms` and `runs` leave out."""

    @property
    def published(self) -> bool:
        """Whether its arms judge given weights, which no run trains."""
        return bool(self.arms) and all(arm.published for arm in self.arms)

    @property
    def takes_trunks(self) -> bool:
        """Whether its trunks are another preset's, so that shipped ones are taken."""
        return self.preset.trunk is not None and self.preset.trunk.preset is not None

    @property
    def trunks_only(self) -> bool:
        """Whether its trunks are all that it trains."""
        return not self.names

    @property
    def names(self) -> tuple[str, ...]:
        """Return all ablations, those of detectors first."""
        return (*self.ablations, *self.classifiers.ablations)

    @property
    def title(self) -> str:
        """The preset's, with the ablations in brackets where they are not the preset's own."""
        return self.preset.title + (f" ({', '.join(self.names)})" if self.only else "")

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

    def spec(self, arm: Arm) -> RunSpec:
        """Return the spec of an arm's first run; others differ in the seed, and in their trunk and its parts."""
        return self.runs[next(iter(arm.runs.values()))]

    def run(self, name: str) -> RunSpec:
        """Return the spec of a run.

        Raises:
            SpecError: the plan has no such run, which happens when YAML changed after the name was made.
        """
        if name not in self.runs:
            raise SpecError(f"preset {self.preset_name} has no run {name}; `mnv4bench plan --runs` lists its runs")
        return self.runs[name]

    def classifier(self, name: str) -> ClassifierRun:
        """Return what a classifier is.

        Raises:
            SpecError: as of `run`.
        """
        if name not in self.classifiers.runs:
            raise SpecError(f"preset {self.preset_name} has no classifier {name}; `mnv4bench plan --runs` lists them")
        return self.classifiers.runs[name]


def load(preset: str, only: str | None = None, root: Path = Path(), seeds: int | None = None) -> Plan:
    """Read config/<preset>.yaml and the ablations that it names, and resolve them.

    Args:
        only: one ablation of the preset's, or any other in ablations/, alone; or several, with commas between.
        seeds: how many of the preset's seeds to run, the first ones.

    Raises:
        SpecError: names the file, the line, the field and what is allowed.
    """
    path = _preset_path(preset, root)
    file = YamlFile(path)
    spec = file.parse(Preset)
    if seeds is not None:
        if isinstance(seeds, bool) or not isinstance(seeds, int) or not 1 <= seeds <= len(spec.seeds):
            raise SpecError(f"seeds={seeds}: {path} has {len(spec.seeds)}; allowed: 1 to {len(spec.seeds)}")
        spec = spec.model_copy(update={"seeds": spec.seeds[:seeds]})
    names = _preset_ablations(file, spec, root) if only is None else _chosen_ablations(only, root)
    files = {name: YamlFile(root / ABLATIONS / f"{name}.yaml") for name in names}
    ablations = {name: file.parse(AblationSpec) for name, file in files.items()}
    detectors = {name: ablation for name, ablation in ablations.items() if ablation.start != "classifiers"}
    others = {name: ablation for name, ablation in ablations.items() if name not in detectors}
    trunks = _trunks(file, spec, root)
    arms, runs = resolve(file, spec, trunks, files, detectors)
    needed = {run.start for run in runs.values()}
    used = tuple(trunk for trunk in trunks if not names or trunk.name in needed)
    for trunk in trunks:
        if trunk not in used:
            del runs[trunk.name]
    classifiers = resolve_classifiers(spec, files, others)
    return Plan(preset, spec, detectors, arms, runs, used, only, seeds, classifiers)


def refuse_other_endings(folder: Path, name: str = "*") -> None:
    """Refuse YAML files of a folder that nothing reads because of their ending.

    Raises:
        SpecError: names each of them.
    """
    unread = [path for path in sorted(folder.glob(f"{name}.*")) if path.suffix.lower() in (".yml", ".yaml")]
    wrong = [f"{path}: is not read; rename it to {path.stem}.yaml" for path in unread if path.suffix != ".yaml"]
    if wrong:
        raise SpecError("\n".join(wrong))


def _trunks(file: YamlFile, preset: Preset, root: Path) -> tuple[Trunk, ...]:
    """Return the trunks that arms start from: the preset's own, or those of the preset that it names."""
    if preset.trunk is None:
        return ()
    trunks = own_trunks(file, preset)
    if preset.trunk.preset is not None:
        try:
            path = _preset_path(preset.trunk.preset, root)
        except SpecError as error:
            raise file.error(("trunk", "preset"), str(error)) from error
        other = YamlFile(path)
        spec = other.parse(Preset)
        if spec.trunk is None or spec.trunk.preset is not None:
            raise file.error(("trunk", "preset"), f"{path} trains no trunks of its own; name a preset that does")
        if spec.data != preset.data:
            raise file.error(("trunk", "preset"), f"the trunks of {path} learned from other data; copy its `data:`")
        if spec.model != preset.model:
            raise file.error(("trunk", "preset"), f"the trunks of {path} are other networks; copy its `model:`")
        trunks = own_trunks(other, spec)
    return trunks


def _preset_path(name: str, root: Path) -> Path:
    path = root / PRESETS / f"{checked_name(name, 'preset')}.yaml"
    if not path.parent.is_dir():
        raise SpecError(f"{path.parent}: no such folder; run from the project's folder")
    if not path.exists():
        refuse_other_endings(path.parent, name)
        raise SpecError(f"no preset {name!r}: {path} does not exist; {nearest(name, _names(root / PRESETS))}")
    return path


def _preset_ablations(file: YamlFile, preset: Preset, root: Path) -> tuple[str, ...]:
    for position, name in enumerate(preset.ablations):
        try:
            _check_ablation(name, root)
        except SpecError as error:
            raise file.error(("ablations", position), str(error)) from error
    return preset.ablations


def _chosen_ablations(only: object, root: Path) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(str(only).split(",")))
    for name in names:
        _check_ablation(name, root)
    return names


def _check_ablation(name: str, root: Path) -> None:
    known = _names(root / ABLATIONS)
    if checked_name(name, "ablation") not in known:
        refuse_other_endings(root / ABLATIONS, name)
        raise SpecError(f"no ablation {name!r} in {root / ABLATIONS}; {nearest(name, known)}")


def _names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.yaml"))
