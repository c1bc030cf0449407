"""Reads `*.safetensors.index.json`: which file each tensor is promised to be in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from tracer.checkpoint.json_object import read_object
from tracer.errors import InputError

SUFFIX = ".safetensors.index.json"
DEFAULT_NAME = f"model{SUFFIX}"
_NAME_LIMIT = 255
"""What file systems take."""


@dataclass(frozen=True, slots=True)
class Index:
    """An index as written, checked for form only; whether it is true is for `consistency.py`."""

    file: str
    weight_map: dict[str, str]
    total_size: int | None

    def files(self) -> list[str]:
        """The files it names, each once, in order of first mention."""
        return list(dict.fromkeys(self.weight_map.values()))


def find_index(folder: Path) -> Path | None:
    """The folder's index; where several exist and none has the usual name, none of them is it."""
    usual = folder / DEFAULT_NAME
    if usual.exists():
        return usual
    found = sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIX))
    return found[0] if len(found) == 1 else None


def read_index(path: Path) -> Index:
    content = read_object(path, "index.invalid", unique_keys=True)
    weight_map = content.get("weight_map")
    if not isinstance(weight_map, dict):
        raise _invalid(path, f"weight_map: expected an object, found {type(weight_map).__name__}")
    for tensor, file in weight_map.items():
        fault = _fault(tensor, file)
        if fault is not None:
            raise _invalid(path, f"weight_map entry {tensor[:200]!a}: {fault}")
    return Index(path.name, weight_map, _total_size(content.get("metadata")))


def _invalid(path: Path, message: str) -> InputError:
    return InputError(f"{path}: {message}", code="index.invalid", subject=path.name)


def _fault(tensor: str, file: object) -> str | None:
    """What is wrong with one entry; an index must not be a way to read files elsewhere."""
    if not isinstance(file, str):
        return f"expected a file name, found {type(file).__name__}"
    if not file or not (tensor + file).isprintable():
        # Also refuses half surrogate pairs and NUL, which no file system call takes.
        return f"expected printable names, found {file[:200]!a}"
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
