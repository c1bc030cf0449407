"""PyTorch's files before 1.6, and of `_use_new_zipfile_serialization=False` since.

    five pickles: magic number | version | the machine that wrote it | the object | the storages' keys
    then for each key: 8 bytes, the number of elements, little endian | the elements

Nothing says how long a pickle is, so a little more may be read than they take. The elements are little endian
whatever machine wrote them (torch/csrc/serialization.cpp), also where the third pickle says that it was another.
"""

from __future__ import annotations

from typing import BinaryIO

from mappings.span import Span
from tracer.checkpoint.pytorch.contents import Contents
from tracer.checkpoint.pytorch.opcodes import PICKLE_LIMIT, Outcome, read_pickle
from tracer.checkpoint.pytorch.refusal import Refusal, Truncated, shown
from tracer.checkpoint.pytorch.tensors import Place
from tracer.checkpoint.pytorch.values import Storage, Value, item_bytes

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_FIRST_READ = 1 << 14
_COUNT_BYTES = 8


def read_legacy(file: BinaryIO, size: int, name: str) -> Contents:
    """The contents of a file of `size` bytes; `name` goes into the spans. Raises Refusal."""
    beginning = _Beginning(file, size)
    _expect(beginning.pickle().value, _MAGIC, "PyTorch's magic number")
    _expect(beginning.pickle().value, _VERSION, "version 1001")
    beginning.pickle()
    pickle = beginning.pickle()
    keys = beginning.pickle().value
    storages = _in_order(keys, pickle.storages)
    spans = [Span(name, 0, beginning.at, "the pickles"), Span(name, size, size, "the end of the file")]
    places: dict[str, Place] = {}
    at = beginning.at
    for storage in storages:
        start = at + _COUNT_BYTES
        places[storage.key] = Place(start, storage.nbytes)
        spans.append(Span(name, at, start, f"the length of storage {storage.key}"))
        at = start + storage.nbytes
        spans.append(Span(name, start, at, f"storage {storage.key}"))
    _expect_end(at, size, storages)
    _check_counts(file, storages, places)
    return Contents("legacy", pickle, places, spans)


class _Beginning:
    """As much of the file's beginning as its pickles have asked for."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self._data = b""
        self.at = 0

    def pickle(self) -> Outcome:
        """The next pickle. One that ends too early is read again with twice the bytes: linear, all in all."""
        while True:
            try:
                outcome = read_pickle(self._data, self.at)
            except Truncated:
                self._read_on()
            else:
                self.at = outcome.stop
                return outcome

    def _read_on(self) -> None:
        held = len(self._data)
        if held >= self._size:
            raise Refusal("file.truncated", f"byte {held}: the file ends inside of its pickles") from None
        if held >= PICKLE_LIMIT:
            message = f"byte {held}: the pickles go on; at most {PICKLE_LIMIT} bytes of them are read"
            raise Refusal("pickle.unreadable", message) from None
        self._file.seek(held)
        more = self._file.read(min(max(held, _FIRST_READ), self._size - held))
        if not more:
            raise Refusal("file.truncated", f"byte {held}: the file has become shorter while it was read") from None
        self._data += more


def _expect(value: Value, wanted: int, what: str) -> None:
    if value != wanted or isinstance(value, bool):
        raise Refusal("file.wrong-format", f"expected {what}, found {shown(value)}: a pickle, but not PyTorch's")


def _in_order(keys: Value, storages: dict[str, Storage]) -> list[Storage]:
    """The storages as their bytes follow each other."""
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise Refusal("pickle.unreadable", f"expected the list of the storages' keys, found {shown(keys)}")
    if len(set(keys)) != len(keys):
        raise Refusal("header.duplicate-name", "a storage's key occurs twice in the list of them")
    for key in keys:
        if key not in storages:
            message = f"the length of storage {shown(key)} is unknown: no tensor mentions it"
            raise Refusal("pickle.unreadable", message)
    return [storages[key] for key in keys]


def _expect_end(at: int, size: int, storages: list[Storage]) -> None:
    if at > size:
        message = f"the storages ({len(storages)}) end at byte {at}, the file at byte {size}, {at - size} short"
        raise Refusal("file.truncated", message)
    if at < size:
        message = f"the storages ({len(storages)}) end at byte {at}, the file has {size}, {size - at} extra"
        raise Refusal("file.trailing-bytes", message)


def _check_counts(file: BinaryIO, storages: list[Storage], places: dict[str, Place]) -> None:
    """The lengths before the storages, against those in the pickle."""
    for storage in storages:
        at = places[storage.key].start - _COUNT_BYTES
        file.seek(at)
        found = int.from_bytes(file.read(_COUNT_BYTES), "little")
        wanted = storage.nbytes // (item_bytes(storage.dtype) if storage.dtype else 1)
        if found != wanted:
            message = f"byte {at}: expected storage {shown(storage.key)} to have {wanted} elements, found {found}"
            raise Refusal("header.size-mismatch", message)
