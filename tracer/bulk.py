"""Frozen records by the hundred thousand, a field at a time: in a third of the time of a constructor's call each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any, TypeVar

T = TypeVar("T")


def in_bulk(kind: type[T], first: Sequence[Any], *others: Iterable[Any]) -> list[T]:
    """Records of a dataclass with slots and without `__post_init__`, from a column a field, all fields in their order.

    The first column says how many; others may be longer, or endless, and are never shorter.
    """
    fields: Sequence[str] = kind.__slots__  # type: ignore[attr-defined]
    found = list(map(kind.__new__, repeat(kind, len(first))))
    for field, values in zip(fields, (first, *others), strict=True):
        # A frozen class lets nobody set a field by its name, and calls Python for each in its own constructor.
        deque(map(getattr(kind, field).__set__, found, values), maxlen=0)
    return found
