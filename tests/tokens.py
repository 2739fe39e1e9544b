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
RULE = re.compile(r"\|(?: -+:? \|)+")
"""Under a table's titles."""


def tokens(text: str, names: Collection[str]) -> Counter[str]:
    """Return how often each number, name and verdict stands in a Markdown text.

    Numbers count everywhere; in the rows of tables also verdicts and `names`; in sentences, where some of these are
    ordinary words ("none", "same"), only names in pairs (ablation/arm) and those with a digit, underscore or hyphen.
    """
    lines = text.replace("\\", "").splitlines()
    rules = {number for number, line in enumerate(lines) if RULE.fullmatch(line)}
    counter: Counter[str] = Counter()
    in_tables = _any_of({*names, *VERDICTS})
    in_sentences = _any_of([name for name in names if re.search(r"[\d_-]", name)])
    pairs = re.compile(_any_of(names).pattern + r"/\w+")
    for number, line in enumerate(lines):
        if number in rules or number + 1 in rules:  # a table's titles are wording
            continue
        counter.update(NUMBER.findall(line))
        patterns = [in_tables] if line.startswith("|") else [pairs, in_sentences]
        for pattern in patterns:
            counter.update(pattern.findall(line))
    return counter


def _any_of(names: Collection[str]) -> re.Pattern[str]:
    """Return a pattern that finds the longest of these names as a whole word."""
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest_first)) or '(?!)'})(?![\w-])")


def difference(committed: str, current: str, names: Collection[str]) -> list[str]:
    """Return what a committed passage lacks ("+") and has too much ("-"), none where it is up to date."""
    before, now = tokens(committed, names), tokens(current, names)
    missing, surplus = now - before, before - now
    return [f"+{token}" for token in sorted(missing.elements())] + [f"-{token}" for token in sorted(surplus.elements())]
