"""The dtypes of safetensors: their sizes, and how a config spells them."""

from __future__ import annotations

BITS: dict[str, int] = {
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "I64": 64,
    "U64": 64,
    "F64": 64,
    "C64": 64,
}
"""Bits an element; below eight, elements are packed and a tensor must fill whole bytes."""

_CONFIG_SPELLING: dict[str, str] = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "int16": "I16",
    "uint16": "U16",
    "int32": "I32",
    "uint32": "U32",
    "int64": "I64",
    "uint64": "U64",
    "half": "F16",
    "float16": "F16",
    "bfloat16": "BF16",
    "float": "F32",
    "float32": "F32",
    "double": "F64",
    "float64": "F64",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float8_e8m0fnu": "F8_E8M0",
    "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e5m2fnuz": "F8_E5M2FNUZ",
    "complex64": "C64",
}


def nbytes(dtype: str, elements: int) -> int:
    """Bytes that so many elements take; a part of a byte counts as one."""
    return (elements * BITS[dtype] + 7) // 8


def from_config(spelling: str) -> str | None:
    """`torch_dtype` or `dtype` of a config.json in safetensors spelling; None for `auto` and the like."""
    return _CONFIG_SPELLING.get(spelling.removeprefix("torch."))
