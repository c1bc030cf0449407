"""One hostile case: a folder to be written, and which path of it is examined. Kept as JSON, it is a regression test."""

from __future__ import annotations

import base64
import json
import os
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias


class Blob(NamedTuple):
    """A file: some bytes, and a hole after them, so that a real header may be as large as the real file."""

    head: bytes
    hole: int = 0

    @property
    def size(self) -> int:
        return len(self.head) + self.hole


class Special(NamedTuple):
    """What stands where a file is expected."""

    kind: Literal["link", "pipe", "folder", "unreadable"]
    target: str = ""
    """Of a link."""


Entry: TypeAlias = Blob | Special


class Case(NamedTuple):
    """Files by name, as bytes that need not be text; `examined` is one of them, or empty for the folder."""

    files: Mapping[bytes, Entry]
    examined: str = ""
    sound: bool | None = None
    """True where whoever made it knows that nothing is wrong, False where it cannot be read; None: ask the oracle."""

    def write(self, folder: Path) -> Path:
        """Into a folder, emptied before. Returns what is to be examined."""
        _empty(folder)
        for name, entry in self.files.items():
            _write(os.path.join(os.fsencode(folder), name), entry)
        return folder / self.examined

    def to_json(self) -> str:
        """The whole of it; `from_json` is the inverse."""
        files = [[_packed(name), _entry_to_json(entry)] for name, entry in self.files.items()]
        return json.dumps({"examined": self.examined, "sound": self.sound, "files": files}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Case:
        told = json.loads(text)
        return cls({_unpacked(n): _entry(e) for n, e in told["files"]}, told["examined"], told["sound"])


def one_file(name: str, blob: Blob) -> Case:
    """Alone in its folder, and examined by name."""
    return Case({name.encode(): blob}, name)


def _packed(raw: bytes) -> str:
    return base64.b64encode(zlib.compress(raw, 9)).decode()


def _unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


def _entry_to_json(entry: Entry) -> dict[str, Any]:
    if isinstance(entry, Blob):
        return {"head": _packed(entry.head), "hole": entry.hole}
    return entry._asdict()


def _entry(told: dict[str, Any]) -> Entry:
    return Blob(_unpacked(told["head"]), told["hole"]) if "head" in told else Special(**told)


def _write(path: bytes, entry: Entry) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if isinstance(entry, Blob):
        with open(path, "wb") as file:
            file.write(entry.head)
            if entry.hole:
                file.truncate(entry.size)
    elif entry.kind == "link":
        os.symlink(os.fsencode(entry.target), path)
    elif entry.kind == "pipe":
        os.mkfifo(path)
    elif entry.kind == "folder":
        os.mkdir(path)
    else:
        with open(path, "wb"):
            os.chmod(path, 0)


def _empty(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    with os.scandir(os.fsencode(folder)) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
