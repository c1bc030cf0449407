"""Weights of four bits that look numbers up: NF4 and FP4 of bitsandbytes, NVFP4, MXFP4."""

from __future__ import annotations

import json
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracer.diff.values.rows import Reader, Unreadable, flat_shape
from tracer.diff.weights import Weight
from tracer.values.decoding import table

Numbers = NDArray[Any]
_STATE_LIMIT = 1 << 16


class BitsAndBytes4:
    """Blocks of consecutive elements, each a look-up in `quant_map` times its block's `absmax`; upper half-byte first.

    Source: bitsandbytes' `QuantState` (functional.py): its settings are a JSON kept as bytes, and `absmax` may itself
    be quantised in blocks, with an offset.
    """

    dtype = "F32"

    def __init__(self, reader: Reader, weight: Weight) -> None:
        assert weight.scheme is not None
        self._state = _state(reader, weight)
        self._reader, self._packed = reader, weight.members["weight"]
        shape = self._state.get("shape")
        if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
            shape = [-1]
        if -(-prod(shape) // 2) != self._packed.nbytes:
            raise Unreadable(f"its quant_state gives the shape {str(shape)[:40]} to {self._packed.nbytes} bytes")
        self.shape = flat_shape(shape)
        self._block = self._count("blocksize")
        self._map = self._floats(weight, "weight.quant_map", 16)
        self._absmax = self._scales(weight)
        if len(self._absmax) * self._block < prod(shape):
            raise Unreadable(f"it has {len(self._absmax)} scales for blocks of {self._block} elements")

    def _count(self, key: str) -> int:
        found = self._state.get(key)
        if type(found) is not int or found < 1:
            raise Unreadable(f"its quant_state gives {str(found)[:40]} as {key}")
        return found

    def _floats(self, weight: Weight, leaf: str, count: int) -> Numbers:
        if leaf not in weight.members or prod(weight.members[leaf].shape) != count:
            raise Unreadable(f"{leaf} of {count} numbers is not there")
        return self._reader.whole(weight.members[leaf]).astype(np.float32).reshape(-1)

    def _scales(self, weight: Weight) -> Numbers:
        found = self._reader.whole(weight.members["weight.absmax"]).reshape(-1)
        if "weight.nested_absmax" not in weight.members:
            return found.astype(np.float32)
        steps = self._floats(weight, "weight.nested_quant_map", 256)
        outer = self._reader.whole(weight.members["weight.nested_absmax"]).astype(np.float32).reshape(-1)
        block, offset = self._count("nested_blocksize"), self._state.get("nested_offset", 0)
        if len(outer) * block < len(found) or not isinstance(offset, int | float):
            raise Unreadable("its nested scales do not cover its scales")
        own = outer[np.arange(len(found)) // block]
        return steps[found.astype(np.uint8)] * own + np.float32(offset)

    def read(self, start: int, stop: int) -> Numbers:
        first, last = start * self.shape[1], stop * self.shape[1]
        raw = self._reader.raw(self._packed, first // 2, -(-last // 2) - first // 2)
        codes = np.stack((raw >> 4, raw & 15), axis=-1).reshape(-1)[first % 2 : first % 2 + last - first]
        scales = self._absmax[np.arange(first, last) // self._block]
        return (self._map[codes] * scales).reshape(stop - start, self.shape[1])


def _state(reader: Reader, weight: Weight) -> dict[str, Any]:
    info = weight.members[dict(weight.scheme.settings or {})["state"]] if weight.scheme else weight.info
    if info.nbytes > _STATE_LIMIT:
        raise Unreadable(f"its quant_state has {info.nbytes} bytes")
    try:
        found = json.loads(reader.raw(info).tobytes().decode())
    except (ValueError, RecursionError) as error:
        raise Unreadable("its quant_state is not JSON") from error
    if not isinstance(found, dict):
        raise Unreadable("its quant_state is no object")
    return found


class NvFp4:
    """E2M1 numbers, the lower half-byte first; E4M3 scales of 16 neighbours, and one for all of them.

    ModelOpt multiplies by `weight_scale_2`; compressed-tensors divide by `weight_global_scale`.
    """

    dtype = "F32"

    def __init__(self, reader: Reader, weight: Weight) -> None:
        assert weight.shape is not None
        self.shape = flat_shape(weight.shape)
        self._reader, self._packed = reader, weight.info
        scales = reader.whole(weight.members["weight_scale"]).astype(np.float32).reshape(self.shape[0], -1)
        for leaf, power in (("weight_scale_2", 1), ("weight_global_scale", -1)):
            if leaf in weight.members:
                scales = scales * reader.whole(weight.members[leaf]).astype(np.float32).reshape(-1)[:1] ** power
        self._scales = scales

    def read(self, start: int, stop: int) -> Numbers:
        scales = np.repeat(self._scales[start:stop], 16, axis=1)
        return np.asarray(_halves(self._reader, self._packed, self.shape, start, stop) * scales)


class MxFp4:
    """E2M1 numbers, the lower half-byte first; a power of two, biased by 127, for 32 neighbours."""

    dtype = "F32"

    def __init__(self, reader: Reader, weight: Weight) -> None:
        assert weight.shape is not None
        self.shape = flat_shape(weight.shape)
        self._reader, self._packed = reader, weight.members["blocks"]
        exponents = reader.whole(weight.members["scales"]).astype(np.int32).reshape(self.shape[0], -1) - 127
        self._scales = np.ldexp(np.float32(1), exponents)

    def read(self, start: int, stop: int) -> Numbers:
        scales = np.repeat(self._scales[start:stop], 32, axis=1)
        return np.asarray(_halves(self._reader, self._packed, self.shape, start, stop) * scales)


def _halves(reader: Reader, info: Any, shape: tuple[int, int], start: int, stop: int) -> Numbers:
    row = shape[1] // 2
    raw = reader.raw(info, start * row, (stop - start) * row)
    numbers = table("F4")
    if numbers is None:
        raise Unreadable("numbers of F4 need ml_dtypes 0.5")
    codes = np.stack((raw & 15, raw >> 4), axis=-1)
    return numbers.astype(np.float32)[codes].reshape(stop - start, shape[1])
