"""Every tensor beside the one of the same name in the reference: how alike they are, from some rows of both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tracer.checkpoint.formats import GGUF
from tracer.diff.packed.recognise import weights
from tracer.diff.pairing import pair
from tracer.diff.values.rows import Unreadable
from tracer.meaning.against.matched import SAME, cosine
from tracer.meaning.material import Material, Numbers, Part

STRANGE = 0.5
"""Cosine below which a tensor is another: fine-tunes are far above, and merges of two fine-tunes too."""
_ROWS = 64
_LONGEST = 1 << 14
_MOST = 4_096
"""Tensors that are looked at, evenly spread."""
_NEAR = 0.1
"""Relative distance up to which two vectors are one, whatever their numbers have in common otherwise."""
_FAR = 0.3
_SLIGHT = 0.005
SCALED = 1.4
"""Factor from which a tensor is another's multiple: more than training further does."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """A tensor and its counterpart."""

    mine: Part
    theirs: Part
    cosine: float
    """Of vectors about their means."""
    scale: float
    """How many times as large it is."""
    distance: float
    """Relative to the counterpart."""

    @property
    def name(self) -> str:
        return self.mine.name

    @property
    def is_vector(self) -> bool:
        return self.mine.shape[1] == 1

    @property
    def is_equal(self) -> bool:
        return self.distance < 1e-6

    @property
    def is_same(self) -> bool:
        if self.is_vector and (self.distance <= _NEAR or (self.distance < _FAR and self.cosine >= SAME)):
            return True
        return not self.is_vector and self.cosine >= SAME and not self.is_scaled

    @property
    def is_scaled(self) -> bool:
        return not self.is_vector and self.cosine >= 0.98 and not 1 / SCALED < self.scale < SCALED

    @property
    def is_apart(self) -> bool:
        """Whether it may be something else: of vectors that are much alike, a few percent tell one from another."""
        return self.distance > _SLIGHT if self.is_vector else not self.is_same

    @property
    def is_strange(self) -> bool:
        """Whether it is another's as a whole, or an edit of it; neither is known of what is between."""
        if self.is_same:
            return False
        return self.is_scaled or (self.distance >= _FAR if self.is_vector else self.cosine < STRANGE)


def held(material: Material) -> dict[str, Part]:
    """Vectors and matrices by name."""
    found = weights(material.checkpoint.tensors, material.config)
    return {
        name: Part(weight, 0, weight.shape[0])
        for name, weight in found.items() if weight.shape and len(weight.shape) <= 2 and 0 not in weight.shape
    }  # fmt: skip


def likenesses(material: Material, reference: Material) -> tuple[list[Likeness], int]:
    """Of tensors of one shape in both; and how many have no counterpart that could be looked at."""
    if (material.checkpoint.format is GGUF) != (reference.checkpoint.format is GGUF):
        return [], len(material.checkpoint.tensors)
    own, other = held(material), held(reference)
    found = pair(
        {name: part.weight for name, part in own.items()}, {name: part.weight for name, part in other.items()},
        material.config, reference.config,
    )  # fmt: skip
    same = [(own[a.name], other[b.name]) for a, b in found.pairs if a.shape == b.shape]
    chosen = same[:: -(-len(same) // _MOST)] if same else []
    looked = list(_likenesses(material, reference, chosen))
    return looked, len(material.checkpoint.tensors) - len(looked)


def _likenesses(material: Material, reference: Material, pairs: list[tuple[Part, Part]]) -> Iterator[Likeness]:
    for mine, theirs in pairs:
        try:
            yield _likeness(mine, theirs, rows(material, mine), rows(reference, theirs))
        except Unreadable:
            continue


def rows(material: Material, part: Part) -> Numbers:
    """The same ones of every tensor of a shape."""
    return material.sampled(part, _LONGEST if part.shape[1] == 1 else _ROWS)


def _likeness(mine: Part, theirs: Part, a: Numbers, b: Numbers) -> Likeness:
    own, other = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    distance = float(np.linalg.norm(a - b)) / other if other else float(own > 0)
    if not own and not other:
        return Likeness(mine, theirs, 1.0, 1.0, 0.0)
    middle = (a.mean(), b.mean()) if mine.shape[1] == 1 else (0.0, 0.0)
    return Likeness(mine, theirs, cosine(a - middle[0], b - middle[1]), own / other if other else np.inf, distance)
