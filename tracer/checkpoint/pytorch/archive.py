"""Reads the directory of a zip archive: which records it holds, and where. Their content is not looked at.

Written after APPNOTE.TXT 6.3 (PKWARE). Stricter than most readers, since readers that differ are how a file gets
to be two things at once: no comment, nothing after the end, nothing compressed or encrypted, no name twice.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

from tracer.checkpoint.pytorch.local import is_local
from tracer.checkpoint.pytorch.refusal import Refusal, shown

DIRECTORY_LIMIT = 64 << 20
"""Bytes; 100,000 records take about a tenth of this."""
_MOST_RECORDS = 100_000
"""One a storage: no file with a third of this has been seen."""
_END = struct.Struct("<4s4H2IH")
_END_64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")
_ENTRY = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_FULL_16, _FULL_32 = 0xFFFF, 0xFFFFFFFF
"""Stand for a number that is in the zip64 field."""
_ZIP64_FIELD = 1
_ENCRYPTED, _DESCRIPTOR_FOLLOWS = 1, 8
_DESCRIPTOR, _DESCRIPTOR_64 = 16, 24
"""Bytes of what a streaming writer puts behind a record: signature, checksum and two sizes."""


class Record(NamedTuple):
    """One record of the archive; absolute bytes in the file."""

    name: str
    header: int
    """Where its local header begins."""
    start: int
    stop: int
    end: int
    """Where its descriptor, if any, ends."""


class Archive(NamedTuple):
    """What the directory says."""

    records: list[Record]
    """In the order of their bytes."""
    first: str
    """The name of the directory's first record, from which PyTorch takes the name of the archive."""
    directory: int
    """Where the directory begins."""


class _Entry(NamedTuple):
    header: int
    name: str
    name_bytes: int
    size: int
    descriptor: int


class _Directory(NamedTuple):
    start: int
    nbytes: int
    records: int


def read_archive(file: BinaryIO, size: int) -> Archive:
    """The records of an archive of `size` bytes. Raises Refusal.

    Where a record's bytes begin stands in its local header. Asking a local file for all of these costs nothing;
    where each costs a request, the beginning follows from the directory: the next header less the record's size.
    """
    directory = _find_directory(file, size)
    entries = _entries(_read(file, directory.start, directory.nbytes), directory)
    first = entries[0].name if entries else ""
    entries.sort()
    ends = [entry.header for entry in entries[1:]] + [directory.start]
    locate = _locate if is_local(file) else _derive
    records = [locate(file, entry, end) for entry, end in zip(entries, ends, strict=True)]
    return Archive(records, first, directory.start)


def _read(file: BinaryIO, start: int, count: int) -> bytes:
    file.seek(start)
    found = file.read(count)
    if len(found) != count:
        raise Refusal("file.truncated", f"byte {start}: expected {count} bytes, found {len(found)}")
    return found


# --- the end of the file: where the directory is ---


def _find_directory(file: BinaryIO, size: int) -> _Directory:
    room = min(size, _END.size + _LOCATOR.size + _END_64.size)
    tail = _read(file, size - room, room)
    if tail[-_END.size :][:4] != b"PK\x05\x06" or len(tail) < _END.size:
        message = "expected the end of a zip archive's directory there, found none: the file is incomplete"
        raise Refusal("file.truncated", f"byte {max(size - _END.size, 0)}: {message}, or goes on after its end")
    _, disk, first_disk, here, count, nbytes, start, comment = _END.unpack(tail[-_END.size :])
    if disk or first_disk or here != count or comment:
        raise _invalid(size - _END.size, "expected one archive in one file and no comment")
    plain = _Directory(start, nbytes, count)
    end = size - _END.size
    if tail[:4] == b"PK\x06\x06" and tail[_END_64.size :][:4] == b"PK\x06\x07":
        end = size - room
        plain = _find_64(tail, end, plain)
    if plain.start + plain.nbytes != end:
        found = f"bytes {plain.start} to {plain.start + plain.nbytes}"
        raise _invalid(end, f"expected the directory to end here, found it at {found}")
    if plain.nbytes > DIRECTORY_LIMIT or plain.records > _MOST_RECORDS or plain.records * _ENTRY.size > plain.nbytes:
        message = f"{plain.records} records in a directory of {plain.nbytes} bytes"
        raise _invalid(end, f"{message} (at most {_MOST_RECORDS} in {DIRECTORY_LIMIT} are read)")
    return plain


def _find_64(tail: bytes, at: int, plain: _Directory) -> _Directory:
    """The numbers of the 64-bit end record at byte `at`; those of the plain one must not say otherwise."""
    _, _, _, _, disk, first_disk, here, count, nbytes, start = _END_64.unpack(tail[: _END_64.size])
    _, locator_disk, located, disks = _LOCATOR.unpack(tail[_END_64.size :][: _LOCATOR.size])
    if disk or first_disk or locator_disk or disks > 1 or here != count or located != at:
        raise _invalid(at, "expected one archive in one file, located here")
    wide = _Directory(start, nbytes, count)
    for narrow, true, full in zip(plain, wide, (_FULL_32, _FULL_32, _FULL_16), strict=True):
        if narrow not in (true, full):
            raise _invalid(at, f"the directory's start, length or count is {narrow} in one end record, {true} here")
    return wide


