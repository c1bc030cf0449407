"""What a GGUF file says of its tensors in its keys, against the tensors.

Sources: llama.cpp takes the vocabulary's size from the list of tokens and refuses an embedding of other rows;
`general.file_type` is its enumeration `llama_ftype` (`llama.h`), the type that its quantiser gives the matrices inside
of layers unless their rows are no whole number of blocks. Embedding and output often have one of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple

from mappings.findings import Finding
from mappings.ggml import BITS_A_WEIGHT, BLOCKS
from tracer.checkpoint.gguf.values import Array, Value
from tracer.checkpoint.tensor_info import TensorInfo

_UNIFORM = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 18: "Q6_K", 32: "BF16",
}  # fmt: skip
"""Values of general.file_type that name one type."""
_MIXED = {
    10: "Q2_K", 11: "Q3_K", 12: "Q3_K", 13: "Q3_K", 14: "Q4_K", 15: "Q4_K", 16: "Q5_K", 17: "Q5_K", 19: "IQ2_XXS",
    20: "IQ2_XS", 21: "Q2_K", 22: "IQ3_S", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_S",
    28: "IQ2_XS", 29: "IQ2_S", 30: "IQ4_XS", 31: "IQ1_M",
}  # fmt: skip
"""Those that name a mix, and the type it begins from: Q4_K_M gives some tensors Q6_K, dynamic ones give many another.

Greater numbers mean different things to llama.cpp and its forks; with 1024 added, a loader guessed.
"""
_KEPT = {"MXFP4", "NVFP4"}
"""Types that models are published in: the quantiser leaves them as they are, whatever the file is called."""
_LAYERS = "blk."
_FAR = 1.6
"""So many times more or fewer bits a weight are beyond what mixing makes of a type (IQ1_S in small dynamic ones)."""
_EMBEDDING = "token_embd.weight"


def check_claims(values: Mapping[str, Value], tensors: Sequence[TensorInfo]) -> list[Finding]:
    """Findings of one file: `config.conflict`."""
    found = (_vocabulary(values, tensors), _file_type(values, tensors))
    return [finding for finding in found if finding is not None]


def _vocabulary(values: Mapping[str, Value], tensors: Sequence[TensorInfo]) -> Finding | None:
    rows = next((t.shape[0] for t in tensors if t.name == _EMBEDDING and len(t.shape) == 2), None)
    tokens = values.get("tokenizer.ggml.tokens")
    key, said = "tokenizer.ggml.tokens", tokens.length if isinstance(tokens, Array) else None
    if said is None:
        key = f"{values.get('general.architecture')}.vocab_size"
        stated = values.get(key)
        said = stated if type(stated) is int else None
    if rows is None or said is None or rows == said:
        return None
    return Finding(
        "config.conflict", "error", key,
        f"{key} {'has' if isinstance(tokens, Array) else 'is'} {said}, but {_EMBEDDING} has {rows} rows",
        {"said": said, "rows": rows}, "convert the model again, with the tokenizer that belongs to it",
    )  # fmt: skip


class _Claim(NamedTuple):
    """What a file is said to consist of."""

    number: int
    dtype: str
    uniform: bool


def _file_type(values: Mapping[str, Value], tensors: Sequence[TensorInfo]) -> Finding | None:
    """Judged by elements of the matrices in layers, as vectors are F32 everywhere."""
    claim = _claim(values)
    if claim is None:
        return None
    judged = [tensor for tensor in tensors if _may_be(tensor, claim.dtype)]
    held = Counter[str]()
    for tensor in judged:
        held[tensor.dtype] += prod(tensor.shape)
    if not held or not _is_wrong(claim, held, judged):
        return None
    count = sum(tensor.dtype == claim.dtype for tensor in tensors)
    most, elements = held.most_common(1)[0]
    return Finding(
        "config.conflict", "warning", "general.file_type",
        f"general.file_type is {claim.number} ({claim.dtype}), but {count:,} of {len(tensors):,} tensors are"
        f" {claim.dtype}, with {_share(held[claim.dtype], held)} % of the weights in layers; {most} has"
        f" {_share(elements, held)} %, and the whole {_bits(tensors):.3f} bits a weight",
        {"file_type": claim.number, "elements": dict(held)},
        "correct general.file_type; engines read each tensor's own type",
    )  # fmt: skip


def _claim(values: Mapping[str, Value]) -> _Claim | None:
    """None where nothing is claimed that could be judged. A part of a split says nothing of the whole."""
    stated, parts = values.get("general.file_type"), values.get("split.count")
    if type(stated) is not int or (type(parts) is int and parts > 1) or values.get("general.type", "model") != "model":
        return None
    dtype = _UNIFORM.get(stated) or _MIXED.get(stated)
    return None if dtype is None else _Claim(stated, dtype, stated in _UNIFORM)


def _may_be(tensor: TensorInfo, dtype: str) -> bool:
    """Whether the quantiser would have given the tensor that type."""
    matrix = len(tensor.shape) > 1 and tensor.name.startswith(_LAYERS) and tensor.dtype not in _KEPT
    return matrix and tensor.shape[-1] % BLOCKS.get(dtype, 1) == 0


def _is_wrong(claim: _Claim, held: Counter[str], judged: Sequence[TensorInfo]) -> bool:
    """None of it at all, or less than half and by far too many or too few bits; of a mix only both together."""
    named = BITS_A_WEIGHT[claim.dtype]
    far = not named / _FAR < _bits(judged) < named * _FAR
    if not held[claim.dtype]:
        return far or claim.uniform
    return claim.uniform and far and 2 * held[claim.dtype] < held.total()


def _bits(tensors: Sequence[TensorInfo]) -> float:
    """A weight, on average."""
    return 8 * sum(tensor.nbytes for tensor in tensors) / sum(prod(tensor.shape) for tensor in tensors)


def _share(part: int, held: Counter[str]) -> int:
    return round(100 * part / held.total())
