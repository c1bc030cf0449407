"""The key-value pairs of a GGUF header: typed scalars, strings and arrays. Only small ones are kept."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct, unpack
from typing import TypeAlias

from tracer.checkpoint.gguf.refusal import Refusal, shown
from tracer.checkpoint.gguf.window import LENGTH_BYTES, Window

MOST_PAIRS = 100_000
_LONGEST_NAME = 65_535
"""Of a key, in bytes, as the format says; of a tensor's name too, which it wants far shorter."""
_LONGEST_STRING = 1 << 16
"""Longer ones are passed over: nothing that places a tensor is that long."""
_LONGEST_LIST = 4096
"""Longer ones are of the tokenizer; lists with an entry a layer are kept."""
_MOST_NUMBERS = 1 << 20
"""Of all lists that are kept together; a thousand layers of a hundred keys have a tenth."""
_DEEPEST = 4
"""Arrays inside arrays; nobody writes more than one."""


@dataclass(frozen=True, slots=True)
class Array:
    """An array: what it holds, how many, and the items of a short one of numbers."""

    kind: str
    length: int
    items: tuple[int | float | bool, ...] | None = None

    def __str__(self) -> str:
        held = "" if self.items is None or self.length > 8 else f": {', '.join(map(str, self.items))}"
        return f"{self.length} x {self.kind}{held}"


Value: TypeAlias = int | float | bool | str | Array


@dataclass(frozen=True, slots=True)
class _Scalar:
    name: str
    code: str
    """As the struct module spells it."""

    @property
    def size(self) -> int:
        return Struct(f"<{self.code}").size


_SCALARS = {
    0: _Scalar("u8", "B"), 1: _Scalar("i8", "b"), 2: _Scalar("u16", "H"), 3: _Scalar("i16", "h"),
    4: _Scalar("u32", "I"), 5: _Scalar("i32", "i"), 6: _Scalar("f32", "f"), 7: _Scalar("bool", "B"),
    10: _Scalar("u64", "Q"), 11: _Scalar("i64", "q"), 12: _Scalar("f64", "d"),
}  # fmt: skip
_STRING, _ARRAY = 8, 9
_KIND_BYTES = 4
_ARRAY_HEAD = _KIND_BYTES + LENGTH_BYTES
_SHORTEST_VALUE = 1
SHORTEST_PAIR = LENGTH_BYTES + 1 + _KIND_BYTES + _SHORTEST_VALUE
"""A key of one byte, and a value of one."""


def read_pairs(window: Window, count: int) -> dict[str, Value]:
    """So many pairs, the shortest of which was promised for each."""
    pairs: dict[str, Value] = {}
    kept = 0
    for number in range(count):
        key = read_name(window, f"key {number} of {count}")
        if key in pairs:
            raise Refusal("header.duplicate-name", f"key {shown(key)} occurs twice; one of its values would be lost")
        value = pairs[key] = _value(window, key)
        kept += len(value.items) if isinstance(value, Array) and value.items else 0
        if kept > _MOST_NUMBERS:
            said = f"key {shown(key)}: with it the lists have {kept} numbers, expected at most {_MOST_NUMBERS}"
            raise Refusal("header.too-large", said)
    return pairs


def read_name(window: Window, what: str) -> str:
    """A key or the name of a tensor, of which the length and one byte were promised."""
    start, length = window.at, window.length()
    if not 0 < length <= _LONGEST_NAME:
        said = f"byte {start}: {what}: expected a length of 1 to {_LONGEST_NAME}, found {length}"
        raise Refusal("header.invalid", said)
    window.promise(length - 1, what)
    raw = window.take(length)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal("header.invalid", f"byte {start + LENGTH_BYTES}: {what}: not UTF-8: {shown(raw)}") from None


def _value(window: Window, key: str) -> Value:
    kind = _kind(window, key)
    if kind == _ARRAY:
        window.promise(_ARRAY_HEAD - _SHORTEST_VALUE, f"key {shown(key)}")
        return _array(window, key, 1)
    if kind == _STRING:
        window.promise(LENGTH_BYTES - _SHORTEST_VALUE, f"key {shown(key)}")
        return _string(window, key)
    window.promise(_SCALARS[kind].size - _SHORTEST_VALUE, f"key {shown(key)}")
    return _numbers(window, key, _SCALARS[kind], 1)[0]


def _kind(window: Window, key: str) -> int:
    start, kind = window.at, int.from_bytes(window.take(_KIND_BYTES), "little")
    if kind not in _SCALARS and kind not in (_STRING, _ARRAY):
        said = f"byte {start}: key {shown(key)}: expected a value type of 0 to 12, found {kind}"
        raise Refusal("header.invalid", said)
    return kind


def _string(window: Window, key: str) -> str | Array:
    length = window.length()
    window.promise(length, f"key {shown(key)}, a string of {length} bytes")
    if length > _LONGEST_STRING:
        window.skip(length)
        return Array("u8", length)
    # Values are shown and never looked up, so one that is not UTF-8 hurts nobody.
    return window.take(length).decode("utf-8", "backslashreplace")


def _numbers(window: Window, key: str, scalar: _Scalar, count: int) -> tuple[int | float | bool, ...]:
    start, raw = window.at, window.take(count * scalar.size)
    found = unpack(f"<{count}{scalar.code}", raw)
    if scalar.name == "bool":
        if max(found, default=0) > 1:
            said = f"byte {start}: key {shown(key)}: expected a truth value of 0 or 1, found {max(found)}"
            raise Refusal("header.invalid", said)
        return tuple(map(bool, found))
    return tuple(map(_shortest, found)) if scalar.name == "f32" else found


def _shortest(value: float) -> float:
    """The number with the fewest digits that is this in 32 bits: 1e-05, not 9.999999747378752e-06."""
    for digits in range(6, 9):
        short = float(f"{value:.{digits}g}")
        if abs(short) < 3.4e38 and unpack("<f", Struct("<f").pack(short))[0] == value:
            return short
    return value


def _array(window: Window, key: str, depth: int) -> Array:
    """An array of which the head was promised."""
    kind, count = _kind(window, key), window.length()
    what = f"key {shown(key)}, an array of {count}"
    if kind == _ARRAY:
        return _nested(window, key, count, depth)
    if kind == _STRING:
        window.promise(count * LENGTH_BYTES, what)
        window.skip_strings(count, what)
        return Array("str", count)
    scalar = _SCALARS[kind]
    window.promise(count * scalar.size, what)
    if count > _LONGEST_LIST:
        window.skip(count * scalar.size)
        return Array(scalar.name, count)
    return Array(scalar.name, count, _numbers(window, key, scalar, count))


def _nested(window: Window, key: str, count: int, depth: int) -> Array:
    if depth == _DEEPEST:
        raise Refusal("header.invalid", f"byte {window.at}: key {shown(key)}: arrays nested too deeply")
    window.promise(count * _ARRAY_HEAD, f"key {shown(key)}, an array of {count} arrays")
    for _ in range(count):
        _array(window, key, depth + 1)
    return Array("array", count)
