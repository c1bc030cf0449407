"""The bytes of a checkpoint file, mapped and never copied; what they mean is for others to say."""

from __future__ import annotations

import mmap
import os
import weakref
from pathlib import Path
from typing import Self

from tracer.checkpoint.regular_file import open_regular
from tracer.checkpoint.stamp import Stamp
from tracer.errors import InputError


class MappedFile(mmap.mmap):
    """A read-only map of a whole file that also hands out spans of it, and reads."""

    path: Path
    stamp: Stamp
    _descriptor: int
    _release: weakref.finalize[[int], Self]

    def __new__(cls, path: Path) -> Self:
        with open_regular(path) as file:
            # ACCESS_READ rather than a private copy: a stray write then fails instead of going unnoticed.
            self = super().__new__(cls, file.fileno(), 0, access=mmap.ACCESS_READ)
            self._descriptor = os.dup(file.fileno())
            self.stamp = Stamp.of(os.fstat(self._descriptor))
        self.path = path
        self._release = weakref.finalize(self, os.close, self._descriptor)
        return self

    def span(self, offset: int, nbytes: int) -> memoryview:
        """The bytes `[offset, offset + nbytes)`, checked, since a slice would silently be shorter."""
        if offset < 0 or nbytes < 0 or offset + nbytes > len(self):
            raise ValueError(f"{self.path.name} has {len(self)} bytes, asked for {nbytes} from {offset}")
        return memoryview(self)[offset : offset + nbytes]

    def read_into(self, offset: int, into: memoryview) -> None:
        """Fill `into` from the file itself, at once where it is long.

        Raises InputError when the file ends early or cannot be read, both of which would be a SIGBUS in the map.
        """
        done = 0
        while done < len(into):
            try:
                count = os.preadv(self._descriptor, [into[done:]], offset + done)
            except OSError as error:
                raise InputError(
                    f"{self.path}: byte {offset + done}: cannot be read: {error.strerror}", subject=self.path.name
                ) from error
            if count == 0:
                raise InputError(
                    f"{self.path}: expected bytes {offset} to {offset + len(into)}, found the end of the file at "
                    f"{offset + done}: it was cut short while it was read",
                    code="file.truncated", subject=self.path.name,
                )  # fmt: skip
            done += count

    def close(self) -> None:
        """Fails with BufferError while a span is still in use."""
        super().close()
        self._release()


def map_file(path: Path) -> MappedFile:
    """A read-only map of the whole file; close it, or use it as a context manager."""
    return MappedFile(path)
