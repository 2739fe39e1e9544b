"""Sentences from templates/: Jinja2 with this project's formatters as filters; *.html.j2 escape what they print."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mnv4bench.report import formatting
from mnv4bench.report.tables import markdown

FILTERS = {
    "beyond": formatting.beyond,
    "bound": formatting.bound,
    "bullets": markdown.bullets,
    "capital": formatting.capital,
    "change": formatting.change,
    "count": formatting.count,
    "enumerate": formatting.join,
    "md": markdown.escape,
    "notes": markdown.notes,
    "number": formatting.number,
    "oneline": formatting.oneline,
    "percent": formatting.percent,
    "plain": formatting.plain,
    "points": formatting.points,
    "setting": formatting.setting,
    "settings": formatting.settings,
    "share": formatting.share,
    "significant": formatting.significant,
    "table": markdown.table,
    "times": formatting.ratio,
}
"""{{ effect | number(3, sign=true) }}, {{ seeds | count("seed") }}, {{ names | enumerate }}; `md` escapes for Markdown
what comes from files; `table`, `bullets` and `notes` do so themselves."""


def render(template: str, **values: Any) -> str:
    """Return a template of report/templates/ filled with `values`, without empty lines around it.

    Raises:
        jinja2.TemplateError: the template does not exist, is not valid, or uses a value that was not given.
    """
    return _environment().get_template(template).render(values).strip("\n")


def page(template: str, **values: Any) -> str:
    """Return a whole file: what is empty leaves no gap, and the last line ends."""
    return _whole(render(template, **values))


def page_of(text: str, **values: Any) -> str:
    """Return a whole file from the text of a template, as a module in ablations/ brings it along."""
    return _whole(_environment().from_string(text).render(values))


def _whole(text: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", text.strip("\n")) + "\n"


def sentences(template: str, **values: Any) -> list[str]:
    """Return what a template says: an item for each of its lines that is not empty."""
    return [line.strip() for line in render(template, **values).splitlines() if line.strip()]


def _is_html(template: str | None) -> bool:
    return template is not None and template.endswith(".html.j2")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mnv4bench.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,  # a template that is included ends its last line
        autoescape=_is_html,  # all others are Markdown and plain text
    )
    environment.filters.update(FILTERS)
    return environment
