# What the larger sizes cost and how long they take; they are not trained (peers.py).
EXTRA.append(f"{OUT}/tables/sizes.md")


rule sizes:
    input:
        f"{DATA}/dataset.json",
        SCORED,  # so that it does not make training wait
    output:
        f"{OUT}/latency/sizes.json",
        table("sizes", "sizes, not trained"),
        f"{OUT}/tables/sizes.md",
    log:
        f"{OUT}/logs/sizes.log",
    benchmark:
        f"{OUT}/benchmarks/sizes.tsv"
    threads: ALL_CORES
    resources:
        exclusive=1,
        cpus_per_task=SPEC.needs.cores,
    params:
        protocol=SPEC.latency.model_dump_json(exclude={"calibration", "claims"}),
    shell:
        "{STEP} sizes > {log} 2>&1"
