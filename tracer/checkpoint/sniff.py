"""What a file really is, when it is not what its name says: judged by its first bytes alone."""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from typing import NamedTuple

LFS_MAGIC = b"version https://git-lfs"
HEAD_BYTES = 512
"""As much of a file's beginning as these tests look at."""


class Kind(NamedTuple):
    """A recognised format: the finding's code, what it is, what to do."""

    code: str
    what: str
    advice: str


_SAVE_AS = "convert it to safetensors"
_NAME = "name a file of weights, or the folder that they are in"
_POINTER = Kind("file.lfs-pointer", "a Git-LFS pointer, not the file it stands for", "run git lfs pull")
_STARTS: list[tuple[tuple[bytes, ...], Kind]] = [
    ((LFS_MAGIC,), _POINTER),
    ((b"GGUF",), Kind("file.wrong-format", "a GGUF file", "name it .gguf")),
    ((b"PK\x03\x04",), Kind("file.wrong-format", "a zip archive (PyTorch .bin or .pt)", _SAVE_AS)),
    (
        (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
        Kind("file.wrong-format", "a Python pickle (old PyTorch .bin or .pt)", _SAVE_AS),
    ),
    ((b"\x89HDF\r\n",), Kind("file.wrong-format", "an HDF5 file", _SAVE_AS)),
    ((b"\x1f\x8b",), Kind("file.wrong-format", "a gzip archive", "unpack it first")),
    ((b"\x89PNG\r\n",), Kind("file.wrong-format", "a PNG image", _NAME)),
    ((b"\xff\xd8\xff",), Kind("file.wrong-format", "a JPEG image", _NAME)),
    ((b"GIF87a", b"GIF89a"), Kind("file.wrong-format", "a GIF image", _NAME)),
    ((b"%PDF-",), Kind("file.wrong-format", "a PDF document", _NAME)),
    ((b"SQLite format 3\0",), Kind("file.wrong-format", "an SQLite file", "a saved trace is for tracer audit")),
]
_PAGE_STARTS = (b"<!doctype", b"<html", b"<?xml")
_JSON_START = re.compile(rb"[{\[]\s*[\"{\[\]}]|[{\[]\s+$")
"""Of a safetensors file the first eight bytes are a length below 100 MB, and thus zeros at their end."""
_JSON_ERROR_STARTS = (b'{"error"', b'{"message"')
_TITLE = re.compile(rb"<title[^>]*>\s*([^<]{1,80}?)\s*</title", re.IGNORECASE)


def kind_of(head: bytes) -> Kind | None:
    """The format that `head` begins, or None if it is none that we know."""
    for starts, kind in _STARTS:
        if head.startswith(starts):
            return kind
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(_PAGE_STARTS):
        return Kind("file.html", f"a web page{_title(head)}", "download it again, logged in if gated")
    if text.startswith(_JSON_ERROR_STARTS):
        return Kind("file.html", "an error message of a server", "download it again")
    return None


def kind_of_weights(head: bytes) -> Kind | None:
    """The same for a file of weights, which JSON is none of."""
    kind = kind_of(head)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if kind is None and b"\0" not in head[:8] and _JSON_START.match(text):
        return Kind("file.wrong-format", "JSON", "name the folder that it is in")
    return Kind("file.wrong-format", "text", _NAME) if kind is None and _is_text(head) else kind


def _is_text(head: bytes) -> bool:
    """UTF-8 that could be printed; the last character may be cut."""
    try:
        text = getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return text != "" and all(letter.isprintable() or letter.isspace() for letter in text)


def _title(head: bytes) -> str:
    found = _TITLE.search(head)
    return f" (title: {found[1].decode(errors='replace')!r})" if found else ""
