"""A weight as rows of numbers, whatever it is kept in: read a few at a time, never more than is asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tracer.checkpoint.files import Files
from tracer.checkpoint.stamp import Stamp
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.checkpoint.weights import MappedFile, map_file
from tracer.unchanged import mapping_of
from tracer.values.decoding import decode, readable, unit

Numbers: TypeAlias = NDArray[Any]
Kept: TypeAlias = OrderedDict[int, "Rows"]
"""What was read last, of many that are read one after the other."""
_MOST_KEPT = 4
WHOLE_LIMIT = 1 << 28
"""Bytes of a tensor that may be read at once, where the order of its bytes is not that of its rows."""
_OPEN_FILES = 64


class Unreadable(Exception):
    """Why the numbers of a weight cannot be read; it ends as not checked."""


class Rows(Protocol):
    """A matrix; a tensor of more dimensions has its leading ones as rows, a vector one column."""

    shape: tuple[int, int]
    dtype: str
    """That the numbers were rounded to; F32 for what is dequantised."""

    def read(self, start: int, stop: int) -> Numbers:
        """Rows `[start, stop)` as F32, or what holds more where F32 does not hold them."""


def flat_shape(shape: Sequence[int]) -> tuple[int, int]:
    """(rows, columns)."""
    return (prod(shape[:-1]), shape[-1]) if len(shape) > 1 else (prod(shape), 1)


class Reader:
    """The bytes of one side's tensors. Close it when done."""

    def __init__(self, files: Files, stamps: Mapping[str, Stamp] | None = None) -> None:
        self._files = files
        self._stamps = stamps or {}
        self._open: dict[str, MappedFile] = {}

    def close(self) -> None:
        for file in self._open.values():
            file.close()
        self._open.clear()

    def raw(self, info: TensorInfo, start: int = 0, count: int | None = None) -> NDArray[np.uint8]:
        """Bytes of a tensor, as they lie in the file. Raises InputError, and Unreadable for what is not here."""
        folder = self._files.folder
        if folder is None or info.file is None or info.offset is None:
            raise Unreadable("its bytes are not on this machine")
        if info.file not in self._open:
            if len(self._open) >= _OPEN_FILES:
                self.close()
            path, stamp = folder / info.file, self._stamps.get(info.file)
            self._open[info.file] = mapping_of({str(path): stamp})(path) if stamp else map_file(path)
        into = np.empty(info.nbytes - start if count is None else count, dtype=np.uint8)
        self._open[info.file].read_into(info.offset + start, memoryview(into.data))
        return into

    def whole(self, info: TensorInfo) -> Numbers:
        """A tensor that is small enough, in its shape and own dtype. Raises Unreadable."""
        elements, nbytes = unit(info.dtype)
        reach = info.nbytes if info.strides is None else info.reach // elements * nbytes
        if max(info.nbytes, reach) > WHOLE_LIMIT:
            raise Unreadable(f"{info.name} has {info.nbytes:,} bytes, of which the order is not that of its rows")
        found = decode(self.raw(info, 0, reach), info.dtype, big_endian=info.big_endian)
        if found is None:
            raise Unreadable(f"numbers of {info.dtype} cannot be read")
        if info.strides is None:
            return found.reshape(info.shape)
        item = found.dtype.itemsize
        return np.lib.stride_tricks.as_strided(found, info.shape, [step * item for step in info.strides])


def widened(numbers: Numbers) -> Numbers:
    """As F32 where that holds every number of the dtype, else as F64; integers of 64 bits, which that rounds, stay."""
    if numbers.dtype.kind in "iu" and numbers.dtype.itemsize == 8:
        return numbers
    exact = numbers.dtype.itemsize <= 2 or numbers.dtype == np.float32
    return numbers.astype(np.float32 if exact else np.float64, copy=False)


