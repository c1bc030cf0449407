"""Reads the header of a safetensors file and believes none of it until the bytes agree.

    8 bytes, little endian: length of the header | the header, JSON | the tensors' bytes, without a gap

Stricter than the reference reader: a name that occurs twice is refused rather than silently resolved, and a
file that is something else altogether is said to be that. Knows nothing of folders, indices or models.
"""

from __future__ import annotations

import json
from itertools import repeat
from operator import sub
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from mappings.span import Span
from tracer.bulk import in_bulk
from tracer.checkpoint.entries import Entries, Refusal, checked, encodable, refuse, shown
from tracer.checkpoint.header import Header
from tracer.checkpoint.json_object import READ_LIMIT, DuplicateKey, is_costly, unique_dict
from tracer.checkpoint.plain_header import METADATA, plain_entries
from tracer.checkpoint.regular_file import open_regular
from tracer.checkpoint.sniff import HEAD_BYTES, kind_of_weights
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.errors import InputError

HEADER_LIMIT = 100_000_000
"""The reference reader's limit; a longer header is a file that most engines cannot open. Ours is READ_LIMIT."""
_LENGTH_BYTES = 8


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
    except Refusal as refusal:
        subject = refusal.subject or name
        raise InputError(f"{where or name}: {refusal}", code=refusal.code, subject=subject) from None


def _parse(raw: bytes, file_size: int, name: str) -> Header:
    length = _checked_length(raw, file_size)
    start = _LENGTH_BYTES + length
    if raw[_LENGTH_BYTES : _LENGTH_BYTES + 1] != b"{":
        raise Refusal("header.invalid", f"byte 8: expected '{{', found {raw[_LENGTH_BYTES : _LENGTH_BYTES + 1]!r}")
    if length > READ_LIMIT:
        raise Refusal("header.too-large", f"a header of {length} bytes; at most {READ_LIMIT} are read")
    if len(raw) < start:
        what = f"byte 0 announces a header of {length} bytes, only {len(raw) - _LENGTH_BYTES} could be read"
        raise Refusal("file.truncated", f"{what}: the file became shorter while it was read")
    entries, metadata = _entries(raw, start)
    _tile(entries, file_size - start)
    offsets = [start + begin for begin in entries.begins]
    sizes = map(sub, entries.ends, entries.begins)
    described = entries.names, entries.dtypes, entries.shapes
    tensors = in_bulk(TensorInfo, *described, repeat(name), offsets, sizes, repeat(None), repeat(False))
    stops = [start + end for end in entries.ends]
    data = map(Span, repeat(name), offsets, stops, entries.names)
    spans = [Span(name, 0, start, "the header"), *data, Span(name, file_size, file_size, "the end of the file")]
    return Header(tensors, metadata, spans)


def _length(raw: bytes) -> int:
    return int.from_bytes(raw[:_LENGTH_BYTES], "little")


def _checked_length(raw: bytes, file_size: int) -> int:
    """The header's length; where it cannot be one, the refusal says what the file is instead."""
    if file_size == 0:
        raise Refusal("file.empty", "expected a safetensors file, found 0 bytes")
    length = _length(raw)
    room = file_size - _LENGTH_BYTES
    plausible = 2 <= length <= room and raw[_LENGTH_BYTES : _LENGTH_BYTES + 1] == b"{"
    if not plausible:
        _refuse_other_format(raw)
    if room < 0:
        raise Refusal("file.truncated", f"expected 8 bytes of header length, found {file_size}")
    if length > HEADER_LIMIT:
        raise Refusal("header.too-large", _too_large(length, room, plausible))
    if length > room:
        raise Refusal("file.truncated", f"byte 0 announces a header of {length} bytes, only {room} follow")
    if length < 2:
        zeros = "" if any(raw[:HEAD_BYTES]) else " (zeros: space was reserved and never written)"
        found = f"found {length}{zeros}"
        raise Refusal("header.invalid", f"byte 0: expected a header length of 2 or more, {found}")
    return length


def _too_large(length: int, room: int, plausible: bool) -> str:
    if plausible:
        return f"a header of {length} bytes; readers refuse more than {HEADER_LIMIT}, so split the file"
    return f"byte 0: expected a header length of at most {min(room, HEADER_LIMIT)}, found {length}"


def _refuse_other_format(raw: bytes) -> None:
    kind = kind_of_weights(raw[:HEAD_BYTES])
    if kind is not None:
        raise Refusal(kind.code, f"expected a safetensors file, found {kind.what}; {kind.advice}")


