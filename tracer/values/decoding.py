"""From the bytes of a tensor to numbers: every dtype of safetensors but the six-bit ones, and ggml's blocks.

Two F4 elements share a byte, the first in its lower half (PyTorch's `float4_e2m1fn_x2`, OCP Microscaling 1.0). How
six-bit elements are packed is written down nowhere, so they are not read. Quantised integers are read as the integers
that are stored; what they mean after their scales and zero points is for others to say.
"""

from __future__ import annotations

import sys
from functools import cache

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from mappings.ggml import STORED_TYPES
from tracer.checkpoint.dtypes import BITS
from tracer.values import blocks

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.generic]

_PLAIN = {
    "F64": "f8", "F32": "f4", "F16": "f2", "C64": "c8", "I64": "i8", "U64": "u8", "I32": "i4", "U32": "u4", "I16": "i2",
    "U16": "u2", "I8": "i1", "U8": "u1",
}  # fmt: skip
_OF_ML_DTYPES = {
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
    "F4": "float4_e2m1fn",
}
"""By name, since the smallest came with ml_dtypes 0.5."""
_GGML = {kind.name: kind for kind in STORED_TYPES.values() if kind.elements > 1}
NATIVE = sys.byteorder


def readable(dtype: str) -> bool:
    """Whether `decode` knows the dtype."""
    return dtype in _PLAIN or dtype == "BOOL" or _small(dtype) is not None or blocks.dequantiser(dtype) is not None


def unit(dtype: str) -> tuple[int, int]:
    """Elements and bytes of the least that can be read on its own; for a dtype that cannot be read, one byte."""
    if dtype in _GGML:
        return _GGML[dtype].elements, _GGML[dtype].nbytes
    bits = BITS.get(dtype, 8)
    return (1, bits // 8) if bits % 8 == 0 else (8 // bits or 1, 1)


def is_float(dtype: str) -> bool:
    """Whether its elements are rounded numbers, among which there may be infinities."""
    return dtype.startswith(("F", "BF", "C")) or dtype in _GGML


def decode(raw: Bytes, dtype: str, *, big_endian: bool = False) -> Numbers | None:
    """Numbers of the elements that `raw`, a whole number of units, holds: one-dimensional, in this machine's order.

    A view where it can be one. F32 for ggml's blocks. None for a dtype that cannot be read.
    """
    if dtype == "BOOL":
        return np.asarray(raw != 0)
    if dtype in _PLAIN:
        kind = np.dtype(_PLAIN[dtype]).newbyteorder(">" if big_endian else "<")
        return np.asarray(raw.view(kind).astype(kind.newbyteorder("="), copy=False))
    small = _small(dtype)
    if small is None:
        dequantise = blocks.dequantiser(dtype)
        return None if dequantise is None else dequantise(raw)
    if dtype == "F4":
        return np.stack((raw & 15, raw >> 4), axis=-1).ravel().view(small)
    if small.itemsize == 2:
        raw = decode(raw, "U16", big_endian=big_endian)  # type: ignore[assignment]
    return raw.view(small)


def _small(dtype: str) -> np.dtype[np.generic] | None:
    """The numpy dtype that ml_dtypes has for it."""
    found = getattr(ml_dtypes, _OF_ML_DTYPES.get(dtype, ""), None)
    return None if found is None else np.dtype(found)


@cache
def table(dtype: str) -> NDArray[np.float64] | None:
    """The number that each pattern of an element of one or two bytes stands for; None for others. Never written to.

    Of F4, whose bytes hold two elements, the sixteen patterns of one.
    """
    if dtype == "F4":
        return None if _small(dtype) is None else _wide(decode(np.arange(8, dtype=np.uint8) * 34 + 16, dtype))
    bits = BITS.get(dtype)
    if bits not in (8, 16) or not readable(dtype):
        return None
    patterns = np.arange(1 << bits, dtype=np.uint8 if bits == 8 else np.uint16)
    return _wide(decode(patterns.view(np.uint8), dtype, big_endian=NATIVE == "big"))


def _wide(numbers: Numbers | None) -> NDArray[np.float64]:
    assert numbers is not None
    with np.errstate(invalid="ignore"):  # patterns that are no numbers
        return numbers.astype(np.float64)
