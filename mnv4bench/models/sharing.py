"""Equal initial values in what two networks have in common, whatever else they hold before it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from torch import Tensor, nn


def groups(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the layers that are compared, and shared, as a whole: group → its tensors' names.

    A group is a part's direct child ("p5_out.cv1"), or one of a list's ("backbone.blocks.3").

    Args:
        names: of a network's tensors, each of which starts with its part's name.
    """
    grouped: dict[str, list[str]] = defaultdict(list)
    for name in names:
        words = name.split(".")
        grouped[".".join(words[: 3 if words[2].isdigit() else 2])].append(name)
    return grouped


def shapes(state: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Return name → shape, sorted by name."""
    return {name: tuple(state[name].shape) for name in sorted(names)}


def share(part: str, layer: nn.Module, original: nn.Module) -> None:
    """Give every group of a part's tensors that the original part has in the same shapes the original's values."""
    ours, theirs = (_named(part, module) for module in (layer, original))
    known = groups(theirs)
    for group, names in groups(ours).items():
        if group in known and shapes(ours, names) == shapes(theirs, known[group]):
            for name in names:
                ours[name].copy_(theirs[name])


def _named(part: str, layer: nn.Module) -> dict[str, Tensor]:
    return {f"{part}.{name}": value for name, value in layer.state_dict().items()}
