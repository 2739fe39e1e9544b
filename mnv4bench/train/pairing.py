"""Proof that the arms of one seed are paired: same first batch, same initial values in every layer that they share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from mnv4bench.io.errors import PairingError
from mnv4bench.io.files import write_json
from mnv4bench.models import weights
from mnv4bench.models.sharing import groups, shapes
from mnv4bench.results import manifest
from mnv4bench.results.pairing import Pairing
from mnv4bench.results.record import read_record
from mnv4bench.spec.run import MixtureSpec, RunSpec

FILE = "pairing.json"
SHARED = {"data", "train", "seed", "start", "pretrained", "fresh"}
"""Fields of a run's spec that decide its batches and its first values."""
ALIKE = MixtureSpec()
"""The mixture of arms that are not about the images."""


def key(spec: RunSpec, data: str) -> str:
    """Name the group of runs that must draw the same batches, from data of that digest, and initial values."""
    shared = spec.model_dump(mode="json", include=SHARED, exclude_defaults=True)
    return hashlib.sha256(json.dumps([shared, data], sort_keys=True).encode()).hexdigest()


def fingerprint(state: Mapping[str, Tensor], batch: Mapping[str, Tensor], spec: RunSpec) -> dict[str, str]:
    """Return digests of a run's first batch and of every group of its initial tensors.

    Arms with other mixtures of images have other batches by design: the batch's key carries its mixture, so that it is
    compared among equal ones, and initial values among all.

    Groups are those of mnv4bench.models.sharing. A key carries its group's shapes, so that groups are compared only
    where the architectures agree. Those of a backbone carry its name too: what stands at the same place in another
    backbone is not the same block.
    """
    if spec.model.head == "one_to_one" and spec.start and "head" not in spec.fresh:
        # Loaded from the one-to-one branch of a dual head, and compared with that.
        state = {name.replace("head.cv", "head.one2one_cv"): value for name, value in state.items()}
    prints = {}
    for name, members in groups(state).items():
        tensors = {member: state[member] for member in members}
        form = "|".join(f"{member}{shape}" for member, shape in shapes(state, members).items())
        whose = f" of {spec.model.backbone_name}" if name.startswith("backbone.") else ""
        prints[f"{name}{whose}:{hashlib.sha256(form.encode()).hexdigest()[:8]}"] = weights.digest(tensors)[:16]
    kind = "" if spec.mixture == ALIKE else f" of {spec.mixture.model_dump_json(exclude_defaults=True)}"
    names = ("img", "cls", "bboxes", "batch_idx", "labelled")
    first = {name: batch[name] for name in names if name in batch}
    return {f"first batch{kind}": weights.digest(first)[:16], **prints}


def prove(run: str, spec: RunSpec, data: str, prints: Mapping[str, str], runs: Path, gpu: str | None = None) -> None:
    """Write this run's fingerprint and compare it with every other run's of its group.

    Args:
        data: digest of the prepared data.
        gpu: the kind of GPU that it is trained on.

    Raises:
        PairingError: names the other run and the first thing that differs.
    """
    group = key(spec, data)
    write_json(runs / run / FILE, Pairing(group=group, prints=dict(prints), gpu=gpu))
    for path in sorted(runs.glob(f"*/{FILE}")):
        if path.parent.name == run or (other := read_record(path, Pairing)).group != group:
            continue
        manifest.check(path)
        if gpu and other.gpu and other.gpu != gpu:
            (runs / run / FILE).unlink()
            raise PairingError(
                f"{run} would be trained on {gpu}, and {path.parent.name}, which it is compared with, on {other.gpu}: "
                "their difference would not be the arm's effect. Train both on one kind of GPU (in profiles/slurm: "
                "constraint), or delete the other run's folder."
            )
        for name, value in prints.items():
            if other.prints.get(name, value) != value:
                (runs / run / FILE).unlink()  # it would stop the others, which may be right
                raise PairingError(
                    f"{run} and {path.parent.name} share a seed, but their {name} differs: their difference "
                    "would not be the arm's effect. Was one of them made by other code or packages? Delete both runs' "
                    "folders and start again."
                )
