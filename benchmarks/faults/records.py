"""Every kind of file that a later step reads, damaged; then the workflow is started again."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from benchmarks.faults.damage import MUTATIONS, mutated
from benchmarks.faults.outcome import Kind, Outcome
from benchmarks.faults.processes import Ended
from benchmarks.faults.project import BASELINE, OUT, REFERENCE, STUDENT, Project


class Reader(NamedTuple):
    """What is removed, and what is then asked for, so that a step reads the damaged file; below the results folder."""

    removed: str
    wanted: tuple[str, ...]


SCORES = ("runs/*/metrics.json", "compare.json")
TAUGHT = Reader(STUDENT, SCORES)
PLAIN = Reader(BASELINE, SCORES)
SCORED = Reader("runs/*/metrics.json", SCORES)
COUNTED = Reader("cost.json", ("cost.json",))
COMPARED = Reader("compare.json", ("compare.json",))
TIMED = Reader("latency/*.json", ("latency/latency.json",))
TABLES = Reader("tables/*", ("tables/ablations.md", "tables/verify.md"))
VERIFIED = Reader("tables/verify.*", ("tables/verify.md",))
DRAWN = Reader("figures/*", ("figures/detections.png",))
WRITTEN = Reader("paper/*", ("paper/mnv4bench.pdf",))
REPORTED = Reader("report.html", ("report.html",))
COMPLETE = Reader("complete.txt", ())
NOTHING = Reader("nothing", ())

FILES: dict[str, tuple[str, tuple[Reader, ...]]] = {
    "dataset.json": ("data/*/dataset.json", (PLAIN, SCORED, COUNTED, TABLES, TIMED, DRAWN)),
    "files.json": ("data/*/files.json", (PLAIN, SCORED)),
    "annotations": ("data/*/annotations/*.json", (PLAIN, SCORED, TIMED, DRAWN)),
    "images": ("data/*/images/*/*.png", (PLAIN, SCORED, TIMED, DRAWN)),
    "spec.json": ("runs/*/spec.json", (TAUGHT, SCORED, VERIFIED)),
    "pairing.json": (f"{BASELINE}/pairing.json", (TAUGHT,)),
    "checkpoint.pt": ("runs/*/checkpoint.pt", (NOTHING,)),
    "starts.json": ("runs/*/starts.json", (NOTHING,)),
    "weights.safetensors": ("runs/*/weights.safetensors", (SCORED, PLAIN, TAUGHT, TIMED)),
    "status.json": ("runs/*/status.json", (SCORED, TABLES, COMPARED, TIMED, PLAIN)),
    "metrics.json": ("runs/*/metrics.json", (COMPARED, TABLES, COMPLETE, TIMED)),
    "manifest.json": ("runs/*/manifest.json", (SCORED, TIMED, COMPLETE)),
    "matches.npz": ("runs/*/matches.npz", (COMPARED,)),
    "detections.json": ("runs/*/detections.json", (DRAWN, TIMED)),
    "curve.csv": ("runs/*one_to_many*/curve.csv", (DRAWN,)),
    "blocks.csv": ("latency/blocks.csv", (TIMED, COMPLETE)),
    "latency.json": ("latency/latency.json", (TABLES, DRAWN, WRITTEN)),
    "cost.json": ("cost.json", (TABLES, DRAWN)),
    "compare.json": ("compare.json", (TABLES, DRAWN, WRITTEN)),
    "tables": ("tables/*.csv", (VERIFIED, WRITTEN, REPORTED, COMPLETE)),
    "figures": ("figures/*.png", (WRITTEN, REPORTED, COMPLETE)),
    "paper": ("paper/*.pdf", (REPORTED, COMPLETE)),
    "page": ("index.html", (COMPLETE,)),
    "sums": ("sums/*.json", (TABLES, DRAWN, COMPLETE)),
    "reference.json": (f"../reference/{REFERENCE}/reference.json", (VERIFIED,)),
    "reference": (f"../reference/{REFERENCE}/**/*.*", (VERIFIED,)),
}
"""Kind → where it lies, and who reads it."""
HALFWAY = ("checkpoint.pt", "starts.json")
"""There while a run is trained."""
HINTS = ("files.json",)
"""May stay damaged, as they only spare work."""
MESSAGE = re.compile(r"^mnv4bench: (.*(?:\n  .*)*)", re.MULTILINE)
DELETE = re.compile(r"[Dd]elete (?:the folder )?(?P<path>\S*results/\S+?)[,;.)]*(?=\s|$)")
BESIDE = re.compile(r"[Dd]elete (?:it and )?(?P<name>[\w-]+\.\w+) ")
ROUNDS = 4
"""Starts that remedies may take: one reader after another may meet the same damage."""


def trial(
    finished: Project,
    halfway: Callable[[], Project],
    expected: dict[str, str],
    number: int,
    rng: random.Random,
    name: str,
) -> Outcome:
    """Damage a file of the number's kind, in the number's way.

    Args:
        finished: the whole workflow has run here, and its results are a reference too.
        halfway: returns the same, killed when the first run had a checkpoint.
        expected: what an undisturbed workflow ends with.
        name: of the project's folder.
    """
    kind = list(FILES)[number % len(FILES)]
    how = MUTATIONS[(number + number // len(FILES)) % len(MUTATIONS)]
    base = halfway() if kind in HALFWAY else finished
    project = base.copy(name)
    try:
        return _trial(project, base, kind, how, expected, rng)
    finally:
        shutil.rmtree(project.root)


def _trial(
    project: Project, base: Project, kind: str, how: str, expected: dict[str, str], rng: random.Random
) -> Outcome:
    pattern, readers = FILES[kind]
    files = sorted(path for path in project.out.glob(pattern) if path.is_file())
    path = rng.choice(files)
    other = rng.choice([file for file in files if file != path] or [path])
    keep_time = rng.random() < 0.5
    reader = rng.choice([r for r in readers if not _inside(path, project.out.glob(r.removed))] or [COMPLETE])
    status, content = path.stat(), path.read_bytes()
    damage = mutated(content, how, other.read_bytes(), rng)
    path.write_bytes(damage)
    if keep_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    for place in project.out.glob(reader.removed):
        if place != path:
            shutil.rmtree(place) if place.is_dir() else place.unlink()
    relative = os.path.relpath(path, project.root)
    did = f"{how} {relative}{', its time kept' * keep_time}; removed {reader.removed}"
    if kind in HALFWAY:
        run = f"runs/{path.parent.name}/"
        wanted = [f"{OUT}/{run}metrics.json"]
        expected = {name: value for name, value in expected.items() if name.startswith(run)}
    else:
        patterns = ("data/*/dataset.json", *reader.wanted) if reader.wanted else ()
        wanted = [os.path.relpath(place, base.root) for pattern in patterns for place in base.out.glob(pattern)]
    end, detail = _ending(project, base, relative, wanted, expected, look=kind not in HALFWAY)
    if end != "fault" and kind not in HINTS and path.exists() and path.read_bytes() == damage:
        end, detail = "fault", f"still damaged, and nothing says so: {relative}"
    return Outcome("files", kind, did, end, detail)


def _inside(path: Path, places: Iterable[Path]) -> bool:
    return any(place in path.parents for place in places)


def _ending(
    project: Project, base: Project, damaged: str, wanted: list[str], expected: dict[str, str], look: bool
) -> tuple[Kind, str]:
    """Start again and follow the errors' advice until it ends well.

    Args:
        look: whether rule complete has the last word.
    """
    first = ""
    for _ in range(ROUNDS):
        ended = project.run(*wanted)
        if ended.status == 0 and look:
            ended = project.command("step", "--preset=smoke", "complete")
            if ended.status:
                project.remove("complete.txt")
                wanted = []  # who is told to start again starts the whole workflow
        if ended.status == 0:
            now = project.results()
            differing = sorted(name for name, value in expected.items() if now.get(name) != value)
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
        return f"traceback: {ended.output[ended.output.index('Traceback') :][-2000:]}"
    messages = MESSAGE.findall(ended.output)
    if not messages:
        return f"exit {ended.status} without a message: {ended.output[-2000:]}"
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
    places = [place for line in message.splitlines() for place in _to_delete(line.strip())]
    for place in places:
        target = project.root / place
        if not target.resolve().is_relative_to(project.root.resolve() / OUT.parent):
            return False
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
    return bool(places)


def _to_delete(line: str) -> list[str]:
    places = [match["path"] for match in DELETE.finditer(line)]
    if subject := re.match(r"(\S*results/\S+?)(?::\d+)?:", line):
        here = Path(subject[1])
        places += [str(here.parent / match["name"]) for match in BESIDE.finditer(line)]
        places += [str(here)] * ("delete it" in line) + [str(here.parent)] * ("delete the run's folder" in line)
    return places
