"""The README is short, and what it tells the reader to type and to open is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mnv4bench import cli
from mnv4bench.report.docs.generated import PASSAGE
from mnv4bench.spec.ablation import AblationSpec
from mnv4bench.spec.yamlfile import YamlFile

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
WORDS, ROWS = 1200, 30


def test_it_is_read_in_a_few_minutes() -> None:
    """Generated passages count."""
    visible = re.sub(r"<!--.*?-->", "", TEXT)
    words = [word for word in visible.split() if re.search(r"\w", word)]
    lines = visible.splitlines()
    rules = [number for number, line in enumerate(lines) if re.fullmatch(r"\|[-:| ]*-[-:| ]*\|", line)]
    rows = sum(line.startswith("|") for line in lines) - 2 * len(rules)
    assert len(words) <= WORDS
    assert 0 < rows <= ROWS


def test_numbers_of_the_reference_stand_in_generated_passages_alone() -> None:
    typed = PASSAGE.sub("", TEXT)
    assert not re.search(r"[+−]\d\.\d|\d seeds\b|\b\d+(\.\d+)? points", typed)


@pytest.mark.parametrize(
    "document", ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
)
def test_links_inside_the_project_lead_somewhere(document: str) -> None:
    path = ROOT / document
    targets = re.findall(r"\]\((?!https?:)([^)\s]+)\)", path.read_text(encoding="utf-8"))
    assert [target for target in targets if not _leads(path, target)] == []


def _leads(path: Path, target: str) -> bool:
    file, _, heading = target.partition("#")
    aim = path.parent / file if file else path
    if not aim.exists() or not heading:
        return aim.exists()
    headings = re.findall(r"^#+ (.*)$", aim.read_text(encoding="utf-8"), re.MULTILINE)
    return heading in {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in headings}


def test_every_command_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    known = set(re.findall(r"^    ([a-z-]+)", capsys.readouterr().out, re.MULTILINE))
    named = set(re.findall(r"mnv4bench ([a-z-]+) ", TEXT))
    assert named >= {"import", "check", "new-preset", "export", "latency", "models"}
    assert named - {"asks"} <= known


def test_the_ablation_of_seven_lines_is_valid(tmp_path: Path) -> None:
    block = re.search(r"Write `ablations/(\w+)\.yaml`:\n\n((?:    .*\n)+)", TEXT)
    assert block
    lines = [line[4:] for line in block[2].splitlines()]
    assert len(lines) == 7
    path = tmp_path / f"{block[1]}.yaml"
    path.write_text("\n".join(lines) + "\n")
    spec = YamlFile(path).parse(AblationSpec)
    assert len(spec.arms) == 2
