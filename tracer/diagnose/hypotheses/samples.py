"""A few small tensors read whole: scales, biases and indices that decide what an error means. Standard library only."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable

from tracer.checkpoint.tensor_info import TensorInfo
from tracer.diagnose.state import State
from tracer.errors import InputError

_LARGEST = 1 << 20
"""Bytes of one tensor that are read."""
_MOST = 64
"""Tensors of a kind that are read."""
_CODES = {"F32": "f", "F64": "d", "I32": "i", "I64": "q", "U8": "B", "I8": "b"}


def raw(state: State, tensor: TensorInfo) -> bytes | None:
    """The bytes of a small tensor; None where they are not here, or too many."""
    files = state.checkpoint.files
    if tensor.file is None or tensor.offset is None or tensor.strides is not None or tensor.nbytes > _LARGEST:
        return None
    if files.folder is None:
        return None
    try:
        with files.open(tensor.file) as opened:
            opened.seek(tensor.offset)
            found = opened.read(tensor.nbytes)
    except (InputError, OSError):
        return None
    return found if len(found) == tensor.nbytes else None


def numbers(state: State, tensor: TensorInfo) -> list[float] | None:
    """Its elements; None where they cannot be read here."""
    found = raw(state, tensor)
    if found is None or tensor.big_endian:
        return None
    if tensor.dtype == "F16":
        return list(struct.unpack(f"<{len(found) // 2}e", found))
    if tensor.dtype == "BF16":  # the upper half of a float32
        found = b"".join(b"\0\0" + found[at : at + 2] for at in range(0, len(found), 2))
    code = _CODES.get("F32" if tensor.dtype == "BF16" else tensor.dtype)
    if code is None:
        return None
    values = array(code, found)
    if sys.byteorder == "big":
        values.byteswap()
    return list(values)


def all_zero(state: State, tensors: Iterable[TensorInfo]) -> bool | None:
    """Whether every byte of them is zero; None where one cannot be read."""
    for tensor in tensors:
        found = raw(state, tensor)
        if found is None:
            return None
        if any(found):
            return False
    return True


def extremes(state: State, tensors: Iterable[TensorInfo]) -> tuple[float, float] | None:
    """The least and the largest element of a sample of them; None where none can be read."""
    found = [number for tensor in list(tensors)[:_MOST] for number in numbers(state, tensor) or ()]
    return (min(found), max(found)) if found else None
