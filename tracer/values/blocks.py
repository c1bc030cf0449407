"""ggml's block types as numbers, where the `gguf` package is installed: it has dequantisers in numpy, by block."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mappings.ggml import GGML_TYPES

_NUMBERS = {kind.name: (number, kind.nbytes) for number, kind in GGML_TYPES.items() if kind.elements > 1}
Dequantise = Callable[[NDArray[np.uint8]], NDArray[Any]]


@cache
def dequantiser(dtype: str) -> Dequantise | None:
    """From whole blocks to F32; None for other types, for those that `gguf` cannot read, and where it is not installed.

    An infinite or undefined scale makes numbers of the kind, which is what it does to a model, too.
    """
    if dtype not in _NUMBERS:
        return None
    number, nbytes = _NUMBERS[dtype]
    try:
        from gguf.constants import GGMLQuantizationType
        from gguf.quants import dequantize

        kind = GGMLQuantizationType(number)
        dequantize(np.zeros((1, nbytes), np.uint8), kind)
    except (ImportError, ValueError, NotImplementedError):
        return None

    def dequantise(raw: NDArray[np.uint8]) -> NDArray[Any]:
        with np.errstate(all="ignore"):
            return dequantize(raw.reshape(-1, nbytes), kind).reshape(-1)

    return dequantise
