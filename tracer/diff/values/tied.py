"""An output head that one side alone stores: whether it is the embedding of its side, as where both are tied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

from mappings.names import blank
from tracer.diff.compared import Comparison, Tie
from tracer.diff.sides import Side
from tracer.diff.values.compare import alike, reader_of, same_bytes
from tracer.diff.values.distance import measure
from tracer.diff.values.opened import rows_of
from tracer.diff.values.rows import Reader, Unreadable
from tracer.diff.weights import Weight
from tracer.infer.roles import OUTSIDE, ROLES, split

_ROLES = {**ROLES, **OUTSIDE}


def look_for_ties(comparison: Comparison) -> None:
    """Compare each head that the other side lacks with the embedding of its own side."""
    for side, lone in ((comparison.a, comparison.pairing.only_a), (comparison.b, comparison.pairing.only_b)):
        with closing(reader_of(side)) as reader:
            comparison.ties += _ties(side, lone, reader)


def _ties(side: Side, lone: Sequence[Weight], reader: Reader) -> Iterator[Tie]:
    for head in lone:
        if not _is(head, "head"):
            continue
        embedding = next(
            (each for each in side.weights.values() if _is(each, "embed") and each.shape == head.shape), None
        )
        if embedding is not None:
            yield _compared(side.letter, head, embedding, reader)


def _is(weight: Weight, role: str) -> bool:
    """Whether it is a matrix outside of layers whose module is called so."""
    if weight.shape is None or len(weight.shape) != 2 or blank(weight.name)[1]:
        return False
    parts = split(weight.name)[0].split(".")
    tails = (".".join(parts[start:]) for start in range(max(0, len(parts) - 3), len(parts)))
    return next((_ROLES[tail] for tail in tails if tail in _ROLES), "") == role


def _compared(letter: str, head: Weight, embedding: Weight, reader: Reader) -> Tie:
    try:
        leaves = head.members
        if alike(head, embedding) and all(same_bytes(head, embedding, leaf, reader, reader) for leaf in leaves):
            return Tie(letter, head.name, embedding.name, 0)
        distance, _ = measure(rows_of(reader, embedding), rows_of(reader, head))
    except (Unreadable, ValueError, IndexError, ArithmeticError) as error:
        return Tie(letter, head.name, embedding.name, None, str(error))
    return Tie(letter, head.name, embedding.name, distance.differing, f"{distance.elements:,}")
