"""What each command does with its options (mnv4bench/cli.py); each imports what it needs, so that all start quickly."""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from mnv4bench.data.prepared import key, outdated
from mnv4bench.eta import expected, finished, lines, shipped
from mnv4bench.io.errors import Mnv4benchError, SpecError, UnderPreset
from mnv4bench.io.words import count
from mnv4bench.machine.cores import usable_cores
from mnv4bench.models.unbuilt import check_built
from mnv4bench.reference.plans import chosen, plan_of
from mnv4bench.results.dataset import RECORD
from mnv4bench.results.reference import FOLDER, REBUILT, TRUNKS
from mnv4bench.results.selection import home
from mnv4bench.spec.ablation import ABLATIONS, AblationSpec
from mnv4bench.spec.classifiers import Classifiers
from mnv4bench.spec.declared import check_extensions
from mnv4bench.spec.latency import latency_spec
from mnv4bench.spec.plan import Plan, load, refuse_other_endings
from mnv4bench.spec.preset import PRESETS, Preset
from mnv4bench.spec.scaffold import new_ablation
from mnv4bench.spec.search import search_spec
from mnv4bench.spec.yamlfile import YamlFile
from mnv4bench.steps import Context, run_step
from mnv4bench.train.recoded import recoded

Problem = tuple[str, Path | None]
"""What is wrong, and the preset that it is wrong under, where another may take it."""
CHANGED = (
    "the images or labels have changed since they were prepared: the next start prepares them again and trains every "
    "run anew, unless only the files' times differ"
)


def _load(options: argparse.Namespace) -> tuple[Plan, Path]:
    """Return what the options ask for, and the folder of its results."""
    return chosen({name: getattr(options, name, None) for name in ("preset", "only", "seeds", "reference")})


def show_plan(options: argparse.Namespace) -> None:
    plan, results = _load(options)
    results = home(results)
    if plan.runs:
        _show_runs(plan, results, options.runs)
        if outdated(plan.preset.data, data := results / "data" / key(plan.preset.data)):
            print(f"mnv4bench: warning: {data}: {CHANGED}", file=sys.stderr)
        for warning in recoded(plan.runs, results / "runs"):
            print(f"mnv4bench: warning: {warning}", file=sys.stderr)
    if plan.classifiers.runs:
        _show_classifiers(plan.classifiers, results, options.runs)
    _warn_of_absent_images([plan])


def _warn_of_absent_images(plans: Sequence[Plan]) -> None:
    from mnv4bench.data.coco import absent

    for plan in plans:
        if moved := absent(plan.preset.data, PRESETS / f"{plan.preset_name}.yaml"):
            print(f"mnv4bench: warning: {moved}", file=sys.stderr)


def _show_runs(plan: Plan, results: Path, each: bool) -> None:
    taken = dict.fromkeys(shipped(plan), "shipped")
    done = finished(plan, results)
    states = {**dict.fromkeys(plan.runs, "to do"), **taken, **dict.fromkeys(done, "finished")}
    arms = {arm.label: tuple(arm.runs.values()) for arm in plan.arms}
    _list(states, arms, {name: _uses(plan, name) for name in plan.runs}, each)
    asked = f"{count(len(plan.arms), 'arm')} of {count(len(plan.ablations), 'ablation')}"
    print(f"{count(len(plan.runs), 'run')} for {asked}; {len(done)} finished")
    print(*lines(expected(plan, results, usable_cores(), done), usable_cores()), sep="\n")


def _show_classifiers(found: Classifiers, results: Path, each: bool) -> None:
    done = [name for name in found.runs if (results / "classifiers" / name / "result.json").exists()]
    states = {**dict.fromkeys(found.runs, "to do"), **dict.fromkeys(done, "finished")}
    arms = {f"{a}/{arm}": tuple(runs.values()) for a, all_arms in found.arms.items() for arm, runs in all_arms.items()}
    _list(states, arms, {}, each)
    asked = f"{count(len(arms), 'arm')} of {count(len(found.ablations), 'ablation')}"
    print(f"{count(len(found.runs), 'classifier')} for {asked}; {len(done)} finished")
    print("time       told by each classifier's log while it runs, and in no sum above")


