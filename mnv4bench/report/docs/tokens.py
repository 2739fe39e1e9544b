"""What of a document follows from records: its numbers, and in tables the names and verdicts. Not its wording.

A committed passage is stale when these differ from what the records say today. Rewording a template changes none of
them; a changed result, a lost row or a hand-edited number does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from typing import get_args

from mnv4bench.results.comparison import Verdict
from mnv4bench.results.latency import LatencyVerdict
from mnv4bench.results.ledger import Outcome

VERDICTS = frozenset((*get_args(Verdict), *get_args(LatencyVerdict), *get_args(Outcome)))
NUMBER = re.compile(r"(?<![\w.])[+−-]?\d+(?:[.,]\d+)*(?![\w])")
"""A number by itself, with its sign: not the digits of a name such as yolov10n or AP50."""
LABEL = re.compile(r"[\w.]+(?:/[\w.]+)+|\w*_\w+")
"""What no sentence holds by chance: ablation/arm, and names with an underscore."""
RULE = re.compile(r"\|(?: -+:? \|)+")
"""Under a table's titles."""


def tokens(text: str, names: Collection[str]) -> Counter[str]:
    """Return how often each number, name and verdict stands in a Markdown text.

    Everywhere: numbers, and labels that cannot be ordinary words. In the rows of tables also the verdicts and `names`,
    some of which are ordinary words in a sentence ("none", "same").
    """
    lines = text.replace("\\", "").splitlines()
    rules = {number for number, line in enumerate(lines) if RULE.fullmatch(line)}
    counter: Counter[str] = Counter()
    vocabulary = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, _longest_first({*names, *VERDICTS})))})(?!\w)")
    for number, line in enumerate(lines):
        if number in rules or number + 1 in rules:  # a table's titles are wording
            continue
        counter.update(NUMBER.findall(line))
        counter.update(vocabulary.findall(line) if line.startswith("|") else LABEL.findall(line))
    return counter


def _longest_first(names: Collection[str]) -> list[str]:
    return sorted(names, key=lambda name: (-len(name), name))


def difference(committed: str, current: str, names: Collection[str]) -> list[str]:
    """Return what a committed passage lacks ("+") and has too much ("-"), none where it is up to date."""
    before, now = tokens(committed, names), tokens(current, names)
    missing, surplus = now - before, before - now
    return [f"+{token}" for token in sorted(missing.elements())] + [f"-{token}" for token in sorted(surplus.elements())]
