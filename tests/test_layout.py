"""The shape of the house: who may import whom, and what no file may hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "mnv4bench"

LAYERS = {
    "": (
        "io",
        "spec",
        "results",
        "machine",
        "data",
        "models",
        "train",
        "evaluate",
        "cost",
        "statistics",
        "latency",
        "deploy",
        "search",
        "ledger",
        "reference",
        "report",
        "rank",
        "eta",
        "needs",
        "steps",
        "commands",
        "cli",
        "__main__",
    ),
    "spec": (
        "base",
        "problems",
        "yamlfile",
        "backbone",
        "model",
        "pretrained",
        "run",
        "search",
        "classifier",
        "latency",
        "needs",
        "preset",
        "ablation",
        "naming",
        "arms",
        "classifiers",
        "plan",
        "extensions",
        "declared",
        "scaffold",
    ),
    "data": (
        "problems",
        "parts",
        "content",
        "decode",
        "letterbox",
        "png",
        "drawing",
        "coco_classes",
        "slices",
        "scenes",
        "voc_xml",
        "classes",
        "coco",
        "voc",
        "bccd",
        "weights",
        "sources",
        "prepared",
        "check",
        "equal",
        "prepare",
        "survey",
        "crops",
        "importers",
    ),
    "data.importers": (
        "folder",
        "pictures",
        "records",
        "voc",
        "yolo_rows",
        "yolo_layout",
        "yolo",
        "coco",
        "importing",
    ),
    "latency": (
        "runtimes",
        "analyse",
        "measure",
        "campaign",
        "quantised",
        "arms",
        "forward",
        "named",
        "labelled",
        "direct",
    ),
    "deploy": ("formats", "comparison", "export"),
    "reference": (
        "values",
        "contents",
        "plans",
        "cells",
        "alike",
        "noise",
        "classifiers",
        "result_set",
        "verify",
        "publish",
        "rebuild",
    ),
    "latency.measure": (
        "protocol",
        "canary",
        "agreement",
        "accuracy",
        "candidates",
        "task",
        "loading",
        "session",
    ),
}
"""Folder → its modules and folders, bottom to top: the pipeline. Each imports only from those before it, and itself."""

RESERVED = {"ultralytics": "models/yolo/"}
"""Library → the folder that alone imports it."""

QUICK = ("cli", "eta", "needs", "steps", "reference.plans", "data.prepared", "data.weights")
"""What the workflow and the command line import at every start: without torch, which takes seconds."""


class Rule(NamedTuple):
    name: str
    pattern: str
    files: str
    remedy: str


RULES = (
    Rule("path", r"(?<![\w.~}])/(?:home|root|tmp|work|Users)/\w", "**", "name it relative to the checkout"),
    Rule("mark", r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b", "**", "do it, or open an issue"),
    Rule("address", r"://|--(?:extra-)?index-url|--find-links", "requirements.lock", "`make lock` leaves it out"),
)


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imported(source: str) -> Iterator[str]:
    """Yield the dotted name of everything that a source imports, wherever in the file it does so."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def dotted(path: Path) -> str:
    """Return the name of a module under mnv4bench, "latency.measure.session" say."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def offences(owner: str, source: str) -> list[str]:
    """Return what the module `owner` imports that is not below it, in whichever folder the two ways part."""
    found = []
    for name in imported(source):
        if name.startswith("."):
            found.append(f"{name}: write the whole name")
        elif name.startswith("mnv4bench.") and not downwards(owner.split("."), name.split(".")[1:]):
            found.append(name)
    return found


def downwards(owner: list[str], other: list[str]) -> bool:
    """Return whether `owner` may import `other`: the folder in which they part has no order, or this one."""
    for depth, (ours, theirs) in enumerate(zip(owner, other, strict=False)):
        if ours != theirs:
            order = LAYERS.get(".".join(owner[:depth]))
            return order is None or (theirs in order[: order.index(ours)])
    return True


def text_files() -> Iterator[tuple[str, str]]:
    """Yield (name, text) of every file that is or could be committed.

    Skips the calling test outside a git checkout, where nothing tells the project's files from others.
    """
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    for name in sorted(set(listing.stdout.decode().split("\0")) - {""}):
        try:
            yield name, (ROOT / name).read_text(encoding="utf-8")
        except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError):
            continue


def breaches(rule: Rule, name: str, text: str) -> list[str]:
    """Return "file:line: text" of every line that breaks the rule."""
    if rule.files not in ("**", name):
        return []
    lines = enumerate(text.splitlines(), 1)
    return [f"{name}:{number}: {line.strip()[:80]}" for number, line in lines if re.search(rule.pattern, line)]


@pytest.mark.parametrize("folder", LAYERS)
def test_every_module_has_its_place_in_the_layers(folder: str) -> None:
    inside = PACKAGE.joinpath(*filter(None, folder.split(".")))
    there = {path.stem for path in inside.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))} - {"__init__"}
    assert there == set(LAYERS[folder]), f"LAYERS of {Path(__file__).name} is the order of {inside.name}/"


def test_the_map_in_contributing_names_every_module_and_folder_in_order() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    names = [f"`{name}/`" if (PACKAGE / name).is_dir() else f"`{name}.py`" for name in LAYERS[""] if name != "__main__"]
    places = [text.find(name, text.find("bottom up")) for name in names]
    assert -1 not in places
    assert places == sorted(places)


@pytest.mark.parametrize(
    "path",
    [path for path in modules() if path != PACKAGE / "__init__.py"],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_imports_point_downwards_only(path: Path) -> None:
    found = offences(dotted(path), path.read_text(encoding="utf-8"))
    assert found == []


def test_an_import_from_above_or_beside_is_seen() -> None:
    source = "import json\ndef f():\n    from mnv4bench.cli import main\nfrom mnv4bench import spec, latency\n"
    assert sorted(offences("evaluate.coco", source)) == ["mnv4bench.cli.main", "mnv4bench.latency"]
    inside = "from mnv4bench.latency.measure import session\nfrom mnv4bench.latency.analyse.noise import floor\n"
    assert offences("latency.runtimes.onnx", inside) == [
        name for name in ("mnv4bench.latency.measure.session", "mnv4bench.latency.analyse.noise.floor")
    ]
    assert offences("latency.measure.loading", inside) == ["mnv4bench.latency.measure.session"]
    assert offences("latency.measure.session", inside) == []


@pytest.mark.parametrize(("library", "door"), RESERVED.items(), ids=RESERVED)
def test_a_reserved_library_has_one_door(library: str, door: str) -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in modules()
        if any(name.split(".")[0] == library for name in imported(path.read_text(encoding="utf-8")))
    }
    assert users
    assert {user for user in users if not user.startswith(door)} == set()


def test_the_workflow_starts_without_torch() -> None:
    program = (
        f"import sys\nimport {', '.join(f'mnv4bench.{name}' for name in QUICK)}\n"
        "print(*{'torch', 'ultralytics'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [], "")


@pytest.mark.parametrize("rule", RULES, ids=[rule.name for rule in RULES])
def test_no_file_holds_what_it_must_not(rule: Rule) -> None:
    found = [breach for name, text in text_files() for breach in breaches(rule, name, text)]
    assert not found, f"{rule.remedy}:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("rule", "name", "line", "caught"),
    [
        ("path", "a.md", "see /" + "home/me/data", True),
        ("path", "a.md", "see results/home/a and a/tmp/b", False),
        ("mark", "a.py", "# TO" + "DO later", True),
        ("mark", "a.py", "# methodology", False),
        ("address", "requirements.lock", "--index-url something", True),
        ("address", "README.md", "https://www.gnu.org/", False),
    ],
)
def test_a_rule_catches_what_it_names_and_nothing_else(rule: str, name: str, line: str, caught: bool) -> None:
    chosen = next(known for known in RULES if known.name == rule)
    assert bool(breaches(chosen, name, line)) is caught


def test_the_lock_pins_and_hashes_every_package() -> None:
    blocks = re.findall(
        r"^[a-z0-9](?:.*\\\n)*.*\n", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE
    )
    loose = [
        block.splitlines()[0]
        for block in blocks
        if not re.match(r"\S+==\S+.* \\\n    --hash=sha256:[0-9a-f]{64}", block)
    ]
    assert len(blocks) > 50
    assert loose == []
