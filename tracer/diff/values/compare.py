"""Compares the values of every pair: bytes first, then numbers, then what may have been done to them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing

import numpy as np

from mappings.ggml import BLOCKS
from tracer.diff.compared import Comparison, Distance, Pair, Relation, Valued
from tracer.diff.sides import Side
from tracer.diff.values.distance import MANTISSA, measure
from tracer.diff.values.opened import rows_of
from tracer.diff.values.relations import BETTER, reordered, turn
from tracer.diff.values.rows import Joined, Kept, Late, Reader, Rows, Unreadable, Whole, flat_shape
from tracer.diff.weights import Weight
from tracer.values.pieces import unreadable

_PIECE = 4 << 20
UNRELATED = 0.5
"""Cosine below which two matrices are taken for different ones, and their rows looked for in another order."""
_CLEAR = 4.0
"""How much nearer a multiple of A must be to B than A is."""
_SCALED = 1e-3
"""A factor as near to 1 as this is no scaling."""


def compare_values(
    comparison: Comparison, told: Callable[[int, int], None],
    digests: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {}),
) -> None:  # fmt: skip
    """Fill in `valued` or `unchecked` of each pair. `told` hears of the bytes that are done, and of all.

    `digests` of both sides' tensors by name, where both were scanned before: equal ones are not read again.
    """
    total = sum(weight.nbytes for pair in comparison.pairs for weight in (*pair.a, *pair.b))
    done = 0
    one, other = reader_of(comparison.a), reader_of(comparison.b)
    with closing(one), closing(other):
        for pair in comparison.pairs:
            told(done, total)
            file = comparison.file_of(pair)
            if file and file.equal:
                pair.valued = Valued("equal", detail="by pointer")
            elif file:
                pair.unchecked = f"{file.a} {'may be' if file.equal is None else 'is'} another file ({file.why})"
            elif _digests_equal(pair, *digests):
                pair.valued = Valued("equal", detail="by digest")
            else:
                _compare(pair, one, other)
            done += sum(weight.nbytes for weight in (*pair.a, *pair.b))
    told(total, total)


def reader_of(side: Side) -> Reader:
    """Of its files as they were when their headers were read."""
    return Reader(side.checkpoint.files, side.checkpoint.stamps)


def _compare(pair: Pair, one: Reader, other: Reader) -> None:
    try:
        pair.valued = Valued("equal") if _bytes_equal(pair, one, other) else _numbers(pair, one, other)
    except Unreadable as error:
        pair.unchecked = str(error)
    except (ValueError, IndexError, ArithmeticError) as error:
        pair.unchecked = f"its tensors do not fit each other: {error}"


# --- bytes ---


def _digests_equal(pair: Pair, one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether stored digests say that both sides keep the very same bytes for the same thing."""
    if not _one_to_one(pair):
        return False
    members = [(info.name, pair.b[0].members[leaf].name) for leaf, info in pair.a[0].members.items()]
    return bool(members) and all(one.get(a) and one.get(a) == other.get(b) for a, b in members)


def _one_to_one(pair: Pair) -> bool:
    return len(pair.a) == len(pair.b) == 1 and alike(pair.a[0], pair.b[0])


def alike(a: Weight, b: Weight) -> bool:
    """Whether equal bytes would mean the same on both sides."""
    if a.kind != b.kind or a.scheme != b.scheme or a.shape != b.shape or a.members.keys() != b.members.keys():
        return False
    if any(unreadable(weight.members[leaf]) for weight in (a, b) for leaf in weight.members):
        return False  # its bytes are not side by side
    keys = ("dtype", "shape", "strides", "big_endian", "nbytes")
    return all(getattr(a.members[leaf], key) == getattr(b.members[leaf], key) for leaf in a.members for key in keys)


def _bytes_equal(pair: Pair, one: Reader, other: Reader) -> bool:
    """Whether both sides keep the very same bytes for the same thing."""
    if not all(weight.members for weight in (*pair.a, *pair.b)):
        raise Unreadable("its file is not here")
    leaves = pair.a[0].members
    return _one_to_one(pair) and all(same_bytes(pair.a[0], pair.b[0], leaf, one, other) for leaf in leaves)


def same_bytes(a: Weight, b: Weight, leaf: str, one: Reader, other: Reader) -> bool:
    first, second = a.members[leaf], b.members[leaf]
    for start in range(0, first.nbytes, _PIECE):
        count = min(_PIECE, first.nbytes - start)
        if not np.array_equal(one.raw(first, start, count), other.raw(second, start, count)):
            return False
    return True


# --- numbers ---


def opened(pair: Pair, one: Reader, other: Reader) -> tuple[Rows, Rows]:
    """Both sides' rows. Raises Unreadable."""
    return _joined(pair.a, pair, one), _joined(pair.b, pair, other)


