"""The bytes of a checkpoint file, mapped and never copied; what they mean is for others to say."""

from __future__ import annotations

import mmap
from pathlib import Path
from types import TracebackType

from tracer.checkpoint.regular_file import open_regular


def map_file(path: Path) -> mmap.mmap:
    """A read-only map of the whole file; close it, or use it as a context manager."""
    with open_regular(path) as file:
        # ACCESS_READ rather than a private copy: a stray write then fails instead of going unnoticed.
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


class MappedFile:
    """A mapped file that hands out spans of itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._map = map_file(path)

    def span(self, offset: int, nbytes: int) -> memoryview:
        """The bytes `[offset, offset + nbytes)`, checked, since a slice would silently be shorter."""
        if offset < 0 or nbytes < 0 or offset + nbytes > len(self._map):
            raise ValueError(f"{self.path.name} has {len(self._map)} bytes, asked for {nbytes} from {offset}")
        return memoryview(self._map)[offset : offset + nbytes]

    def close(self) -> None:
        """Fails with BufferError while a span is still in use."""
        self._map.close()

    def __enter__(self) -> MappedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
