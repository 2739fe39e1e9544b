"""The command line. Every error that a user can mend is printed without a traceback, and the exit status is 2."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mnv4bench.eta import expected, lines
from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.machine.cores import usable_cores
from mnv4bench.reference.plans import chosen, plan_of
from mnv4bench.results.reference import FOLDER, REBUILT
from mnv4bench.spec.ablation import ABLATIONS, AblationSpec
from mnv4bench.spec.latency import latency_spec
from mnv4bench.spec.plan import Plan, load
from mnv4bench.spec.preset import PRESETS
from mnv4bench.spec.scaffold import new_ablation
from mnv4bench.spec.yamlfile import YamlFile
from mnv4bench.steps import STEPS, Context, run_step


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
        sys.stdout.flush()
    except Mnv4benchError as error:
        print(f"mnv4bench: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # whoever reads, head for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "mnv4bench", description="Does each part of MobileNetV4 and YOLOv10 pay for itself?"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    plan = commands.add_parser("plan", help="list the runs of a preset: which are shared, which are finished")
    _which(plan)
    plan.set_defaults(command=_plan)

    check = commands.add_parser("check", help="validate every preset and ablation, and a data set if one is named")
    check.add_argument("folder", nargs="?", type=Path, help="a folder in COCO 2017's layout")
    check.set_defaults(command=_check)

    new = commands.add_parser("new", help="write a commented ablation that is valid as it stands")
    new.add_argument("name", metavar="NAME", help="of the file in ablations/, without its ending")
    new.set_defaults(command=_new)

    importer = commands.add_parser("import", help="copy a Pascal VOC, YOLO or COCO export into COCO 2017's layout")
    importer.add_argument("source", type=Path, metavar="SRC")
    importer.add_argument("target", type=Path, metavar="DST")
    importer.add_argument("--layout", choices=("voc", "yolo", "coco"), help="which to read, where several lie in SRC")
    importer.add_argument("--background", action="store_true", help="VOC: images without .xml are without objects")
    importer.add_argument("--link", action="store_true", help="hard-link the images instead of copying them")
    importer.set_defaults(command=_import)

    latency = commands.add_parser(
        "latency", help="time models on this machine, in turns, and compare them, with a measure of confidence"
    )
    latency.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="a run's folder, an ultralytics checkpoint (.pt) or a catalogue name; the first is the baseline",
    )
    latency.add_argument("--images", type=Path, required=True, metavar="DIR", help="images to run on")
    latency.add_argument("--imgsz", type=int, metavar="N", help="side in pixels (default: the runs' own, else 640)")
    latency.add_argument("--runtimes", metavar="A,B", help="by default torch, onnxruntime and openvino")
    latency.add_argument("--threads", metavar="N,M", help="thread counts, or “all” (default: 1)")
    latency.add_argument("--sessions", type=int, metavar="N", help="fresh processes (default: 8)")
    latency.add_argument("--rounds", type=int, metavar="N", help="turns of each model in a session (default: 24)")
    latency.add_argument("--block-ms", type=float, metavar="MS", help="shortest timed block (default: 20)")
    latency.add_argument(
        "--trust",
        action="store_true",
        help="run the code in checkpoints (a .pt file can hold any); by default such a file is refused",
    )
    latency.add_argument("--allow-busy", action="store_true", help="measure although the machine is at work")
    latency.add_argument(
        "--out", type=Path, default=Path("results/latency"), metavar="DIR", help="raw blocks and record"
    )
    latency.set_defaults(command=_latency)

    ledger = commands.add_parser("ledger", help="check the published figures of papers and article, one by one")
    ledger.add_argument("--preset", default="quick", help="whose results stand beside the claims (default: quick)")
    ledger.add_argument(
        "--time",
        action="store_true",
        help="first time the networks that claims on time are about: about half an hour",
    )
    ledger.set_defaults(command=_ledger, only=None, seeds=None)

    verify = commands.add_parser("verify", help="set results beside a reference, cell by cell; exit 1 if any differ")
    verify.add_argument("results", type=Path, metavar="RESULTS", help="a preset's folder, for example results/quick")
    verify.add_argument("--reference", metavar="NAME", help="by default the one that shares most trainings")
    verify.set_defaults(command=_verify)

    publish = commands.add_parser(
        "publish", help="make a finished preset's results a reference: results/reference/NAME"
    )
    _which(publish)
    publish.add_argument("name", metavar="NAME")
    publish.add_argument(
        "--rebuilt",
        action="store_true",
        help="keep NAME's records, and take over what --config reference=NAME computed and rendered from them",
    )
    publish.add_argument(
        "--rendered", action="store_true", help="keep Markdown, LaTeX, figures and paper beside the records"
    )
    publish.set_defaults(command=_publish)

    docs = commands.add_parser("docs", help="write docs/ablations.md and the generated passages of README and docs/")
    docs.set_defaults(command=_docs)

    step = commands.add_parser("step", help="do one step of the workflow (the Snakefile's rules call this)")
    _which(step)
    step.add_argument("step", metavar="STEP", help=f"{', '.join(STEPS)}, or one of ablations/NAME.py")
    step.add_argument("--run", help="the run's name, for train and evaluate")
    step.add_argument("--reference", help="rebuild a reference's tables, figures and paper from its records")
    step.set_defaults(command=_step)
    return parser


def _which(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", help="a file of config/ without its ending (default: quick)")
    parser.add_argument("--only", metavar="ABLATION", help="one ablation alone, or several with commas between")
    parser.add_argument("--seeds", type=int, metavar="N", help="only the preset's first N seeds")


def _load(options: argparse.Namespace) -> tuple[Plan, Path]:
    """Return what the options ask for, and the folder of its results."""
    return chosen({name: getattr(options, name, None) for name in ("preset", "only", "seeds", "reference")})


def _plan(options: argparse.Namespace) -> None:
    plan, results = _load(options)
    runs = results / "runs"
    for name in plan.runs:
        users = _users(plan, name)
        state = "finished" if (runs / name / "metrics.json").exists() else "to do"
        print(f"{name:44} {state:9} {', '.join(users)}")
    finished = sum((runs / name / "metrics.json").exists() for name in plan.runs)
    print(f"{len(plan.runs)} runs for {len(plan.arms)} arms of {len(plan.ablations)} ablations; {finished} finished")
    print(*lines(expected(plan, results, usable_cores()), usable_cores()), sep="\n")


def _new(options: argparse.Namespace) -> None:
    path = new_ablation(options.name)
    print(f"{path} is written. Change its question and its arms, then: mnv4bench check, mnv4bench docs, and")
    print(f"snakemake --cores all --config only={options.name}")


def _users(plan: Plan, run: str) -> list[str]:
    """Say what a run is for."""
    arms = sorted({arm.label for arm in plan.arms if run in arm.runs.values()})
    starts = any(spec.start == run for spec in plan.runs.values())
    teaches = any(spec.teacher == run for spec in plan.runs.values())
    return [*arms, *(["start of the others"] if starts else []), *(["teacher"] if teaches else [])]


def _check(options: argparse.Namespace) -> None:
    problems = []
    presets = sorted(path.stem for path in PRESETS.glob("*.yaml"))
    ablations = sorted(path.stem for path in ABLATIONS.glob("*.yaml"))
    for preset in presets:
        for only in (None, *ablations):
            try:
                load(preset, only)
            except Mnv4benchError as error:
                problems.extend(str(error).splitlines())
    for name in ablations:
        try:
            _check_figures(ABLATIONS / f"{name}.yaml")
        except Mnv4benchError as error:
            problems.extend(str(error).splitlines())
    if problems:
        raise Mnv4benchError("\n".join(dict.fromkeys(problems)))
    print(f"{len(presets)} presets and {len(ablations)} ablations are valid")
    if options.folder:
        from mnv4bench.data.prepare import check_folder

        print(check_folder(options.folder))


def _check_figures(path: Path) -> None:
    from mnv4bench.ledger.cited import check_cited

    file = YamlFile(path)
    check_cited(file, file.parse(AblationSpec))


def _import(options: argparse.Namespace) -> None:
    from mnv4bench.data.importers.importing import import_dataset

    print(import_dataset(options.source, options.target, options.layout, options.background, options.link))


def _latency(options: argparse.Namespace) -> None:
    given = {
        "runtimes": options.runtimes and tuple(options.runtimes.split(",")),
        "threads": options.threads and tuple(options.threads.split(",")),
        "sessions": options.sessions,
        "rounds": options.rounds,
        "block_ms": options.block_ms,
    }
    spec = latency_spec({name: value for name, value in given.items() if value is not None})
    from mnv4bench.latency.direct import time_models
    from mnv4bench.report.timed_models import describe

    record = time_models(
        options.models, options.images, options.out, spec, options.imgsz, options.allow_busy, options.trust
    )
    print(describe(record))


def _ledger(options: argparse.Namespace) -> None:
    from mnv4bench.report.ledger import write_ledger

    plan, results = _load(options)
    if options.time:
        context = Context(plan, results)
        if not (context.data / "dataset.json").exists():
            STEPS["data"](context)
        STEPS["claims"](context)
    summary = write_ledger(plan, results)
    for source in summary.sources.values():
        print(f"{source.name:22} {', '.join(f'{n} {verdict}' for verdict, n in source.verdicts.items() if n)}")
    print(f"{summary.figures} figures in {results / 'tables' / 'ledger.csv'}")


def _docs(options: argparse.Namespace) -> None:
    from mnv4bench.report.docs import generated

    for path in generated.refresh():
        print(path)


def _verify(options: argparse.Namespace) -> None:
    from mnv4bench.reference.cells import counts
    from mnv4bench.reference.result_set import ResultSet, reference_set
    from mnv4bench.reference.verify import closest, verify
    from mnv4bench.report.verified import TABLE, differing, outcome, write_verified
    from mnv4bench.results.reference import read_reference

    here = ResultSet(options.results)
    if options.reference:
        read_reference(options.reference)  # a name that does not exist gets its own error
    reference = reference_set(FOLDER / options.reference) if options.reference else closest(here)
    cells = verify(here, reference)
    write_verified(cells, options.results, reference)
    print("\n".join([*outcome(cells, options.results, reference), *differing(options.results)]))
    print(f"every cell, with its tolerance: {options.results / TABLE.with_suffix('.md')}")
    number = counts(cells)
    if number["differ"] or not number["agree"]:
        sys.exit(1)


def _publish(options: argparse.Namespace) -> None:
    from mnv4bench.reference.publish import publish, replaceable, take_over
    from mnv4bench.reference.rebuild import changed

    target = replaceable(options.name, FOLDER)
    if options.rebuilt:
        for change in changed(target, REBUILT / options.name):
            print(change)
        record = take_over(plan_of(options.name), target, REBUILT / options.name)
    else:
        plan, results = _load(options)
        record = publish(plan, results, options.name, rendered=options.rendered)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"{target}: {len(record.files)} records, {size / 1e6:.1f} MB in all")


def _step(options: argparse.Namespace) -> None:
    plan, results = _load(options)
    run_step(options.step, Context(plan, results, options.run, options.reference))
