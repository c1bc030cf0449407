"""Search over all names: every word must occur, its letters in order; a number is one of the name's own numbers.

`k_proj 7` finds `model.layers.7.self_attn.k_proj.weight`. Names differ in little but their numbers, so words are looked
for in the templates, of which a checkpoint of 92,000 tensors has a hundred.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import NamedTuple

from mappings.names import Indices, blank
from tracer.checkpoint.tensor_info import TensorInfo

MISS = 1 << 20


@dataclass(frozen=True)
class Search:
    """The names of one checkpoint, ready to be searched."""

    infos: Sequence[TensorInfo]

    @cached_property
    def _templates(self) -> dict[tuple[str, str], tuple[list[Indices], list[int]]]:
        """The tensors of each template and dtype: the numbers in their names, and their positions."""
        found: dict[tuple[str, str], tuple[list[Indices], list[int]]] = {}
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
        groups = list(self._templates.values())
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


def _having(asked: Sequence[_Word], indices: Sequence[Indices], positions: Sequence[int]) -> Sequence[int]:
    """Those with all of the numbers in their names, the numbers of a word beside each other."""
    wanted = [word.numbers for word in asked if word.numbers]
    if not wanted:
        return positions
    return [
        position for own, position in zip(indices, positions, strict=True)
        if all(numbers[0] in own if len(numbers) == 1 else _follow(numbers, own) for numbers in wanted)
    ]  # fmt: skip


def _follow(numbers: Indices, own: Indices) -> bool:
    return any(own[at : at + len(numbers)] == numbers for at in range(len(own)))


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
