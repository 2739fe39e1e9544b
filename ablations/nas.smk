# What was searched: shared weights against networks of their own, times, the networks themselves (nas.py).
SEARCHED = [
    f"{OUT}/classifiers/{run}/result.json"
    for runs in PLAN.classifiers.arms["nas"].values()
    for run in runs.values()
]
EXTRA.append(f"{OUT}/tables/nas.md")
EXTRA.append(f"{OUT}/figures/nas.png")
RECORDS += [f"{OUT}/ranking.json", f"{OUT}/latency/nas.json"]

if REFERENCE:

    ruleorder: restore > nas_ranking > nas_times


rule nas_ranking:
    """Random networks, each trained alone, and what the one-stage searches' shared weights make of them."""
    input:
        SEARCHED,
        f"{LABELS}/teacher.json",
    output:
        f"{OUT}/ranking.json",
    log:
        f"{OUT}/logs/nas_ranking.log",
    benchmark:
        f"{OUT}/benchmarks/nas_ranking.tsv"
    priority: 10
    threads: SPEC.classifiers.threads
    params:
        ranking=SPEC.classifiers.ranking.model_dump_json(),
    shell:
        "{STEP} nas_ranking 2>&1 | tee {log} >&2"


rule nas_times:
    input:
        SEARCHED,
        f"{OUT}/ranking.json",  # so that it does not make training wait
    output:
        f"{OUT}/latency/nas.json",
    log:
        f"{OUT}/logs/nas_times.log",
    benchmark:
        f"{OUT}/benchmarks/nas_times.tsv"
    threads: ALL_CORES
    resources:
        exclusive=1,
        cpus_per_task=SPEC.needs.cores,
    params:
        protocol=SPEC.latency.model_dump_json(include={"rounds", "blocks", "block_ms"}),
    shell:
        "{STEP} nas_times > {log} 2>&1"


rule nas:
    input:
        SEARCHED,
        f"{OUT}/ranking.json",
        f"{OUT}/latency/nas.json",
    output:
        table("nas", "networks that were searched"),
        table("nas_signs", "small sizes in networks that were searched"),
        table("nas_ranking", "shared weights against training alone"),
        f"{OUT}/tables/nas.md",
        figure("nas"),
        f"{OUT}/figures/nas.pdf",
    log:
        f"{OUT}/logs/nas.log",
    benchmark:
        f"{OUT}/benchmarks/nas.tsv"
    shell:
        "{STEP} nas > {log} 2>&1"
