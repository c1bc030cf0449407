"""ggml's block types as numbers, where the `gguf` package is installed: it has dequantisers in numpy, by block."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mappings.ggml import GGML_TYPES

_NUMBERS = {kind.name: (number, kind.elements, kind.nbytes) for number, kind in GGML_TYPES.items() if kind.elements > 1}
_AT_ONCE = 1 << 19
"""Numbers that are unpacked together. `gguf` takes sixteen rows at a time, whose length is for us to say: a block as a
row costs ten times as long as thousands of them."""
Dequantise = Callable[[NDArray[np.uint8]], NDArray[Any]]


@cache
def dequantiser(dtype: str) -> Dequantise | None:
    """From whole blocks to F32; None for other types, for those that `gguf` cannot read, and where it is not installed.

    An infinite or undefined scale makes numbers of the kind, which is what it does to a model, too.
    """
    if dtype not in _NUMBERS:
        return None
    number, elements, nbytes = _NUMBERS[dtype]
    step = max(1, _AT_ONCE // elements) * nbytes
    try:
        from gguf.constants import GGMLQuantizationType
        from gguf.quants import dequantize

        kind = GGMLQuantizationType(number)
        dequantize(np.zeros((1, nbytes), np.uint8), kind)
    except (ImportError, ValueError, NotImplementedError):
        return None

    def dequantise(raw: NDArray[np.uint8]) -> NDArray[Any]:
        with np.errstate(all="ignore"):
            rows = [dequantize(raw[at : at + step].reshape(1, -1), kind)[0] for at in range(0, len(raw), step)]
        return rows[0] if len(rows) == 1 else np.concatenate([np.empty(0, np.float32), *rows])

    return dequantise
