"""Reads `*.index.json`: which file each tensor is promised to be in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, NoReturn

from tracer.checkpoint.files import Files
from tracer.checkpoint.json_object import kind_of_value, read_object
from tracer.errors import InputError

_NAME_LIMIT = 255
"""What file systems take."""

_MOST_FILES = 100_000
"""As many shards as are counted; each is looked for several times."""


@dataclass(frozen=True)
class Index:
    """An index as written, checked for form only; whether it is true is for `consistency.py`."""

    file: str
    weight_map: dict[str, str]
    total_size: int | None

    def files(self) -> list[str]:
        """The files it names, each once, in order of first mention."""
        return list(self._files)

    @cached_property
    def _files(self) -> dict[str, None]:
        return dict.fromkeys(self.weight_map.values())


def read_index(files: Files, file: str) -> Index:
    """The index in a file. Raises InputError."""
    content = read_object(files, file, "index.invalid")
    where = files.where(file)
    weight_map = content.get("weight_map")
    if not isinstance(weight_map, dict):
        found = kind_of_value(weight_map) if "weight_map" in content else "no such field"
        raise _invalid(where, file, f"weight_map: expected an object, found {found}")
    if not weight_map:
        raise _invalid(where, file, "weight_map: expected at least one tensor, found none")
    homes = {home: home for home in weight_map.values() if isinstance(home, str)}
    if len(homes) > _MOST_FILES:
        raise _invalid(where, file, f"weight_map: expected at most {_MOST_FILES} files, found {len(homes)}")
    if not _plain(weight_map, homes):
        _refuse_first(weight_map, where, file)
    # One string a file rather than one a tensor.
    weight_map.update(zip(weight_map, map(homes.__getitem__, weight_map.values()), strict=True))
    return Index(file, weight_map, _total_size(content.get("metadata")))


def _plain(weight_map: Mapping[str, Any], homes: Iterable[str]) -> bool:
    """Whether nothing is wrong with any entry; each file is looked at once."""
    named = {str}.issuperset(map(type, weight_map.values())) and all(map(str.isprintable, weight_map))
    return named and not any(map(_fault_of_file, homes))


def _refuse_first(weight_map: Mapping[str, Any], where: str, file: str) -> NoReturn:
    faults = ((tensor, fault) for tensor, home in weight_map.items() if (fault := _fault(tensor, home)))
    tensor, fault = next(faults)
    raise _invalid(where, file, f"weight_map entry {tensor[:200]!a}: {fault}")


def _invalid(where: str, file: str, message: str) -> InputError:
    return InputError(f"{where}: {message}", code="index.invalid", subject=file)


def _fault(tensor: str, file: object) -> str | None:
    """What is wrong with one entry; an index must not be a way to read files elsewhere."""
    if not isinstance(file, str):
        return f"expected a file name, found {kind_of_value(file)}"
    if not tensor.isprintable():
        return _not_printable(file)
    return _fault_of_file(file)


def _not_printable(file: str) -> str:
    return f"expected printable names, found {file[:200]!a}"


@lru_cache(maxsize=1 << 12)
def _fault_of_file(file: str) -> str | None:
    if not file or not file.isprintable():
        # Also refuses half surrogate pairs and NUL, which no file system call takes.
        return _not_printable(file)
    steps = PurePosixPath(file)
    # Both separators are judged everywhere, so that a checkpoint means the same on every system.
    if steps.is_absolute() or ".." in steps.parts or "\\" in file or PureWindowsPath(file).drive:
        return f"expected a file inside the checkpoint folder, found {file[:200]!a}"
    if any(len(step.encode()) > _NAME_LIMIT for step in steps.parts):
        return f"expected a file name of at most {_NAME_LIMIT} bytes, found {file[:200]!a}"
    return None


def _total_size(metadata: object) -> int | None:
    """Kept if it is a whole number; of any size, since 72-digit ones have been published."""
    size = metadata.get("total_size") if isinstance(metadata, dict) else None
    return size if type(size) is int else None
