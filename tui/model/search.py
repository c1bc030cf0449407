"""Search over all names: every word must occur, its letters in order; a number is one of the name's own numbers.

`k_proj 7` finds `model.layers.7.self_attn.k_proj.weight`. Names differ in little but their numbers, so words are looked
for in the templates, of which a checkpoint of 92,000 tensors has a hundred.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import NamedTuple, TypeAlias

from mappings.names import HOLE, Indices, blank
from tracer.checkpoint.tensor_info import TensorInfo

MISS = 1 << 20
Group: TypeAlias = tuple[list[Indices], list[int]]
"""The numbers in the names of one template, and the positions of the tensors."""


@dataclass(frozen=True)
class Search:
    """The names of one checkpoint, ready to be searched."""

    infos: Sequence[TensorInfo]

    @cached_property
    def _templates(self) -> dict[tuple[str, str], Group]:
        """The tensors of each template and dtype: the numbers in their names, and their positions."""
        found: dict[tuple[str, str], Group] = {}
        for position, info in enumerate(self.infos):
            template, indices = blank(info.name)
            numbers, positions = found.setdefault((template, info.dtype), ([], []))
            numbers.append(indices)
            positions.append(position)
        return found

    def prepare(self) -> None:
        """Read all names, so that the first search does not have to."""
        _ = self._templates

    def find(self, text: str) -> tuple[int, ...] | None:
        """Positions of what is found, the best first; None where nothing is looked for."""
        words = text.lower().split()
        if not words:
            return None
        asked = [_Word.of(word) for word in words]
        scored = sorted(
            (score, order) for order, (template, dtype) in enumerate(self._templates)
            if (score := _score(asked, template.lower(), dtype.lower())) < MISS
        )  # fmt: skip
        groups = list(self._templates.items())
        found = [(score, kept) for score, order in scored if (kept := _having(asked, *groups[order]))]
        if found and found[0][0] == 0:  # what has the words as they are hides what has only their letters
            found = [(score, kept) for score, kept in found if score == 0]
        return tuple(chain.from_iterable(kept for _, kept in found))


class _Word(NamedTuple):
    """What is looked for, its numbers apart: `layers.7` is `layers.{}` and 7."""

    text: str
    plain: str
    numbers: tuple[int, ...]

    @classmethod
    def of(cls, word: str) -> _Word:
        plain, numbers = blank(word)
        return cls(word, plain, numbers)


def _having(asked: Sequence[_Word], template: tuple[str, str], group: Group) -> Sequence[int]:
    """Those with all of the numbers in their names, each where its word has it."""
    name, (indices, kept) = template[0].lower(), group
    for word in asked:
        if word.numbers:
            fits = _fits(word.numbers, _holes(word.plain, name), name.count(HOLE))
            pairs = [(own, position) for own, position in zip(indices, kept, strict=True) if fits(own)]
            indices, kept = [own for own, _ in pairs], [position for _, position in pairs]
    return kept


def _holes(plain: str, name: str) -> Collection[int]:
    """Before which of the holes of a name a word begins; before any where only its letters occur."""
    found, at = set(), name.find(plain)
    while at >= 0:
        found.add(name.count(HOLE, 0, at))
        at = name.find(plain, at + 1)
    return found or range(name.count(HOLE))


def _fits(numbers: Indices, begins: Collection[int], holes: int) -> Callable[[Indices], bool]:
    if len(numbers) == 1 and len(begins) == holes:
        return lambda own: numbers[0] in own
    return lambda own: any(own[at : at + len(numbers)] == numbers for at in begins)


def _score(asked: Sequence[_Word], name: str, dtype: str) -> int:
    """How far apart the letters stand: nothing for a word as it is, `MISS` for one that does not occur."""
    return max((0 if dtype in (word.text, word.plain) else _apart(word.plain, name) for word in asked), default=0)


def _apart(word: str, name: str) -> int:
    """Letters of the name between the first and the last of the word's, taken as close together as can be."""
    if word in name:
        return 0
    best = MISS
    start = name.find(word[0])
    while start >= 0:
        end = start
        for letter in word[1:]:
            end = name.find(letter, end + 1)
            if end < 0:
                return best
        best = min(best, end - start + 1 - len(word) + 1)
        start = name.find(word[0], start + 1)
    return best
