"""What `mnv4bench docs` writes: docs/ablations.md, the schemas of YAML files for editors, and passages of README and
docs/ from committed result files.

A passage stands between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import write_text
from mnv4bench.report.docs.catalogue import catalogue
from mnv4bench.report.docs.passages import PASSAGES
from mnv4bench.results.reference import FOLDER
from mnv4bench.spec.ablation import AblationSpec
from mnv4bench.spec.base import Spec
from mnv4bench.spec.preset import Preset

CATALOGUE = Path("docs/ablations.md")
DOCUMENTS = (
    "README.md",
    "docs/data.md",
    "docs/ledger.md",
    "docs/method.md",
    "docs/published.md",
    "docs/reliability.md",
    "docs/results.md",
    "docs/search.md",
)
SCHEMAS: dict[Path, type[Spec]] = {
    Path("config/preset.schema.json"): Preset,
    Path("ablations/ablation.schema.json"): AblationSpec,
}
"""JSON schema → whose files it describes."""
PASSAGE = re.compile(r"(?P<head><!-- generated: (?P<name>\w+) -->\n)(?P<text>.*?)(?P<foot><!-- end -->)", re.DOTALL)


def refresh(root: Path = Path(), check: bool = False) -> list[Path]:
    """Write the list of ablations, the schemas and every passage anew; return the files that changed.

    Args:
        check: write nothing, and return the files that would change.
    """
    texts = {root / CATALOGUE: catalogue(root)}
    texts |= {root / path: schema(spec) for path, spec in SCHEMAS.items()}
    for name in DOCUMENTS:
        text = (root / name).read_text(encoding="utf-8")
        texts[root / name] = refreshed(text, root / FOLDER, where=name)
    return [path for path, text in texts.items() if _update(path, text, check)]


def schema(spec: type[Spec]) -> str:
    """Return the JSON schema of a YAML file: its keys with what they say, types and bounds."""
    return json.dumps(spec.model_json_schema(), indent=1, ensure_ascii=False) + "\n"


def _update(path: Path, text: str, check: bool) -> bool:
    """Write a document unless it says the same already, or writing is not wanted; return whether it did not."""
    stale = not path.exists() or path.read_text(encoding="utf-8") != text
    if stale and not check:
        write_text(path, text)
    return stale


def refreshed(text: str, reference: Path, where: str) -> str:
    """Return a document with its passages made from the files under `reference`.

    Raises:
        Mnv4benchError: a passage of an unknown name, or its file is missing.
    """
    current = _renderer(reference, where)
    return PASSAGE.sub(lambda match: f"{match['head']}{current(match['name'])}\n{match['foot']}", text)


def _renderer(reference: Path, where: str) -> Callable[[str], str]:
    def render(name: str) -> str:
        if name not in PASSAGES:
            raise Mnv4benchError(f"{where}: no passage {name!r}; allowed: {', '.join(PASSAGES)}")
        path = reference / PASSAGES[name].file
        if not path.exists() and PASSAGES[name].absent is None:
            raise Mnv4benchError(f"{path}: is missing, and passage {name} of {where} is made from it")
        return PASSAGES[name].render(reference)

    return render