# --- the directory ---


def _entries(raw: bytes, directory: _Directory) -> list[_Entry]:
    entries: list[_Entry] = []
    names: set[str] = set()
    at = 0
    while at < len(raw):
        entry, length = _entry(raw, at, directory.start + at)
        if entry.name in names:
            message = f"byte {directory.start + at}: the record {shown(entry.name)} occurs twice"
            raise Refusal("header.duplicate-name", message)
        names.add(entry.name)
        entries.append(entry)
        at += length
    if len(entries) != directory.records:
        raise _invalid(directory.start, f"expected {directory.records} records, found {len(entries)}")
    return entries


def _entry(raw: bytes, at: int, byte: int) -> tuple[_Entry, int]:
    """The entry at `raw[at]`, byte `byte` of the file, and its length."""
    fixed = raw[at : at + _ENTRY.size]
    if len(fixed) < _ENTRY.size or fixed[:4] != b"PK\x01\x02":
        raise _invalid(byte, "expected an entry of the directory")
    _, _, _, flags, method, _, _, _, packed, size, name_bytes, extra, comment, disk, _, _, header = _ENTRY.unpack(fixed)
    length = _ENTRY.size + name_bytes + extra + comment
    rest = raw[at + _ENTRY.size : at + length]
    if len(rest) != length - _ENTRY.size:
        raise _invalid(byte, "an entry that reaches past the end of the directory")
    name = _name(rest[:name_bytes], byte)
    if method or flags & _ENCRYPTED or disk:
        kind = "encrypted" if flags & _ENCRYPTED else "compressed" if method else "kept on another disk"
        message = f"byte {byte}: expected the record {shown(name)} to be stored as it is, found it {kind}"
        raise Refusal("file.wrong-format", message)
    wide = _zip64(rest[name_bytes : name_bytes + extra])
    size, packed, header = (_widened(number, wide, byte) for number in (size, packed, header))
    if packed != size:
        raise _invalid(byte, f"the record {shown(name)} has {size} bytes and takes {packed}")
    descriptor = (_DESCRIPTOR_64 if wide is not None else _DESCRIPTOR) if flags & _DESCRIPTOR_FOLLOWS else 0
    return _Entry(header, name, name_bytes, size, descriptor), length


def _name(raw: bytes, byte: int) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise _invalid(byte, f"expected a record's name in UTF-8, found {shown(raw)}") from None


def _zip64(extra: bytes) -> list[int] | None:
    """The numbers of the zip64 field in an entry's extra fields, last first; None without such a field."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == _ZIP64_FIELD:
            body = extra[at + 4 : at + 4 + length]
            return [int.from_bytes(body[i : i + 8], "little") for i in range(0, len(body) // 8 * 8, 8)][::-1]
        at += 4 + length
    return None


def _widened(number: int, wide: list[int] | None, byte: int) -> int:
    if number != _FULL_32:
        return number
    if not wide:
        raise _invalid(byte, "an entry refers to a 64-bit number that it lacks")
    return wide.pop()


# --- where a record's bytes are ---


def _locate(file: BinaryIO, entry: _Entry, end: int) -> Record:
    """As its local header says, which must agree with the directory."""
    raw = _read(file, entry.header, min(_LOCAL.size + entry.name_bytes, max(end - entry.header, 0)))
    if len(raw) < _LOCAL.size + entry.name_bytes or raw[:4] != b"PK\x03\x04":
        raise _invalid(entry.header, f"expected the header of the record {shown(entry.name)}")
    method, name_bytes, extra = (_LOCAL.unpack(raw[: _LOCAL.size])[i] for i in (3, 9, 10))
    if method or raw[_LOCAL.size :] != entry.name.encode() or name_bytes != entry.name_bytes:
        raise _invalid(entry.header, f"the header says otherwise than the directory of the record {shown(entry.name)}")
    start = entry.header + _LOCAL.size + name_bytes + extra
    stop = start + entry.size
    if stop > end:
        raise _overlap(entry, stop, end)
    return Record(entry.name, entry.header, start, stop, stop + min(entry.descriptor, end - stop))


def _derive(file: BinaryIO, entry: _Entry, end: int) -> Record:
    """From the directory alone."""
    stop = end - entry.descriptor
    start = stop - entry.size
    if start < entry.header + _LOCAL.size + entry.name_bytes:
        raise _overlap(entry, entry.header + _LOCAL.size + entry.name_bytes + entry.size, end)
    return Record(entry.name, entry.header, start, stop, end)


def _overlap(entry: _Entry, stop: int, end: int) -> Refusal:
    message = f"the record {shown(entry.name)} ends at byte {stop} or later, the next begins at byte {end}"
    return Refusal("header.overlap", f"byte {entry.header}: {message}")


def _invalid(byte: int, message: str) -> Refusal:
    return Refusal("header.invalid", f"byte {byte}: zip archive: {message}")
