"""One rank of a training, as torchrun starts it (mnv4bench.train.launch): python -m mnv4bench.rank RUN DATA RUNS."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from torch import distributed

from mnv4bench.evaluate.detections import validation
from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.machine.orphans import end_after
from mnv4bench.results.run import read_spec
from mnv4bench.train.run import train_as_rank


def main(run: str, data: Path, runs: Path) -> None:
    """Take part in training a run, and exit."""
    end_after(os.getppid())
    spec = read_spec(runs / run)
    if spec.train.device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if spec.train.device == "cuda" else "gloo")
    try:
        train_as_rank(run, spec, data, runs, validation(spec, data))
    except Mnv4benchError as error:
        print(f"mnv4bench: {error}", file=sys.stderr, flush=True)
        sys.exit(2)
    distributed.barrier()  # the first one is still writing, and needs the others until then
    sys.stderr.flush()
    # All is written. Tearing gloo down aborts now and then, in a thread of its own: "terminate called without an active
    # exception".
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
