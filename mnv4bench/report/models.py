"""What `mnv4bench models` prints: every network that a command or a preset can name."""

from __future__ import annotations

from mnv4bench.data.weights import known, present
from mnv4bench.models.published import networks
from mnv4bench.report.rendering import sentences
from mnv4bench.report.terminal import aligned

HEADER = ("name", "read", "published weights")


def catalogue() -> str:
    """Return a line for each network of the catalogue, and how a name is used."""
    lines = [(name, networks.read_of(name), _weights(name)) for name in networks.names()]
    return "\n".join([*aligned([HEADER, *lines]), "", *sentences("text/models.j2")])


def _weights(name: str) -> str:
    if name not in known():
        return ""
    return "on this machine" if present(name) else "not on this machine"
