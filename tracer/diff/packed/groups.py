"""Weights in integers of a few bits with a scale for each group of inputs: GPTQ, AWQ, MLX, compressed-tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracer.diff.packed.bits import columns_unpacked, unpacked
from tracer.diff.values.rows import Reader, Unreadable, flat_shape
from tracer.diff.weights import Weight

Numbers = NDArray[Any]
_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""Which of eight neighbouring outputs each half-byte of a word holds (AutoAWQ's gemm layout)."""


def _f32(reader: Reader, weight: Weight, leaf: str) -> Numbers:
    found: Numbers = reader.whole(weight.members[leaf]).astype(np.float32)
    return found


def _words(reader: Reader, weight: Weight, leaf: str) -> Numbers:
    info = weight.members[leaf]
    if info.dtype not in ("I32", "U32"):
        raise Unreadable(f"its {leaf} is {info.dtype}, and no words of 32 bits")
    return reader.whole(info)


class ByInput:
    """GPTQ and AWQ: (q - zero) * scale, kept with inputs as rows: qweight, qzeros and scales of (groups, out)."""

    dtype = "F32"

    def __init__(self, reader: Reader, weight: Weight) -> None:
        assert weight.shape is not None and weight.scheme is not None
        self.shape = (weight.shape[0], weight.shape[1])
        self._settings = dict(weight.scheme.settings or {})
        self._bits = weight.scheme.bits
        self._awq = weight.scheme.name == "AWQ"
        self._packed = _words(reader, weight, "qweight")
        self._scales = _f32(reader, weight, "scales")
        self._zeros = self._zero_points(reader, weight)
        self._group = self._groups(reader, weight)

    def _zero_points(self, reader: Reader, weight: Weight) -> Numbers:
        if "qzeros" not in weight.members:
            return np.full(self._scales.shape, 1 << (self._bits - 1), dtype=np.float32)
        words = _words(reader, weight, "qzeros")
        zeros = _awq(words) if self._awq else unpacked(words, self._bits)
        if zeros.shape != self._scales.shape:
            raise Unreadable(f"its zero points are of shape {zeros.shape}, its scales of {self._scales.shape}")
        return np.asarray(zeros, dtype=np.float32) + float(self._settings.get("zero_offset", 0))

    def _groups(self, reader: Reader, weight: Weight) -> Numbers:
        """The group of each input."""
        inner, count = self.shape[1], self._scales.shape[0]
        if "g_idx" in weight.members:
            order = reader.whole(weight.members["g_idx"]).reshape(-1).astype(np.int64)
            if len(order) != inner or (len(order) and (order.min() < 0 or order.max() >= count)):
                raise Unreadable(f"g_idx names groups that its {count} scales do not have")
            return np.asarray(order)
        return np.asarray(np.arange(inner) // -(-inner // count))

    def read(self, start: int, stop: int) -> Numbers:
        """Outputs `[start, stop)`, for each of which a column of the packed matrix is read."""
        if self._awq:
            values = _awq(self._packed[:, start // 8 : -(-stop // 8)])[:, start % 8 : start % 8 + stop - start]
        else:
            values = columns_unpacked(self._packed[:, start:stop], self._bits)
        scales, zeros = self._scales[:, start:stop], self._zeros[:, start:stop]
        return np.ascontiguousarray(((values - zeros[self._group]) * scales[self._group]).T)


def _awq(words: Numbers) -> Numbers:
    """(n, W) words -> (n, 8 * W) numbers of four bits."""
    values = unpacked(words, 4).reshape(*words.shape, 8)
    ordered = np.empty_like(values)
    ordered[..., list(_AWQ_ORDER)] = values
    return ordered.reshape(words.shape[0], -1)


class ByOutput:
    """MLX (q * scale + bias) and compressed-tensors' pack-quantized ((q - zero) * scale), kept with outputs as rows."""

    dtype = "F32"

    def __init__(self, reader: Reader, weight: Weight) -> None:
        assert weight.shape is not None and weight.scheme is not None
        self.shape = flat_shape(weight.shape)
        self._bits = weight.scheme.bits
        self._reader, self._packed = reader, weight.info
        mlx = "biases" in weight.members
        self._scales = self._grouped(_f32(reader, weight, "scales" if mlx else "weight_scale"))
        self._offsets = self._grouped(_f32(reader, weight, "biases")) if mlx else -self._zeros(weight) * self._scales
        self._width = -(-self.shape[1] // self._scales.shape[1])

    def _grouped(self, found: Numbers) -> Numbers:
        return found.reshape(self.shape[0], -1)

    def _zeros(self, weight: Weight) -> Numbers:
        """compressed-tensors store q and zero as unsigned: each with half the range added."""
        half = float(1 << (self._bits - 1))
        info = weight.members.get("weight_zero_point")
        if info is None:
            return np.full(self._scales.shape, half, dtype=np.float32)
        found = self._reader.whole(info)
        if info.dtype != "I32":
            return found.astype(np.float32).reshape(self._scales.shape) + half
        return np.asarray(columns_unpacked(found, self._bits)[: self.shape[0]], dtype=np.float32)

    def read(self, start: int, stop: int) -> Numbers:
        row = self._packed.nbytes // self.shape[0]
        words = self._reader.raw(self._packed, start * row, (stop - start) * row).view("<u4").reshape(stop - start, -1)
        values = unpacked(words, self._bits)[:, : self.shape[1]].astype(np.float32)
        scales = np.repeat(self._scales[start:stop], self._width, axis=1)[:, : self.shape[1]]
        offsets = np.repeat(self._offsets[start:stop], self._width, axis=1)[:, : self.shape[1]]
        return np.asarray(values * scales + offsets)
