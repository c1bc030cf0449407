"""The entries of a safetensors header, one by one: each is believed only once its fields agree with each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import prod
from operator import itemgetter
from typing import Any, NamedTuple, NoReturn

from tracer.checkpoint.dtypes import BITS

FIELDS = frozenset({"dtype", "shape", "data_offsets"})
LARGEST = 2**64 - 1
_ELEMENT_LIMIT = 2**57
"""Times 64 bits this still fits the 64-bit counters of other readers."""
_WHOLE = frozenset({int})

Entry = tuple[int, int, str, str, tuple[int, ...]]
"""begin, end, tensor, dtype, shape; offsets count from the end of the header."""


class Entries(NamedTuple):
    """Those of one header in the order of their offsets, a column a field."""

    begins: Sequence[int]
    ends: Sequence[int]
    names: Sequence[str]
    dtypes: Sequence[str]
    shapes: Sequence[tuple[int, ...]]

    @classmethod
    def sorted(cls, entries: Iterable[Entry]) -> Entries:
        ordered = sorted(entries, key=itemgetter(0, 1))
        return cls(*zip(*ordered, strict=True)) if ordered else cls((), (), (), (), ())

    def tile(self, room: int) -> bool:
        """Whether each begins where the one before ended, and the last one ends with the room that there is."""
        if not self.begins:
            return room == 0
        follow = self.begins[1:] == self.ends[:-1]
        return follow and self.begins[0] == 0 and self.ends[-1] == room

    def one_by_one(self) -> Iterator[Entry]:
        return zip(*self, strict=True)


class Refusal(Exception):
    """A reason without its file, which the caller knows."""

    def __init__(self, code: str, message: str, subject: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.subject = subject


def checked(tensor: str, entry: Any, sizes: dict[tuple[str, tuple[int, ...]], int]) -> Entry:
    """One entry, its fields checked against each other; `sizes` remembers in bytes what has been found good."""
    if not isinstance(entry, dict) or entry.keys() != FIELDS:
        _refuse_fields(tensor, entry)
    encodable(tensor)
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        refuse(tensor, f"expected a dtype that safetensors defines, found {shown(dtype)}")
    _counts(tensor, "shape", shape)
    _counts(tensor, "data_offsets", offsets)
    if len(offsets) != 2:
        refuse(tensor, f"expected two data_offsets, found {shown(offsets)}")
    begin, end = offsets
    if begin > end:
        refuse(tensor, f"data_offsets [{begin}, {end}] end before they begin", "header.out-of-bounds")
    extents = tuple(shape)
    if sizes.get((dtype, extents)) != end - begin:
        found = size_of(tensor, dtype, shape)
        if found != end - begin:
            described = f"{dtype} {shown(shape)} is {found} bytes, its span {end - begin}"
            refuse(tensor, described, "header.size-mismatch")
        sizes[dtype, extents] = found
    return begin, end, tensor, dtype, extents


def _counts(tensor: str, field: str, value: Any) -> None:
    """A list of whole numbers; JSON's true is a number in Python, and 2.0 is one that counts nothing."""
    # Sets and extremes rather than a look at each item: a list may have millions of them.
    good = isinstance(value, list) and _WHOLE.issuperset(map(type, value))
    if not good or (value and not 0 <= min(value) <= max(value) <= LARGEST):
        refuse(tensor, f"expected {field} to be a list of whole numbers from 0 to 2**64 - 1, found {shown(value)}")


def size_of(tensor: str, dtype: str, shape: Sequence[int]) -> int:
    """The bytes that a shape of whole numbers takes. Raises Refusal."""
    # Zeros count as ones here: other readers overflow on [2**63, 2**63, 0] before they meet the zero.
    if prod(size or 1 for size in shape) > _ELEMENT_LIMIT:
        refuse(tensor, f"shape {shown(shape)} has more elements than 64 bits can count bytes for")
    bits = prod(shape) * BITS[dtype]
    if bits % 8:
        described = f"{dtype} {shown(shape)} is {bits} bits, not a whole number of bytes"
        refuse(tensor, described, "header.size-mismatch")
    return bits // 8


def _refuse_fields(tensor: str, entry: Any) -> NoReturn:
    found = sorted(entry) if isinstance(entry, dict) else entry
    refuse(tensor, f"expected exactly the fields data_offsets, dtype and shape, found {shown(found)}")


def refuse(tensor: str, message: str, code: str = "header.invalid") -> NoReturn:
    """Raise Refusal for one tensor."""
    raise Refusal(code, f"tensor {shown(tensor)}: {message}", tensor)


def encodable(text: str) -> None:
    """Half a surrogate pair can be escaped in JSON, and cannot be written anywhere else. Raises Refusal."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Refusal("header.invalid", f"{text[:200]!a} is not valid Unicode") from None


def shown(value: object) -> str:
    """A value of unknown size, short enough for one line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
