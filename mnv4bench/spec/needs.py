"""What a preset says that one of its jobs needs; who schedules them, a cluster or one machine, is asked for it."""

from __future__ import annotations

from pydantic import Field

from mnv4bench.spec.base import Spec


class NeedsSpec(Spec):
    """What a scheduler is asked for, no part of any run's identity. GPUs and threads follow from `train`."""

    mem_gb: float | None = Field(None, gt=0, le=100_000)
    """Memory of one training job, loader workers included; None: what finished runs took, else a guess."""
    hours: float | None = Field(None, gt=0, le=100_000)
    """Time limit of one start of a training job; None: an estimate, or a day where there is none. A longer run goes on
    from its last epoch at the next start, so a partition's limit may be shorter than a run."""
    retries: int = Field(0, ge=0, le=1000)
    """Further starts of a training job that was ended: at its time limit, or with its node."""
    nodes: int = Field(1, ge=1, le=1024)
    """Machines of a cluster that share the devices of a training job equally."""
    cores: int = Field(4, ge=1, le=1024)
    """Cores, on a cluster, of the rules that time networks or compare runs; on one machine they take all of them."""
