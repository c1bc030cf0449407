"""One sentence that a program says, as data: how to recognise it, and where in it the names and numbers stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from tracer.complaints.complaint import Complaint, Kind, Program
from tracer.complaints.quoting import listed_names, listed_numbers, unquoted

TEXT_LIMIT = 500
"""Characters of a complaint's text."""
NAMES_LIMIT = 20_000
"""Names that one complaint keeps: more than the largest models have in one list without experts."""
_SHAPE = r"[\[(]\s*(?:\d{1,19}\s*,?\s*){0,12}[\])]"
SHAPE = rf"(?:torch\.)?(?:Size\()?{_SHAPE}\)?"
"""A shape as PyTorch, numpy or TGI print it."""
NAME = r"[\w.:*{}<>/-]+"
"""A tensor's name where no quotes tell its end; `{0...27}` as Transformers collapses layers."""


@dataclass(frozen=True)
class Pattern:
    """A sentence. Groups of its expression are read by what they are called, with a number where there are several.

    `name`, `names` (a list in any brackets), `shape1` (what the checkpoint has), `shape2` (what the model expects),
    `number1`, `number2`, `numbers` (a list), `file`, `field`, `fields` (a list).
    """

    says: str
    kind: Kind
    source: str
    """Version, thread or function that it was seen in."""
    needle: str
    """Literal text without which nothing matches: what a line is first searched for."""
    program: Program = ""
    warning: bool = False
    """Whether the program goes on after it: no cause where something else is an error."""
    gathers: bool = False
    """Whether it is said once for each name, so that many of them are one complaint."""
    echo: bool = False
    """Whether it repeats what another process said, in the group `inner`."""
    ignore_case: bool = field(default=False)

    @cached_property
    def expression(self) -> re.Pattern[str]:
        return re.compile(self.says, re.IGNORECASE if self.ignore_case else 0)

    def applies(self, text: str) -> bool:
        """Whether it is worth looking: cheap, and right whenever it says no."""
        return self.needle in text or (self.ignore_case and self.needle in text.lower())

    def matches(self, text: str) -> Iterator[re.Match[str]]:
        """Where a text says this."""
        return self.expression.finditer(text)

    def read(self, match: re.Match[str]) -> Complaint:
        """What it says there."""
        found = _Groups(match)
        return Complaint(
            kind=self.kind,
            text=match.group(0)[:TEXT_LIMIT].strip(),
            program=self.program,
            names=(*found.each("name"), *listed_names(found.text("names"))[:NAMES_LIMIT]),
            shapes=tuple(_numbers(shape) for shape in found.each("shape")),
            numbers=(*map(int, found.each("number")), *listed_numbers(found.text("numbers"))[:64]),
            files=found.each("file"),
            fields=(*found.each("field"), *listed_names(found.text("fields"))[:NAMES_LIMIT]),
        )


class _Groups:
    def __init__(self, match: re.Match[str]) -> None:
        self._groups = {name: text for name, text in match.groupdict().items() if text}

    def text(self, name: str) -> str:
        return self._groups.get(name, "")

    def each(self, name: str) -> tuple[str, ...]:
        """The groups of this name, by their numbers and not by where they stand."""
        numbered = sorted(key for key in self._groups if key.rstrip("0123456789") == name)
        return tuple(unquoted(self._groups[key]) for key in numbered)


def _numbers(shape: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d{1,19}", shape)))
