"""Workflow and start-up cost of a finished preset, as a share of its cores' time.

    python benchmarks/workflow_overhead.py [results/quick]

Read from what the run itself left behind: the wall time between the first and the last line of Snakemake's log, and
the wall time of every job (the rules' `benchmark:` files). Each job also starts a Python and imports torch; that
start-up is measured here, as the median of five starts, and counted as cost. So is every second in which a core had no
job, whatever the reason. Prints the shares and writes results/benchmarks/workflow_overhead.json.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

from mnv4bench.io.files import read_json, write_json
from mnv4bench.results.benchmark import wall_seconds as job_seconds

ALONE = ("latency.tsv", "claims.tsv", "compare.tsv", "sizes.tsv", "nas_times.tsv")
"""Of the rules that hold all cores."""
STAMP = re.compile(r"^\[(\w{3} \w{3} +\d+ [\d:]+ \d{4})\]$")


def wall_seconds(log: Path) -> tuple[float, int]:
    """Return the seconds between a Snakemake log's first and last time stamp, and how many jobs it finished."""
    lines = log.read_text().splitlines()
    stamps = [datetime.strptime(match[1], "%a %b %d %H:%M:%S %Y") for line in lines if (match := STAMP.match(line))]
    if not stamps:  # of a dry run, or of the report's own start
        return 0.0, 0
    return (stamps[-1] - stamps[0]).total_seconds(), sum(line.startswith("Finished job") for line in lines)


def start_up() -> float:
    """Return the median seconds of a process that imports what a training job imports and does nothing."""
    seconds = []
    for _ in range(5):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import mnv4bench.evaluate.detections, mnv4bench.train.run"], check=True)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="?", type=Path, default=Path("results/quick"))
    parser.add_argument("--cores", type=int, default=2, help="the workflow's cores (default: 2)")
    parser.add_argument(
        "--log", type=Path, help="Snakemake's log of the run (default: the one that finished most jobs)"
    )
    options = parser.parse_args()

    logs = [options.log] if options.log else list(Path(".snakemake/log").glob("*.snakemake.log"))
    wall, jobs = max((wall_seconds(log) for log in logs), key=lambda row: row[1])
    threads = {
        path.parent.name: read_json(path)["train"]["threads"] for path in options.results.glob("runs/*/spec.json")
    }
    every = {path: job_seconds(path) for path in options.results.glob("benchmarks/**/*.tsv")}
    alone = dict.fromkeys(ALONE, options.cores)
    busy = sum(seconds * threads.get(path.stem, alone.get(path.name, 1)) for path, seconds in every.items())
    start = start_up() * len(every)
    available = wall * options.cores
    shares = {
        "cores without a job": max(0.0, available - busy) / available,
        "starting Python and torch": start / available,
    }
    print(f"{wall:.0f} s of wall time on {options.cores} cores, {jobs} jobs, of which {len(every)} timed")
    for name, share in shares.items():
        print(f"{name}: {share:.1%}")
    print(f"workflow and start-up together: {sum(shares.values()):.1%}")
    write_json(
        Path("results/benchmarks/workflow_overhead.json"),
        {"wall_seconds": wall, "cores": options.cores, "jobs": jobs, "busy_core_seconds": busy, "shares": shares},
    )


if __name__ == "__main__":
    main()
