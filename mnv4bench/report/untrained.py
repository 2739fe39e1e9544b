"""The one place that says from which AP on a network has learned something, for what is shown of a single network."""

from __future__ import annotations

from pathlib import Path

from mnv4bench.results.record import read_record
from mnv4bench.results.reference import RECORD, Reference
from mnv4bench.spec.preset import PRESETS, GateSpec, Preset
from mnv4bench.spec.yamlfile import YamlFile

RUNS = "runs"
"""Folder of a preset's results in which its runs lie."""


def least_ap(model: Path) -> float:
    """Return the AP below which a network is called untrained: by the gates of the preset whose run it is.

    What is no run of a preset of this project, such as a checkpoint, is judged by the default gates.

    Raises:
        SpecError: the preset's file is not valid.
    """
    runs = model.resolve().parent
    record = runs.parent / RECORD
    name = read_record(record, Reference).preset if record.is_file() else runs.parent.name
    path = PRESETS / f"{name}.yaml"
    gates = YamlFile(path).parse(Preset).gates if runs.name == RUNS and path.is_file() else GateSpec()
    return gates.class_ap
