"""A preset and its ablations, resolved: the arms, and the set of unique training runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mnv4bench.io.errors import SpecError
from mnv4bench.io.names import checked_name
from mnv4bench.spec.ablation import ABLATIONS, AblationSpec
from mnv4bench.spec.arms import Arm, resolve
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
    """Run name → spec, each once, trunk and teacher included."""
    only: str | None = None
    seeds: int | None = None
    """As asked for, see `load`."""
    classifiers: Classifiers = field(default_factory=Classifiers)
    """Ablations of classifiers, which `ablations`, `arms` and `runs` leave out."""

    @property
    def published(self) -> bool:
        """Whether its arms judge given weights, which no run trains."""
        return all(arm.published for arm in self.arms)

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
        """Return the spec of an arm's first run, which its others differ from in the seed alone."""
        return self.runs[next(iter(arm.runs.values()))]

    def run(self, name: str) -> RunSpec:
        """Return the spec of a run.

        Raises:
            SpecError: the plan has no such run, which happens when YAML changed after the name was made.
        """
        if name not in self.runs:
            raise SpecError(f"preset {self.preset_name} has no run {name}; `mnv4bench plan` lists its runs")
        return self.runs[name]

    def classifier(self, name: str) -> ClassifierRun:
        """Return what a classifier is.

        Raises:
            SpecError: as of `run`.
        """
        if name not in self.classifiers.runs:
            raise SpecError(f"preset {self.preset_name} has no classifier {name}; `mnv4bench plan` lists them")
        return self.classifiers.runs[name]


def load(preset: str, only: str | None = None, root: Path = Path(), seeds: int | None = None) -> Plan:
    """Read config/<preset>.yaml and the ablations that it names, and resolve them.

    Args:
        only: one ablation of the preset's, or any other in ablations/, alone; or several, with commas between.
        seeds: how many of the preset's seeds to run, the first ones.

    Raises:
        SpecError: names the file, the line, the field and what is allowed.
    """
    path = root / PRESETS / f"{checked_name(preset, 'preset')}.yaml"
    if not path.parent.is_dir():
        raise SpecError(f"{path.parent}: no such folder; run from the project's folder")
    if not path.exists():
        raise SpecError(f"no preset {preset!r}: {path} does not exist; {nearest(preset, _names(root / PRESETS))}")
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
    arms, runs = resolve(file, spec, files, detectors)
    classifiers = resolve_classifiers(spec, files, others)
    return Plan(preset, spec, detectors, arms, runs, only, seeds, classifiers)


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
        raise SpecError(f"no ablation {name!r} in {root / ABLATIONS}; {nearest(name, known)}")


def _names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.yaml"))
