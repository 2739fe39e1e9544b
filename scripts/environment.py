"""Fill .venv from requirements.lock, and make that lock; needs only the standard library and pip until uv is there.

Every package comes at the lock's exact version and is checked against its hashes. What the lock lists and nothing asks
for stays away, so a machine whose pip offers a CPU-only torch of the locked version never downloads the CUDA packages.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "pyproject.toml"
LOCK = ROOT / "requirements.lock"
CPU_WHEELS = ROOT / "scripts" / "cpu-wheels.sha256"
HEADER = "# Exact versions and hashes of everything; made by `make lock` from pyproject.toml.\n"
PLAIN = ("--quiet", "--no-header", "--no-annotate", "--no-emit-options")

UV_NAMES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "proxy": ("ALL_PROXY", " "),
}
"""What uv calls pip's settings, and what stands between several values."""


def install(folder: Path) -> None:
    """Install the locked packages, and this one, into the environment that runs this."""
    blocks, names = read_lock(LOCK), wanted()
    if missing := [name for name in names if name not in blocks]:
        sys.exit(f"{LOCK.name}: lacks {', '.join(missing)}, which {PROJECT.name} asks for; run `make lock`")
    bootstrap = write(folder / "uv.txt", blocks["uv"])
    run("-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "-r", bootstrap)
    settings = uv_settings(pip_settings())
    for name in sorted({wheel.partition("-")[0] for _, wheel in cpu_wheels()}):
        blocks[name] = as_offered(blocks[name], settings)
    roots = write(folder / "roots.txt", "".join(f"{pin(blocks[name])}\n" for name in names))
    lock = write(folder / "lock.txt", "".join(blocks.values()))
    hashed = ("--require-hashes", "--constraints", lock, "--build-constraints", lock, "--excludes", excludes(folder))
    # Compiled once here: where PYTHONDONTWRITEBYTECODE is set, as in many containers, every process would do it again.
    once = ("--compile-bytecode", "--python", sys.executable)
    run("-m", "uv", "pip", "install", *once, "-r", roots, *hashed, settings=settings)
    editable = ("--offline", "--no-deps", "--no-build-isolation", "--editable", ROOT)
    run("-m", "uv", "pip", "install", "--python", sys.executable, *editable)


def make_lock(folder: Path, upgrade: bool) -> None:
    """Resolve pyproject.toml for every platform and Python that it allows; keep what is locked, unless `upgrade`.

    Only pip's one index is asked: this machine's other wheels would leave their versions in everybody's lock.
    """
    settings = uv_settings({key: pip_settings().get(key, "") for key in ("index-url", "cert", "proxy")})
    lock = folder / LOCK.name
    if LOCK.exists():
        shutil.copyfile(LOCK, lock)
    backend = write(folder / "backend.in", "\n".join(project()["build-system"]["requires"]))
    shape = ("--universal", "--python-version", "3.11", "--fork-strategy", "fewest", "--generate-hashes")
    sources = (PROJECT, "--all-extras", backend, "--excludes", excludes(folder))
    run("-m", "uv", "pip", "compile", *shape, *PLAIN, *["--upgrade"] * upgrade, *sources, "-o", lock, settings=settings)
    blocks = [with_cpu_wheels(block) for block in read_lock(lock).values()]
    write(LOCK.with_name(f".{LOCK.name}"), HEADER + "".join(blocks)).replace(LOCK)


def project() -> dict[str, Any]:
    return tomllib.loads(PROJECT.read_text(encoding="utf-8"))


def wanted() -> list[str]:
    """Return the names of the direct requirements: the package's, its extras' and its build's."""
    table = project()
    groups = (table["project"]["dependencies"], *table["project"]["optional-dependencies"].values())
    lines = [line for group in (*groups, table["build-system"]["requires"]) for line in group]
    return [re.split(r"[\s\[<>=!~;]", line.lower().replace("_", "-"), maxsplit=1)[0] for line in lines]


def excludes(folder: Path) -> Path:
    """Write the names that [tool.uv] leaves out; as a file, because a user's uv.toml hides that table from uv."""
    return write(folder / "excludes.txt", "\n".join(project()["tool"]["uv"]["exclude-dependencies"]))


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def read_lock(path: Path) -> dict[str, str]:
    """Return each locked package's lines, hashes included, by its name."""
    blocks = re.findall(r"^[a-z0-9](?:.*\\\n)*.*\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {block.partition("==")[0]: block for block in blocks}


def pin(block: str) -> str:
    """Return "name==version" of a locked package."""
    return block.split()[0]


def cpu_wheels() -> list[tuple[str, str]]:
    """Return (SHA-256, file name) of the CPU-only wheels that may stand in for the index's own."""
    lines = CPU_WHEELS.read_text(encoding="utf-8").splitlines()
    return [(digest, wheel) for digest, wheel in (line.split() for line in lines)]


def with_cpu_wheels(block: str) -> str:
    """Add the hashes of the CPU-only wheels of this package and version, if there are any."""
    start = pin(block).replace("==", "-") + "+cpu-"
    extra = {f"--hash=sha256:{digest}" for digest, wheel in cpu_wheels() if wheel.startswith(start)}
    if not extra:
        return block
    requirement, *_ = block.partition(" \\\n")
    return " \\\n    ".join([requirement, *sorted(extra.union(re.findall(r"--hash=\S+", block)))]) + "\n"


def as_offered(block: str, settings: dict[str, str]) -> str:
    """Take the local version that this machine's wheels or indexes offer, such as 2.13.0+cpu, for the public one.

    To uv a hash belongs to one whole version, so "==2.13.0" finds 2.13.0+cpu and then no hash for it.
    """
    question = ("-m", "uv", "pip", "compile", "-", "--no-deps", *PLAIN, "--python", sys.executable)
    answer = run(*question, settings=settings, given=pin(block), capture=True)
    return block.replace(pin(block), pin(answer), 1)


def pip_settings() -> dict[str, str]:
    """Return pip's settings; environment variables win over the files' [install], and that over [global]."""
    listed = run("-m", "pip", "config", "list", capture=True).splitlines()
    settings = [re.fullmatch(r"(global|install|:env:)\.([a-z-]+)=(.*)", line) for line in listed]
    places = ("global", "install", ":env:")
    ranked = sorted((match.groups() for match in settings if match), key=lambda row: places.index(row[0]))
    return {key: ast.literal_eval(value) for _, key, value in ranked}


def uv_settings(pip: dict[str, str]) -> dict[str, str]:
    """Return the environment in which uv looks where pip would; what the user set for uv itself stays."""
    values = {name: between.join(pip.get(key, "").split()) for key, (name, between) in UV_NAMES.items()}
    # pip takes the best version of all its indexes; safe here, because every file must match a locked hash.
    return {"UV_INDEX_STRATEGY": "unsafe-best-match", **{k: v for k, v in values.items() if v}, **os.environ}


def run(*arguments: object, settings: dict[str, str] | None = None, given: str = "", capture: bool = False) -> str:
    """Run a module of this Python and return what it printed, if captured; leave with an error when it fails."""
    command = [sys.executable, *map(str, arguments)]
    output = subprocess.PIPE if capture else None
    done = subprocess.run(command, env=settings, input=given, text=True, stdout=output, cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(
            f"failed: {' '.join(command[1:5])} …; the cause stands above, CONTRIBUTING.md (Environment) has remedies"
        )
    return done.stdout or ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["install", "lock"])
    parser.add_argument("--upgrade", action="store_true", help="lock: take the newest versions that fit")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if chosen.action == "install":
            install(Path(folder))
        else:
            make_lock(Path(folder), chosen.upgrade)


if __name__ == "__main__":
    main()
