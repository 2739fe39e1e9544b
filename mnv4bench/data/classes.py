"""The classes of a data set as its owner should see them once: how often each is there, which look like mistakes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from mnv4bench.data.parts import Document
from mnv4bench.io.words import count, listed

MOST = 30
"""Classes, and lines on single ones, that are printed; the rest are counted."""
RARE = 2
"""Objects up to which a name that resembles another is doubted."""
FEW = 5
"""Validation objects below which a class's AP says little."""
LITTLE = "their AP is left to chance and counts as much as any other class's; label more such images in val"
EDITS = 2
"""Letters put in, left out or exchanged by which such names differ."""


def objects_of(document: Document) -> Counter[str]:
    """Return the objects of each class in a COCO document, crowds left out, classes without any included."""
    names = {record["id"]: str(record["name"]) for record in document["categories"]}
    counts = Counter(dict.fromkeys(names.values(), 0))
    counts.update(names[record["category_id"]] for record in document["annotations"] if not record.get("iscrowd"))
    return counts


def counted(objects: int, crowds: int) -> str:
    """Return "9 objects (2 of them crowds)", which are neither learned nor scored."""
    return f"{count(objects, 'object')}{f' ({crowds} of them crowds)' if crowds else ''}"


def describe(train: Mapping[str, int], val: Mapping[str, int]) -> list[str]:
    """Return a line with every class and its objects in both halves, the rarest last, and a line on each doubtful one.

    Args:
        train, val: class → objects that are learned or scored.
    """
    total = {name: train.get(name, 0) + val.get(name, 0) for name in {**train, **val}}
    ranked = sorted(total, key=lambda name: (-total[name], name))
    each = [f"{name} {total[name]} ({train.get(name, 0)}, {val.get(name, 0)})" for name in ranked]
    meant = {name: other for name in ranked if (other := _meant(name, total))}
    doubtful = [name for name in ranked if name not in meant and not (train.get(name) and val.get(name))]
    remarks = [_remark(name, train.get(name, 0), val.get(name, 0), meant.get(name)) for name in (*meant, *doubtful)]
    if len(remarks) > MOST:
        remarks[MOST:] = [f"… and {len(remarks) - MOST} more classes without objects in one half."]
    few = [f"{name} {val[name]}" for name in ranked if 0 < val.get(name, 0) < FEW]
    return [
        f"Objects by class, those in train and in val: {', '.join(_shortened(each))}.",
        *([listed(f"Classes of fewer than {FEW} objects in val", few, LITTLE)] if few else []),
        *remarks,
    ]


def _shortened(each: list[str]) -> list[str]:
    """Return the commonest and the rarest of a long list."""
    if len(each) <= MOST:
        return each
    half = MOST // 2
    return [*each[:half], f"… {len(each) - 2 * half} more …", *each[-half:]]


def _remark(name: str, train: int, val: int, meant: str | None) -> str:
    """Return what is doubtful about a class."""
    if not train + val:
        return f"{name}: no object, so it can be neither learned nor scored."
    parts = [f"{train + val} object{'' if train + val == 1 else 's'}"]
    parts += ["none in train, so it cannot be learned"] * (not train)
    parts += ["none in val, so it cannot be scored"] * (not val)
    return f"{name}: {', '.join(parts)}{f'; is it {meant}, misspelt?' if meant else '.'}"


def _meant(name: str, total: Mapping[str, int]) -> str | None:
    """Return the commonest class that a rare one's name may be a slip of; numbered names are no slips."""
    if not 0 < total[name] <= RARE:
        return None
    alike = [
        other
        for other in total
        if total[other] > total[name]
        and re.sub(r"\d", "", other) != re.sub(r"\d", "", name)
        and edits(name, other) <= min(EDITS, max(len(name), len(other)) - 1)
    ]
    return max(alike, key=lambda other: total[other], default=None)


def edits(one: str, other: str) -> int:
    """Return how many letters have to be put in, left out or exchanged to make one word of the other (Levenshtein)."""
    row = list(range(len(other) + 1))
    for place, letter in enumerate(one, 1):
        above, row = row, [place]
        for column, wanted in enumerate(other, 1):
            row.append(min(above[column] + 1, row[-1] + 1, above[column - 1] + (letter != wanted)))
    return row[-1]
