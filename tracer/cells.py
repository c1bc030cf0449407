"""How the store spells the values of a trace that are no numbers and no names: as JSON, each remembered.

A few thousand shapes, ranges and shards are all that a million moves have.
"""

from __future__ import annotations

import json
from functools import lru_cache

from mappings.views import Box, Ranges, Shape
from tracer.events import ranges_from_json, ranges_to_json


@lru_cache(maxsize=1 << 16)
def ranges_text(ranges: Ranges) -> str:
    return json.dumps(ranges_to_json(ranges), separators=(",", ":"))


@lru_cache(maxsize=1 << 16)
def ranges_of(text: str) -> Ranges:
    """The inverse of `ranges_text`."""
    return ranges_from_json(json.loads(text))


def perm_text(perm: tuple[int, ...] | None) -> str | None:
    return json.dumps(perm) if perm else None


@lru_cache(maxsize=1 << 16)
def box_of(src: str, dst: str, perm: str | None) -> Box:
    """A block from its three columns."""
    return Box(ranges_of(src), ranges_of(dst), tuple(json.loads(perm)) if perm else None)


@lru_cache(maxsize=1 << 12)
def shape_text(shape: Shape) -> str:
    return json.dumps(shape)


@lru_cache(maxsize=1 << 12)
def shape_of(text: str) -> Shape:
    """The inverse of `shape_text`."""
    return tuple(json.loads(text))


@lru_cache(maxsize=1 << 12, typed=True)
def shard_text(shard: str | int | None) -> str:
    """A move's shard; JSON tells `3` from `"3"`."""
    return json.dumps(shard)


@lru_cache(maxsize=1 << 12)
def shard_of(text: str) -> str | int | None:
    """The inverse of `shard_text`."""
    shard: str | int | None = json.loads(text)
    return shard
