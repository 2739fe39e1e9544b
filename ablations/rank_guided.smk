# The ranks that the order of the arms is compared with (rank_guided.py).
EXTRA.append(f"{OUT}/tables/ranks.md")


rule ranks:
    input:
        SCORED,
        f"{OUT}/compare.json",
    output:
        table("ranks", "ranks of the stages"),
        f"{OUT}/tables/ranks.md",
    log:
        f"{OUT}/logs/ranks.log",
    benchmark:
        f"{OUT}/benchmarks/ranks.tsv"
    shell:
        "{STEP} ranks > {log} 2>&1"
