"""What a checkpoint says about one tensor."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod


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
