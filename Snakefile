# mnv4bench: from YAML to tables, figures and paper. A rule calls one function of the package; the science lives there.
#   snakemake --cores all [--config preset=NAME only=ABLATION seeds=N]
#   snakemake --cores all --config reference=NAME    tables, figures and paper of results/reference/NAME, nothing trained

import shlex
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from math import ceil
from pathlib import Path

from mnv4bench import needs
from mnv4bench.data.prepared import key
from mnv4bench.data.sources import source_digest
from mnv4bench.data.weights import state as weights_state
from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.locks import exclusive
from mnv4bench.machine import gpus
from mnv4bench.reference.plans import chosen
from mnv4bench.results.dataset import STAYING
from mnv4bench.results.reference import TRUNKS, names
from mnv4bench.results.selection import connect, home
from mnv4bench.train.recoded import recoded

ALLOWED = ["preset", "only", "seeds", "reference"]
unknown = sorted(set(config) - set(ALLOWED))
if unknown:
    sys.exit(
        f"mnv4bench: --config {unknown[0]}=…: unknown; allowed: {', '.join(ALLOWED)}"
    )


@contextmanager
def without_traceback():
    """Prints an error that a user can mend, without the lines of code that it went through."""
    try:
        yield
    except Mnv4benchError as error:
        sys.exit(f"mnv4bench: {error}")


REFERENCE = config.get("reference")
with without_traceback():
    PLAN, OUT = chosen(config)
    connect(OUT)
PRESET, SPEC = PLAN.preset_name, PLAN.preset
GIVEN = {name: value for name, value in config.items() if value is not None}
CONFIG = GIVEN if REFERENCE else {"preset": PRESET} | GIVEN

# Every value is quoted: the shell sees paths with blanks, and names that it could take for commands.
PYTHON = shlex.quote(sys.executable)
OPTIONS = [f"--{option}={value}" for option, value in CONFIG.items()]
COMMAND = [sys.executable, "-m", "mnv4bench", "step", *OPTIONS]
STEP = shlex.join(COMMAND)

DATA = f"{OUT}/data/{key(SPEC.data)}"
SCORED = [f"{OUT}/runs/{run}/metrics.json" for run in PLAN.runs]
FIGURES = ["effects", "cost", "pareto", "curves", "slices", "detections"]
TITLES = {
    "effects": "differences in AP",
    "cost": "parameters and FLOPs",
    "pareto": "accuracy against time",
    "curves": "training",
    "slices": "AP by slice or size",
}
PICTURE = FIGURES[-1]  # shows images of the data set, which a reference does not hold
DRAWN = FIGURES[:-1] if REFERENCE else FIGURES
# The picture without its images, for a reference of data whose images stay here.
BOXES = (
    [f"{OUT}/figures/boxes.png"] if SPEC.data.name in STAYING and not REFERENCE else []
)
# What is taken for what needs detections, which a reference does not hold either; it may hold the counts.
CONFUSION = f"{OUT}/tables/confusion.csv"
COUNTED = (
    not REFERENCE
    or Path(f"results/reference/{REFERENCE}/tables/confusion.csv").is_file()
)
BY_CLASS = [
    f"{kind}/{name}"
    for kind in ("precision", *(["confusion"] if COUNTED else []))
    for name in PLAN.ablations
]
# Counting forty published models takes longer than all of the smoke preset, and says nothing of anyone's own images.
LEDGER = (
    [] if PRESET == "smoke" or SPEC.data.name == "folder" else f"{OUT}/tables/ledger.md"
)
CLAIMED_TIMES = f"{OUT}/latency/claims.json" if SPEC.latency.claims else []
REFERENCES = [f"results/reference/{name}/reference.json" for name in names()]
# Gates hold arms from random weights against those of the same data.
SHIPPED_TRUNKS = sorted(str(path) for path in TRUNKS.glob("*/metrics.json"))
# Nothing else may run on a machine while a rule measures there. On a cluster these are the submitting machine's cores,
# and what a job gets are its cpus_per_task.
ALL_CORES = workflow.resource_settings.cores or SPEC.needs.cores
GPU = max((needs.gpus(spec) for spec in PLAN.runs.values()), default=0)
LOCK = ExitStack()

