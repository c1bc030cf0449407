"""What stands for the objects that a pickle describes; none of them is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from tracer.checkpoint.dtypes import BITS

Value: TypeAlias = Any
"""None, bool, int, float, str, bytes, list, tuple, or one of the classes below."""

UNNAMED_BITS: dict[str, int] = {
    "complex32": 32,
    "complex128": 128,
    "qint8": 8,
    "quint8": 8,
    "qint32": 32,
    "quint4x2": 8,
    "quint2x4": 8,
}
"""Data types of torch for which safetensors has no spelling: their storages are measured, their tensors not listed."""


def item_bytes(dtype: str) -> int:
    """Bytes an element, in safetensors spelling or, where it has none, in torch's."""
    return (BITS.get(dtype) or UNNAMED_BITS[dtype]) // 8


class Pairs(list[tuple[Value, Value]]):
    """A dict as its items, in order. No key is hashed: a file could choose keys that all collide."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Opaque:
    """Something harmless that no tensor needs: a set, a device, a complex number."""

    what: str


@dataclass(frozen=True, slots=True)
class Storage:
    """A run of elements, kept in the file under `key`."""

    key: str
    dtype: str | None
    """None: bytes whose tensors say what they are."""
    nbytes: int
    """Of the whole storage, also for a view of it."""
    first: int = 0
    """Byte at which a view of it begins (PyTorch 0.1)."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A strided view of a storage; offset and strides in elements."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Oddity:
    """A tensor that is more than a view of some bytes."""

    what: str