class Stored:
    """A tensor that holds its numbers itself."""

    def __init__(self, reader: Reader, info: TensorInfo) -> None:
        if not readable(info.dtype) or info.dtype.startswith("C"):
            raise Unreadable(f"numbers of {info.dtype} cannot be read")
        self.shape, self.dtype = flat_shape(info.shape), info.dtype
        self._reader, self._info = reader, info
        elements, self._nbytes = unit(info.dtype)
        self._elements = elements
        self._whole: Numbers | None = None
        if info.strides is not None or (self.shape[1] % elements and self.shape[0] > 1):
            self._whole = widened(reader.whole(info)).reshape(self.shape)

    def read(self, start: int, stop: int) -> Numbers:
        if self._whole is not None:
            return self._whole[start:stop]
        begin = start * self.shape[1] // self._elements * self._nbytes
        end = -(-stop * self.shape[1] // self._elements) * self._nbytes
        raw = self._reader.raw(self._info, begin, min(end, self._info.nbytes) - begin)
        found = decode(raw, self.dtype, big_endian=self._info.big_endian)
        assert found is not None, "asked before"
        return widened(found)[: (stop - start) * self.shape[1]].reshape(stop - start, self.shape[1])


class Joined:
    """Several weights as one: under each other, or beside each other."""

    def __init__(self, parts: Sequence[Rows], axis: int) -> None:
        rows, columns = [part.shape[0] for part in parts], [part.shape[1] for part in parts]
        if len(set(columns if axis == 0 else rows)) != 1:
            raise Unreadable("its parts do not fit beside each other")
        self.shape = (sum(rows), columns[0]) if axis == 0 else (rows[0], sum(columns))
        self.dtype = parts[0].dtype
        self._parts, self._axis = parts, axis

    def read(self, start: int, stop: int) -> Numbers:
        if self._axis:
            return np.concatenate([part.read(start, stop) for part in self._parts], axis=1)
        pieces, first = [], 0
        for part in self._parts:
            low, high = max(start - first, 0), min(stop - first, part.shape[0])
            if low < high:
                pieces.append(part.read(low, high))
            first += part.shape[0]
        return np.concatenate(pieces) if len(pieces) > 1 else pieces[0]


class Whole:
    """A weight read at once and turned: transposed, or each of its blocks of rows."""

    def __init__(self, rows: Rows, turn: Callable[[Numbers], Numbers]) -> None:
        if prod(rows.shape) * 4 > WHOLE_LIMIT:
            raise Unreadable(f"a matrix of {rows.shape[0]} x {rows.shape[1]} is too large to be turned in memory")
        self._numbers = turn(rows.read(0, rows.shape[0]))
        self.shape, self.dtype = (self._numbers.shape[0], self._numbers.shape[1]), rows.dtype

    def read(self, start: int, stop: int) -> Numbers:
        return np.ascontiguousarray(self._numbers[start:stop])


class Late:
    """A weight that is opened when it is read, and forgotten when others were: of experts there are hundreds."""

    def __init__(self, shape: tuple[int, int], dtype: str, opened: Callable[[], Rows], kept: Kept) -> None:
        self.shape, self.dtype = shape, dtype
        self._opened, self._kept = opened, kept

    def read(self, start: int, stop: int) -> Numbers:
        rows = self._kept.pop(id(self), None) or self._opened()
        self._kept[id(self)] = rows
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return rows.read(start, stop)


class Blockwise:
    """The rows of each block of so many in another order; read in whole blocks."""

    def __init__(self, rows: Rows, order: Sequence[int]) -> None:
        self.shape, self.dtype = rows.shape, rows.dtype
        self._rows, self._order = rows, np.asarray(order)

    def read(self, start: int, stop: int) -> Numbers:
        size = len(self._order)
        first, last = start // size * size, -(-stop // size) * size
        blocks = self._rows.read(first, last).reshape(-1, size, self.shape[1])
        turned: Numbers = blocks[:, self._order].reshape(last - first, self.shape[1])
        return turned[start - first : stop - first]