# Said although nothing may be left to do.
if workflow.is_main_process and not REFERENCE:
    for warning in recoded(PLAN.runs, Path(OUT) / "runs"):
        print(f"mnv4bench: warning: {warning}", file=sys.stderr)


# Introduction and captions of report.html.
WORDS = Path(needs.__file__).parent / "report/templates/snakemake"


report: str(WORDS / "intro.rst")


def captioned(path, name, category, **labels):
    """A file that stands in report.html, with the caption of its name."""
    caption = WORDS / f"{name}.rst"
    known = {"caption": str(caption)} if caption.exists() else {}
    return report(path, category=category, labels=labels, **known)


def table(name, label):
    return captioned(f"{OUT}/tables/{name}.csv", name, "Tables", table=label)


def figure(name):
    label = TITLES.get(name, name)
    return captioned(f"{OUT}/figures/{name}.png", name, "Figures", figure=label)


onstart:
    trains = "train" in {job.rule.name for job in workflow.dag.needrun_jobs()}
    with without_traceback():
        # Only jobs that run on this machine need its GPUs.
        if workflow.local_exec and trains:
            gpus.require(GPU)
        # Held until this process ends, however it ends; other presets have folders of their own.
        LOCK.enter_context(exclusive(home(OUT) / ".lock", wait=False))
    # No rule of its own, which a run would have to wait for and be made again after; in a process that gives PyTorch's
    # memory back.
    if trains and PLAN.arms and subprocess.run([*COMMAND, "networks"]).returncode:
        sys.exit(1)


onsuccess:
    told = Path(OUT) / "complete.txt"
    compared = [Path(OUT) / name for name in ("compare.json", "top1.json")]
    # After a part of the workflow, as --until compare asks for, it may be the one of an earlier end.
    if told.exists() and all(
        path.stat().st_mtime_ns <= told.stat().st_mtime_ns
        for path in compared
        if path.exists()
    ):
        print(told.read_text(encoding="utf-8"))


onerror:
    failed = sorted(
        str(log) for job in workflow.scheduler.failed for log in job.log
    )
    print(
        "Stopped. What is finished is kept: the same command goes on, a training from its last finished epoch.\n"
        f"Why a step failed stands in its log: {', '.join(failed) or f'{OUT}/logs, {OUT}/runs/RUN/train.log'}",
        file=sys.stderr,
    )


wildcard_constraints:
    run="[^/]+",


localrules:
    all,


# Of ablations whose arms are classifiers of single objects.
CLASSIFIERS = PLAN.classifiers.runs
CLASSIFIED = [f"{OUT}/classifiers/{run}/result.json" for run in CLASSIFIERS]
LABELS = f"{OUT}/classifiers/{SPEC.classifiers.labels_name()}"
TAUGHT = any(run.taught for run in CLASSIFIERS.values())

# A rule of another shape, beside the ablation that needs it; its targets go into EXTRA, and into RECORDS what it measures
# there for a table that a reference computes. Of detectors a reference holds the tables themselves.
EXTRA = [f"{OUT}/tables/classifiers.md"] if CLASSIFIED else []
RECORDS = []
for ablation in PLAN.classifiers.ablations if REFERENCE else PLAN.names:
    if Path(f"ablations/{ablation}.smk").exists():

        include: f"ablations/{ablation}.smk"


# What tables, figures and paper show, and complete.txt sums up.
COMPUTED = [f"{OUT}/compare.json", f"{OUT}/cost.json", f"{OUT}/latency/latency.json"]

# A preset without ablations trains its trunks, which nothing is compared with.
DETECTED = [
    f"{OUT}/tables/ablations.md",
    f"{OUT}/figures/pareto.png",
    f"{OUT}/paper/mnv4bench.pdf",
    f"{OUT}/index.html",
    f"{OUT}/report.html",
]


rule all:
    default_target: True
    input:
        EXTRA,
        [DETECTED, LEDGER] if PLAN.arms else [],
        SCORED if PLAN.trunks_only else [],
        f"{OUT}/complete.txt",


