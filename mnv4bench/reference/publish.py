"""From a finished preset's folder to a reference: small enough to commit, raw enough to recompute every table."""

from __future__ import annotations

import lzma
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from mnv4bench.data.prepared import RECORD as DATASET
from mnv4bench.data.prepared import key
from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import read_json, sha256, write_json
from mnv4bench.io.names import checked_name
from mnv4bench.results import matches
from mnv4bench.results.dataset import Dataset
from mnv4bench.results.reference import FOLDER, RECORD, Reference, read
from mnv4bench.spec.plan import Plan

OF_A_RUN = ("spec.json", "status.json", "metrics.json", "curve.csv")
MEASURED = ("cost.json", "compare.json", "latency/latency.json")
IF_THERE = ("counts.json", "latency/claims.json", "latency/claims.csv", "latency/sizes.json", "latency/sizes.csv")
READ = ("tables/*", "figures/*.png", "paper/mnv4bench.pdf")
"""What a reader reads."""
REMADE = ("compare.json", *READ)
"""What a rebuild makes anew."""
VERIFIED = "verify"
"""Names the tables that hold results against a reference, and so are no part of one."""
BLOCKS = "latency/blocks.csv"


def publish(plan: Plan, results: Path, name: str, folder: Path = FOLDER) -> Reference:
    """Write reference `name` from a finished preset's folder, all of it or nothing, and return its record.

    Match records are cut down to the readings that arms use, and timed blocks are compressed: both without loss.

    Raises:
        Mnv4benchError: the name is not allowed, a folder of that name is no reference, or the preset is not finished;
            names the file that is missing.
    """
    results, target = Path(results), replaceable(name, folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=folder) as temporary:
        made = Path(temporary) / "new"
        sums = {run: _run(plan, results, made, run) for run in sorted(plan.runs)}
        _dataset(plan, results, made)
        for file in MEASURED:
            _copy(results, made, file)
        for file in IF_THERE:
            if (results / file).exists():
                _copy(results, made, file)
        for pattern in READ:
            for path in _some(results, pattern):
                _copy(results, made, path.relative_to(results).as_posix())
        _with(results, made, BLOCKS, f"{BLOCKS}.xz", lambda source, packed: packed.write_bytes(_packed(source)))
        files = {path.relative_to(made).as_posix(): sha256(path) for path in sorted(made.rglob("*")) if path.is_file()}
        record = Reference(
            preset=plan.preset_name,
            only=plan.only,
            seeds=plan.seeds,
            title=plan.title,
            trunk=plan.preset.trunk is not None,
            files=files,
            matches=sums,
        )
        write_json(made / RECORD, record)
        if target.exists():
            target.rename(Path(temporary) / "old")
        made.rename(target)
    return record


def replaceable(name: str, folder: Path) -> Path:
    """Return the folder of a reference that may be written.

    Raises:
        Mnv4benchError: the name is not allowed, or what stands there is no reference.
    """
    target = folder / checked_name(name, "reference", hyphens=True)
    if os.path.lexists(target) and not (target / RECORD).is_file():
        raise Mnv4benchError(f"{target}: holds no {RECORD}, so it is no reference; choose another name or move it away")
    return target


def refresh(plan: Plan, target: Path, rebuilt: Path) -> Reference:
    """Replace a reference's tables, figures and paper by those rebuilt from its records, and return its record.

    For when the words of a table or the look of a figure changed: the records stay as they were measured.

    Raises:
        Mnv4benchError: the rebuild is not finished.
    """
    record = read(target.name, target.parent)
    made = {path.relative_to(rebuilt).as_posix() for pattern in REMADE for path in _some(rebuilt, pattern)}
    for file in sorted(made):
        _copy(rebuilt, target, file)
    files = {file: digest for file, digest in record.files.items() if file not in made}
    files |= {file: sha256(target / file) for file in made}
    record = record.model_copy(update={"title": plan.title, "files": dict(sorted(files.items()))})
    write_json(target / RECORD, record)
    return record


def _run(plan: Plan, results: Path, made: Path, run: str) -> str:
    """Copy a run's records; return the sum of its match records as they were scored, empty where there are none."""
    for file in OF_A_RUN:
        if file != "curve.csv" or (results / "runs" / run / file).exists():
            _copy(results, made, f"runs/{run}/{file}")
    path = f"runs/{run}/matches.npz"
    if not (results / path).exists():  # diverged, say; its status says so
        return ""
    wanted: set[str] = {arm.read for arm in plan.arms if run in arm.runs.values()}
    if wanted:
        readings = {read: record for read, record in matches.load(results / path).items() if read in wanted}
        _with(results, made, path, path, lambda _, packed: matches.save(packed, readings, small=True))
    return sha256(results / path)


def _dataset(plan: Plan, results: Path, made: Path) -> None:
    """Copy the data set's record; images that lie elsewhere on this machine are not named."""
    file = f"data/{key(plan.preset.data)}/{DATASET}"

    def anonymous(source: Path, target: Path) -> None:
        dataset = Dataset.model_validate(read_json(source))
        splits = {
            name: split.model_copy(update={"images": f"images/{name}"})
            for name, split in (("train", dataset.train), ("val", dataset.val))
        }
        write_json(target, dataset.model_copy(update=splits))

    _with(results, made, file, file, anonymous)


def _copy(results: Path, made: Path, file: str) -> None:
    _with(results, made, file, file, lambda source, target: shutil.copyfile(source, target))


def _with(results: Path, made: Path, file: str, name: str, write: Callable[[Path, Path], object]) -> None:
    """Let `write` make `name` in the new folder from `file` of the old."""
    if not (results / file).exists():
        raise Mnv4benchError(f"{results / file}: is missing; finish the preset first")
    (made / name).parent.mkdir(parents=True, exist_ok=True)
    write(results / file, made / name)


def _some(results: Path, pattern: str) -> list[Path]:
    found = sorted(path for path in results.glob(pattern) if path.is_file() and path.stem != VERIFIED)
    if not found:
        raise Mnv4benchError(f"{results / pattern}: is missing; finish the preset first")
    return found


def _packed(source: Path) -> bytes:
    return lzma.compress(source.read_bytes(), preset=9)