def _joined(weights: Sequence[Weight], pair: Pair, reader: Reader) -> Rows:
    if len(weights) == 1:
        return rows_of(reader, weights[0])
    kept: Kept = OrderedDict()
    found = [_part(reader, weight, pair.turned, kept) for weight in weights]
    if pair.turned:
        experts = len((pair.b if len(pair.b) == 1 else pair.a)[0].shape or ()) and _experts(pair)
        each = len(found) // experts
        found = [Joined(found[at : at + each], 1) for at in range(0, len(found), each)] if each > 1 else found
    return Joined(found, pair.axis)


def _part(reader: Reader, weight: Weight, turned: bool, kept: Kept) -> Rows:
    """One of many; opened late where its shape is known without that."""

    def opened() -> Rows:
        rows = rows_of(reader, weight)
        return Whole(rows, np.transpose) if turned else rows

    if weight.shape is None:
        return opened()
    shape = flat_shape(weight.shape)
    packed = weight.scheme is not None and weight.info.dtype not in BLOCKS
    return Late(shape[::-1] if turned else shape, "F32" if packed else weight.info.dtype, opened, kept)


def _experts(pair: Pair) -> int:
    whole = (pair.b if len(pair.b) == 1 else pair.a)[0]
    assert whole.shape is not None
    return whole.shape[0]


def _numbers(pair: Pair, one: Reader, other: Reader) -> Valued:
    a, b = opened(pair, one, other)
    if (0 in a.shape) != (0 in b.shape):
        raise Unreadable(f"it is empty in {'A' if 0 in a.shape else 'B'}")
    if a.shape == b.shape[::-1] and a.shape != b.shape:
        return _across(Whole(a, np.transpose), b)
    if a.shape[1] != b.shape[1]:
        raise Unreadable(f"shapes {a.shape} and {b.shape} have no columns in common")
    if a.shape[0] != b.shape[0] and not pair.resized:
        raise Unreadable(f"it is of {a.shape[0]} rows in A, of {b.shape[0]} in B")
    distance, rounded = measure(a, b)
    turned = turn(a, b, distance.relative)
    if turned is not None:
        nearer, nearer_rounded = measure(turned.rows, b, turned.multiple)
        if nearer.relative < BETTER * distance.relative:
            return Valued(turned.relation, nearer, turned.detail, nearer_rounded)
    return _judged(a, b, distance, rounded)


def _across(a: Rows, b: Rows) -> Valued:
    """Numbers that have no other order in common than the transposed one; whether it is theirs they tell."""
    distance, rounded = measure(a, b)
    alike = not distance.differing or rounded or distance.cosine >= UNRELATED
    return Valued("transposed" if alike else "differs", distance, "", rounded if alike else "")


def _judged(a: Rows, b: Rows, distance: Distance, rounded: str) -> Valued:
    """What the numbers say of rows in the same order."""
    if not (distance.differing or distance.nan_a or distance.nan_b):
        return Valued("equal", distance)
    if rounded:
        return Valued("cast", distance, b.dtype if rounded == "B" else a.dtype, rounded)
    if distance.cosine < UNRELATED and reordered(a, b):
        return Valued("reordered", distance)
    relation: Relation = "scaled" if _is_scaled(distance, a.dtype, b.dtype) else "differs"
    return Valued(relation, distance, f"{distance.scale:.6g}" if relation == "scaled" else "")


def _is_scaled(distance: Distance, *dtypes: str) -> bool:
    """Whether B is a multiple of A, but for what rounding explains."""
    noise = max(_noise(dtype) for dtype in dtypes)
    near = distance.unscaled <= noise and distance.relative > _CLEAR * distance.unscaled
    several = distance.elements > 1  # any one number is a multiple of any other
    return several and near and abs(distance.scale - 1) > _SCALED and not any(distance.lonely)


def _noise(dtype: str) -> float:
    """Half a unit in the last place, relative; of what is dequantised nothing is known, and F32 is assumed."""
    return 2.0 ** -(MANTISSA.get(dtype, MANTISSA["F32"]) + 1)


def matrices(comparison: Comparison) -> Iterator[Pair]:
    """Pairs whose change may have a low rank: unquantised matrices that differ and are still much alike."""
    for pair in comparison.valued("differs"):
        assert pair.valued is not None
        distance = pair.valued.distance
        single = len(pair.a) == len(pair.b) == 1 and not pair.a[0].scheme and not pair.b[0].scheme
        flat = single and len(pair.a[0].shape or ()) == 2 and not pair.resized
        if flat and distance and not distance.zero_in and not any(distance.lonely) and np.isfinite(distance.largest):
            yield pair