if REFERENCE:

    ruleorder: restore > data > train > latency > claims > labels > classifier

    RESTORED = [
        f"{DATA}/dataset.json",
        SCORED,
        f"{OUT}/latency/latency.json",
        f"{OUT}/latency/blocks.csv",
        CLAIMED_TIMES,
        figure(PICTURE),
        CONFUSION if COUNTED else [],
    ]

    rule restore:
        """In place of everything that takes training, timing or images; the rest is computed and compared with it."""
        input:
            f"results/reference/{REFERENCE}/reference.json",
        output:
            RESTORED if PLAN.arms else [],
            CLASSIFIED,
            f"{LABELS}/teacher.json" if TAUGHT else [],
            RECORDS,
        log:
            f"{OUT}/logs/restore.log",
        shell:
            "{STEP} restore > {log} 2>&1"


rule data:
    """What is refused, or has been moved away, leaves the earlier record: it is kept and put back where this fails."""
    output:
        update(f"{DATA}/dataset.json"),
    log:
        f"{OUT}/logs/data.log",
    benchmark:
        f"{OUT}/benchmarks/data.tsv"
    params:
        spec=SPEC.data.model_dump_json(),
        source=lambda _: source_digest(SPEC.data),
    shell:
        "{STEP} data > {log} 2>&1"


def before_training(wildcards):
    """The data, and the runs that this one starts from or learns from."""
    run = PLAN.run(wildcards.run)
    return {
        "data": f"{DATA}/dataset.json",
        "runs": [
            f"{OUT}/runs/{name}/metrics.json"
            for name in (run.start, run.teacher)
            if name
        ],
    }


rule train:
    """Trains and scores; a run whose metrics.json was deleted is scored again, not trained again."""
    input:
        unpack(before_training),
    output:
        f"{OUT}/runs/{{run}}/metrics.json",
    log:
        f"{OUT}/runs/{{run}}/train.log",
    benchmark:
        f"{OUT}/benchmarks/train/{{run}}.tsv"
    priority: 10
    retries: SPEC.needs.retries
    threads: lambda wildcards: needs.cores(PLAN.run(wildcards.run))
    resources:
        nodes=SPEC.needs.nodes,
        tasks=SPEC.needs.nodes,  # of the scheduler: torchrun starts the ranks of a node
        tasks_per_gpu=0,
        cpus_per_task=lambda wildcards: ceil(
            needs.cores(PLAN.run(wildcards.run)) / SPEC.needs.nodes
        ),
        gpu=lambda wildcards: needs.gpus(PLAN.run(wildcards.run)),
        mem_mb=lambda wildcards: needs.memory_mb(PLAN, Path(OUT), wildcards.run),
        runtime=lambda wildcards: needs.minutes(PLAN, Path(OUT), wildcards.run),
        slots=1,  # jobs that may share a GPU; profiles/gpus can raise it
    params:
        weights=lambda wildcards: weights_state(PLAN.run(wildcards.run).model.weights),
    shell:
        "{STEP} train --run {wildcards.run:q} --slots {resources.slots} 2>&1 | tee {log} >&2"


rule labels:
    """Labels of a teacher, stored once, that classifiers learn from."""
    output:
        f"{LABELS}/teacher.json",
    log:
        f"{OUT}/logs/labels.log",
    benchmark:
        f"{OUT}/benchmarks/labels.tsv"
    priority: 10
    retries: SPEC.needs.retries
    threads: SPEC.classifiers.threads
    resources:
        runtime=needs.minutes_unknown(PLAN),
    shell:
        "{STEP} labels 2>&1 | tee {log} >&2"


rule classifier:
    input:
        lambda wildcards: (
            f"{LABELS}/teacher.json" if PLAN.classifier(wildcards.run).taught else []
        ),
    output:
        f"{OUT}/classifiers/{{run}}/result.json",
    log:
        f"{OUT}/classifiers/{{run}}/classifier.log",
    benchmark:
        f"{OUT}/benchmarks/classifiers/{{run}}.tsv"
    priority: 10
    retries: SPEC.needs.retries
    threads: SPEC.classifiers.threads
    resources:
        runtime=needs.minutes_unknown(PLAN),
    shell:
        "{STEP} classifier --run {wildcards.run:q} 2>&1 | tee {log} >&2"


