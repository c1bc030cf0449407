"""However small the pieces are that a tensor is written in, their bytes are those that numpy makes of all of it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tracer.checkpoint.stamp import Stamp
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.errors import InputError
from tracer.repair.content import Content, Joined, Values
from tracer.repair.gathering import Sources, pieces
from tracer.repair.planned import Planned
from tracer.repair.view import View

Array = NDArray[Any]
DTYPES = {"U8": "u1", "F16": "f2", "F32": "f4", "F64": "f8", "C64": "c8"}


@dataclass
class Counted(Sources):
    """Notes the longest read."""

    longest: int = 0

    def __init__(self, path: Path) -> None:
        super().__init__(path.parent, {path.name: Stamp.of(path.stat())})

    def read(self, file: str, offset: int, into: memoryview) -> None:
        self.longest = max(self.longest, len(into))
        super().read(file, offset, into)


@st.composite
def stored(draw: st.DrawFn, heads: int) -> tuple[Array, bytes, TensorInfo]:
    """A tensor of an even number of rows a head, in any order of its axes on disk, in either order of its bytes."""
    dtype = draw(st.sampled_from(list(DTYPES)))
    big = dtype != "U8" and draw(st.booleans())
    shape = (heads * 2 * draw(st.integers(1, 3)), *draw(st.lists(st.integers(1, 6), min_size=1, max_size=2)))
    count = int(np.prod(shape))
    values = np.arange(count).astype(DTYPES[dtype])
    kind = values.dtype.newbyteorder(">" if big else "<")
    order = draw(st.permutations(range(len(shape))))
    on_disk = np.ascontiguousarray(values.reshape(shape).transpose(order)).astype(kind)
    back = np.argsort(order)
    strides = tuple(on_disk.strides[axis] // kind.itemsize for axis in back)
    info = TensorInfo("t", dtype, shape, "f", 3, count * kind.itemsize, strides, big)
    return values.reshape(shape), b"abc" + on_disk.tobytes() + b"end", info


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(1, 3), st.integers(16, 200))
def test_pieces_are_what_numpy_makes_of_the_whole_and_none_is_longer_than_allowed(
    data: st.DataObject, heads: int, limit: int
) -> None:  # fmt: skip
    array, content, info = data.draw(stored(heads))
    view = View.of(info)
    if data.draw(st.booleans()):
        view, array = view.transposed(), array.swapaxes(-1, -2)
    if array.shape[0] % (2 * heads) == 0 and data.draw(st.booleans()):
        pairs = data.draw(st.booleans())
        view = view.interleaved(heads) if pairs else view.halved(heads)
        split = array.reshape(heads, *((2, -1) if pairs else (-1, 2)), *array.shape[1:])
        array = split.swapaxes(1, 2).reshape(array.shape)
    else:
        axis = data.draw(st.integers(0, array.ndim - 1))
        start = data.draw(st.integers(0, array.shape[axis] - 1))
        stop = data.draw(st.integers(start + 1, array.shape[axis]))
        view, array = view.cut(axis, start, stop), array.take(range(start, stop), axis)
    found, longest = taken(Planned("t", Values(view)), content, limit)
    assert found == little(array)
    assert longest <= limit


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(8, 100))
def test_what_is_joined_and_cut_and_joined_again_is_what_numpy_makes_of_it(data: st.DataObject, limit: int) -> None:
    array, content, info = data.draw(stored(1))
    made: Content = Values(View.of(info))
    for step in data.draw(st.lists(st.sampled_from(["join", "stack", "cut", "index", "transpose"]), max_size=4)):
        axis = data.draw(st.integers(0, array.ndim - 1))
        size = array.shape[axis]
        start = data.draw(st.integers(0, size - 1))
        if step == "join":
            array = np.concatenate([array.take(range(start, size), axis), array], axis)
            made = Joined((made.cut(axis, start, size), made), axis)
        elif step == "stack":
            array, made = np.stack([array, array], axis), Joined((made.with_new(axis), made.with_new(axis)), axis)
        elif step == "cut":
            array, made = array.take(range(start), axis), made.cut(axis, 0, start)
            if not start:
                break
        elif step == "index" and array.ndim > 1:
            array, made = array.take(start, axis), made.cut(axis, start, start + 1).without(axis)
        elif array.ndim > 1:
            array, made = array.swapaxes(-1, -2), made.transposed()
    found, longest = taken(Planned("t", made), content, limit)
    assert (found, made.shape) == (little(array), array.shape)
    assert longest <= limit


def little(array: Array) -> bytes:
    return np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()


def taken(planned: Planned, content: bytes, limit: int) -> tuple[bytes, int]:
    """All pieces together; the longest read or piece."""
    with tempfile.TemporaryDirectory() as root:
        path = Path(root, "f")
        path.write_bytes(content)
        with Counted(path) as sources:
            found = [bytes(piece) for piece in pieces(planned, sources, limit)]
        return b"".join(found), max([sources.longest, *map(len, found)])


def test_a_file_that_became_another_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(8))
    info = TensorInfo("t", "F32", (2,), "f", 0, 8)
    with Counted(path) as sources:
        path.write_bytes(bytes(4))
        with pytest.raises(InputError, match="it became shorter while it was read"):
            list(pieces(Planned("t", Values(View.of(info))), sources))


def test_more_files_than_may_be_open_are_read_in_turn(tmp_path: Path) -> None:
    infos = [TensorInfo(f"t{n}", "U8", (4,), f"f{n}", 0, 4) for n in range(40)]
    for n in range(40):
        (tmp_path / f"f{n}").write_bytes(bytes([n] * 4))
    stamps = {f"f{n}": Stamp.of((tmp_path / f"f{n}").stat()) for n in range(40)}
    parts = tuple(Values(View.of(replace(info, shape=(2, 2)))) for info in infos)
    with Sources(tmp_path, stamps) as sources:
        found = b"".join(pieces(Planned("t", Joined(parts, 1)), sources, 100))
    assert found == bytes([n for _ in range(2) for n in range(40) for _ in range(2)])
