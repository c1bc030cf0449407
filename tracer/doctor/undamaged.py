"""A folder without those of its files that cannot be read: what is left of it can be examined like any other."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from tracer.checkpoint.files import Files
from tracer.checkpoint.formats import FORMATS
from tracer.checkpoint.index import read_index
from tracer.errors import InputError


class Undamaged:
    """`Files` in which damaged ones are not there, and no index that can be read mentions them."""

    def __init__(self, files: Files, damaged: Collection[str]) -> None:
        self._files = files
        self._damaged = frozenset(damaged)
        self._indexes: dict[str, bytes] = {}
        for name in files.names():
            if name not in self._damaged and any(format.is_index(name) for format in FORMATS):
                self._shorten(name)

    def _shorten(self, name: str) -> None:
        """An index without what it says of damaged files; one that says nothing else is not there either."""
        try:
            index = read_index(self._files, name)
        except InputError:
            self._damaged |= {name}
            return
        kept = {tensor: file for tensor, file in index.weight_map.items() if file not in self._damaged}
        if not kept:
            self._damaged |= {name}
        elif len(kept) < len(index.weight_map):
            self._indexes[name] = _written({"weight_map": kept})

    @property
    def damaged(self) -> Collection[str]:
        """Those that are not there, indexes that cannot be read among them."""
        return self._damaged

    @property
    def title(self) -> str:
        return self._files.title

    @property
    def folder(self) -> Path | None:
        return self._files.folder

    @property
    def commit(self) -> str | None:
        return self._files.commit

    @property
    def one_file(self) -> bool:
        return self._files.one_file

    @property
    def at_once(self) -> int:
        return self._files.at_once

    def names(self) -> list[str]:
        return [name for name in self._files.names() if name not in self._damaged]

    def has(self, file: str) -> bool:
        return file not in self._damaged and self._files.has(file)

    def size(self, file: str) -> int:
        return len(self._indexes[file]) if file in self._indexes else self._files.size(file)

    def open(self, file: str) -> BinaryIO:
        return io.BytesIO(self._indexes[file]) if file in self._indexes else self._files.open(file)

    def pointer_size(self, file: str) -> int | None:
        return self._files.pointer_size(file)

    def where(self, file: str) -> str:
        return self._files.where(file)


def _written(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content).encode()
