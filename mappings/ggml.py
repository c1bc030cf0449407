"""The data types of ggml, as GGUF files number them.

Source: the type list and block structures of ggml (`ggml.h`, `ggml-common.h`), as published with the `gguf` package
0.19. Numbers that are missing were withdrawn (4, 5, 31 to 33, 36 to 38) or belong to forks. Those of ik_llama.cpp: its
`ggml.h` and `ggml-common.h`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class GgmlType(NamedTuple):
    """One data type: elements are stored in blocks along the last dimension, each with its own scales."""

    name: str
    """Safetensors spelling for plain types, ggml's for those in blocks."""
    elements: int
    """Of one block; 1 for a plain type."""
    nbytes: int
    """Of one block."""


GGML_TYPES: Mapping[int, GgmlType] = MappingProxyType({
    0: GgmlType("F32", 1, 4), 1: GgmlType("F16", 1, 2), 2: GgmlType("Q4_0", 32, 18), 3: GgmlType("Q4_1", 32, 20),
    6: GgmlType("Q5_0", 32, 22), 7: GgmlType("Q5_1", 32, 24), 8: GgmlType("Q8_0", 32, 34),
    9: GgmlType("Q8_1", 32, 40), 10: GgmlType("Q2_K", 256, 84), 11: GgmlType("Q3_K", 256, 110),
    12: GgmlType("Q4_K", 256, 144), 13: GgmlType("Q5_K", 256, 176), 14: GgmlType("Q6_K", 256, 210),
    15: GgmlType("Q8_K", 256, 292), 16: GgmlType("IQ2_XXS", 256, 66), 17: GgmlType("IQ2_XS", 256, 74),
    18: GgmlType("IQ3_XXS", 256, 98), 19: GgmlType("IQ1_S", 256, 50), 20: GgmlType("IQ4_NL", 32, 18),
    21: GgmlType("IQ3_S", 256, 110), 22: GgmlType("IQ2_S", 256, 82), 23: GgmlType("IQ4_XS", 256, 136),
    24: GgmlType("I8", 1, 1), 25: GgmlType("I16", 1, 2), 26: GgmlType("I32", 1, 4), 27: GgmlType("I64", 1, 8),
    28: GgmlType("F64", 1, 8), 29: GgmlType("IQ1_M", 256, 56), 30: GgmlType("BF16", 1, 2),
    34: GgmlType("TQ1_0", 256, 54), 35: GgmlType("TQ2_0", 256, 66), 39: GgmlType("MXFP4", 32, 17),
    40: GgmlType("NVFP4", 64, 36), 41: GgmlType("Q1_0", 128, 18),
})  # fmt: skip

FORK_TYPES: Mapping[int, GgmlType] = MappingProxyType({
    133: GgmlType("Q6_0", 32, 26), 137: GgmlType("IQ2_K", 256, 76), 138: GgmlType("IQ3_K", 256, 110),
    139: GgmlType("IQ4_K", 256, 144), 140: GgmlType("IQ5_K", 256, 176), 141: GgmlType("IQ6_K", 256, 212),
})  # fmt: skip
"""Of ik_llama.cpp, whose files are published too: those whose blocks say all. Its other types also have numbers a row
or a tensor, or take several rows at once, so that blocks do not tell their size.
"""  # fmt: skip

STORED_TYPES: Mapping[int, GgmlType] = MappingProxyType({**GGML_TYPES, **FORK_TYPES})
"""All that a file may have and whose size is known."""

BLOCKS: Mapping[str, int] = MappingProxyType({t.name: t.elements for t in STORED_TYPES.values() if t.elements > 1})
"""Elements of a block of each type that is stored in blocks. A block carries its own scales: no side tensors."""

BITS_A_WEIGHT: Mapping[str, float] = MappingProxyType({
    t.name: 8 * t.nbytes / t.elements for t in STORED_TYPES.values()
})  # fmt: skip
"""Scales counted in."""
