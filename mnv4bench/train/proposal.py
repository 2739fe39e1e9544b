"""A preset for a folder of images: its settings from the data and from how fast this machine trains."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from math import ceil, floor
from pathlib import Path
from typing import Any

import yaml

from mnv4bench.data.survey import Survey, survey
from mnv4bench.io.errors import SpecError
from mnv4bench.io.files import write_bytes, write_text
from mnv4bench.io.places import DATA_VARIABLE
from mnv4bench.io.words import count
from mnv4bench.machine.cores import usable_cores
from mnv4bench.spec.plan import Plan, load
from mnv4bench.spec.scaffold import preset_path, preset_text
from mnv4bench.train.rate import measured_rate

SIDES = (160, 192, 224, 256, 320, 384, 448, 512, 640)
CELL = 8
"""Pixels of a cell of the finest grid: smaller objects share one."""
BATCH = 16
ARM_STEPS, TRUNK_STEPS, TEACHER_STEPS = 200, 1000, 400
"""What Scenes and BCCD needed; each set gets whole epochs, no fewer than LEAST."""
LEAST, MOST = 5, 200
SEEDS = (8, 5, 3)
HOURS = 8.0
"""A night: with fewer seeds where it would take longer."""
FEW = 1000
BUSY_RATE = " on a busy machine, so that hours and seeds may be wrong"
SIDED = re.compile(r"(?<![a-z])(left|right)(?![a-z])", re.IGNORECASE)


def new_preset(
    name: str, data: Path, rate: float | None = None, busy: bool = False, force: bool = False
) -> tuple[Path, Plan, float]:
    """Write config/<name>.yaml, commented and valid as it stands; return its path, its plan, its hours of training.

    Args:
        rate: images per second and thread; measured where None.
        busy: whether others are at work on the machine, so that a measured rate says little.
        force: replace a preset of this name.

    Raises:
        SpecError: the name is no plain file name, or the file exists.
        DataError: the folder is not usable.
    """
    path = preset_path(name, force=force)
    found = survey(data)
    side = image_side(found)
    origin = "as given with --rate" if rate else f"measured when this file was written{BUSY_RATE if busy else ''}"
    rate = rate or measured_rate(side, len(found.classes), min(BATCH, found.train))
    chosen = {**_schedule(found), **_augmentation(found)}
    chosen |= {
        "name": name,
        "title": name.replace("_", " "),
        "train": found.train,
        "val": found.val,
        "objects": found.objects,
        "classes": f"{len(found.classes)} {'class' if len(found.classes) == 1 else 'classes'}",
        "smallest": floor(found.small * side),
        "imgsz": side,
        "path": quoted(_portable(data)),
        "rate": rough(rate),
        "origin": origin,
        "threads": min(2, usable_cores()),
        "cores": count(usable_cores(), "core"),
    }
    for plan, hours in _with_seeds(path, chosen, rate, found.train):
        if hours <= HOURS or len(plan.preset.seeds) == SEEDS[-1]:
            return path, plan, hours
    raise AssertionError("the last number of seeds is always taken")


def rough(value: float) -> str:
    """Return two digits of a number: "150", "3.4", "0.034"."""
    return f"{float(f'{value:.2g}'):g}"


def image_side(found: Survey) -> int:
    """Return the smallest side at which nine of ten objects fill a cell of the finest grid, or else the images' own."""
    largest = next((side for side in SIDES if side >= found.side), SIDES[-1])
    return next((side for side in SIDES if found.small * side >= CELL or side == largest), largest)


def _portable(data: Path) -> Path:
    """Return a folder without $MNV4BENCH_DATA where it lies below it, since the path is part of every run's name."""
    base = os.environ.get(DATA_VARIABLE)
    below = base and Path(base).resolve() in data.resolve().parents
    return data.resolve().relative_to(Path(base).resolve()) if base and below else data


def quoted(path: Path) -> str:
    """Return a path as YAML reads it."""
    text: str = yaml.safe_dump(str(path), default_flow_style=True, width=10_000).splitlines()[0]
    return text


def _schedule(found: Survey) -> Mapping[str, Any]:
    batch = min(BATCH, found.train)
    steps = ceil(found.train / batch)

    def epochs(wanted: int) -> int:
        return min(max(round(wanted / steps), LEAST), MOST)

    return {
        "batch": batch,
        "epochs": epochs(ARM_STEPS),
        "steps": epochs(ARM_STEPS) * steps,
        "trunk_epochs": epochs(TRUNK_STEPS),
        "teacher_epochs": epochs(TEACHER_STEPS),
    }


def _augmentation(found: Survey) -> Mapping[str, Any]:
    sided = [name for name in found.classes if SIDED.search(name)]
    why = f"Mirroring is off, as it would turn {sided[0]!r} into another class." if sided else "Mirroring is on."
    shrinks = found.small * image_side(found) < 2 * CELL
    return {"fliplr": 0.0 if sided else 0.5, "mirrored": why, "scale": 0.1 if shrinks or found.train >= FEW else 0.3}


def _with_seeds(path: Path, chosen: Mapping[str, Any], rate: float, images: int) -> Iterator[tuple[Plan, float]]:
    """Write the file with fewer and fewer seeds; yield its plan and the hours that it trains."""
    before = path.read_bytes() if path.exists() else None
    for seeds in SEEDS:
        listed = ", ".join(map(str, range(seeds)))
        try:
            write_text(path, preset_text({**chosen, "seeds": listed, "hours": "?"}))
            plan = load(path.stem)
            hours = training_hours(plan, rate, images)
            write_text(path, preset_text({**chosen, "seeds": listed, "hours": rough(hours)}))
        except SpecError:
            path.unlink(missing_ok=True)
            if before is not None:
                write_bytes(path, before)
            raise
        yield plan, hours


def training_hours(plan: Plan, rate: float, images: int) -> float:
    """Return the hours of training on all cores: one process a core, each at `rate` images per second."""
    return sum(spec.train.epochs for spec in plan.runs.values()) * images / rate / usable_cores() / 3600
