"""Reads the header of a safetensors file and believes none of it until the bytes agree.

    8 bytes, little endian: length of the header | the header, JSON | the tensors' bytes, without a gap

Stricter than the reference reader: a name that occurs twice is refused rather than silently resolved, and a
file that is something else altogether is said to be that. Knows nothing of folders, indices or models.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from mappings.proof.bytes import Span
from tracer.checkpoint.dtypes import BITS
from tracer.checkpoint.header import Header
from tracer.checkpoint.json_object import READ_LIMIT, DuplicateKey, is_costly, unique_dict
from tracer.checkpoint.regular_file import open_regular
from tracer.checkpoint.sniff import HEAD_BYTES, kind_of_weights
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.errors import InputError

HEADER_LIMIT = 100_000_000
"""The reference reader's limit; a longer header is a file that most engines cannot open. Ours is READ_LIMIT."""
_LENGTH_BYTES = 8
_ELEMENT_LIMIT = 2**57
"""Times 64 bits this still fits the 64-bit counters of other readers."""
_LARGEST = 2**64 - 1
_WHOLE = frozenset({int})
_FIELDS = {"dtype", "shape", "data_offsets"}
_METADATA = "__metadata__"


class _Refusal(Exception):
    """A reason without its file, which the caller knows."""

    def __init__(self, code: str, message: str, subject: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.subject = subject


def read_header(path: Path, name: str | None = None) -> list[TensorInfo]:
    """The tensors of the file at `path`, in file order; `name` is what they carry as their file."""
    return open_header(path, name).tensors


def open_header(path: Path, name: str | None = None) -> Header:
    """As `read_header`, with the metadata."""
    with open_regular(path) as file:
        return read(file, file.seek(0, 2), name or path.name, str(path))


def read(file: BinaryIO, size: int, name: str, where: str) -> Header:
    """The header of a file of `size` bytes; of its data not a byte is read. Raises InputError."""
    file.seek(0)
    raw = file.read(_LENGTH_BYTES)
    length = _length(raw)
    if 2 <= length <= min(size - _LENGTH_BYTES, READ_LIMIT):
        raw += file.read(length)
    elif size > len(raw):
        raw += file.read(min(size, HEAD_BYTES) - len(raw))  # enough to tell what it is instead
    return parse_header(raw, size, name, where)


def parse_header(raw: bytes, file_size: int, name: str, where: str | None = None) -> Header:
    """The header in `raw`, the beginning of a file of `file_size` bytes; so it may come over a network."""
    try:
        return _parse(raw, file_size, name)
    except _Refusal as refusal:
        subject = refusal.subject or name
        raise InputError(f"{where or name}: {refusal}", code=refusal.code, subject=subject) from None


def _parse(raw: bytes, file_size: int, name: str) -> Header:
    length = _checked_length(raw, file_size)
    start = _LENGTH_BYTES + length
    if raw[_LENGTH_BYTES : _LENGTH_BYTES + 1] != b"{":
        raise _Refusal("header.invalid", f"byte 8: expected '{{', found {raw[_LENGTH_BYTES : _LENGTH_BYTES + 1]!r}")
    if length > READ_LIMIT:
        raise _Refusal("header.too-large", f"a header of {length} bytes; at most {READ_LIMIT} are read")
    if len(raw) < start:
        what = f"byte 0 announces a header of {length} bytes, only {len(raw) - _LENGTH_BYTES} could be read"
        raise _Refusal("file.truncated", f"{what}: the file became shorter while it was read")
    entries = _decode(raw, start)
    metadata = _metadata(entries.pop(_METADATA, {}))
    sizes: dict[tuple[str, tuple[int, ...]], int] = {}
    # Taken out one by one, so that the memory of an entry serves the next span.
    spans = [_span(tensor, entries.pop(tensor), sizes) for tensor in list(entries)]
    spans.sort(key=lambda span: span[:2])
    _tile(spans, file_size - start)
    tensors = [
        TensorInfo(tensor, dtype, shape, name, start + begin, end - begin)
        for begin, end, tensor, dtype, shape in spans
    ]
    return Header(tensors, metadata, _accounted(spans, name, start, file_size))


def _accounted(spans: Sequence[_Span], name: str, start: int, size: int) -> list[Span]:
    data = [Span(name, start + begin, start + end, tensor) for begin, end, tensor, _, _ in spans]
    return [Span(name, 0, start, "the header"), *data, Span(name, size, size, "the end of the file")]


def _length(raw: bytes) -> int:
    return int.from_bytes(raw[:_LENGTH_BYTES], "little")


def _checked_length(raw: bytes, file_size: int) -> int:
    """The header's length; where it cannot be one, the refusal says what the file is instead."""
    if file_size == 0:
        raise _Refusal("file.empty", "expected a safetensors file, found 0 bytes")
    length = _length(raw)
    room = file_size - _LENGTH_BYTES
    plausible = 2 <= length <= room and raw[_LENGTH_BYTES : _LENGTH_BYTES + 1] == b"{"
    if not plausible:
        _refuse_other_format(raw)
    if room < 0:
        raise _Refusal("file.truncated", f"expected 8 bytes of header length, found {file_size}")
    if length > HEADER_LIMIT:
        raise _Refusal("header.too-large", _too_large(length, room, plausible))
    if length > room:
        raise _Refusal("file.truncated", f"byte 0 announces a header of {length} bytes, only {room} follow")
    if length < 2:
        zeros = "" if any(raw[:HEAD_BYTES]) else " (zeros: space was reserved and never written)"
        found = f"found {length}{zeros}"
        raise _Refusal("header.invalid", f"byte 0: expected a header length of 2 or more, {found}")
    return length


def _too_large(length: int, room: int, plausible: bool) -> str:
    if plausible:
        return f"a header of {length} bytes; readers refuse more than {HEADER_LIMIT}, so split the file"
    return f"byte 0: expected a header length of at most {min(room, HEADER_LIMIT)}, found {length}"


def _refuse_other_format(raw: bytes) -> None:
    kind = kind_of_weights(raw[:HEAD_BYTES])
    if kind is not None:
        raise _Refusal(kind.code, f"expected a safetensors file, found {kind.what}; {kind.advice}")


def _decode(raw: bytes, stop: int) -> dict[str, Any]:
    """The JSON from after the length up to byte `stop`."""
    if is_costly(raw[_LENGTH_BYTES:stop]):
        said = f"a header of {stop - _LENGTH_BYTES} bytes, which hold more values than are read; split the file"
        raise _Refusal("header.too-large", said)
    try:
        text = str(memoryview(raw)[_LENGTH_BYTES:stop], "utf-8")
        # What is no count is refused with its tensor; only minus zero would have become one by then.
        entries = json.loads(text, object_pairs_hook=unique_dict, parse_int=_signed if "-0" in text else None)
    except UnicodeDecodeError as error:
        raise _Refusal("header.invalid", f"byte {_LENGTH_BYTES + error.start}: not UTF-8") from None
    except DuplicateKey as error:
        raise _Refusal("header.duplicate-name", f"{error}; one of them would be lost", error.key) from None
    except RecursionError:
        raise _Refusal("header.invalid", "the JSON is nested too deeply; a header has three levels") from None
    except json.JSONDecodeError as error:
        at = _LENGTH_BYTES + len(text[: error.pos].encode())
        raise _Refusal("header.invalid", f"byte {at}: not valid JSON: {error.msg}") from None
    except ValueError:
        # Python refuses to read it, for the time that it would take.
        raise _Refusal("header.invalid", "it holds a number of more digits than any size has") from None
    # The first byte was a brace, so the value is an object.
    checked: dict[str, Any] = entries
    return checked


def _signed(digits: str) -> int | float:
    """`-0` is no number that other readers take."""
    return -0.0 if digits == "-0" else int(digits)


def _metadata(value: object) -> dict[str, str]:
    if value is None:
        return {}  # no object, but the reference reader takes it for none, and nothing is lost
    if not isinstance(value, dict):
        raise _Refusal("header.invalid", f"{_METADATA}: expected an object, found {_shown(value)}")
    for key, item in value.items():
        if not isinstance(item, str):
            found = f"{_shown(key)}: expected a string, found {_shown(item)}"
            raise _Refusal("header.invalid", f"{_METADATA}: {found}")
        _encodable(key)
        _encodable(item)
    return value


_Span = tuple[int, int, str, str, tuple[int, ...]]
"""begin, end, tensor, dtype, shape; offsets count from the end of the header."""


def _span(tensor: str, entry: Any, sizes: dict[tuple[str, tuple[int, ...]], int]) -> _Span:
    """One entry, its fields checked against each other; `sizes` remembers in bytes what has been found good."""
    if not isinstance(entry, dict) or entry.keys() != _FIELDS:
        _refuse_fields(tensor, entry)
    _encodable(tensor)
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        _refuse(tensor, f"expected a dtype that safetensors defines, found {_shown(dtype)}")
    _counts(tensor, "shape", shape)
    _counts(tensor, "data_offsets", offsets)
    if len(offsets) != 2:
        _refuse(tensor, f"expected two data_offsets, found {_shown(offsets)}")
    begin, end = offsets
    if begin > end:
        _refuse(tensor, f"data_offsets [{begin}, {end}] end before they begin", "header.out-of-bounds")
    extents = tuple(shape)
    if sizes.get((dtype, extents)) != end - begin:
        _check_size(tensor, dtype, shape, end - begin)
        sizes[dtype, extents] = end - begin
    return begin, end, tensor, dtype, extents


def _counts(tensor: str, field: str, value: Any) -> None:
    """A list of whole numbers; JSON's true is a number in Python, and 2.0 is one that counts nothing."""
    # Sets and extremes rather than a look at each item: there are half a million of them.
    good = isinstance(value, list) and _WHOLE.issuperset(map(type, value))
    if not good or (value and not 0 <= min(value) <= max(value) <= _LARGEST):
        _refuse(tensor, f"expected {field} to be a list of whole numbers from 0 to 2**64 - 1, found {_shown(value)}")


def _check_size(tensor: str, dtype: str, shape: list[int], found: int) -> None:
    # Zeros count as ones here: other readers overflow on [2**63, 2**63, 0] before they meet the zero.
    if prod(size or 1 for size in shape) > _ELEMENT_LIMIT:
        _refuse(tensor, f"shape {_shown(shape)} has more elements than 64 bits can count bytes for")
    bits = prod(shape) * BITS[dtype]
    described = f"{dtype} {_shown(shape)}"
    if bits % 8:
        _refuse(tensor, f"{described} is {bits} bits, not a whole number of bytes", "header.size-mismatch")
    if bits // 8 != found:
        _refuse(tensor, f"{described} is {bits // 8} bytes, its span {found}", "header.size-mismatch")


def _tile(spans: Sequence[_Span], room: int) -> None:
    """Each span begins where the one before ended, the last ends with the file: nothing hides between."""
    at, before = 0, None
    for begin, end, tensor, _, _ in spans:
        if begin != at:
            _refuse_gap(tensor, begin, end, at, before, room)
        at, before = end, tensor
    if at > room:
        raise _Refusal("file.truncated", _shortfall(spans, at, room))
    if at < room:
        described = f"the header describes {at} bytes of data, the file holds {room}"
        raise _Refusal("file.trailing-bytes", f"{described}: {room - at} extra")


def _shortfall(spans: Sequence[_Span], described: int, room: int) -> str:
    lost = [span for span in spans if span[1] > room]
    return (
        f"the header describes {described} bytes of data, the file holds {room}: {described - room} short;"
        f" {len(lost)} of {len(spans)} tensors are incomplete, beginning with {_shown(lost[0][2])}"
    )


def _refuse_gap(tensor: str, begin: int, end: int, at: int, before: str | None, room: int) -> NoReturn:
    """The span does not begin at `at`, where the tensor `before` ended, or the header."""
    previous = "the header" if before is None else _shown(before)
    if end > room:
        code, what = "header.out-of-bounds", f"reach past the {room} bytes of data; expected to begin at {at}"
    elif begin > at:
        code, what = "header.hole", f"leave {begin - at} bytes unclaimed after {previous}, which ends at {at}"
    else:
        code, what = "header.overlap", f"begin inside {previous}, which ends at {at}"
    _refuse(tensor, f"data_offsets [{begin}, {end}] {what}", code)


def _refuse_fields(tensor: str, entry: Any) -> NoReturn:
    found = sorted(entry) if isinstance(entry, dict) else entry
    _refuse(tensor, f"expected exactly the fields data_offsets, dtype and shape, found {_shown(found)}")


def _refuse(tensor: str, message: str, code: str = "header.invalid") -> NoReturn:
    raise _Refusal(code, f"tensor {_shown(tensor)}: {message}", tensor)


def _encodable(text: str) -> None:
    """Half a surrogate pair can be escaped in JSON, and cannot be written anywhere else."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _Refusal("header.invalid", f"{text[:200]!a} is not valid Unicode") from None


def _shown(value: object) -> str:
    """A value of unknown size, short enough for one line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
