"""Turns the tensors of a state dict into places in the file, each checked against its storage."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import NamedTuple, NoReturn

from mappings.views import contiguous
from tracer.checkpoint.dtypes import BITS
from tracer.checkpoint.pytorch.refusal import Refusal, shown
from tracer.checkpoint.pytorch.values import Oddity, Tensor, item_bytes
from tracer.checkpoint.tensor_info import TensorInfo

_ELEMENT_LIMIT = 2**57
"""Times 64 bits this still fits a 64-bit counter of bytes."""
_REPEATED_LIMIT = 2**34
"""Bytes that a tensor may have beyond those of its storage: a few bytes that strides repeat are copied out by a load,
and a terabyte of them is no weight that anybody has trained."""


class Place(NamedTuple):
    """The bytes of one storage in the file."""

    start: int
    nbytes: int


def place_tensors(
    tensors: Mapping[str, Tensor | Oddity], places: Mapping[str, Place], file: str, *, big_endian: bool
) -> list[TensorInfo]:
    """All of them in the order of their bytes. Raises Refusal for the first that its storage cannot hold."""
    infos = [_info(name, tensor, places, file, big_endian) for name, tensor in tensors.items()]
    infos.sort(key=lambda info: (info.offset, info.nbytes, info.name))
    return infos


def _info(
    name: str, tensor: Tensor | Oddity, places: Mapping[str, Place], file: str, big_endian: bool
) -> TensorInfo:
    if isinstance(tensor, Oddity):
        _refuse(name, f"expected a tensor that is a view of its storage, found one that is {tensor.what}")
    if tensor.dtype not in BITS:
        _refuse(name, f"expected a data type that safetensors has a name for, found {tensor.dtype}")
    place = places.get(tensor.storage.key)
    if place is None:
        _refuse(name, f"its storage {shown(tensor.storage.key)} is not in the file")
    width = item_bytes(tensor.dtype)
    first = _first_byte(name, tensor, place, width)
    strides = None if _is_row_major(tensor) else tensor.strides
    nbytes = prod(tensor.shape) * width
    return TensorInfo(
        name, tensor.dtype, tensor.shape, file, place.start + first, nbytes, strides, big_endian and width > 1
    )


def _first_byte(name: str, tensor: Tensor, place: Place, width: int) -> int:
    """Of the tensor in its storage, all of which it must lie in."""
    if place.nbytes != tensor.storage.nbytes:
        _refuse(name, f"its storage has {tensor.storage.nbytes} bytes, the file keeps {place.nbytes} of it")
    if 0 in tensor.shape:
        return 0  # PyTorch lets an empty view begin past the end
    if prod(tensor.shape) > _ELEMENT_LIMIT:
        _refuse(name, "its shape has more elements than 64 bits can count bytes for")
    first = tensor.storage.first + tensor.offset * width
    stop = first + (_reach(tensor) + 1) * width
    key = shown(tensor.storage.key)
    if stop > place.nbytes:
        _refuse(name, f"ends at byte {stop} of storage {key}, which has {place.nbytes}", "header.out-of-bounds")
    if prod(tensor.shape) * width > place.nbytes + _REPEATED_LIMIT:
        message = f"its strides make {prod(tensor.shape) * width} bytes of the {place.nbytes} of storage {key}"
        _refuse(name, f"{message}; at most {_REPEATED_LIMIT} more are read", "header.size-mismatch")
    return first


def _reach(tensor: Tensor) -> int:
    """Elements from the first to the one that lies furthest."""
    return sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))


def _is_row_major(tensor: Tensor) -> bool:
    """Strides of dimensions of one element mean nothing, and those of no elements neither."""
    wanted = zip(tensor.shape, tensor.strides, contiguous(tensor.shape), strict=True)
    return 0 in tensor.shape or all(size == 1 or found == row for size, found, row in wanted)


def _refuse(name: str, message: str, code: str = "pickle.unreadable") -> NoReturn:
    raise Refusal(code, f"tensor {shown(name)}: {message}", name)
