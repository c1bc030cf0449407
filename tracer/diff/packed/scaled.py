"""Weights of eight bits and a scale for the tensor, a row or a block: FP8, INT8, bitsandbytes' int8."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracer.diff.values.rows import Reader, Stored
from tracer.diff.weights import Weight

Numbers = NDArray[Any]
_LARGEST_INT8 = 127
"""bitsandbytes keeps the largest magnitude of a row where others keep the scale."""


class Scaled:
    """(q - zero) * scale; a scale for each block of rows and columns."""

    dtype = "F32"

    def __init__(self, reader: Reader, weight: Weight) -> None:
        assert weight.scheme is not None
        self._stored = Stored(reader, weight.members["weight"])
        self.shape = self._stored.shape
        leaf = next(leaf for leaf in ("SCB", "weight_scale_inv", "weight_scale") if leaf in weight.members)
        scales: Numbers = reader.whole(weight.members[leaf]).astype(np.float32)
        if leaf == "SCB":
            scales = scales / _LARGEST_INT8
        rows, self._width = dict(weight.scheme.settings or {}).get("block", (1, self.shape[1]))
        self._height = self.shape[0] if scales.size == 1 else rows
        self._scales = scales.reshape(-1, max(1, -(-self.shape[1] // self._width)))
        zeros = weight.members.get("weight_zero_point")
        self._zeros = None if zeros is None else reader.whole(zeros).astype(np.float32).reshape(self._scales.shape)

    def read(self, start: int, stop: int) -> Numbers:
        found = self._stored.read(start, stop)
        if self._zeros is not None:
            found = found - self._spread(self._zeros, start, stop)
        return found * self._spread(self._scales, start, stop)

    def _spread(self, blocks: Numbers, start: int, stop: int) -> Numbers:
        rows = blocks[np.arange(start, stop) // self._height]
        return np.repeat(rows, self._width, axis=1)[:, : self.shape[1]]
