"""A new ablation's file: commented, valid as it stands, and ready to be changed."""

from __future__ import annotations

from pathlib import Path

from mnv4bench.io.errors import SpecError
from mnv4bench.io.files import write_text
from mnv4bench.io.names import checked_name
from mnv4bench.spec.ablation import ABLATIONS

TEMPLATE = """\
# {name}: one question, and the arms that answer it. `mnv4bench check` validates this file against every preset;
# docs/adding.md goes through it field by field.
title: "{title}"
question: Does it pay, and for what?
about: >-
  What the part is, where it comes from, and what differs here from the source. `mnv4bench docs` puts it into
  docs/ablations.md.

# What the source prints of the same parts: ids of mnv4bench/ledger, so that no number is typed twice.
# published:
#   place: YOLOv10-S, Table 11
#   figures:
#     small: {{AP: yolov10/table10/S base/ap_val}}
#     large: {{AP: yolov10/table11/kernel 7/ap_val}}

# Presets with a trunk load all parts but the fresh ones from it, and refuse arms that differ in a loaded part. Then
# name the parts that start fresh here, or train every arm from random weights:
# fresh: [attention, p5_down, p5_out, head]
# start: scratch

# Overrides of every arm, by dotted field of mnv4bench/spec/run.py: model.*, train.*, loss.*, distill.*, mixture.*
# common: {{model.attention: none}}

# The arm that the others are held against.
baseline: small

# Each arm says what it changes; what no arm names is shared. `read: nms` or `read: nms_free` chooses how a dual head is
# read.
arms:
  small: {{model.kernel: 3}}
  large: {{model.kernel: 7}}

# The arms that the shorter presets run, the baseline among them; all where none is named.
# core: [small, large]

# The difference in AP (0–1) below which nobody would care: declared before anything runs.
smallest_effect: 0.005
"""


def new_ablation(name: str, folder: Path = ABLATIONS) -> Path:
    """Write ablations/<name>.yaml and return its path.

    Raises:
        SpecError: the name is no plain file name, or the file exists.
    """
    path = folder / f"{checked_name(name, 'ablation')}.yaml"
    if path.exists():
        raise SpecError(f"{path}: exists already; choose another name, or edit it")
    if not folder.is_dir():
        raise SpecError(f"{folder}: no such folder; run from the project's folder")
    write_text(path, TEMPLATE.format(name=name, title=name.replace("_", " ").capitalize()))
    return path
