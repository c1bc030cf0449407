"""How the store spells the values of a trace that are no numbers and no names: as JSON, each remembered.

A few thousand shapes, ranges and shards are all that a million moves have. A store is input like any other: whatever
a cell holds instead of its value raises InputError.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from mappings.views import Box, Ranges, Shape
from tracer.errors import InputError
from tracer.events import from_record, ranges_from_json, ranges_to_json
from tracer.validate import FIELDS

_NO_JSON = object()


def damaged(message: str) -> InputError:
    """The error for a store that no tool can have written like this."""
    return InputError(f"the trace store is damaged: {message}")


def record_of(kind: str, text: object) -> Any:
    """A record that is kept whole: the run, a finding, a check, the end."""
    try:
        return from_record(kind, _json(text))
    except (ValueError, RecursionError) as error:
        raise damaged(f"a {kind} record is {shown(text)}: {error}") from error


def _value_of(field: str, text: object) -> Any:
    expected, fits = FIELDS[field]
    try:
        value = _json(text)
    except (ValueError, RecursionError):
        value = _NO_JSON
    if not fits(value):
        raise damaged(f"a {field} is {shown(text)}, expected {expected}")
    return value


def _json(text: object) -> Any:
    if not isinstance(text, str):
        raise ValueError("expected a text of JSON")
    return json.loads(text)


def shown(text: object) -> str:
    """A cell, short enough for a message."""
    return ascii(text[:60] if isinstance(text, str | bytes) else text)


@lru_cache(maxsize=1 << 16)
def ranges_text(ranges: Ranges) -> str:
    return json.dumps(ranges_to_json(ranges), separators=(",", ":"))


@lru_cache(maxsize=1 << 16)
def ranges_of(text: str) -> Ranges:
    """The inverse of `ranges_text`."""
    return ranges_from_json(_value_of("src", text))


def perm_text(perm: tuple[int, ...] | None) -> str | None:
    return json.dumps(perm) if perm else None


@lru_cache(maxsize=1 << 16)
def box_of(src: str, dst: str, perm: str | None) -> Box:
    """A block from its three columns."""
    return Box(ranges_of(src), ranges_of(dst), None if perm is None else tuple(_value_of("perm", perm) or ()) or None)


@lru_cache(maxsize=1 << 12)
def shape_text(shape: Shape) -> str:
    return json.dumps(shape)


@lru_cache(maxsize=1 << 12)
def shape_of(text: str) -> Shape:
    """The inverse of `shape_text`."""
    return tuple(_value_of("shape", text))


@lru_cache(maxsize=1 << 12, typed=True)
def shard_text(shard: str | int | None) -> str:
    """A move's shard; JSON tells `3` from `"3"`."""
    return json.dumps(shard)


@lru_cache(maxsize=1 << 12)
def shard_of(text: str) -> str | int | None:
    """The inverse of `shard_text`."""
    shard: str | int | None = _value_of("shard", text)
    return shard
