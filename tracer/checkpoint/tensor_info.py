"""What a checkpoint says about one tensor."""

from __future__ import annotations

from dataclasses import dataclass


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