rule classifiers:
    input:
        CLASSIFIED,
        [f"ablations/{name}.yaml" for name in PLAN.classifiers.ablations],
    output:
        f"{OUT}/top1.json",
        table("classifiers", "ablations of classifiers"),
        f"{OUT}/tables/classifiers.md",
    log:
        f"{OUT}/logs/classifiers.log",
    benchmark:
        f"{OUT}/benchmarks/classifiers.tsv"
    params:
        resamples=SPEC.bootstrap,
    shell:
        "{STEP} classifiers > {log} 2>&1"


rule cost:
    input:
        f"{DATA}/dataset.json",
    output:
        f"{OUT}/cost.json",
    log:
        f"{OUT}/logs/cost.log",
    benchmark:
        f"{OUT}/benchmarks/cost.tsv"
    params:
        arms=[
            f"{arm.label} {arm.model} {arm.read} {PLAN.spec(arm).data.imgsz}"
            for arm in PLAN.arms
        ],
    shell:
        "{STEP} cost > {log} 2>&1"


rule latency:
    input:
        SCORED,
    output:
        f"{OUT}/latency/latency.json",
        f"{OUT}/latency/blocks.csv",
    log:
        f"{OUT}/logs/latency.log",
    benchmark:
        f"{OUT}/benchmarks/latency.tsv"
    threads: ALL_CORES
    resources:
        exclusive=1,
        cpus_per_task=SPEC.needs.cores,
        gpu=min(GPU, 1),
    params:
        arms=[
            f"{arm.label} {arm.runs} {arm.read} {PLAN.baseline(arm.ablation).name}"
            for arm in PLAN.arms
        ],
        protocol=SPEC.latency.model_dump_json(),
    shell:
        "{STEP} latency > {log} 2>&1"


rule claims:
    input:
        f"{DATA}/dataset.json",
        SCORED,  # so that it does not make training wait
    output:
        f"{OUT}/latency/claims.json",
    log:
        f"{OUT}/logs/claims.log",
    benchmark:
        f"{OUT}/benchmarks/claims.tsv"
    threads: ALL_CORES
    resources:
        exclusive=1,
        cpus_per_task=SPEC.needs.cores,
    shell:
        "{STEP} claims > {log} 2>&1"


rule compare:
    input:
        SCORED,
        SHIPPED_TRUNKS,
        [f"ablations/{name}.yaml" for name in PLAN.ablations],
    output:
        f"{OUT}/compare.json",
    log:
        f"{OUT}/logs/compare.log",
    benchmark:
        f"{OUT}/benchmarks/compare.tsv"
    threads: ALL_CORES
    resources:
        cpus_per_task=SPEC.needs.cores,
    params:
        resamples=SPEC.bootstrap,
        gates=SPEC.gates.model_dump_json(),
        arms=[arm.label for arm in PLAN.arms],
    shell:
        "{STEP} compare > {log} 2>&1"


rule ledger:
    input:
        f"{OUT}/compare.json",
        f"{OUT}/latency/latency.json",
        CLAIMED_TIMES,
    output:
        table("ledger", "published figures, checked"),
        f"{OUT}/tables/ledger.md",
        f"{OUT}/tables/ledger.tex",
        f"{OUT}/tables/ledger.json",
    log:
        f"{OUT}/logs/ledger.log",
    benchmark:
        f"{OUT}/benchmarks/ledger.tsv"
    shell:
        "{STEP} ledger > {log} 2>&1"


rule tables:
    input:
        SCORED,
        f"{OUT}/compare.json",
        f"{OUT}/cost.json",
        f"{OUT}/latency/latency.json",
    output:
        table("ablations", "ablations"),
        table("classes", "classes (exploratory)"),
        table("slices", "slices (exploratory)"),
        table("latency", "latency"),
        table("errors", "error types (exploratory)"),
        table("operating", "precision and recall (exploratory)"),
        table("precision_recall", "precision over recall (exploratory)"),
        table("f1_confidence", "F1 over confidence (exploratory)"),
        [] if REFERENCE else table("confusion", "confusion (exploratory)"),
        f"{OUT}/tables/ablations.md",
        f"{OUT}/tables/ablations.tex",
        f"{OUT}/tables/latency.md",
        f"{OUT}/tables/classes.md",
        f"{OUT}/tables/errors.md",
    log:
        f"{OUT}/logs/tables.log",
    benchmark:
        f"{OUT}/benchmarks/tables.tsv"
    shell:
        "{STEP} tables > {log} 2>&1"


