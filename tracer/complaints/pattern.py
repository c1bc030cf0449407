"""One sentence that a program says, as data: how to recognise it, and where in it the names and numbers stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

from tracer.complaints.complaint import Complaint, Kind, Program
from tracer.complaints.quoting import listed_names, uncollapsed, unquoted

TEXT_LIMIT = 500
"""Characters of a complaint's text."""
NAMES_LIMIT = 20_000
"""Names that one complaint keeps: more than most models have."""
_MATCHES = 200
"""Times that one sentence is read in one line."""
_WORD = r"[\w.*/-]"
NAME = rf"{_WORD}{{1,600}}+"
"""A tensor's name where quotes or words tell its end."""
LEADING_NAME = rf"(?<!{_WORD})(?P<name>{_WORD}{{1,600}}+)"
"""The same at the beginning of a sentence: looked for only where a word begins, or long words would take for ever."""
QUOTED = r"'[^'\s][^'\n]{0,1000}'|\"[^\"\s][^\"\n]{0,1000}\"|`[^`\s][^`\n]{0,1000}`"
SHAPE = r"(?:torch\.)?(?:Size\()?[\[(](?:\s?-?\d{1,19}\s?,?){0,12}+[\])]\)?"
"""A shape as PyTorch, numpy or MLX print it."""
GGML_SHAPE = r"-?\d{1,19}(?:, {1,8}-?\d{1,19}){0,3}"
"""A shape as llama.cpp prints it, innermost first."""


@dataclass(frozen=True)
class Pattern:
    """A sentence. Groups of its expression are read by what they are called, with a number where there are several.

    `name`, `names` (a list in any brackets), `shape1` (what the checkpoint has), `shape2` (what the model expects),
    `number1`, `number2` (in the order of their numbers; what was found before what was wanted), `file`, `files`,
    `field`, `fields` (lists).
    """

    says: str
    kind: Kind
    source: str
    """Version, thread or function that it was seen in."""
    needle: str | tuple[str, ...]
    """Literal text without which nothing matches, or several of which one must be there: what a line is first searched
    for. Lower case where case is ignored; empty only for what is pasted."""
    program: Program | None = None
    """Empty where several programs say it."""
    warning: bool = False
    """Whether the program goes on after it: no cause where something else is an error."""
    gathers: bool = False
    """Whether it is said once for each name, so that many of them are one complaint."""
    collapsed: bool = False
    """Whether a name stands for several, as `layers.{0, 1}.mlp`."""
    ggml: bool = False
    """Whether shapes are innermost first and padded with ones, as ggml has them."""
    ignore_case: bool = False
    pasted: bool = False
    """Whether it is too short to be believed in a log."""

    def by(self, program: Program) -> Pattern:
        """The same, said by a program where nothing else is stated."""
        return self if self.program is not None else replace(self, program=program)

    @cached_property
    def expression(self) -> re.Pattern[str]:
        return re.compile(self.says, re.IGNORECASE if self.ignore_case else 0)

    @property
    def needles(self) -> tuple[str, ...]:
        return (self.needle,) if isinstance(self.needle, str) else self.needle

    def matches(self, text: str) -> Iterator[re.Match[str]]:
        """Where a text says this."""
        return islice(self.expression.finditer(text), _MATCHES)

    def read(self, match: re.Match[str]) -> Complaint:
        """What it says there."""
        found = _Groups(match)
        names = (*found.each("name"), *listed_names(found.text("names"), NAMES_LIMIT))
        if self.collapsed:
            names = tuple(islice((full for name in names for full in uncollapsed(name)), NAMES_LIMIT))
        shapes = (_numbers(shape) for shape in found.each("shape"))
        return Complaint(
            kind=self.kind,
            text=match.group(0)[:TEXT_LIMIT].strip(),
            program=self.program or "",
            names=names,
            shapes=tuple(_outermost_first(shape) for shape in shapes) if self.ggml else tuple(shapes),
            numbers=tuple(map(int, found.each("number"))),
            files=(*found.each("file"), *listed_names(found.text("files"), NAMES_LIMIT)),
            fields=(*found.each("field"), *listed_names(found.text("fields"), NAMES_LIMIT)),
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
    return tuple(map(int, re.findall(r"-?\d{1,19}", shape)))


def _outermost_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """As safetensors has it: the ones that ggml pads with are no axes."""
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    return shape[::-1]
