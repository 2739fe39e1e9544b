"""The workflow's rules as functions: each takes a plan and a results folder, imports what it needs, does one thing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mnv4bench import needs
from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import write_text
from mnv4bench.machine import gpus
from mnv4bench.results import sums
from mnv4bench.results.metrics import read_metrics
from mnv4bench.spec.extensions import extensions
from mnv4bench.spec.plan import Plan
from mnv4bench.spec.preset import PRESETS
from mnv4bench.spec.problems import nearest

SHOWN = 20
"""Changed values that an error lists."""


@dataclass(frozen=True)
class Context:
    """What every step knows."""

    plan: Plan
    results: Path
    run: str | None = None
    reference: str | None = None
    """Of what is rebuilt; None where everything is measured here."""
    slots: int = 1
    """Training jobs that may share a GPU."""

    @property
    def runs(self) -> Path:
        return self.results / "runs"

    @property
    def classifiers(self) -> Path:
        return self.results / "classifiers"

    @property
    def data(self) -> Path:
        """Folder of the prepared data set."""
        from mnv4bench.data.prepared import key

        return self.results / "data" / key(self.plan.preset.data)

    @property
    def run_name(self) -> str:
        if self.run is None:
            raise Mnv4benchError("this step needs --run; `mnv4bench plan --runs` lists the runs")
        return self.run


def data(context: Context) -> None:
    from mnv4bench.data.coco import absent
    from mnv4bench.data.prepare import prepare

    _published_weights(context.plan)
    if moved := absent(context.plan.preset.data, PRESETS / f"{context.plan.preset_name}.yaml"):
        raise Mnv4benchError(moved)
    dataset = prepare(context.plan.preset.data, context.data)
    for note in dataset.notes:
        print(note, file=sys.stderr)


def _published_weights(plan: Plan) -> None:
    """Fetch the published weights that a plan names and this machine lacks; say what is missing.

    Raises:
        Mnv4benchError: none of them is here; says so of the images, too.
    """
    wanted = list(dict.fromkeys(run.model.weights for run in plan.runs.values() if run.model.weights))
    if not wanted:
        return
    from mnv4bench.data.weights import how_to_get, obtain

    if missing := obtain(wanted):
        if len(missing) == len(wanted):
            raise Mnv4benchError("\n".join([how_to_get(missing), *_absent_images(plan)]))
        print(how_to_get(missing), file=sys.stderr)


def _absent_images(plan: Plan) -> list[str]:
    from mnv4bench.data.coco import locate

    try:
        locate(plan.preset.data.location)
    except Mnv4benchError as error:
        return [str(error)]
    return []


def networks(context: Context) -> None:
    from mnv4bench.cost.arms import check_networks

    check_networks(context.plan, context.runs)


def train(context: Context) -> None:
    """Train and score a run in one process, which has loaded its libraries and its images once."""
    from mnv4bench.evaluate.detections import validation
    from mnv4bench.results.reference import TRUNKS

    name, plan = context.run_name, context.plan
    spec = plan.run(name)
    shipped = TRUNKS if plan.takes_trunks and name in [trunk.name for trunk in plan.trunks] else None
    with gpus.claimed(needs.gpus(spec), context.slots):
        from mnv4bench.train.run import train

        train(name, spec, context.data, context.runs, validation(spec, context.data), shipped)
        evaluate(context)


def evaluate(context: Context) -> None:
    """Score a run, in PyTorch or in the 8-bit runtime that its spec names."""
    from mnv4bench.evaluate.detections import evaluate
    from mnv4bench.latency import quantised

    spec = context.plan.run(context.run_name)
    score = evaluate if spec.deploy.runtime == "torch" else quantised.evaluate
    score(context.run_name, spec, context.data, context.runs)


def labels(context: Context) -> None:
    """Train the teacher of classifiers, and store what it says of its images."""
    from mnv4bench.search.labels import write_labels

    settings = context.plan.preset.classifiers
    write_labels(settings, context.classifiers / settings.labels_name())


def classifier(context: Context) -> None:
    """Find, train and score a classifier of single objects."""
    from mnv4bench.search.classifiers import classify

    run = context.plan.classifier(context.run_name)
    classify(run, context.classifiers / run.settings.labels_name(), context.classifiers / run.name)


def classifiers(context: Context) -> None:
    """Compare the classifiers and write their tables."""
    from mnv4bench.report.tables.classifiers import write_classifiers

    write_classifiers(context.plan, context.results)


def cost(context: Context) -> None:
    from mnv4bench.cost.arms import write_cost
    from mnv4bench.data.prepared import load

    write_cost(context.plan, len(load(context.data).classes), context.results / "cost.json")


def latency(context: Context) -> None:
    wanted = max(map(needs.gpus, context.plan.runs.values()), default=0)
    with gpus.claimed(min(wanted, 1), context.slots, whole=True):
        from mnv4bench.latency.arms import time_arms

        time_arms(context.plan, context.results, context.data)


def compare(context: Context) -> None:
    from mnv4bench.statistics.compare import compare

    compare(context.plan, context.results)


def tables(context: Context) -> None:
    from mnv4bench.report.tables.write import write_tables

    write_tables(context.plan, context.results, detections=context.reference is None)


def figures(context: Context) -> None:
    from mnv4bench.report.figures.write import write_figures

    write_figures(context.plan, context.results, pictures=context.reference is None)


def paper(context: Context) -> None:
    from mnv4bench.report.paper.write import write_paper

    write_paper(context.plan, context.results, reference=context.reference is not None)


def page(context: Context) -> None:
    from mnv4bench.report.page.write import write_page

    write_page(context.plan, context.results)


def ledger(context: Context) -> None:
    from mnv4bench.report.ledger import write_ledger

    write_ledger(context.plan, context.results)


def claims(context: Context) -> None:
    from mnv4bench.data.prepared import intact
    from mnv4bench.latency.campaign import first_images
    from mnv4bench.ledger.times import measure
    from mnv4bench.report.ledger import CLAIMED_TIMES

    measure(first_images(intact(context.data), context.data, "val", 8), context.results / CLAIMED_TIMES)


def restore(context: Context) -> None:
    from mnv4bench.reference.rebuild import restore
    from mnv4bench.results.reference import FOLDER

    restore(context.plan, FOLDER / str(context.reference), context.results)


def verify(context: Context) -> None:
    """Write tables/verify.{md,csv}; what differs makes `complete` fail."""
    from mnv4bench.reference.result_set import ResultSet
    from mnv4bench.reference.verify import closest, verify
    from mnv4bench.report.verified import write_verified
    from mnv4bench.results.reference import names

    here = ResultSet(context.results)
    reference = closest(here) if names() else None
    cells = verify(here, reference) if reference else []
    write_verified(cells, context.results, reference)


def complete(context: Context) -> None:
    """Write complete.txt: what came out, in a few lines, and where to look.

    Raises:
        Mnv4benchError: a file is not what was written there, a run did not end well, or the results are not those of
            the reference; the tables are there and show it in its cell.
    """
    _check_files(context)
    problems = _ended_badly(context)
    if context.plan.trunks_only:
        problems += _other_trunks(context)
    else:
        problems += _changed(context) if context.reference else _differ(context)
    if problems:
        raise Mnv4benchError("all is made, but:\n" + "\n".join(problems))
    if context.plan.trunks_only:
        return write_text(context.results / "complete.txt", f"{len(context.plan.runs)} runs done\n")
    from mnv4bench.report.closing import closing

    write_text(context.results / "complete.txt", closing(context.plan, context.results, context.reference))


def _check_files(context: Context) -> None:
    """Refuse runs and data of which a file changed since, also one that no step of this start has read."""
    from mnv4bench.data.prepared import verify
    from mnv4bench.results.manifest import check_run

    for run in context.plan.runs:
        check_run(context.runs / run)
    if context.plan.runs and not context.reference:
        verify(context.data)


def _ended_badly(context: Context) -> list[str]:
    wrong = []
    for run in context.plan.runs:
        metrics = read_metrics(context.runs / run)
        if metrics.state not in ("done", "missing"):
            wrong.append(f"  {run}: {metrics.state} ({metrics.reason})")
    if not wrong:
        return []
    return [
        "these runs did not end well and are marked there:",
        *wrong,
        f"To try one again, delete its status.json and metrics.json in {context.runs}, and start once more.",
    ]


def _other_trunks(context: Context) -> list[str]:
    """Compare the trunks that were trained with the shipped ones of the same name."""
    from mnv4bench.results.reference import TRUNKS
    from mnv4bench.results.run import read_status

    problems = []
    for run in context.plan.runs:
        if not (TRUNKS / run / "status.json").exists():
            print(f"{run}: {TRUNKS} has no such trunk; `mnv4bench publish trunks` ships it", file=sys.stderr)
            continue
        ours, theirs = read_status(context.runs / run), read_status(TRUNKS / run)
        if ours.weights_digest != theirs.weights_digest:
            problems.append(f"  {run}: its weights are {ours.weights_digest}, the shipped ones {theirs.weights_digest}")
    return ["these trunks differ from the shipped ones:", *problems] if problems else []


def _changed(context: Context) -> list[str]:
    from mnv4bench.reference.rebuild import changed
    from mnv4bench.results.reference import FOLDER

    folder = FOLDER / str(context.reference)
    changes = changed(context.plan, folder, context.results)
    if not changes:
        return []
    return [
        f"{folder}: {len(changes)} of its numbers and verdicts came out differently:",
        *map(str, changes[:SHOWN]),
        *([f"and {len(changes) - SHOWN} more"] if len(changes) > SHOWN else []),
        f"If the change is meant: mnv4bench publish --rebuilt {context.reference}",
    ]


def _differ(context: Context) -> list[str]:
    from mnv4bench.report.verified import differing

    wrong = differing(context.results)
    return [f"these differ from the reference ({context.results}/tables/verify.md):", *wrong] if wrong else []


STEPS: dict[str, Callable[[Context], None]] = {
    step.__name__: step
    for step in (
        data,
        networks,
        train,
        evaluate,
        labels,
        classifier,
        classifiers,
        cost,
        latency,
        claims,
        restore,
        compare,
        tables,
        figures,
        ledger,
        paper,
        page,
        verify,
        complete,
    )
}


def run_step(name: str, context: Context) -> None:
    """Do a step of the workflow, or one that an extension of the plan's ablations adds (ablations/NAME.py).

    Raises:
        Mnv4benchError: there is no such step, or it fails in a way that a user can mend.
    """
    if name in STEPS:
        sums.check(context.results, name)
        STEPS[name](context)
        return sums.record(context.results, name)
    added = {
        step: run for extension in extensions(context.plan.names).values() for step, run in extension.steps.items()
    }
    if name not in added:
        raise Mnv4benchError(f"no step {name!r}; {nearest(name, [*STEPS, *added])}")
    return added[name](context.plan, context.results, context.data)
