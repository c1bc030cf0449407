"""Integers of a few bits out of words of 32, the lowest bits first, across words where they do not divide them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def unpacked(words: NDArray[Any], bits: int) -> NDArray[Any]:
    """(..., W) words of 32 bits -> (..., W * 32 / bits) integers from 0."""
    words = np.ascontiguousarray(words).view(np.uint32)
    if 32 % bits == 0:
        shifts = np.arange(0, 32, bits, dtype=np.uint32)
        values = (words[..., None] >> shifts) & np.uint32((1 << bits) - 1)
        return values.reshape(*words.shape[:-1], -1).astype(np.uint8)
    flags = np.unpackbits(words.view(np.uint8), axis=-1, bitorder="little")
    count = flags.shape[-1] // bits
    powers = (1 << np.arange(bits)).astype(np.uint8)
    return np.asarray(flags[..., : count * bits].reshape(*words.shape[:-1], count, bits) @ powers, dtype=np.uint8)


def columns_unpacked(words: NDArray[Any], bits: int) -> NDArray[Any]:
    """The same where they are packed along the first of two dimensions: (W, n) -> (W * 32 / bits, n)."""
    return unpacked(np.ascontiguousarray(words.T), bits).T