rule figures:
    input:
        SCORED,
        f"{OUT}/compare.json",
        f"{OUT}/cost.json",
        f"{OUT}/latency/latency.json",
        f"{OUT}/tables/precision_recall.csv",
        f"{OUT}/tables/f1_confidence.csv",
        CONFUSION if COUNTED else [],
        EXTRA,
    output:
        [figure(name) for name in [*DRAWN, *BY_CLASS]],
        [f"{OUT}/figures/{name}.pdf" for name in DRAWN],
        BOXES,
    log:
        f"{OUT}/logs/figures.log",
    benchmark:
        f"{OUT}/benchmarks/figures.tsv"
    shell:
        "{STEP} figures > {log} 2>&1"


rule paper:
    input:
        rules.tables.output,
        rules.figures.output,
        f"{OUT}/figures/{PICTURE}.png",
        LEDGER,
        COMPUTED,
        REFERENCES,
        expand(
            "paper/{name}.typ",
            name=["main", "method", "results", "appendix", "format", "layout"],
        ),
        "paper/references.bib",
    output:
        captioned(f"{OUT}/paper/mnv4bench.pdf", "paper", "Paper"),
    log:
        f"{OUT}/logs/paper.log",
    benchmark:
        f"{OUT}/benchmarks/paper.tsv"
    shell:
        "{STEP} paper > {log} 2>&1"


rule page:
    """Everything on one page for a browser, without server or network."""
    input:
        SCORED,
        f"{OUT}/compare.json",
        f"{OUT}/cost.json",
        f"{OUT}/latency/latency.json",
        f"{OUT}/tables/operating.csv",
        [f"{OUT}/figures/{name}.png" for name in [PICTURE, *BY_CLASS]],
        LEDGER,
    output:
        f"{OUT}/index.html",
    log:
        f"{OUT}/logs/page.log",
    benchmark:
        f"{OUT}/benchmarks/page.tsv"
    shell:
        "{STEP} page > {log} 2>&1"


rule report:
    input:
        rules.tables.output,
        rules.figures.output,
        rules.paper.output,
        EXTRA,
    output:
        f"{OUT}/report.html",
    log:
        f"{OUT}/logs/report.log",
    benchmark:
        f"{OUT}/benchmarks/report.tsv"
    params:
        config=[f"{option}={value}" for option, value in CONFIG.items()],
    shell:
        "{PYTHON} -m snakemake --cores 1 --nolock --config {params.config:q}"
        " --report {output:q} -- {input:q} > {log} 2>&1"


rule verify:
    """Sets the results beside those of results/reference that are most like them."""
    input:
        CLASSIFIED and rules.classifiers.output,
        [SCORED, rules.tables.output, f"{OUT}/latency/latency.json"]
        if PLAN.arms
        else [],
        REFERENCES,
    output:
        table("verify", "compared with the reference"),
        f"{OUT}/tables/verify.md",
    log:
        f"{OUT}/logs/verify.log",
    shell:
        "{STEP} verify > {log} 2>&1"


rule complete:
    """Fails, after everything else was made, when a run did not end well or the reference says otherwise."""
    input:
        f"{DATA}/dataset.json" if PLAN.runs else [],
        SCORED,
        EXTRA,
        # All that a step makes, not one file of it: who is told to delete another gets it made again.
        [
            COMPUTED,
            CLAIMED_TIMES,
            f"{OUT}/latency/blocks.csv",
            LEDGER and rules.ledger.output,
            rules.tables.output,
            rules.figures.output,
            rules.paper.output,
            rules.page.output,
            rules.report.output,
        ]
        if PLAN.arms
        else [],
        rules.verify.output if (PLAN.arms or CLASSIFIED) and not REFERENCE else [],
    output:
        f"{OUT}/complete.txt",
    params:
        runs=sorted(PLAN.runs),
    shell:
        "{STEP} complete"
