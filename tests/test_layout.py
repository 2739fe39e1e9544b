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

LAYERS = (
    ("errors",),
    ("cores", "files", "verdicts"),
    ("yamlfile",),
    ("model_spec",),
    ("spec",),
    ("records",),
    ("plan",),
    ("reference", "scaffold"),
    ("environment", "images", "locks", "matches", "schedule", "tide"),
    ("coco_eval", "nms", "resampling", "stats", "tracing"),
    ("counting", "torchvision_ops"),
    ("data", "models"),
    ("distill", "expected", "mixture", "process", "weights"),
    ("batches",),
    ("pairing",),
    ("cost",),
    ("evaluate", "train"),
    ("latency",),
    ("published",),
    ("report",),
    ("reproduction",),
    ("steps",),
    ("cli",),
    ("__main__",),
)
"""Modules and folders of mnv4bench/, bottom to top; each imports only from lines above its own, and from itself."""

LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

RESERVED = {"ultralytics": ("models/yolo.py",)}
"""Libraries whose internals stay behind one door."""

QUICK = (
    "errors",
    "files",
    "yamlfile",
    "model_spec",
    "spec",
    "records",
    "plan",
    "reference",
    "expected",
    "scaffold",
    "steps",
    "cli",
    "data",
)
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


def part(path: Path) -> str:
    """Return the module or folder of mnv4bench/ that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def offences(owner: str, source: str) -> list[str]:
    """Return what `owner` imports that is not below it."""
    found = []
    for name in imported(source):
        if name.startswith("."):
            found.append(f"{name}: write the whole name")
        elif name.startswith("mnv4bench."):
            other = name.split(".")[1]
            if other != owner and LEVEL.get(other, len(LAYERS)) >= LEVEL[owner]:
                found.append(name)
    return found


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


def test_every_module_has_its_place_in_the_layers() -> None:
    homeless = {part(path) for path in modules()} - set(LEVEL) - {"__init__"}
    assert not homeless, f"name {sorted(homeless)} in LAYERS of {Path(__file__).name}"


@pytest.mark.parametrize(
    "path", [path for path in modules() if part(path) in LEVEL], ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_imports_point_downwards_only(path: Path) -> None:
    found = offences(part(path), path.read_text(encoding="utf-8"))
    assert found == []


def test_an_import_from_above_or_beside_is_seen() -> None:
    source = "import json\ndef f():\n    from mnv4bench.cli import main\nfrom mnv4bench import spec, train\n"
    assert sorted(offences("evaluate", source)) == ["mnv4bench.cli.main", "mnv4bench.train"]


@pytest.mark.parametrize(("library", "doors"), RESERVED.items(), ids=RESERVED)
def test_a_reserved_library_has_one_door(library: str, doors: tuple[str, ...]) -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in modules()
        if any(name.split(".")[0] == library for name in imported(path.read_text(encoding="utf-8")))
    }
    assert users == set(doors)


def test_the_workflow_starts_without_torch() -> None:
    program = (
        f"import sys\nfrom mnv4bench import {', '.join(QUICK)}\nprint(*{{'torch', 'ultralytics'}} & set(sys.modules))"
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
