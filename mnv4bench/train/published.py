"""A run whose weights are a file: checked, loaded and kept like any other's, and never trained."""

from __future__ import annotations

from pathlib import Path

from mnv4bench.data.weights import Missing, locate
from mnv4bench.io.files import sha256, write_json
from mnv4bench.machine.process import set_up_process
from mnv4bench.models.published import stored
from mnv4bench.results import manifest
from mnv4bench.results.dataset import Dataset
from mnv4bench.results.run import Status, read_status
from mnv4bench.spec.run import RunSpec
from mnv4bench.train.loop import Progress
from mnv4bench.train.outcome import write_outcome


def take(folder: Path, spec: RunSpec, dataset: Dataset) -> Status:
    """Write spec.json, an empty curve.csv, weights.safetensors and, last, status.json, and return the status.

    It is left as it is where the same file was taken before. A file or package that is not on this machine makes the
    run `missing`, which the next start tries again.

    Raises:
        Mnv4benchError: the file is damaged, could run code, or holds another network.
    """
    assert spec.model.weights is not None
    set_up_process(spec.train.threads)
    try:
        path = locate(spec.model.weights)
        if (folder / "status.json").exists():
            status = read_status(folder)
            taken = (status.state, status.data_digest) == ("done", dataset.digest)
            if taken and status.checkpoint_sha256 == sha256(path):
                return status
        model, reason = stored.build(spec.model), None
    except Missing as error:
        model, reason = None, str(error)
    (folder / manifest.FILE).unlink(missing_ok=True)  # of files that are now written anew
    write_json(folder / "spec.json", spec)
    if model is None:
        return write_outcome(folder, dataset.digest, "missing", reason)
    return write_outcome(folder, dataset.digest, "done", None, Progress(), average=model, checkpoint=path)
