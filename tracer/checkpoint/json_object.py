"""Reads the small JSON files beside the weights; their content is as untrusted as the weights are."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from tracer.checkpoint.files import Files, read_all
from tracer.checkpoint.sniff import HEAD_BYTES, kind_of
from tracer.errors import InputError

READ_LIMIT = 32_000_000
"""Bytes of JSON that are read at all; the index of DeepSeek-V3's 92,000 tensors has 9 million."""
_UNASKED = 4_000_000
"""Bytes of JSON that take little memory, whatever they say."""
_MEMORY = 140_000_000
"""Bytes that one document and its values may take, of which later as many again are made; enough for a header of
92,000 tensors, or an index of 240,000."""

_LEVELS = 100
_NESTED = (dict, list)
_TOO_DEEP = "JSON nested too deeply"
_MARKS = {
    b"\xef\xbb\xbf": "a byte order mark, which is not JSON",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


def read_object(files: Files, file: str, code: str) -> dict[str, Any]:
    """The JSON object in a file; anything else is refused with `code`, or the code of what it really is."""
    content, path = read_all(files, file, READ_LIMIT), files.where(file)
    kind = kind_of(content[:HEAD_BYTES])
    if kind is not None:
        raise InputError(
            f"{path}: expected JSON, found {kind.what}; {kind.advice}", code=kind.code, subject=file
        )
    try:
        if is_costly(content):
            held = f"{len(content)} bytes of JSON whose values would take more than {_MEMORY} bytes of memory"
            raise _Refusal(held)
        text = _text(content)
        del content  # of as many bytes as the text
        return _parse(text)
    except _Refusal as refusal:
        raise InputError(f"{path}: {refusal}", code=code, subject=file) from None


class _Refusal(Exception):
    """A reason without its file, which the caller knows."""


def _parse(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, object_pairs_hook=consistent_dict)
    except RecursionError:
        raise _Refusal(_TOO_DEEP) from None
    except (json.JSONDecodeError, DuplicateKey) as error:
        raise _Refusal(f"not valid JSON: {error}") from None
    except ValueError:
        # Python refuses to read it, for the time that it would take.
        raise _Refusal("it holds a number of more digits than any size has") from None
    if not isinstance(value, dict):
        raise _Refusal(f"expected a JSON object, found {kind_of_value(value)}")
    if _is_deep(value):
        raise _Refusal(_TOO_DEEP)
    return value


def _text(content: bytes) -> str:
    if not content:
        raise _Refusal("expected a JSON object, found 0 bytes")
    for mark, what in _MARKS.items():
        if content.startswith(mark):
            raise _Refusal(f"expected UTF-8, found {what}; save it as UTF-8")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        found = content[error.start : error.start + 1]
        raise _Refusal(f"expected UTF-8, found {found!r} at byte {error.start}") from None


def is_costly(content: bytes) -> bool:
    """Whether to read this JSON could take more memory than anything that describes a checkpoint does.

    Judged by what the values consist of, each at its most expensive: the bytes themselves; text and strings of one to
    four bytes a letter; 28 bytes for each quote, 100 for each key, 50 for whatever else begins or ends a value.
    """
    if len(content) <= _UNASKED:
        return False
    width = 1 if content.isascii() and b"\\u" not in content else 4
    marks = sum(map(content.count, (b",", b"[", b"{")))
    return (1 + 2 * width) * len(content) + 28 * content.count(b'"') + 100 * content.count(b":") + 50 * marks > _MEMORY


def _is_deep(value: object) -> bool:
    """Whether it is nested deeper than whatever is done with it later can follow."""
    level = [value]
    for _ in range(_LEVELS):
        if not level:
            return False
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, _NESTED)]
        level = [child for children in inner for child in children if isinstance(child, _NESTED)]
    return bool(level)


def kind_of_value(value: object) -> str:
    """What a JSON value is, in words: `a list`, `null`, `3`."""
    for kind, words in ((dict, "an object"), (list, "a list"), (str, "a string")):
        if isinstance(value, kind):
            return words
    return json.dumps(value)[:80]


class DuplicateKey(ValueError):
    """One JSON object holds a key twice; most readers would let the last one win."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the key {key[:200]!r} occurs twice in one object")
        self.key = key


def unique_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An `object_pairs_hook` that refuses duplicate keys."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise DuplicateKey(Counter(key for key, _ in pairs).most_common(1)[0][0])
    return value


def consistent_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An `object_pairs_hook` that refuses a key with two values; the same value twice loses nothing."""
    value = dict(pairs)
    if len(value) != len(pairs):
        for key, item in pairs:
            if value[key] != item:
                raise DuplicateKey(key)
    return value