def _entries(raw: bytes, stop: int) -> tuple[Entries, dict[str, str]]:
    """The entries from after the length up to byte `stop` in the order of their offsets, and the metadata."""
    if is_costly(raw[_LENGTH_BYTES:stop]):
        said = f"a header of {stop - _LENGTH_BYTES} bytes, which hold more values than are read; split the file"
        raise Refusal("header.too-large", said)
    try:
        text = str(memoryview(raw)[_LENGTH_BYTES:stop], "utf-8")
    except UnicodeDecodeError as error:
        raise Refusal("header.invalid", f"byte {_LENGTH_BYTES + error.start}: not UTF-8") from None
    return plain_entries(text) or _one_by_one(_decode(text))


def _one_by_one(content: dict[str, Any]) -> tuple[Entries, dict[str, str]]:
    metadata = _metadata(content.pop(METADATA, {}))
    sizes: dict[tuple[str, tuple[int, ...]], int] = {}
    # Taken out one by one, so that the memory of one serves the next.
    entries = [checked(tensor, content.pop(tensor), sizes) for tensor in list(content)]
    return Entries.sorted(entries), metadata


def _decode(text: str) -> dict[str, Any]:
    try:
        # What is no count is refused with its tensor; only minus zero would have become one by then.
        content = json.loads(text, object_pairs_hook=unique_dict, parse_int=_signed if "-0" in text else None)
    except DuplicateKey as error:
        raise Refusal("header.duplicate-name", f"{error}; one of them would be lost", error.key) from None
    except RecursionError:
        raise Refusal("header.invalid", "the JSON is nested too deeply; a header has three levels") from None
    except json.JSONDecodeError as error:
        at = _LENGTH_BYTES + len(text[: error.pos].encode())
        raise Refusal("header.invalid", f"byte {at}: not valid JSON: {error.msg}") from None
    except ValueError:
        # Python refuses to read it, for the time that it would take.
        raise Refusal("header.invalid", "it holds a number of more digits than any size has") from None
    # The first byte was a brace, so the value is an object.
    found: dict[str, Any] = content
    return found


def _signed(digits: str) -> int | float:
    """`-0` is no number that other readers take."""
    return -0.0 if digits == "-0" else int(digits)


def _metadata(value: object) -> dict[str, str]:
    if value is None:
        return {}  # no object, but the reference reader takes it for none, and nothing is lost
    if not isinstance(value, dict):
        raise Refusal("header.invalid", f"{METADATA}: expected an object, found {shown(value)}")
    for key, item in value.items():
        if not isinstance(item, str):
            found = f"{shown(key)}: expected a string, found {shown(item)}"
            raise Refusal("header.invalid", f"{METADATA}: {found}")
        encodable(key)
        encodable(item)
    return value


def _tile(entries: Entries, room: int) -> None:
    """Each begins where the one before ended, the last ends with the file: nothing hides between."""
    if entries.tile(room):
        return
    at, before = 0, None
    for begin, end, tensor, _, _ in entries.one_by_one():
        if begin != at:
            _refuse_gap(tensor, begin, end, at, before, room)
        at, before = end, tensor
    if at > room:
        raise Refusal("file.truncated", _shortfall(entries, at, room))
    described = f"the header describes {at} bytes of data, the file holds {room}"
    raise Refusal("file.trailing-bytes", f"{described}: {room - at} extra")


def _shortfall(entries: Entries, described: int, room: int) -> str:
    lost = [tensor for tensor, end in zip(entries.names, entries.ends, strict=True) if end > room]
    return (
        f"the header describes {described} bytes of data, the file holds {room}: {described - room} short;"
        f" {len(lost)} of {len(entries.names)} tensors are incomplete, beginning with {shown(lost[0])}"
    )


def _refuse_gap(tensor: str, begin: int, end: int, at: int, before: str | None, room: int) -> NoReturn:
    """The span does not begin at `at`, where the tensor `before` ended, or the header."""
    previous = "the header" if before is None else shown(before)
    if end > room:
        code, what = "header.out-of-bounds", f"reach past the {room} bytes of data; expected to begin at {at}"
    elif begin > at:
        code, what = "header.hole", f"leave {begin - at} bytes unclaimed after {previous}, which ends at {at}"
    else:
        code, what = "header.overlap", f"begin inside {previous}, which ends at {at}"
    refuse(tensor, f"data_offsets [{begin}, {end}] {what}", code)