def _list(
    states: Mapping[str, str], arms: Mapping[str, Collection[str]], uses: Mapping[str, list[str]], each: bool
) -> None:
    """Print each arm with how many of its runs are finished, and the runs that are no arm's; or each run.

    Args:
        states: run → its state; of all runs.
        arms: arm → its runs.
        uses: run → what it is for besides.
        each: print every run with its state and its arms.
    """
    for label, runs in {} if each else arms.items():
        finished = sum(states[run] == "finished" for run in runs)
        print(f"{label:44} {finished} of {count(len(runs), 'run')}")
    for run, state in states.items():
        users = sorted(label for label in arms if run in arms[label])
        if each or not users:
            print(f"{run:44} {state:9} {', '.join([*users, *uses.get(run, [])])}")


def create_ablation(options: argparse.Namespace) -> None:
    path = new_ablation(options.name)
    print(f"{path} is written. Change its question and its arms, then: mnv4bench check, and")
    print(f"snakemake --cores all --config only={options.name}")


def create_preset(options: argparse.Namespace) -> None:
    from mnv4bench.machine.load import BUSY, busy_cores
    from mnv4bench.train.proposal import new_preset, rough

    if options.rate is not None and not 0 < options.rate < math.inf:
        raise SpecError(f"--rate {options.rate:g}: no number of images per second; give one above 0, or leave it out")
    busy = options.rate is None and busy_cores() > BUSY * usable_cores()
    path, plan, hours = new_preset(options.name, options.data, options.rate, busy, options.force)
    side, seeds, cores = plan.preset.data.imgsz, len(plan.preset.seeds), usable_cores()
    print(f"{path} is written: {side} pixels, {len(plan.runs)} runs with {seeds} seeds,")
    print(f"about {rough(hours)} hours of training on {cores} cores.")
    if busy:
        print("The rate was measured on a busy machine, so hours and seeds may be wrong. To try again when it is idle:")
        print(f"mnv4bench new-preset {options.name} --data {shlex.quote(str(options.data))} --force")
    print("Read its comments, then:")
    print(f"snakemake --cores all --config preset={options.name}")
    print("A cheap trial first, one question with one seed; its trunk, most of the work, serves the whole preset too:")
    print(f"snakemake --cores all --config preset={options.name} only=nms_free seeds=1")


def _uses(plan: Plan, run: str) -> list[str]:
    """Return what a run is for besides arms."""
    starts = any(spec.start == run for spec in plan.runs.values())
    teaches = any(spec.teacher == run for spec in plan.runs.values())
    return [*(["start of the others"] if starts else []), *(["teacher"] if teaches else [])]


def check_specs(options: argparse.Namespace) -> None:
    if options.folder:
        from mnv4bench.data.prepare import check_folder

        print(check_folder(options.folder))
        return
    for folder in (PRESETS, ABLATIONS):
        if not folder.is_dir():
            raise SpecError(f"{folder}: no such folder; run from the project's folder")
    presets = sorted(path.stem for path in PRESETS.glob("*.yaml"))
    ablations = sorted(path.stem for path in ABLATIONS.glob("*.yaml"))
    checks: list[Callable[[], object]] = [
        *(partial(load, preset) for preset in presets),
        *(partial(_check_figures, ABLATIONS / f"{name}.yaml") for name in ablations),
        partial(check_extensions, ablations),
        check_built,
        partial(_check_titles, ablations),
        *(partial(refuse_other_endings, folder) for folder in (PRESETS, ABLATIONS)),
    ]
    problems = [problem for check in checks for problem in _problems(check)]
    published = {name: _is_published(ABLATIONS / f"{name}.yaml", AblationSpec) for name in ablations}
    kinds = {preset: _is_published(PRESETS / f"{preset}.yaml", Preset) for preset in presets}
    for preset, kind in kinds.items():
        if kind is not None:
            problems += _problems_under(preset, [name for name in ablations if published[name] is kind])
    if problems:
        alike = [{PRESETS / f"{name}.yaml" for name in presets if kinds[name] is kind} for kind in (True, False)]
        raise Mnv4benchError("\n".join(_each_once(problems, alike)))
    print(f"{len(presets)} presets and {len(ablations)} ablations are valid")
    _warn_of_absent_images([load(preset) for preset in presets])


