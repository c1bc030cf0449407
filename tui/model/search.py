"""Search over all names: every word must occur, its letters in order; a number is one of the name's own numbers.

`k_proj 7` finds `model.layers.7.self_attn.k_proj.weight`. Names differ in little but their numbers, so words are looked
for in the templates, of which a checkpoint of 92,000 tensors has a hundred.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from mappings.names import Indices, blank
from tracer.checkpoint.tensor_info import TensorInfo

MISS = 1 << 20


@dataclass(frozen=True)
class Search:
    """The names of one checkpoint, ready to be searched."""

    infos: Sequence[TensorInfo]

    @cached_property
    def _templates(self) -> dict[str, tuple[list[Indices], list[int]]]:
        """The tensors of each template: the numbers in their names, and their positions."""
        found: dict[str, tuple[list[Indices], list[int]]] = {}
        for position, info in enumerate(self.infos):
            template, indices = blank(info.name)
            numbers, positions = found.setdefault(template, ([], []))
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
        numbers = [int(word) for word in words if word.isdecimal() and len(word) < 10]
        letters = [word for word in words if not (word.isdecimal() and len(word) < 10)]
        scored = sorted(
            (score, order) for order, template in enumerate(self._templates)
            if (score := _score(letters, template, self.infos[self._templates[template][1][0]].dtype)) < MISS
        )  # fmt: skip
        groups = list(self._templates.values())
        if scored and scored[0][0] == 0:  # what has the words as they are hides what has only their letters
            scored = [(score, order) for score, order in scored if score == 0]
        return tuple(chain.from_iterable(_having(numbers, *groups[order]) for _, order in scored))


def _having(numbers: Sequence[int], indices: Sequence[Indices], positions: Sequence[int]) -> Sequence[int]:
    """Those with all of the numbers in their names."""
    if not numbers:
        return positions
    return [
        position for own, position in zip(indices, positions, strict=True) if all(number in own for number in numbers)
    ]  # fmt: skip


def _score(words: Sequence[str], template: str, dtype: str) -> int:
    """How far apart the letters stand: nothing for a word as it is, `MISS` for one that does not occur."""
    name = template.lower()
    return max((_apart(word, name) if word != dtype.lower() else 0 for word in words), default=0)


def _apart(word: str, name: str) -> int:
    """Letters of the name between the first and the last of the word's, taken as close together as can be.

    A word with a number in it (`layers.7`) is looked for around the number.
    """
    plain = ".".join("{}" if part.isdecimal() else part for part in word.split("."))
    if plain in name:
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
