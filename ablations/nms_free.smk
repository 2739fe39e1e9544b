# How far the two readings of one network lie apart, while it learns and in each slice and class (nms_free.py).
EXTRA.append(f"{OUT}/tables/readings.md")


rule readings:
    input:
        SCORED,
    output:
        table("readings", "the two readings of a dual head (exploratory)"),
        f"{OUT}/tables/readings.md",
    log:
        f"{OUT}/logs/readings.log",
    benchmark:
        f"{OUT}/benchmarks/readings.tsv"
    shell:
        "{STEP} readings > {log} 2>&1"
