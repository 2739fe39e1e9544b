"""Every kind of file that a later step reads, damaged; then the workflow is started again."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks.faults.damage import MUTATIONS, mutated
from benchmarks.faults.outcome import Kind, Outcome
from benchmarks.faults.processes import Ended
from benchmarks.faults.project import OUT, REFERENCE, Project

OF_DATA = (["runs/default-*"], ["runs/default-*/metrics.json"], ["figures/detections.*"], ["latency/latency.json"])
FILES: dict[str, tuple[str, tuple[list[str], ...]]] = {
    "dataset.json": ("data/*/dataset.json", (*OF_DATA, ["cost.json"], ["tables/*"])),
    "files.json": ("data/*/files.json", OF_DATA[:2]),
    "annotations": ("data/*/annotations/*.json", OF_DATA),
    "images": ("data/*/images/*/*.png", OF_DATA),
    "spec.json": ("runs/*/spec.json", (["runs/default+distilled*"], ["runs/*/metrics.json"])),
    "pairing.json": ("runs/default-*/pairing.json", (["runs/default+distilled*"],)),
    "checkpoint.pt": ("runs/*/checkpoint.pt", ([],)),
    "starts.json": ("runs/*/starts.json", ([],)),
    "weights.safetensors": (
        "runs/*/weights.safetensors",
        (["runs/*/metrics.json"], ["runs/default*"], ["latency/latency.json", "latency/blocks.csv"]),
    ),
    "status.json": (
        "runs/*/status.json",
        (["runs/*/metrics.json"], ["tables/*"], ["compare.json"], ["latency/latency.json"], ["runs/default*"]),
    ),
    "metrics.json": (
        "runs/*/metrics.json",
        (["compare.json"], ["tables/*"], ["complete.txt"], ["latency/latency.json"]),
    ),
    "matches.npz": ("runs/*/matches.npz", (["compare.json"], ["tables/*"])),
    "detections.json": ("runs/*/detections.json", (["figures/detections.*"], ["latency/latency.json"])),
    "curve.csv": ("runs/*/curve.csv", (["figures/curves.*"],)),
    "blocks.csv": ("latency/blocks.csv", (["latency/latency.json"], ["tables/*"])),
    "latency.json": ("latency/latency.json", (["tables/*"], ["figures/pareto.*"], ["paper/*"])),
    "cost.json": ("cost.json", (["tables/*"], ["figures/cost.*"])),
    "compare.json": ("compare.json", (["tables/*"], ["figures/effects.*"], ["paper/*"])),
    "tables": ("tables/*.csv", (["tables/verify.*", "complete.txt"], ["paper/*", "report.html", "complete.txt"])),
    "reference.json": (f"../reference/{REFERENCE}/reference.json", (["tables/verify.*"], ["paper/*"])),
    "reference": (f"../reference/{REFERENCE}/**/*.*", (["tables/verify.*"], ["paper/*"])),
}
"""Kind → where it lies, and what is removed so that something reads it again; all below the results folder."""
LATER = ["tables/*", "paper/*", "report.html", "complete.txt"]
"""Removed too, so that what is missing is asked for."""
UNREAD = ("curve.csv", "detections.json")
"""Files whose readers make pictures, which are not compared: these are compared themselves."""
MESSAGE = re.compile(r"^mnv4bench: (.*(?:\n  .*)*)", re.MULTILINE)
DELETE = re.compile(r"[Dd]elete (?:the folder )?(?P<path>\S*results/\S+?)[,;.)]*(?=\s|$)")
BESIDE = re.compile(r"[Dd]elete (?:it and )?(?P<name>[\w-]+\.\w+) ")
ROUNDS = 3
"""Starts that remedies may take: one reader after another may meet the same damage."""


def campaign(
    finished: Project, halfway: Project, expected: dict[str, str], count: int, rng: random.Random
) -> Iterator[Outcome]:
    """Damage `count` files, kind after kind.

    Args:
        finished: the whole workflow has run here, and its results are a reference too.
        halfway: the same, killed when the first run had a checkpoint.
        expected: what an undisturbed workflow ends with.
    """
    for number in range(count):
        kind = list(FILES)[number % len(FILES)]
        how = MUTATIONS[(number + number // len(FILES)) % len(MUTATIONS)]
        base = halfway if kind in ("checkpoint.pt", "starts.json") else finished
        project = base.copy(base.root.with_name("damaged"))
        try:
            yield _trial(project, base, kind, how, expected, rng)
        finally:
            shutil.rmtree(project.root)


def _trial(
    project: Project, base: Project, kind: str, how: str, expected: dict[str, str], rng: random.Random
) -> Outcome:
    pattern, removals = FILES[kind]
    files = sorted(path for path in project.out.glob(pattern) if path.is_file())
    path = rng.choice(files)
    other = rng.choice([file for file in files if file != path] or [path])
    keep_time, removal = rng.random() < 0.5, rng.choice(removals)
    status, content = path.stat(), path.read_bytes()
    path.write_bytes(mutated(content, how, other.read_bytes(), rng))
    if keep_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    for unwanted in removal if kind == "tables" else (*removal, *LATER):
        for place in project.out.glob(unwanted):
            if place != path and path not in place.parents:
                shutil.rmtree(place) if place.is_dir() else place.unlink()
    relative = os.path.relpath(path, project.root)
    did = f"{how} {relative}{', its time kept' * keep_time}; removed {' '.join(removal) or 'nothing'}"
    kind_of_end, detail = _ending(project, base, relative, expected)
    return Outcome("files", kind, did, kind_of_end, detail)


def _ending(project: Project, base: Project, damaged: str, expected: dict[str, str]) -> tuple[Kind, str]:
    first = ""
    for _ in range(ROUNDS):
        ended = project.run()
        if ended.status == 0:
            now = project.results()
            same = damaged.removeprefix(f"{OUT}/") if not damaged.endswith(UNREAD) else None  # perhaps nobody read it
            differing = sorted(name for name, value in expected.items() if name != same and now.get(name) != value)
            if differing:
                return "fault", f"{'after ' + first + ': ' if first else ''}silently other: {', '.join(differing)}"
            return ("clear error", first) if first else ("right", "")
        if problem := _unclear(ended, damaged):
            return "fault", problem
        messages = MESSAGE.findall(ended.output)
        first = first or messages[0]
        if not any([_remedied(project, base, message, damaged) for message in messages]):
            return "fault", f"no remedy that a program can follow: {messages[0]}"
    return "fault", f"the remedy does not help: {first}"


def _unclear(ended: Ended, damaged: str) -> str | None:
    if ended.status == 124:
        return "hung"
    if ended.traceback:
        return f"traceback: {ended.output[ended.output.index('Traceback') :][-900:]}"
    messages = MESSAGE.findall(ended.output)
    if not messages:
        return f"exit {ended.status} without a message: {ended.output[-900:]}"
    places = [damaged, str(Path(damaged).parent)]
    if "/data/" in damaged:  # one digest stands for both halves
        places.append(str(Path(damaged).parents[1]))
    if not any(place in message for message in messages for place in places):
        return f"names another file than {damaged}: {messages[0]}"
    return None


def _remedied(project: Project, base: Project, message: str, damaged: str) -> bool:
    """Do what an error asks for; whether it asks for anything."""
    if "check it out again" in message:
        shutil.copy2(base.root / damaged, project.root / damaged)
        return True
    places = [match["path"] for match in DELETE.finditer(message)]
    if subject := re.match(r"(\S*results/\S+?)(?::\d+)?:", message):
        here = Path(subject[1])
        places += [str(here.parent / match["name"]) for match in BESIDE.finditer(message)]
        places += [str(here)] * ("delete it" in message) + [str(here.parent)] * ("delete the run's folder" in message)
    for place in places:
        target = project.root / place
        if not target.resolve().is_relative_to(project.root.resolve() / OUT.parent):
            return False
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
    return bool(places)