def _problems(check: Callable[[], object]) -> list[Problem]:
    try:
        check()
    except UnderPreset as error:
        return [(line, error.preset) for line in error.problem.splitlines()]
    except Mnv4benchError as error:
        return [(line, None) for line in str(error).splitlines()]
    return []


def _each_once(problems: Sequence[Problem], alike: Collection[Collection[Path]]) -> Iterator[str]:
    """Yield each problem with the presets that it arises under, where others take the same ablations without it.

    Args:
        alike: sets of presets that the same ablations were tried under.
    """
    under: dict[str, list[Path]] = {}
    for line, preset in problems:
        under.setdefault(line, []).extend([preset] if preset else [])
    for line, presets in under.items():
        named = [] if set(presets) in alike else dict.fromkeys(map(str, presets))
        yield f"{line} (under {', '.join(named)})" if named else line


def _problems_under(preset: str, names: Sequence[str]) -> list[Problem]:
    """Return what is wrong with ablations under a preset that may not be theirs: all at once, which takes little time,
    and each by itself where that fails, so that none hides another's problem."""
    if not names or not _problems(partial(load, preset, ",".join(names))):
        return []
    return [problem for name in names for problem in _problems(partial(load, preset, name))]


def _is_published(path: Path, kind: type[AblationSpec] | type[Preset]) -> bool | None:
    """Return whether a file is about published weights, which go together alone; None where it is not valid."""
    try:
        spec = YamlFile(path).parse(kind)
    except Mnv4benchError:
        return None
    return spec.model.weights is not None if isinstance(spec, Preset) else spec.start == "published"


def _check_figures(path: Path) -> None:
    from mnv4bench.ledger.cited import check_cited

    file = YamlFile(path)
    check_cited(file, file.parse(AblationSpec))


def _check_titles(ablations: Sequence[str]) -> None:
    """Refuse a title that two ablations have, which tables and pages tell apart by it alone."""
    first: dict[object, Path] = {}
    for path in (ABLATIONS / f"{name}.yaml" for name in ablations):
        file = YamlFile(path)
        title = file.content.get("title") if isinstance(file.content, dict) else None
        if title is not None and (other := first.setdefault(str(title), path)) != path:
            raise file.error(("title",), f"{title!r} is the title of {other}, too; change one")


def import_data(options: argparse.Namespace) -> None:
    from mnv4bench.data.importers.importing import import_dataset

    print(import_dataset(options.source, options.target, options.layout, options.background, options.link))
    print(f"Next: mnv4bench check {options.target}, and mnv4bench new-preset NAME --data {options.target}")


def time_networks(options: argparse.Namespace) -> None:
    given = {
        "runtimes": None if options.runtimes is None else tuple(options.runtimes.split(",")),
        "threads": None if options.threads is None else tuple(options.threads.split(",")),
        "sessions": options.sessions,
        "rounds": options.rounds,
        "block_ms": options.block_ms,
    }
    spec = latency_spec({name: value for name, value in given.items() if value is not None})
    from mnv4bench.latency.direct import time_models
    from mnv4bench.report.timed_models import describe

    record = time_models(
        options.models,
        options.images,
        options.out,
        spec,
        options.imgsz,
        options.allow_busy,
        options.trust,
        score=options.score is not None,
        data=Path(options.score) if options.score else None,
    )
    print(describe(record))


def export_model(options: argparse.Namespace) -> None:
    from mnv4bench.deploy.export import export
    from mnv4bench.report.exported import describe, progress

    record = export(
        options.model,
        options.format.split(",") if options.format is not None else None,
        options.out,
        imgsz=options.imgsz,
        images=options.images,
        data=options.data,
        nms=options.nms,
        threads=options.threads,
        trust=options.trust,
        done=lambda form, file: print(progress(form, file), file=sys.stderr, flush=True),
    )
    print(describe(record, options.out))
    if record.failed:
        sys.exit(1)


def list_models(options: argparse.Namespace) -> None:
    from mnv4bench.report.models import catalogue

    print(catalogue())


