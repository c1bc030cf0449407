"""A header in which nothing is odd, read a column at a time: of 92,000 tensors in a fifth of the time.

What is odd in any way is not judged here but left to `entries.py`, which looks at one entry after the other and says
what is wrong with it, or that nothing is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import chain
from operator import itemgetter, sub
from typing import Any, TypeAlias

from tracer.checkpoint.dtypes import BITS
from tracer.checkpoint.entries import FIELDS, LARGEST, Entries, Refusal, size_of

METADATA = "__metadata__"
_STRINGS = 5
"""Of an entry: its name, three fields, and the value of the first."""
_DICT, _LIST, _STR, _INT, _PAIR, _FIELD_COUNT = (
    frozenset(each) for each in ({dict}, {list}, {str}, {int}, {2}, {len(FIELDS)})
)
_DTYPES = {dtype: dtype for dtype in BITS}
Kind: TypeAlias = tuple[str, tuple[int, ...]]
"""A dtype and a shape."""


def plain_entries(text: str) -> tuple[Entries, dict[str, str]] | None:
    """The entries and the metadata of a JSON object, in the order of their offsets where they follow each other.

    None where anything asks for a closer look. A name that occurs twice is one: where nothing is escaped, each string
    has two quotes, and the quotes of what a repetition replaced are too many.
    """
    if "\\" in text or "-0" in text:
        return None
    try:
        content: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError):
        return None
    strings = int(METADATA in content)
    metadata = content.pop(METADATA, {})
    if type(metadata) is not dict or not _STR.issuperset(map(type, metadata.values())):
        return None
    strings += 2 * len(metadata) + _STRINGS * len(content)
    entries = _entries(content) if 2 * strings == text.count('"') else None
    return None if entries is None else (entries, metadata)


def _entries(content: Mapping[str, Any]) -> Entries | None:
    values = content.values()
    if not (_DICT.issuperset(map(type, values)) and _FIELD_COUNT.issuperset(map(len, values))):
        return None
    try:
        dtypes, shapes, offsets = (list(map(itemgetter(field), values)) for field in ("dtype", "shape", "data_offsets"))
    except KeyError:
        return None
    if not (_STR.issuperset(map(type, dtypes)) and _DTYPES.keys() >= set(dtypes) and _counts(shapes, offsets)):
        return None
    begins, ends = (list(map(itemgetter(place), offsets)) for place in (0, 1))
    dtypes = list(map(_DTYPES.__getitem__, dtypes))
    kinds = list(zip(dtypes, map(tuple, shapes), strict=True))
    sizes = _sizes(set(kinds))
    if sizes is None or list(map(sub, ends, begins)) != list(map(sizes.__getitem__, kinds)):
        return None
    # One tuple a shape rather than one a tensor.
    shared = {kind: kind[1] for kind in sizes}
    columns = begins, ends, list(content), dtypes, list(map(shared.__getitem__, kinds))
    found = Entries(*columns)
    return found if begins[1:] == ends[:-1] else Entries.sorted(found.one_by_one())


def _counts(shapes: list[Any], offsets: list[Any]) -> bool:
    """Whether all are lists of whole numbers, the second ones of two; JSON's true is a number in Python."""
    if not (_LIST.issuperset(map(type, chain(shapes, offsets))) and _PAIR.issuperset(map(len, offsets))):
        return False
    for lists in (shapes, offsets):
        if not _INT.issuperset(map(type, chain.from_iterable(lists))):
            return False
        if not 0 <= min(chain.from_iterable(lists), default=0) <= max(chain.from_iterable(lists), default=0) <= LARGEST:
            return False
    return True


def _sizes(kinds: Iterable[Kind]) -> dict[Kind, int] | None:
    """Of each dtype with a shape its bytes; None where one of them cannot be."""
    try:
        return {kind: size_of("", *kind) for kind in kinds}
    except Refusal:
        return None
