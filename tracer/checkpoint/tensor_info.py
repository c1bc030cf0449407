"""What a checkpoint says about one tensor."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from math import prod
from typing import Any


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of a checkpoint, as its header describes it."""

    name: str
    dtype: str
    """Safetensors spelling: F32, BF16, F8_E4M3 ..."""
    shape: tuple[int, ...]
    file: str | None
    """Relative to the checkpoint folder; None where no file holds it (dummy)."""
    offset: int | None
    """Absolute byte in the file."""
    nbytes: int
    strides: tuple[int, ...] | None = None
    """In elements; None where the bytes are in row-major order, as they are outside of pickles."""
    big_endian: bool = False
    """Bytes of an element reversed, as a PyTorch file may say of itself."""

    @property
    def reach(self) -> int:
        """Elements from the first to the one that lies furthest, both counted."""
        if self.strides is None or 0 in self.shape:
            return prod(self.shape)
        return 1 + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))


def in_bulk(
    names: Sequence[str], dtypes: Iterable[str], shapes: Iterable[tuple[int, ...]], file: str,
    offsets: Iterable[int], sizes: Iterable[int],
) -> list[TensorInfo]:  # fmt: skip
    """Tensors of one file in row-major order, a column a field: in half the time of a constructor's call each."""
    found = list(map(TensorInfo.__new__, repeat(TensorInfo, len(names))))
    columns: dict[str, Iterable[Any]] = {
        "name": names, "dtype": dtypes, "shape": shapes, "file": repeat(file), "offset": offsets, "nbytes": sizes,
        "strides": repeat(None), "big_endian": repeat(False),
    }  # fmt: skip
    for field, values in columns.items():
        deque(map(getattr(TensorInfo, field).__set__, found, values), maxlen=0)
    return found
