"""The tensors of a GGUF header, and whether their bytes lie in the file as the format says: in order, each from a
multiple of the alignment, with nothing but padding between.
"""  # fmt: skip

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from struct import unpack
from typing import NamedTuple, NoReturn

from mappings.ggml import STORED_TYPES, GgmlType
from tracer.checkpoint.gguf.refusal import Refusal, shown
from tracer.checkpoint.gguf.values import read_name
from tracer.checkpoint.gguf.window import LENGTH_BYTES, Window

MOST_TENSORS = 1 << 18
_MOST_DIMS = 4
_ELEMENT_LIMIT = 2**60
"""Times the largest element this still fits the 64-bit counters of other readers."""
_COUNT_BYTES = 4
_AFTER_DIMS = 4 + 8
"""The type's number and the offset."""
SHORTEST_INFO = LENGTH_BYTES + 1 + _COUNT_BYTES + _AFTER_DIMS
"""A name of one byte and no dimension."""


class Info(NamedTuple):
    """One tensor; its offset counts from the beginning of the data."""

    begin: int
    name: str
    type: GgmlType
    shape: tuple[int, ...]
    """Row-major, outermost first; the file has them the other way round."""
    nbytes: int

    @property
    def end(self) -> int:
        return self.begin + self.nbytes


def read_infos(window: Window, count: int, alignment: int) -> list[Info]:
    """So many tensors, the shortest of which was promised for each, in the order of their bytes."""
    infos: dict[str, Info] = {}
    for number in range(count):
        info = _info(window, f"tensor {number} of {count}", alignment)
        if info.name in infos:
            _refuse(info.name, "occurs twice; one of the two would be lost", "header.duplicate-name")
        infos[info.name] = info
    return sorted(infos.values(), key=lambda info: (info.begin, info.end))


def _info(window: Window, what: str, alignment: int) -> Info:
    name = read_name(window, what)
    dims = _dims(window, name)
    number, begin = unpack("<IQ", window.take(_AFTER_DIMS))
    if number not in STORED_TYPES:
        _refuse(name, f"ggml type {number} is not known, so its size is not either", "quant.unsupported")
    if begin % alignment:
        _refuse(name, f"expected an offset that is a multiple of {alignment}, found {begin}")
    kind = STORED_TYPES[number]
    return Info(begin, name, kind, dims[::-1], _nbytes(name, kind, dims))


def _dims(window: Window, name: str) -> tuple[int, ...]:
    """Innermost first."""
    count = int.from_bytes(window.take(_COUNT_BYTES), "little")
    if count > _MOST_DIMS:
        _refuse(name, f"expected at most {_MOST_DIMS} dimensions, found {count}")
    window.promise(count * 8, f"tensor {shown(name)}")
    dims: tuple[int, ...] = unpack(f"<{count}Q", window.take(count * 8))
    if 0 in dims:
        _refuse(name, f"expected dimensions of 1 or more, found {list(dims)}")
    if prod(dims) > _ELEMENT_LIMIT:
        _refuse(name, f"dimensions {list(dims)} have more elements than 64 bits can count bytes for")
    return dims


def _nbytes(name: str, kind: GgmlType, dims: tuple[int, ...]) -> int:
    row = dims[0] if dims else 1
    if row % kind.elements:
        said = f"rows of {row} elements are not a whole number of {kind.name} blocks of {kind.elements}"
        _refuse(name, said, "header.size-mismatch")
    return prod(dims) // kind.elements * kind.nbytes


def tile(infos: Sequence[Info], room: int, alignment: int) -> None:
    """Refuse tensors that leave anything of the `room` bytes of data unclaimed, or claim anything twice."""
    end, before = 0, "the header"
    for info in infos:
        expected = aligned(end, alignment)
        if info.begin != expected:
            _refuse_place(info, expected, before, room)
        end, before = info.end, shown(info.name)
    if end > room:
        raise Refusal("file.truncated", _shortfall(infos, end, room))
    extra = room - aligned(end, alignment)
    if extra > 0:
        raise Refusal("file.trailing-bytes", f"the tensors take {end} bytes, the file goes on {extra} beyond padding")


def aligned(offset: int, alignment: int) -> int:
    """The next multiple of the alignment."""
    return -(-offset // alignment) * alignment


def _refuse_place(info: Info, expected: int, before: str, room: int) -> NoReturn:
    told = f"offset {info.begin}, expected {expected}, after {before}"
    if info.end > room and info.begin > expected:
        _refuse(info.name, f"{told}; it would reach past the {room} bytes of data", "header.out-of-bounds")
    if info.begin > expected:
        _refuse(info.name, f"{told}; {info.begin - expected} bytes belong to no tensor", "header.hole")
    _refuse(info.name, f"{told}; it begins inside it", "header.overlap")


def _shortfall(infos: Sequence[Info], described: int, room: int) -> str:
    lost = [info.name for info in infos if info.end > room]
    return (
        f"the header describes {described} bytes of data, the file holds {room}: {described - room} short;"
        f" {len(lost)} of {len(infos)} tensors are incomplete, beginning with {shown(lost[0])}"
    )


def _refuse(tensor: str, message: str, code: str = "header.invalid") -> NoReturn:
    raise Refusal(code, f"tensor {shown(tensor)}: {message}", tensor)
