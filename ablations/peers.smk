# What the larger sizes cost and how long they take; they are not trained (peers.py).
EXTRA.append(f"{OUT}/tables/sizes.md")


rule sizes:
    input:
        f"{DATA}/dataset.json",
        SCORED,  # so that it does not make training wait
    output:
        f"{OUT}/latency/sizes.json",
        report(
            f"{OUT}/tables/sizes.csv",
            category="Tables",
            labels={"table": "sizes, not trained"},
        ),
        f"{OUT}/tables/sizes.md",
    log:
        f"{OUT}/logs/sizes.log",
    benchmark:
        f"{OUT}/benchmarks/sizes.tsv"
    threads: workflow.cores or 1  # nothing else may run while this measures
    shell:
        "{STEP} sizes > {log} 2>&1 || {{ cat {log} >&2; exit 1; }}"