def show_run(options: argparse.Namespace) -> None:
    from mnv4bench.report.shown_run import describe

    print(describe(options.run))


def search_architecture(options: argparse.Namespace) -> None:
    names = ("method", "steps", "final_steps", "lr", "seed")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    cost, budget = ("macs", options.budget_macs) if options.budget_macs is not None else ("ms", options.budget_ms)
    spec = search_spec({**given, "cost": cost, "budget": budget})
    from mnv4bench.search.command import search_backbone

    result = search_backbone(spec, options.images, options.objects, options.out)
    print(*result.rows, sep="\n")
    measured = "" if result.measured_ms is None else f" (measured {result.measured_ms:.4g})"
    cost = f"cost {result.expected_cost:.4g}{measured} {cost} of {budget:.4g}"
    print(f"{cost}, {result.macs} MACs, accuracy {result.accuracy:.3f}")
    print(f"model.backbone: {options.out / 'backbone.json'}")


def check_ledger(options: argparse.Namespace) -> None:
    from mnv4bench.results.ledger import LedgerSummary
    from mnv4bench.results.record import read_record

    plan, results = _load(options)
    context = Context(plan, results)
    if options.time:
        if not (context.data / RECORD).exists():
            run_step("data", context)
        run_step("claims", context)
    run_step("ledger", context)
    summary = read_record(results / "tables" / "ledger.json", LedgerSummary)
    for source in summary.sources.values():
        print(f"{source.name:22} {', '.join(f'{n} {verdict}' for verdict, n in source.verdicts.items() if n)}")
    print(f"{summary.figures} figures in {results / 'tables' / 'ledger.csv'}")


def write_docs(options: argparse.Namespace) -> None:
    from mnv4bench.report.docs import generated

    changed = generated.refresh(check=options.check)
    for path in changed:
        print(path)
    if options.check and changed:
        raise Mnv4benchError("these are not what their records say; write them anew: mnv4bench docs")


def verify_results(options: argparse.Namespace) -> None:
    from mnv4bench.reference.cells import counts
    from mnv4bench.reference.result_set import ResultSet, reference_set
    from mnv4bench.reference.verify import closest, verify
    from mnv4bench.report.verified import TABLE, differing, outcome, write_verified
    from mnv4bench.results import sums
    from mnv4bench.results.reference import read_reference

    here = ResultSet(options.results)
    if options.reference:
        read_reference(options.reference)  # a name that does not exist gets its own error
    reference = reference_set(FOLDER / options.reference) if options.reference else closest(here)
    cells = verify(here, reference)
    write_verified(cells, options.results, reference)
    sums.record(options.results, "verify")
    print("\n".join([*outcome(cells, options.results, reference), *differing(options.results)]))
    print(f"every cell, with its tolerance: {options.results / TABLE.with_suffix('.md')}")
    number = counts(cells)
    if number["differ"] or not number["agree"]:
        sys.exit(1)


def publish_reference(options: argparse.Namespace) -> None:
    from mnv4bench.reference.publish import publish, replaceable, take_over
    from mnv4bench.reference.rebuild import changed

    if options.rebuilt:
        target, plan = replaceable(options.name, FOLDER), plan_of(options.name)
        for change in changed(plan, target, REBUILT / options.name):
            print(change)
        record = take_over(plan, target, REBUILT / options.name)
    else:
        plan, results = _load(options)
        if plan.trunks_only:
            return _ship_trunks(options.name, plan, results)
        target = replaceable(options.name, FOLDER)
        record = publish(plan, results, options.name, rendered=options.rendered)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"{target}: {len(record.files)} records, {size / 1e6:.1f} MB in all")


def _ship_trunks(name: str, plan: Plan, results: Path) -> None:
    from mnv4bench.train.trunks import ship

    if name != TRUNKS.name:
        raise Mnv4benchError(f"{name}: preset {plan.preset_name} trains trunks alone; name them {TRUNKS.name}")
    for run in plan.runs:
        print(ship(run, results / "runs"))


def do_step(options: argparse.Namespace) -> None:
    plan, results = _load(options)
    run_step(options.step, Context(plan, results, options.run, options.reference, options.slots))
