"""What the quick commands do not import: torch alone takes longer than the two seconds in which they should answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mnv4bench import cli
from mnv4bench.io.errors import SpecError
from mnv4bench.spec.declared import check_extensions

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "ultralytics", "matplotlib", "scipy", "cv2", "onnxruntime", "snakemake")

WATCHED = """
import json
import sys

heavy, commands = map(json.loads, sys.argv[1:])

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in heavy:
            sys.exit(f"imports {name}")

sys.meta_path.insert(0, Watch())
from mnv4bench.cli import main

for command in commands:
    try:
        main(command)
    except SystemExit as end:
        if end.code:
            raise
"""
"""A script that ends at the first import of one of them."""


def watched(*commands: list[str]) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, "-c", WATCHED, json.dumps(HEAVY), json.dumps(commands)]
    return subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False)


def names() -> list[str]:
    """Return every command."""
    return list(cli._parser()._subparsers._group_actions[0].choices)  # type: ignore[union-attr, arg-type]


def test_help_imports_nothing_heavy() -> None:
    done = watched(["--help"], ["--version"], *([name, "--help"] for name in names()))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("usage: mnv4bench") == 1 + len(names())


@pytest.mark.parametrize("command", [["check"], ["plan"], ["plan", "--preset", "full"], ["models"]])
def test_checking_planning_and_listing_import_nothing_heavy(command: list[str]) -> None:
    done = watched(command)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


EXTENSION = """\
from pathlib import Path
import torch.nn
from mnv4bench.spec.extensions import Extension
{imports}
def write(plan, results, data):
    pass

EXTENSION = Extension(steps={steps})
"""
SOUND = {"steps": '{"write": write}', "imports": ""}


def project(tmp_path: Path, **contents: dict[str, str]) -> Path:
    for name, fields in contents.items():
        (tmp_path / "ablations").mkdir(exist_ok=True)
        (tmp_path / "ablations" / f"{name}.py").write_text(EXTENSION.format(**{**SOUND, **fields}))
    return tmp_path


def test_an_extension_that_reads_as_sound_is_not_run(tmp_path: Path) -> None:
    check_extensions(["one", "none"], project(tmp_path, one={"imports": "raise SystemError"}))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"imports": "import nowhere.at_all"}, r"one\.py:4: cannot be loaded \(ModuleNotFoundError"),
        ({"imports": "from mnv4bench.io import nothing"}, r"one\.py:4: cannot be loaded \(ImportError"),
        ({"imports": "from mnv4bench.io.files import nothing"}, r"one\.py:4: cannot be loaded \(ImportError"),
        ({"imports": "def ("}, r"one\.py:4: cannot be loaded \(SyntaxError"),
        ({"steps": "dict(write=missing)"}, r"one\.py:8: cannot be loaded \(NameError"),
    ],
)
def test_an_extension_that_does_not_is_run_and_its_error_told(
    tmp_path: Path, fields: dict[str, str], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        check_extensions(["one"], project(tmp_path, one=fields))


def test_a_step_of_two_extensions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"other\.py: step 'write' is a step of .*one\.py, too"):
        check_extensions(["one", "other"], project(tmp_path, one={}, other={}))


INTERRUPTED = """
import runpy, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            raise KeyboardInterrupt

module, sys.argv[1] = sys.argv[1], "models"
sys.meta_path.insert(0, Interrupt())
runpy.run_module("mnv4bench", run_name="__main__")
"""
"""A script that is interrupted where it imports a module."""


@pytest.mark.parametrize("module", ["mnv4bench.cli", "mnv4bench.report.models"])
def test_an_interrupt_ends_a_command_quietly(module: str) -> None:
    script = [sys.executable, "-c", INTERRUPTED, module]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh", "fish"])
def test_a_shell_can_complete_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        cli.main(["--print-completion", shell])
    assert done.value.code == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in names())
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=printed, text=True, check=True)
        assert "import_pos_0_COMPGEN" in printed, "a path is completed as one"


def test_help_is_coloured_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    plain = cli._parser().format_help()
    monkeypatch.setenv("FORCE_COLOR", "1")
    coloured = cli._parser().format_help()
    assert "\x1b[" in coloured
    assert "\x1b[" not in plain
