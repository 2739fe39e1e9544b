"""How well a search's prices in milliseconds predict whole networks: 20 random ones, predicted and measured.

    python -m benchmarks.search_times [NETWORKS]

Needs a quiet machine, and three minutes of it. Pieces are timed, and calibrated by other random networks, as `mnv4bench
search --budget-ms` does (mnv4bench/search/calibration.py). Prints both times of each network and the median of the
relative errors, with calibration and without; writes results/benchmarks/search_times.json.
"""

from __future__ import annotations

import sys
import tempfile
from itertools import islice
from pathlib import Path

from mnv4bench.data.crops import SIDE
from mnv4bench.data.slices import SHAPES
from mnv4bench.io.files import write_json
from mnv4bench.machine.environment import environment
from mnv4bench.search import space as spaces
from mnv4bench.search.calibration import calibrated, random_networks, whole
from mnv4bench.search.cost import Costs
from mnv4bench.search.times import Stopwatch, Times, relative_error


def main(networks: int = 20) -> None:
    with tempfile.TemporaryDirectory() as folder:
        times = Times(Path(folder) / "times.json", Stopwatch(SIDE))
        alone = Costs(spaces.conv_small(), SIDE, len(SHAPES), times)
        clocked = whole(alone, times)
        costs = calibrated(alone, clocked, Path(folder) / "calibration.json")
        rows = []
        for architecture in islice(random_networks(costs.skeleton, "prediction"), networks):
            predicted = costs.of(architecture)  # its pieces are timed just before the whole
            rows.append({"sum": alone.of(architecture), "predicted": predicted, "observed": clocked(architecture)})
            print(f"{len(rows):3} predicted {predicted:.3f} ms, measured {rows[-1]['observed']:.3f} ms", flush=True)
    observed = [row["observed"] for row in rows]
    errors = {kind: relative_error([row[kind] for row in rows], observed) for kind in ("sum", "predicted")}
    print(f"median error {errors['predicted']:.1%}; of the sums as they are {errors['sum']:.1%}")
    record = {"networks": rows, "errors": errors, "environment": environment().model_dump(mode="json")}
    write_json(Path("results/benchmarks/search_times.json"), record)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
