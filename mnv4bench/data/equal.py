"""The same picture under several names, within one half of a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mnv4bench.data.parts import Document
from mnv4bench.io.words import listed

ALIKE = "each counts as often as it is there"
DIFFERING = "they contradict each other: keep one of each, with the right labels"


def equal_images(half: str, document: Document, sums: Mapping[str, str]) -> Iterator[str]:
    """Yield a line on the images of a half that are the same file and labelled differently, and one on those alike.

    Args:
        half: "train" or "val".
        sums: file name → SHA-256.
    """
    labels = _labels(document)
    groups: dict[str, list[str]] = {}
    for name in labels:
        groups.setdefault(sums[name], []).append(name)
    repeated = [names for names in groups.values() if len(names) > 1]
    differing = [names for names in repeated if any(labels[name] != labels[names[0]] for name in names)]
    alike = [names for names in repeated if names not in differing]
    for word, found, remedy in (("differently", differing, DIFFERING), ("alike", alike, ALIKE)):
        if found:
            yield listed(f"Equal images in {half}, labelled {word}", [" = ".join(names) for names in found], remedy)


def _labels(document: Document) -> dict[str, list[tuple[int, list[float], int]]]:
    """Return file name → class, box and crowd of each object, in one order."""
    names = {record["id"]: record["file_name"] for record in document["images"]}
    labels: dict[str, list[tuple[int, list[float], int]]] = {name: [] for name in names.values()}
    for record in document["annotations"]:
        labels[names[record["image_id"]]].append((record["category_id"], record["bbox"], record["iscrowd"]))
    return {name: sorted(objects) for name, objects in labels.items()}
