"""Safetensors files that hypothesis invents: laid out as they should be, and then mostly not."""

from __future__ import annotations

import json
from math import prod
from typing import Any

from hypothesis import strategies as st

from fixtures.hostile import framed
from tests.fuzz.case import Blob
from tests.fuzz.header_damage import NAMES, Pairs, spelt
from tracer.checkpoint.dtypes import BITS

names = st.one_of(st.text(max_size=12), st.sampled_from(NAMES))
sizes = st.one_of(st.integers(0, 5), st.sampled_from([0, 1, 2**20, 2**31, 2**57, 2**63, 2**64 - 1]))
numbers: st.SearchStrategy[Any] = st.one_of(
    st.integers(-2, 40), st.integers(), st.floats(), st.sampled_from([2**32, 2**63, 2**64, True, None, "8", [], {}])
)
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)),
    max_leaves=12,
)
FIELDS = ("dtype", "shape", "data_offsets")


@st.composite
def laid_out(draw: st.DrawFn) -> Pairs:
    """Tensors side by side, as the format wants them, in any order."""
    header: Pairs = []
    end = 0
    for name in draw(st.lists(names.filter(lambda name: name != "__metadata__"), max_size=6, unique=True)):
        dtype, shape = draw(st.sampled_from(sorted(BITS))), draw(st.lists(st.integers(0, 4), max_size=4))
        begin, end = end, end + (prod(shape) * BITS[dtype] + 7) // 8
        header.append((name, {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}))
    metadata = draw(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
    return draw(st.permutations([*header, ("__metadata__", metadata)] if metadata else header))


@st.composite
def told_wrongly(draw: st.DrawFn) -> Pairs:
    """The same with some values replaced by others."""
    header = draw(laid_out())
    for _ in range(draw(st.integers(0, 3))):
        if not header:
            break
        at = draw(st.integers(0, len(header) - 1))
        name, value = header[at]
        match draw(st.integers(0, 4)):
            case 0:
                header[at] = (name, {**_fields(value), draw(st.sampled_from(FIELDS)): draw(values)})
            case 1:
                header[at] = (name, {**_fields(value), "shape": draw(st.lists(st.one_of(sizes, numbers), max_size=4))})
            case 2:
                pair = draw(st.lists(st.one_of(sizes, numbers), min_size=2, max_size=2))
                header[at] = (name, {**_fields(value), "data_offsets": pair})
            case 3:
                header[at] = (draw(names), value)
            case _:
                header.insert(at, (draw(names), draw(values)))
    return header


def _fields(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


@st.composite
def files(draw: st.DrawFn) -> Blob:
    """A header of either kind, or any JSON at all, or any bytes at all; and about as much data as it wants."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        head = draw(st.binary(max_size=60))
        return Blob(framed(head) if draw(st.booleans()) else head, draw(st.integers(0, 40)))
    if kind == 1:
        return Blob(framed(json.dumps(draw(values)).encode()), draw(st.integers(0, 40)))
    header = draw(laid_out() if kind < 5 else told_wrongly())
    text = spelt(header) + draw(st.sampled_from([b"", b"", b"   ", b"\n", b"\0", b"x"]))
    more = draw(st.sampled_from([0, 0, 0, 0, 1, -1, 4096]))
    return Blob(framed(text), max(_data(header) + more, 0))


def _data(header: Pairs) -> int:
    """Where the last tensor ends, as far as that can be told; no more than a disk's worth."""
    ends = [value.get("data_offsets", [0]) for _, value in header if isinstance(value, dict)]
    found = [end[-1] for end in ends if isinstance(end, list) and end and type(end[-1]) is int]
    return min(max([0, *found]), 2**33)
