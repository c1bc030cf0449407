"""What a finding is about: names that its subject and evidence spell, folded as the reports fold them.

`model.layers.{0..39 except 7}.mlp.up_proj.weight`, `model.layers.{layer}.…` of a row, `model.layers.4.**`, or a
module without its leaf.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product, takewhile
from math import prod

from mappings.findings import SEVERITIES, Finding, Severity
from mappings.names import HOLE, Indices, blank, is_index, spans
from tui.model.subject import Subject

_BELOW = ".**"
NAMING = ("tensors", "names", "templates", "modules", "strange")
"""Fields of evidence that name what is there."""
_MOST_POSITIONS = 100_000


@dataclass(frozen=True)
class Spelled:
    """A name in which whole segments may stand for several positions."""

    template: str
    allowed: tuple[frozenset[int] | None, ...]
    """Of every blank its positions, None where it may have any."""
    below: bool = False
    """Whether it means all names that begin so."""

    def fits(self, indices: Indices) -> bool:
        """Whether a name of this template is meant."""
        return all(allowed is None or index in allowed for index, allowed in zip(indices, self.allowed, strict=False))


def spelled(text: str) -> Spelled:
    """What a finding spells."""
    below = text.endswith(_BELOW)
    segments, allowed = [], []
    for segment in _segments(text.removesuffix(_BELOW)):
        braced = segment.startswith("{") and segment.endswith("}")
        if braced or is_index(segment):
            allowed.append(_positions(segment[1:-1]) if braced else frozenset([int(segment)]))
        segments.append(HOLE if braced or is_index(segment) else segment)
    return Spelled(".".join(segments), tuple(allowed), below)


def _segments(text: str) -> list[str]:
    """Ranges within braces have dots of their own."""
    found, depth, begin = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter == "{") - (letter == "}")
        if letter == "." and depth <= 0:
            found.append(text[begin:at])
            begin = at + 1
    return [*found, text[begin:]]


def _positions(told: str) -> frozenset[int] | None:
    """`0..39 except 7, 19`; None for an axis, which has any."""
    inside, _, without = told.partition(" except ")
    try:
        gaps = spans(without, _MOST_POSITIONS) if without else []
        return frozenset(spans(inside, _MOST_POSITIONS)).difference(gaps)
    except ValueError:
        return None


@dataclass
class Names:
    """The names of a checkpoint, found by what spells them."""

    names: Collection[str]
    _found: dict[str, list[str]] = field(default_factory=dict)

    @cached_property
    def _by_template(self) -> dict[str, dict[Indices, list[str]]]:
        """Of one template and position there are several only where names themselves hold `{}`."""
        found: dict[str, dict[Indices, list[str]]] = {}
        for name in self.names:
            template, indices = blank(name)
            found.setdefault(template, {}).setdefault(indices, []).append(name)
        return found

    @cached_property
    def _templates(self) -> Sequence[str]:
        """In order, so that those that begin alike stand together."""
        return sorted(self._by_template)

    def prepare(self) -> None:
        """Read all of them, so that nobody has to wait for it later."""
        _ = self._templates

    def spelled(self, text: str) -> list[str]:
        """All names that a text means: just these, or else those of the module that it names."""
        if text in self.names:
            return [text]
        if text not in self._found:
            wanted = spelled(text)
            exact = [] if wanted.below else self._exact(wanted)
            self._found[text] = exact or self._below(wanted)
        return self._found[text]

    def _exact(self, wanted: Spelled) -> list[str]:
        """Looked up by its positions where these are fewer than the names that could be meant."""
        same = self._by_template.get(wanted.template, {})
        positions = [allowed for allowed in wanted.allowed if allowed is not None]
        if len(positions) == len(wanted.allowed) and prod(map(len, positions)) < len(same):
            return [name for indices in product(*map(sorted, positions)) for name in same.get(indices, ())]
        return [name for indices, names in same.items() if wanted.fits(indices) for name in names]

    def _below(self, wanted: Spelled) -> list[str]:
        return [
            name for start in (f"{wanted.template}.", f"{wanted.template}_") for template in self._starting(start)
            for indices, names in self._by_template[template].items() if wanted.fits(indices) for name in names
        ]  # fmt: skip

    def _starting(self, start: str) -> Iterator[str]:
        first = bisect_left(self._templates, start)
        among = (self._templates[at] for at in range(first, len(self._templates)))
        return takewhile(lambda template: template.startswith(start), among)


def named(finding: Finding) -> Iterator[str]:
    """What its subject and its evidence spell; whether any name is meant, `Names` knows."""
    yield finding.subject
    for key in NAMING:
        told = finding.evidence.get(key)
        if isinstance(told, str):
            yield told
        elif isinstance(told, list | tuple):
            yield from (each for each in told if isinstance(each, str))


def marks(subject: Subject) -> Mapping[str, Severity]:
    """The tensors that a finding names, each with the worst that is said of it."""
    found: dict[str, Severity] = {}
    if not subject.findings:
        return found
    names, files = subject.names, {info.file for info in subject.tensors}
    for told in sorted(subject.findings, key=lambda told: SEVERITIES.index(told.finding.severity)):
        for text in dict.fromkeys(named(told.finding)):
            # Most checkpoints have a remark about a file and nothing else: no name is looked up for it.
            for name in names.spelled(text) if text not in files else ():
                found.setdefault(name, told.finding.severity)
    return found
