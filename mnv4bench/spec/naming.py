"""Names of runs: what a run is for a reader, its digest for the machine, its seed."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

from mnv4bench.spec.model import ModelSpec
from mnv4bench.spec.run import DeploySpec, LossSpec, MixtureSpec, RunSpec


def run_name(spec: RunSpec, role: str) -> str:
    """Return the name of a run's folder; `role` is its slug, "trunk" or "teacher"."""
    return f"{role}-{spec.digest()[:12]}-s{spec.seed}"


def slug(run: RunSpec) -> str:
    """Name a run by what differs from the default detector's; the digest tells apart what these words do not."""
    model, default = run.model, ModelSpec()
    implied = {"head"} if model.peer or model.weights else {"block_stages", "kernel"} if model.block == "c2f" else set()
    if model.rows:
        implied |= {"rows", "backbone"}
    words = [_word(key, value) for key, value in model if value != getattr(default, key) and key not in implied]
    if model.rows:
        words.insert(0, model.backbone_name)
    if run.loss.weights != "sum":
        words.append(run.loss.weights)
    if run.loss.candidates != LossSpec().candidates:
        words.append(f"candidates_{run.loss.candidates}")
    if (run.loss.alpha, run.loss.beta) != (LossSpec().alpha, LossSpec().beta):
        words.append(f"matching_{run.loss.alpha:g}_{run.loss.beta:g}")
    if run.model.weights:
        words.append(f"{run.data.imgsz}px")
    words += [f"{key}_{value}" for key, value in run.deploy if value != getattr(DeploySpec(), key)]
    if run.train.longer != 1:
        words.append(f"{run.train.longer:g}_times_as_long")
    if run.train.draw:
        words.append(f"draw_{run.train.draw}")
    if run.pretrained:
        words.append("from_" + re.sub(r"\W+", "_", PurePath(run.pretrained.file).stem)[:24])
    if run.mixture != MixtureSpec():
        words.append("from_" + "_".join(run.mixture.sets))
    return "+".join([*(words or ["default"]), *(["distilled"] if run.distill.wanted else [])])


def _word(key: str, value: Any) -> str:
    if isinstance(value, tuple):
        return "at_" + "_".join(value)
    if value in ("none", False):
        return f"no_{key}"
    return value if isinstance(value, str) else f"{key}_{value}"
