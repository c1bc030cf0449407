"""Tensors of B that are another tensor of A, byte for byte: layers that moved up, experts in another order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import closing

from mappings.names import blank
from tracer.diff.compared import Comparison, Pair, Valued
from tracer.diff.values.compare import UNRELATED, alike, reader_of, same_bytes
from tracer.diff.values.rows import Reader
from tracer.diff.weights import Weight

_HEAD = 1 << 16
"""Bytes by which those are chosen that are read whole."""
_CANDIDATES = 4


def look_for_moves(comparison: Comparison) -> None:
    """Where some numbers have nothing to do with those of their name, look for them under A's other indices."""
    differing = [pair for pair in comparison.valued("differs") if len(pair.a) == len(pair.b) == 1 and _plain(pair.b[0])]
    if not any(_stranger(pair) for pair in differing):
        return
    kinds: dict[str, list[Pair]] = {}
    for pair in differing:
        kinds.setdefault(blank(pair.a[0].name)[0], []).append(pair)
    own: dict[str, list[Weight]] = {}
    for weight in comparison.a.weights.values():
        if weight.members and _plain(weight) and blank(weight.name)[0] in kinds:
            own.setdefault(blank(weight.name)[0], []).append(weight)
    with closing(reader_of(comparison.a)) as one, closing(reader_of(comparison.b)) as other:
        for template, pairs in kinds.items():
            _of_a_kind(pairs, own.get(template, ()), one, other)


def _plain(weight: Weight) -> bool:
    """Whether its bytes lie side by side."""
    return alike(weight, weight)


def _stranger(pair: Pair) -> bool:
    return bool(pair.valued and pair.valued.distance and pair.valued.distance.cosine < UNRELATED)


def _of_a_kind(pairs: Sequence[Pair], weights: Sequence[Weight], one: Reader, other: Reader) -> None:
    by_head: dict[bytes, list[Weight]] = {}
    for weight in weights:
        by_head.setdefault(_head(weight, one), []).append(weight)
    for pair in pairs:
        found = by_head.get(_head(pair.b[0], other), [])[:_CANDIDATES]
        same = next((weight for weight in found if _same(weight, pair.b[0], one, other)), None)
        if same is not None:
            pair.valued = Valued("moved", detail=same.name)


def _head(weight: Weight, reader: Reader) -> bytes:
    raw = (reader.raw(info, 0, min(info.nbytes, _HEAD)).tobytes() for info in weight.members.values())
    return hashlib.blake2b(b"".join(raw)).digest()


def _same(a: Weight, b: Weight, one: Reader, other: Reader) -> bool:
    return alike(a, b) and all(same_bytes(a, b, leaf, one, other) for leaf in a.members)
