"""A page as HTML. All texts pass through one door, where what is no printable character is spelled out and what is
markup is escaped; the only scripts and styles that may run are those whose digests the page names.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tracer.commands.output import printable
from tracer.errors import Refused
from tracer.outputs import write_lines
from tracer.report.findings import CALLED, SIGNS
from tracer.report.html.page import of_refused, of_result
from tracer.report.html.pictures import GEOMETRY
from tracer.report.html.view import Page
from tracer.session import Request, Result

_SIGNS = {str(severity): sign for severity, sign in SIGNS.items()} | {"ok": "✓", "not-checked": "·"}
_MARKS = {"ok": ("✓", "ok"), "finding": ("✗", "finding"), "not-checked": ("·", "not checked")}
_COMPARED = {"agrees": "✓", "conflict": "✗", "differs": "≠", "inferred": "≈", "not compared": "·"}


def write(result: Result, target: str) -> None:
    """The page of a run, complete or not at all. Raises UsageError when it cannot be written."""
    _write(of_result(result), target)


def write_refused(request: Request, refused: Refused, target: str) -> None:
    """The page of a checkpoint that could not be planned. Raises UsageError when it cannot be written."""
    _write(of_refused(request, refused), target)


def _write(page: Page, target: str) -> None:
    write_lines(Path(target), iter(rendered(page).split("\n")))


def rendered(page: Page) -> str:
    """The whole file."""
    style, script = _own("page.css"), _own("page.js")
    policy = f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; img-src data:"
    return _environment().get_template("page.html").render(
        page=page, style=Markup(style), script=Markup(script), policy=f"{policy}; base-uri 'none'; form-action 'none'",
        signs=_SIGNS, called=CALLED, marks=_MARKS, compared=_COMPARED, geometry=GEOMETRY,
    )  # fmt: skip


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("tracer.report.html", ""), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, finalize=_shown,
    )  # fmt: skip
    environment.filters |= {"paragraphs": _paragraphs, "address": _address}
    return environment


def _shown(value: Any) -> Any:
    """Names come from strangers' files."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _paragraphs(text: str) -> Markup:
    """A text of ours whose line breaks are meant; its lines are as untrusted as any."""
    return Markup("\n").join(map(printable, text.split("\n")))


def _address(text: str) -> str:
    """What follows `#q=` in a link to the lines that have this text."""
    return quote(printable(text), safe="")


def _own(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
