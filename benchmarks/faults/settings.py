"""Presets, ablations and --config values as nobody should write them: a valid plan, or one clear error, at once."""

from __future__ import annotations

import random
import re
import shutil
import sys
from pathlib import Path

from benchmarks.faults.damage import FOREIGN, mutated
from benchmarks.faults.outcome import Kind, Outcome
from benchmarks.faults.processes import Ended, finish, start
from benchmarks.faults.project import LIMIT, Project

SECONDS = 10
"""Of computing; more counts as a hang."""
BOMB = (
    "["
    + ", ".join(
        [
            "&a [x, x]",
            *(
                f"&{b} [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}]"
                for a, b in zip("abcdefghijklm", "bcdefghijklmn", strict=True)
            ),
        ]
    )
    + "]"
)
VALUES = (
    ".inf",
    "-.inf",
    ".nan",
    "-1",
    "0",
    "1e400",
    "1e-400",
    "99999999999999999999999",
    "9223372036854775807",
    "1000000",
    "null",
    "~",
    "[]",
    "{}",
    "''",
    '"\\0"',
    "2024-13-45",
    "2024-01-01",
    "0x7fffffff",
    "0b1",
    "1_000",
    "12:30:45",
    "yes",
    "&a [*a]",
    "&a {x: *a}",
    "[" * 3000,
    "{a: " * 300,
    BOMB,
    "!!python/object/apply:os.system ['touch owned']",
    "!!int x",
    "!!binary x",
    "!!set {a, b}",
    "!!float abc",
    "!!timestamp 99",
    "!unknown x",
    "<<: {a: 1}",
    "? [a, b]\n: c",
    "../../etc/passwd",
    "/dev/zero",
    "$(touch owned)",
    "`touch owned`",
    "x" * 100_000,
    "'\u202e'",
    "'\ud7ff'",
    "*undefined",
    "|\n  text",
    "true",
    "3.5",
    "{x: {y: {z: 1}}}",
    "[0, 0]",
    "[1, [2]]",
    "core",
    "-0.0",
    "'1'",
    "%",
    "@x",
    "\t",
    "--- a",
)
CONFIG = (
    "",
    "'",
    "../config/smoke",
    "/etc/passwd",
    "..",
    ".",
    "-",
    "smoke.yaml",
    "SMOKE",
    "smoke,quick",
    "distillation,distillation",
    "distillation,",
    ",",
    "a" * 5000,
    "$(touch owned)",
    "`touch owned`",
    "; touch owned",
    "*",
    "?",
    "{}",
    "[]",
    "null",
    "[1,2]",
    "{a: 1}",
    "-1",
    "0",
    "41",
    "1e9",
    "0.5",
    "nan",
    ".inf",
    "true",
    "False",
    "1_0",
    "99999999999999999999999",
    "2024-13-45",
    "é",
    "\t",
    "smoke ",
    "undisturbed",
    "smoke\x7f",
    "&a [*a]",
    "!!python/name:os.system",
    "%s",
    "{STEP}",
    "distillation;x",
)
KEYS = ("preset", "only", "seeds", "reference", "Preset", "presets", "x" * 300)
"""Snakemake itself refuses what is no identifier."""
KNOWN_AS = {"only": "ablation"}
"""What errors call a key's value."""


def trial(base: Project, number: int, rng: random.Random, name: str) -> Outcome:
    """Try one setting: two mutated files for every --config value, of which one in ten goes through a new interpreter.

    Args:
        base: a project without results.
        name: of the project's folder.
    """
    project = base.copy(name)
    try:
        if number % 3 == 2:
            return _value(project if number % 30 != 2 else Project(project.root, Path(sys.executable)), rng)
        return _file(project, rng, f"config/{rng.choice(('smoke', 'quick', 'coco'))}.yaml" if number % 3 else None)
    finally:
        shutil.rmtree(project.root)


