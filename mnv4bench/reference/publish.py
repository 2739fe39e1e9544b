"""From a finished preset's folder to a reference: small enough to commit, raw enough to recompute every table."""

from __future__ import annotations

import lzma
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mnv4bench.data.prepared import key
from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import replacing, sha256, write_json
from mnv4bench.io.names import checked_name
from mnv4bench.reference.contents import (
    BLOCKS,
    BOXES,
    DETECTIONS,
    OF_A_RUN,
    PACKED,
    PAPER,
    computed_files,
    measured_files,
    rendered_files,
    timed_files,
)
from mnv4bench.results import manifest, matches, sums
from mnv4bench.results.dataset import RECORD as DATASET
from mnv4bench.results.dataset import Dataset
from mnv4bench.results.record import read_record
from mnv4bench.results.reference import FOLDER, RECORD, Reference, read_reference
from mnv4bench.results.selection import COUNTS
from mnv4bench.spec.plan import Plan


def publish(plan: Plan, results: Path, name: str, folder: Path = FOLDER, rendered: bool = False) -> Reference:
    """Write reference `name` from a finished preset's folder, all of it or nothing, and return its record.

    Match records are cut down to the readings that arms use, and timed blocks are compressed: both without loss. Images
    that are to stay on this machine are not shown: detections are boxes on white, and the paper is left to the rebuild.

    Args:
        rendered: whether Markdown, LaTeX, figures and paper are kept beside the records.

    Raises:
        Mnv4benchError: the name is not allowed, a folder of that name is no reference, or the preset is not finished;
            names the file that is missing or was changed since it was made.
    """
    results, target = Path(results), replaceable(name, folder)
    sums.check(results, "complete")
    with _replacing_folder(target) as made:
        scored = {run: _copy_run(plan, results, made, run) for run in sorted(plan.runs)}
        stays = bool(plan.arms) and _copy_dataset(plan, results, made).stays
        _copy_all(results, made, measured_files(plan, results))
        if stays:
            _write(made / DETECTIONS, _existing(results / BOXES).read_bytes())
        if plan.arms:
            _write(made / PACKED, lzma.compress(_existing(results / BLOCKS).read_bytes(), preset=9))
        files = {path.relative_to(made).as_posix(): sha256(path) for path in sorted(made.rglob("*")) if path.is_file()}
        record = Reference(
            preset=plan.preset_name,
            only=plan.only,
            seeds=plan.seeds,
            title=plan.title,
            trunk=plan.preset.trunk is not None,
            detectors=bool(plan.arms),
            rendered=rendered,
            files=files,
            computed={file: sha256(results / file) for file in computed_files(plan, results)},
            matches=scored,
        )
        kept = [file for file in rendered_files(plan, results) if rendered and not (stays and file == PAPER)]
        _copy_all(results, made, [*computed_files(plan, results), *kept])
        write_json(made / RECORD, record.sealed())
    return record


@contextmanager
def _replacing_folder(target: Path) -> Iterator[Path]:
    """Yield where to make a folder; it takes the target's place when the block succeeds."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as temporary:
        made, old = Path(temporary) / "new", Path(temporary) / "old"
        yield made
        if target.exists():
            target.rename(old)
        try:
            made.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise


def replaceable(name: str, folder: Path) -> Path:
    """Return the folder of a reference that may be written.

    Raises:
        Mnv4benchError: the name is not allowed, or what stands there is no reference.
    """
    target = folder / checked_name(name, "reference", hyphens=True)
    if os.path.lexists(target) and not (target / RECORD).is_file():
        raise Mnv4benchError(f"{target}: holds no {RECORD}, so it is no reference; choose another name or move it away")
    return target


def take_over(plan: Plan, target: Path, rebuilt: Path) -> Reference:
    """Replace what a reference holds besides its records by what was rebuilt from them, all of it or nothing, and
    return its record.

    For when a table gained a column, a figure looks otherwise, or a method of computing changed.

    Raises:
        Mnv4benchError: the rebuild is not finished, or a file of it was changed since it was made.
    """
    sums.check(rebuilt, "complete")
    record = read_reference(target.name, target.parent)
    rendered = rendered_files(plan, rebuilt) if record.rendered else []
    records = [file for file in (*timed_files(target), COUNTS) if file in record.files]
    earlier = rendered_files(plan, target)
    if record.rendered:
        _refuse_lost(target, rebuilt, sorted({*earlier} - {*rendered}))
    with _replacing_folder(target) as made:
        shutil.copytree(target, made)
        for file in earlier:
            (made / file).unlink()
        _copy_all(rebuilt, made, [*records, *computed_files(plan, rebuilt), *rendered])
        files = record.files | {file: sha256(made / file) for file in records}
        computed = {file: sha256(made / file) for file in computed_files(plan, made)}
        record = record.model_copy(update={"title": plan.title, "files": files, "computed": computed})
        write_json(made / RECORD, record.sealed())
    return record


def _refuse_lost(target: Path, rebuilt: Path, files: list[str]) -> None:
    """Refuse a rebuild without files that the reference has: it was interrupted, or they are made no more."""
    if files:
        again = f"snakemake --cores all --config reference={target.name}"
        lines = [
            f"{rebuilt / file}: is missing; {again}, or delete {target / file} if it is made no more" for file in files
        ]
        raise Mnv4benchError("\n".join(lines))


def _copy_run(plan: Plan, results: Path, made: Path, run: str) -> str:
    """Copy a run's records; return the sum of its match records as they were scored, empty where there are none."""
    folder = f"runs/{run}"
    manifest.check_run(results / folder)
    curve = [f"{folder}/curve.csv"] if (results / folder / "curve.csv").exists() else []
    _copy_all(results, made, [*(f"{folder}/{file}" for file in OF_A_RUN), *curve])
    scored = results / folder / "matches.npz"
    if not scored.exists():  # diverged, say; its status says so
        return ""
    wanted: set[str] = {arm.read for arm in plan.arms if run in arm.runs.values()}
    if wanted:
        readings = {name: record for name, record in matches.load(scored).items() if name in wanted}
        matches.save(made / folder / "matches.npz", readings, small=True)
    return sha256(scored)


def _copy_dataset(plan: Plan, results: Path, made: Path) -> Dataset:
    """Copy and return the data set's record; images that lie elsewhere on this machine are not named."""
    file = f"data/{key(plan.preset.data)}/{DATASET}"
    dataset = read_record(_existing(results / file), Dataset)
    splits = {
        name: split.model_copy(update={"images": f"images/{name}"})
        for name, split in (("train", dataset.train), ("val", dataset.val))
    }
    write_json(made / file, dataset.model_copy(update=splits))
    return dataset


def _copy_all(source: Path, target: Path, files: list[str]) -> None:
    for file in files:
        with replacing(target / file) as temporary:
            shutil.copyfile(_existing(source / file), temporary)


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise Mnv4benchError(f"{path}: is missing; finish the preset first")
    return path
