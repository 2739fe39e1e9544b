"""How well a table of times predicts whole networks: sums over rows beside the time of 20 random networks.

    python benchmarks/search_times.py [NETWORKS] [OUT.json]

Needs a quiet machine. Prints both times of each network and the median of the relative errors.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from mnv4bench.latency.measure.protocol import Schedule
from mnv4bench.models.mobilenetv4.network import Classifier
from mnv4bench.search import space as spaces
from mnv4bench.search.cost import Costs
from mnv4bench.search.times import Behind, Times, Whole, milliseconds, relative_error

SIDE, CLASSES = 64, 4
WHOLE = Schedule(rounds=16, blocks=1, block_ms=50)


def main(networks: int = 20, out: Path = Path("results/search/times.json")) -> None:
    skeleton = spaces.conv_small()
    space, costs = spaces.joint(skeleton), Costs(skeleton, SIDE, CLASSES, Times(out))
    generator = np.random.Generator(np.random.PCG64(0))
    predicted, observed = [], []
    for number in range(networks):
        picks = [int(generator.integers(len(choice.options))) for choice in space.choices]
        architecture = space.architecture(picks)
        whole = Whole(Classifier(spaces.variant(skeleton, architecture), CLASSES))
        time, call = milliseconds([whole, Behind(3, None)], SIDE, WHOLE)  # a call costs something by itself
        predicted.append(costs.of(architecture) + call)
        observed.append(time)
        print(f"{number:3} predicted {predicted[-1]:7.3f} ms, measured {time:7.3f} ms", flush=True)
    print(f"median error {100 * relative_error(predicted, observed):.1f} %")


if __name__ == "__main__":
    main(*(kind(value) for kind, value in zip((int, Path), sys.argv[1:], strict=False)))  # type: ignore[arg-type]
