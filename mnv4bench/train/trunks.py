"""Trunks that are shipped: trained once, kept in half precision, taken where spec and data are theirs.

results/reference/trunks/<run>/ has spec.json, status.json, curve.csv and metrics.json as training and scoring left
them, weights.safetensors in float16, and manifest.json with the sums of these files.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from mnv4bench.io.errors import FileError
from mnv4bench.io.files import replacing, write_json
from mnv4bench.models import weights
from mnv4bench.results import manifest
from mnv4bench.results.dataset import Dataset
from mnv4bench.results.reference import TRUNKS
from mnv4bench.results.run import Status, read_spec, read_status
from mnv4bench.spec.run import RunSpec

WEIGHTS = "weights.safetensors"
KEPT = ("spec.json", "curve.csv", "metrics.json", "status.json")


def take(folder: Path, spec: RunSpec, dataset: Dataset, shipped: Path = TRUNKS) -> Status | None:
    """Fill a run's folder from the shipped trunk of its name and return the status.

    None where there is none, or where it learned from other data; the run has to be trained then.

    Raises:
        FileError: the shipped trunk is damaged.
    """
    source = shipped / folder.name
    if not (source / "status.json").exists():
        print(f"{folder.name}: {shipped} has no such trunk, so it is trained", file=sys.stderr, flush=True)
        return None
    manifest.check_shipped(source)
    status = read_status(source)
    if read_spec(source) != spec:
        raise FileError(f"{source / 'spec.json'}: is another run's; check it out again")
    if status.data_digest != dataset.digest:
        print(
            f"{folder.name}: the shipped trunk learned from data {status.data_digest}, the prepared data are "
            f"{dataset.digest}; it is trained anew",
            file=sys.stderr,
            flush=True,
        )
        return None
    state = weights.read(source / WEIGHTS, status.weights_digest, weights.RESTORE)
    weights.write(state, folder / WEIGHTS)
    with replacing(folder / "curve.csv") as temporary:
        shutil.copyfile(source / "curve.csv", temporary)
    write_json(folder / "spec.json", spec)
    status = status.model_copy(update={"shipped": True})
    write_json(folder / "status.json", status)
    return status


def ship(run: str, runs: Path, shipped: Path = TRUNKS) -> Path:
    """Write a trained trunk into `shipped` and return its folder.

    Raises:
        FileError: a file of the run is missing or damaged.
    """
    source, target = runs / run, shipped / run
    status = read_status(source)
    manifest.check_run(source)
    state = weights.read(source / WEIGHTS, status.weights_digest)
    target.mkdir(parents=True, exist_ok=True)
    (target / manifest.FILE).unlink(missing_ok=True)  # of files that are now written anew
    weights.save_half(state, target / WEIGHTS)
    weights.read(target / WEIGHTS, status.weights_digest, weights.RESTORE)
    for name in KEPT:
        with replacing(target / name) as temporary:
            shutil.copyfile(source / name, temporary)
    manifest.ship(target, (*KEPT, WEIGHTS))
    return target
