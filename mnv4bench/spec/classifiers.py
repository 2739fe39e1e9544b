"""Ablations of classifiers, resolved: their arms, and the set of unique runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mnv4bench.spec.ablation import AblationSpec
from mnv4bench.spec.arms import override
from mnv4bench.spec.classifier import ClassifierArm, ClassifierRun
from mnv4bench.spec.preset import Preset
from mnv4bench.spec.yamlfile import YamlFile


@dataclass(frozen=True)
class Classifiers:
    """The part of a plan that is about classifiers; its ablations are not among the plan's own."""

    ablations: dict[str, AblationSpec] = field(default_factory=dict)
    arms: dict[str, dict[str, dict[int, str]]] = field(default_factory=dict)
    """Ablation → arm → seed → name of the run."""
    runs: dict[str, ClassifierRun] = field(default_factory=dict)
    """Each once, whichever arms name it."""


def resolve_classifiers(
    preset: Preset, files: Mapping[str, YamlFile], ablations: Mapping[str, AblationSpec]
) -> Classifiers:
    """Return what ablations with `start: classifiers` ask for.

    Raises:
        SpecError: names the file, the line, the field and what is allowed.
    """
    found, settings = Classifiers(dict(ablations)), preset.classifiers.of_runs
    for name, spec in ablations.items():
        file = files[name]
        common = override(file, ClassifierArm(), spec.common, ("common",))
        known: dict[ClassifierArm, str] = {}
        found.arms[name] = {}
        for arm, fields in spec.arms.items():
            if preset.arms == "core" and spec.core and arm not in spec.core:
                continue
            resolved = override(file, common, fields, ("arms", arm))
            if resolved in known:
                told = f"resolves to the same run as arm {known[resolved]!r}; change a field or drop one"
                raise file.error(("arms", arm), told)
            known[resolved] = arm
            runs = {seed: ClassifierRun(settings=settings, arm=resolved, seed=seed) for seed in preset.seeds}
            found.arms[name][arm] = {seed: run.name for seed, run in runs.items()}
            found.runs.update({run.name: run for run in runs.values()})
    return found
