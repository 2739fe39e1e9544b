"""The command line. Every error that a user can mend is printed without a traceback, and the exit status is 2."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import shtab
from rich_argparse import RichHelpFormatter

from mnv4bench import commands
from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import MEND
from mnv4bench.steps import STEPS

INTERRUPTED = 130
"""Exit status after Ctrl-C, as a shell's."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
        sys.stdout.flush()
    except Mnv4benchError as error:
        print(f"mnv4bench: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # whoever reads, head for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.filename is None:
            raise
        print(f"mnv4bench: {error.filename}: {error.strerror}; {MEND}", file=sys.stderr)
        sys.exit(2)


class Help(RichHelpFormatter):
    """Help with argparse's own headings."""

    group_name_formatter = str.lower


class Parser(argparse.ArgumentParser):
    """A parser, and those of its commands, with help in colour on a terminal and paths that a shell completes."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{"formatter_class": Help, **settings})

    def add_argument(self, *args: Any, **settings: Any) -> argparse.Action:
        action = super().add_argument(*args, **settings)
        if action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        return action


def _parser() -> argparse.ArgumentParser:
    parser = Parser("mnv4bench", description="Does each part of MobileNetV4 and YOLOv10 pay for itself?")
    parser.add_argument("--version", action="version", version=f"mnv4bench {_version()}")
    shtab.add_argument_to(parser, "--print-completion", help="print what completes commands and options in a shell")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")

    plan = subparsers.add_parser("plan", help="list a preset's arms: what is finished, how long the rest takes")
    _which(plan)
    plan.add_argument("--runs", action="store_true", help="list every run, with the arms that it is of")
    plan.set_defaults(command=commands.show_plan)

    check = subparsers.add_parser("check", help="validate every preset and ablation; or a data set, if one is named")
    check.add_argument("folder", nargs="?", type=Path, help="a folder in COCO 2017's layout")
    check.set_defaults(command=commands.check_specs)

    new = subparsers.add_parser("new", help="write a commented ablation that is valid as it stands")
    new.add_argument("name", metavar="NAME", help="of the file in ablations/, without its ending")
    new.set_defaults(command=commands.create_ablation)

    preset = subparsers.add_parser("new-preset", help="write a preset for images of your own, fitted to them")
    preset.add_argument("name", metavar="NAME", help="of the file in config/, without its ending")
    preset.add_argument("--data", type=Path, required=True, metavar="DIR", help="what `mnv4bench import` wrote")
    preset.add_argument(
        "--rate", type=float, metavar="N", help="images per second that a thread trains (default: measured, in seconds)"
    )
    preset.add_argument("--force", action="store_true", help="replace the file where it exists")
    preset.set_defaults(command=commands.create_preset)

    importer = subparsers.add_parser("import", help="copy a Pascal VOC, YOLO or COCO export into COCO 2017's layout")
    importer.add_argument("source", type=Path, metavar="SRC", help="a folder, or a YOLO set's .yaml file")
    importer.add_argument("target", type=Path, metavar="DST", help="a new folder, which is written")
    importer.add_argument("--layout", choices=("voc", "yolo", "coco"), help="which to read, where several lie in SRC")
    importer.add_argument("--background", action="store_true", help="VOC: images without .xml are without objects")
    importer.add_argument("--link", action="store_true", help="hard-link the images instead of copying them")
    importer.set_defaults(command=commands.import_data)

    latency = subparsers.add_parser(
        "latency", help="time models on this machine, in turns, and compare them, with a measure of confidence"
    )
    latency.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="a run's folder, an ultralytics checkpoint (.pt) or a catalogue name; the first is the baseline",
    )
    latency.add_argument("--images", type=Path, metavar="DIR", help="images to run on (default: the first run's)")
    latency.add_argument(
        "--score",
        nargs="?",
        const="",
        metavar="DIR",
        help="also score the models on labelled images in COCO 2017's layout (default: those of the first run)",
    )
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
        "--out",
        type=Path,
        default=Path("results/latency"),
        metavar="DIR",
        help="folder of raw blocks and record (default: results/latency)",
    )
    latency.set_defaults(command=commands.time_networks)

    export = subparsers.add_parser(
        "export", help="write a trained network as files for deployment, each checked against the network"
    )
    export.add_argument("model", metavar="MODEL", help="a run's folder or an ultralytics checkpoint (.pt)")
    export.add_argument(
        "--format",
        metavar="A,B",
        help="of onnx, openvino, torchscript, ncnn, litert, executorch, onnx-int8, openvino-int8 "
        "(default: onnx,openvino,torchscript; with --nms onnx,openvino)",
    )
    export.add_argument("--nms", action="store_true", help="put suppression into the files")
    export.add_argument("--imgsz", type=int, metavar="N", help="side in pixels (default: the run's own, else 640)")
    export.add_argument("--images", type=Path, metavar="DIR", help="images to compare on, and to calibrate int8 with")
    export.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="labelled images in COCO 2017's layout, for AP (default: the run's)",
    )
    export.add_argument("--threads", type=int, default=1, metavar="N", help="of each timed file (default: 1)")
    export.add_argument("--trust", action="store_true", help="run the code in a checkpoint; by default it is refused")
    export.add_argument(
        "--out",
        type=Path,
        default=Path("results/export"),
        metavar="DIR",
        help="folder of the files, which replace earlier ones of their names (default: results/export)",
    )
    export.set_defaults(command=commands.export_model)

    models = subparsers.add_parser("models", help="list the catalogue: every network that can be named")
    models.set_defaults(command=commands.list_models)

    show = subparsers.add_parser("show", help="show one run: how it was trained, its AP by class, its files")
    show.add_argument("run", type=Path, metavar="RUN", help="a run's folder, for example results/quick/runs/NAME")
    show.set_defaults(command=commands.show_run)

    search = subparsers.add_parser("search", help="search a MobileNetV4 backbone for your classes and a budget")
    budget = search.add_mutually_exclusive_group(required=True)
    budget.add_argument("--budget-macs", type=float, metavar="N", help="multiply-accumulates of one image")
    budget.add_argument("--budget-ms", type=float, metavar="X", help="milliseconds of one image on this machine")
    search.add_argument("--images", type=Path, metavar="DIR", help="a folder in COCO 2017's layout (default: Scenes)")
    search.add_argument("--method", choices=("two_stage", "one_stage"), help="as in MobileNetV4 (default), or at once")
    search.add_argument(
        "--objects", type=int, default=4000, metavar="N", help="most objects in a split (default: 4000)"
    )
    search.add_argument("--steps", type=int, metavar="N", help="of the search (default: 4000)")
    search.add_argument("--final-steps", type=int, metavar="N", help="of the network's own training (default: 3000)")
    search.add_argument("--lr", type=float, metavar="X", help="learning rate of the weights (default: 0.002)")
    search.add_argument("--seed", type=int, metavar="N")
    search.add_argument(
        "--out", type=Path, default=Path("results/backbone"), metavar="DIR", help="default: results/backbone"
    )
    search.set_defaults(command=commands.search_architecture)

    ledger = subparsers.add_parser("ledger", help="check the published figures of papers and article, one by one")
    ledger.add_argument("--preset", default="quick", help="whose results stand beside the claims (default: quick)")
    ledger.add_argument(
        "--time",
        action="store_true",
        help="first time the networks that claims on time are about: about half an hour",
    )
    ledger.set_defaults(command=commands.check_ledger, only=None, seeds=None)

    verify = subparsers.add_parser("verify", help="set results beside a reference, cell by cell; exit 1 if any differ")
    verify.add_argument("results", type=Path, metavar="RESULTS", help="a preset's folder, for example results/quick")
    verify.add_argument("--reference", metavar="NAME", help="by default the one that shares most trainings")
    verify.set_defaults(command=commands.verify_results)

    publish = subparsers.add_parser(
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
    publish.set_defaults(command=commands.publish_reference)

    docs = subparsers.add_parser("docs", help="write docs/ablations.md and the generated passages of README and docs/")
    docs.add_argument("--check", action="store_true", help="write nothing; exit 2 if a file would change")
    docs.set_defaults(command=commands.write_docs)

    step = subparsers.add_parser("step", help="do one step of the workflow (the Snakefile's rules call this)")
    _which(step)
    step.add_argument("step", metavar="STEP", help=f"{', '.join(STEPS)}, or one of ablations/NAME.py")
    step.add_argument("--run", help="the run's name, for train, evaluate and classifier")
    step.add_argument(
        "--slots", type=int, default=1, metavar="N", help="training jobs that may share a GPU (default: 1)"
    )
    step.add_argument("--reference", help="rebuild a reference's tables, figures and paper from its records")
    step.set_defaults(command=commands.do_step)
    return parser


def _version() -> str:
    try:
        return version("mnv4bench")
    except PackageNotFoundError:  # run from its source alone
        return "not installed"


def _which(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", help="a file of config/ without its ending (default: quick)")
    parser.add_argument("--only", metavar="ABLATION", help="one ablation alone, or several with commas between")
    parser.add_argument("--seeds", type=int, metavar="N", help="only the preset's first N seeds")
