"""Reads a header whose length nobody states, without one byte of what follows it.

A GGUF header ends where its last entry ends. What is known on the way is a lower bound: so many keys, strings and
tensors are still to come, and none is shorter than its fixed part. A read asks for no more than this *promise*; each
length that is met raises it. A header of some megabytes takes a few dozen reads.
"""

from __future__ import annotations

from struct import Struct
from typing import BinaryIO

from tracer.checkpoint.gguf.refusal import Refusal

HEADER_LIMIT = 1 << 26
"""Far above any header seen (a tokenizer takes about 10 MB); beyond it, counts are damaged."""
_CHUNK = 1 << 22
"""One read asks for no more, so that a promise of a damaged count costs no memory."""
_U64 = Struct("<Q")
LENGTH_BYTES = _U64.size
"""Of the length before each string."""


class Window:
    """The part of the header that is in memory, and where in the file the next entry begins."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self._buffer = b""
        self._base = 0
        """Where in the file the buffer begins."""
        self._next = 0
        """Where in the buffer the next entry begins; beyond its end after a skip."""
        self._promised = 0

    @property
    def at(self) -> int:
        """The byte of the file that is read next."""
        return self._base + self._next

    def promise(self, nbytes: int, what: str) -> None:
        """From here on, so many bytes more than known before belong to the header, on account of `what`."""
        least = self.at + self._promised + nbytes
        if least > self._size:
            said = f"byte {self.at}: {what}: the header has at least {least} bytes, the file {self._size}"
            raise Refusal("file.truncated", said)
        if least > HEADER_LIMIT:
            said = f"byte {self.at}: {what}: a header of at least {least} bytes, expected at most {HEADER_LIMIT}"
            raise Refusal("header.too-large", said)
        self._promised += nbytes

    def take(self, nbytes: int) -> bytes:
        """The next bytes, which must have been promised."""
        self._fill(nbytes)
        taken = self._buffer[self._next : self._next + nbytes]
        self._advance(nbytes)
        return taken

    def skip(self, nbytes: int) -> None:
        """Go past bytes that were promised and are of no interest; what is not in memory yet is never read."""
        self._advance(nbytes)

    def length(self) -> int:
        """The next eight bytes as a number."""
        self._fill(LENGTH_BYTES)
        (value,) = _U64.unpack_from(self._buffer, self._next)
        self._advance(LENGTH_BYTES)
        return int(value)

    def skip_strings(self, count: int, what: str) -> None:
        """Go past strings of which so far only the length fields were promised."""
        while count:
            self._fill(LENGTH_BYTES)
            first = at = self._next
            last = len(self._buffer) - LENGTH_BYTES
            walked = 0
            while walked < count and at <= last:
                at += LENGTH_BYTES + _U64.unpack_from(self._buffer, at)[0]
                walked += 1
            self.promise(at - first - walked * LENGTH_BYTES, what)
            self._advance(at - first)
            count -= walked

    def _advance(self, nbytes: int) -> None:
        assert 0 <= nbytes <= self._promised, "bytes that nobody promised may be weights"
        self._promised -= nbytes
        self._next += nbytes

    def _fill(self, nbytes: int) -> None:
        assert nbytes <= self._promised, "bytes that nobody promised may be weights"
        held = max(len(self._buffer) - self._next, 0)
        if held >= nbytes:
            return
        kept = self._buffer[self._next :]
        wanted = max(nbytes, min(self._promised, _CHUNK)) - held
        self._base, self._next = self.at, 0
        self._buffer = kept + self._read(self._base + held, wanted)

    def _read(self, start: int, nbytes: int) -> bytes:
        self._file.seek(start)
        pieces = []
        while nbytes:
            piece = self._file.read(nbytes)
            if not piece:
                raise Refusal("file.truncated", f"expected {self._size} bytes, the file ends {nbytes} short of {start}")
            pieces.append(piece)
            nbytes -= len(piece)
        return b"".join(pieces)
