"""config.json beside what the tensors say: each field, what reads it, and whether shapes agree.

Fields that the file does not have and that the tensors tell stand below it, marked `≈`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mappings.findings import Finding
from mappings.names import HOLE
from tracer.commands.output import printable
from tracer.infer.canonical import NESTED, spellings
from tracer.infer.fields import Field
from tracer.infer.standing import SURE, Standing, standing
from tracer.report.words import plural
from tui.model.columns import cut, cut_start, fitted, left, wide
from tui.model.config.fields import config_of, flat, in_tower, source
from tui.model.config.uses import Use, uses
from tui.model.line import GLYPHS, Line, Page, Role, Span, Target, Text, line
from tui.model.overview.inference import Inference
from tui.model.overview.values import conflicts, seen_fields
from tui.model.subject import Subject
from tui.model.wrapped import paragraph

_MARK = 2
_LONGEST_NAME, _LONGEST_VALUE = 40, 28
_ROLES: Mapping[Standing, Role] = {"conflict": "bad", "fits": "inferred", "agrees": "good"}
_COUNTED: Mapping[Standing, tuple[str, str]] = {
    "agrees": (GLYPHS["good"], "as the tensors say"), "conflict": (GLYPHS["bad"], "against the tensors"),
    "differs": ("", "other than the tensors say"), "fits": (GLYPHS["inferred"], "only fit"),
    "inferred": ("", "left to the tensors"), "not compared": ("", "not compared"),
}  # fmt: skip
"""What the heading says of as many fields."""


def config(subject: Subject, inference: Inference | None = None) -> Page:
    """`inference` is what `study` gave, None as long as it is on its way."""
    return Text(_Fields(subject, inference).lines)


@dataclass(frozen=True)
class _Widths:
    whole: int
    name: int
    value: int


class _Fields:
    def __init__(self, subject: Subject, inference: Inference | None) -> None:
        self.subject, self.inference = subject, inference
        held = inference or Inference()
        self.said = dict(flat(config_of(subject)))
        self.seen = seen_fields(held)
        self.against = conflicts(subject, held)
        self.uses: Mapping[str, Use] = uses(subject.prepared.plan.binding) if subject.prepared else {}
        self.names = _first_names(held)
        self.standing = {name: self._standing(name, value) for name, value in self.said.items()}
        self.taken = [name.rpartition(".")[2] for name, each in self.standing.items() if each == "fits"]

    def lines(self, width: int) -> list[Line]:
        longest = max((wide(printable(name)) for name in (*self.said, *self.seen, *self.against)), default=0)
        # What is told beside needs room too: a name that is longer is cut.
        widths = _Widths(width, min(longest, _LONGEST_NAME, max(width // 3, 12)), min(_LONGEST_VALUE, width // 4))
        return [fitted(each, width) for each in self._lines(widths)]

    def _lines(self, widths: _Widths) -> Iterator[Line]:
        yield from self._state(widths.whole)
        yield ()
        for name, value in self.said.items():
            yield from self._field(name, value, widths)
        yield from self._missing(widths)

    def _state(self, width: int) -> Iterator[Line]:
        if self.said:
            start = Span(f"{printable(source(self.subject))}  ", "heading")
            yield from paragraph(f"{plural(len(self.said), 'field')}{self._counted()}", width, start, "dim")
            if self.taken:
                told = f"shapes do not tell {', '.join(self.taken)}, they only fit"
                yield from paragraph(told, width, Span(f"{GLYPHS['inferred']} ", "inferred"), "inferred")
        else:
            yield line(Span("· there is no config.json", "unsure"))
        if self.against:
            told = f"against the tensors: {', '.join(self.against)}"
            yield from paragraph(told, width, Span(f"{GLYPHS['bad']} ", "bad"), "bad")
        if self.inference is None:
            yield line(Span("… what the tensors say was not looked at yet", "unsure"))
        elif self.inference.why_not or self.inference.made_up or self.inference.found is None:
            why = self.inference.why_not or self.inference.made_up or "there are none here"
            yield from paragraph(f"not compared with tensors: {why}", width, Span("· ", "unsure"), "unsure")
        elif self.inference.found.unchecked:
            why = "; ".join(item.reason for item in self.inference.found.unchecked)
            yield from paragraph(f"not all was compared with the tensors: {why}", width, Span("· ", "unsure"), "unsure")

    def _counted(self) -> str:
        """How many fields the signs below stand for; empty where nothing was compared."""
        found = Counter(self.standing.values())
        told = (f"{sign} {found[each]} {word}".strip() for each, (sign, word) in _COUNTED.items() if found[each])
        return f": {', '.join(told)}" if set(found) - {"not compared"} else ""

    # --- a field of the file ---

    def _field(self, name: str, value: Any, widths: _Widths) -> Iterator[Line]:
        wrong, seen, standing = self.against.get(name), self._seen(name), self.standing[name]
        role = _ROLES.get(standing, "plain")
        told = self._used(name.rpartition(".")[2] if self._is_text(name) else name.partition(".")[0])
        target = Target("field", name)
        shown = Span(_shown(value), "bad" if wrong else "number", target)
        called = cut_start(printable(name), widths.name)  # what tells fields of one object apart is at their end
        yield line(
            Span(f"{GLYPHS.get(role, ' ')} ", role, target), left(Span(called, "name", target), widths.name),
            "  ", left(shown, widths.value), "  ", Span(told, "dim"),
        )  # fmt: skip
        if wrong:
            yield from self._conflict(wrong, widths)
        elif seen is not None and standing in ("differs", "inferred") and seen.confidence in SURE:
            yield from self._evidence(f"the tensors: {_shown(seen.value)}, {seen.confidence}", seen, widths)

    def _is_text(self, name: str) -> bool:
        """Whether a field is of the model that the rows and the tensors are asked about, not of a tower beside it."""
        outer, _, _ = name.rpartition(".")
        return outer in ("", *NESTED)

    def _standing(self, name: str, value: Any) -> Standing:
        return standing(value, self._seen(name), name in self.against)

    def _seen(self, name: str) -> Field | None:
        """What the tensors say of a field of theirs."""
        keys = spellings(name.rpartition(".")[2]) if self._is_text(name) else ()
        return next((self.seen[key] for key in keys if key in self.seen), None)

    def _used(self, own: str) -> str:
        if self.subject.prepared is None:
            return "" if self.subject.stage != "headers" else "… not looked at yet"
        return self.uses[own].words() if own in self.uses else "no row reads it"

    def _conflict(self, wrong: Finding, widths: _Widths) -> Iterator[Line]:
        found = self.subject.findings
        number = next((n for n in self.subject.index.with_codes([wrong.code]) if found[n].finding is wrong), None)
        target = Target("finding", str(number)) if number is not None else None
        yield from paragraph(wrong.message, widths.whole, " " * (_MARK + 2), "bad", target)
        if wrong.fix:
            yield from paragraph(wrong.fix, widths.whole, Span(f"{' ' * (_MARK + 2)}fix: ", "strong"), "good")

    def _evidence(self, told: str, seen: Field, widths: _Widths) -> Iterator[Line]:
        first = seen.evidence.partition(" ")[0]
        target = Target("tensor", self.names[first]) if first in self.names else None
        text = f"{told}: {seen.evidence}" if seen.evidence else told
        yield from paragraph(text, widths.whole, Span(f"{' ' * (_MARK + 2)}"), "inferred", target)

    # --- what the file does not have ---

    def _missing(self, widths: _Widths) -> Iterator[Line]:
        config = config_of(self.subject)
        own = (name.rpartition(".")[2] for name in self.said if not in_tower(config, name))
        said = {*self.said, *(name.partition(".")[0] for name in self.said), *own}
        wanted = [Field(name, _right(found), "", "certain") for name, found in self.against.items() if name not in said]
        seen = [f for f in self.seen.values() if f.name not in self.against and said.isdisjoint(spellings(f.name))]
        if wanted or seen:
            yield ()
            absent = f"not in {printable(source(self.subject))}"
            yield line(Span(absent if self.said else "what the tensors say", "heading"))
        for field in [*wanted, *sorted(seen, key=lambda field: field.value is None)]:
            yield from self._absent(field, self.against.get(field.name), widths)

    def _absent(self, field: Field, wrong: Finding | None, widths: _Widths) -> Iterator[Line]:
        role: Role = "bad" if wrong else "unsure" if field.value is None else "inferred"
        target = Target("field", field.name)
        shown = "not known" if field.value is None else _shown(field.value)
        told = self.uses[field.name].words() if field.name in self.uses else ""
        yield line(
            Span(f"{GLYPHS[role]} ", role, target), left(Span(printable(field.name), "name", target), widths.name),
            "  ", left(Span(shown, role, target), widths.value), "  ", Span(told, "dim"),
        )  # fmt: skip
        if wrong:
            yield from self._conflict(wrong, widths)
        else:
            yield from self._evidence(field.confidence, field, widths)


def _right(wrong: Finding) -> Any:
    """What a field should be, as far as its finding says."""
    return wrong.evidence.get("value", wrong.evidence.get("tensors"))


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = str(value)
    return cut(printable(text), _LONGEST_VALUE * 3)


def _first_names(inference: Inference) -> dict[str, str]:
    """Template -> the first tensor of it, for evidence that names templates."""
    names = inference.found.names if inference.found else None
    found: dict[str, str] = {}
    for group in (*names.groups, *names.strange) if names else ():
        indices = iter(group.indices[0] if group.indices else ())
        segments = (str(next(indices, HOLE)) if part == HOLE else part for part in group.template.split("."))
        found[group.template] = ".".join(segments)
    return found
