"""Reads the small JSON files beside the weights; their content is as untrusted as the weights are."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from tracer.checkpoint.files import Files, read_all
from tracer.checkpoint.sniff import HEAD_BYTES, kind_of
from tracer.errors import InputError

_LIMIT = 200_000_000
"""The largest index seen describes a million tensors in a tenth of this."""


def read_object(files: Files, file: str, code: str, *, unique_keys: bool = False) -> dict[str, Any]:
    """The JSON object in a file; anything else is refused with `code`, or the code of what it really is."""
    content, path = read_all(files, file, _LIMIT), files.where(file)
    kind = kind_of(content[:HEAD_BYTES])
    if kind is not None:
        raise InputError(
            f"{path}: expected JSON, found {kind.what}; {kind.advice}", code=kind.code, subject=file
        )
    try:
        value = json.loads(content.decode("utf-8"), object_pairs_hook=unique_dict if unique_keys else None)
    except RecursionError:
        raise InputError(f"{path}: JSON nested too deeply", code=code, subject=file) from None
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON: {error}", code=code, subject=file) from error
    if not isinstance(value, dict):
        found = "null" if value is None else f"a {type(value).__name__}"
        raise InputError(f"{path}: expected a JSON object, found {found}", code=code, subject=file)
    return value


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