def _file(base: Project, rng: random.Random, place: str | None) -> Outcome:
    path = base.root / place if place else rng.choice(sorted((base.root / "ablations").glob("*.yaml")))
    before = path.read_bytes()
    others = [other for other in sorted((base.root / "ablations").glob("*.yaml")) if other != path]
    how, content = _mutated(before, rng.choice(others).read_bytes(), rng)
    path.write_bytes(content)
    relative = str(path.relative_to(base.root))
    which = ["--preset", path.stem] if place else ["--preset", "smoke", "--only", path.stem]
    arguments = rng.choice((["plan", *which], ["check"]))
    ended = _limited(base, "mnv4bench.cli", arguments)
    kind, detail = _judged(base, ended, (relative,))
    return Outcome("settings", "preset" if place else "ablation", f"{relative}: {how}; {arguments[0]}", kind, detail)


def _mutated(content: bytes, other: bytes, rng: random.Random) -> tuple[str, bytes]:
    lines = content.decode().splitlines(keepends=True)
    number = rng.choice([n for n, line in enumerate(lines) if line.strip() and not line.startswith("#")])
    line = lines[number]
    how = rng.choice(
        (
            "value",
            "value",
            "value",
            "value",
            "key",
            "indent",
            "drop",
            "twice",
            "flip",
            "truncate",
            "digit",
            "swap",
            "empty",
            "foreign",
        )
    )
    if how == "value":
        value = rng.choice(VALUES)
        inside = list(re.finditer(r"(?<=[:\[,] )[^,\[\]{}\n]+|(?<=: )[\[{].*", line))
        if inside:
            at = rng.choice(inside)
            lines[number] = f"{line[: at.start()]}{value}{line[at.end() :]}"
        else:
            lines[number] = f"{line.rstrip()} {value}\n"
        return f"line {number + 1} gets the value {value[:40]!r}", "".join(lines).encode("utf-8", "surrogatepass")
    if how == "key":
        lines[number] = re.sub(
            r"\w+(?=:)", lambda match: rng.choice((match[0] + "x", "[a]", "", "1", "__class__", "null")), line, count=1
        )
    elif how == "indent":
        lines[number] = rng.choice((" ", "  ", "\t", "   ")) + line
    elif how == "drop":
        del lines[number]
    elif how == "twice":
        lines.insert(number, line)
    else:
        if how == "foreign":
            return "foreign", rng.choice(FOREIGN)
        return how, mutated(content, how, other, rng)
    return f"line {number + 1}: {how}", "".join(lines).encode()


def _value(base: Project, rng: random.Random) -> Outcome:
    key, value = rng.choice(KEYS[:4] if rng.random() < 0.8 else KEYS), rng.choice(CONFIG)
    rest = ["preset=smoke"] if key not in ("preset", "reference") else []
    arguments = ["--cores", "1", "--dry-run", "--quiet", "--config", *rest, f"{key}={value}"]
    ended = _limited(base, "snakemake.cli", arguments)
    kind, detail = _judged(base, ended, (key, KNOWN_AS.get(key, key)))
    how = ", new interpreter" * (base.python == Path(sys.executable))
    return Outcome("settings", "--config", f"{key[:20]}={value[:40]!r}{how}", kind, detail)


def _limited(base: Project, module: str, arguments: list[str]) -> Ended:
    text = (
        f"import resource, sys; resource.setrlimit(resource.RLIMIT_CPU, ({SECONDS}, {SECONDS}))\n"
        f"sys.argv[1:] = {arguments!r}\n"
        f"from {module} import main; main()"
    )
    output = base.root / "command.log"
    return finish(start(base.python, ["-c", text], base.root, output), output, LIMIT)


def _judged(base: Project, ended: Ended, names: tuple[str, ...]) -> tuple[Kind, str]:
    owned = base.root / "owned"
    if owned.exists():
        owned.unlink()
        return "fault", "ran a command that stood in a setting"
    if ended.status in (124, 152, 137):
        return "fault", f"took more than {SECONDS} s"
    if ended.traceback:
        return "fault", f"traceback: {ended.output[-900:]}"
    if ended.status == 0:
        return "right", ""
    if not any(name in ended.output for name in names):
        return "fault", f"names none of {names}: {ended.output[-600:]}"
    return "clear error", ended.output.strip()[:300]
