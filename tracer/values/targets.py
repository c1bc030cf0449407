"""What becomes of numbers that are cast to another dtype: some grow beyond it, some vanish."""

from __future__ import annotations

from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from tracer.checkpoint.dtypes import from_config
from tracer.errors import UsageError

_NUMPY = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}  # fmt: skip
"""Dtypes that weights are cast to as they are; others come with scales, which decide what is lost."""


def check_target(dtype: str) -> str:
    """Its safetensors spelling, of that or a config's. Raises UsageError for one that nothing is cast to as it is."""
    target = dtype if dtype in _NUMPY else from_config(dtype)
    if target not in _NUMPY:
        raise UsageError(f"no weights are cast to {dtype} as they are; expected one of {', '.join(_NUMPY)}")
    return target


@cache
def _dtype(target: str) -> np.dtype[np.generic]:
    return np.dtype(getattr(ml_dtypes, _NUMPY[target], _NUMPY[target]))


@cache
def _limits(target: str) -> tuple[float, float]:
    """The largest finite number, and the smallest other than zero."""
    info: Any = ml_dtypes.finfo(_dtype(target))  # type: ignore[no-untyped-call]
    return float(info.max), float(info.smallest_subnormal)


def lost(values: NDArray[np.float64], target: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which of them have no finite number in the target, though they are finite, and which become zero there."""
    with np.errstate(all="ignore"):
        cast = values.astype(_dtype(target)).astype(np.float64)
        return np.isfinite(values) & ~np.isfinite(cast), (values != 0) & (cast == 0)


def may_lose(least: float, most: float, target: str) -> bool:
    """Whether magnitudes from `least` to `most` can overflow or vanish: what most tensors need not be cast to know."""
    largest, smallest = _limits(target)
    return most > largest or least < smallest
