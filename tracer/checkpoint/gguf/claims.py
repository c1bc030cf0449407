"""What a GGUF file says of its tensors in its keys, against the tensors.

Sources: llama.cpp takes the vocabulary's size from the list of tokens and refuses an embedding of other rows;
`general.file_type` is its enumeration `llama_ftype`, of which only those are judged that give all matrices one type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mappings.findings import Finding
from tracer.checkpoint.gguf.values import Array, Value
from tracer.checkpoint.tensor_info import TensorInfo

_UNIFORM = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 18: "Q6_K", 32: "BF16",
}  # fmt: skip
"""Values of general.file_type that name one type. The others are mixes, whose parts vary."""
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


def _file_type(values: Mapping[str, Value], tensors: Sequence[TensorInfo]) -> Finding | None:
    """Judged by bytes of matrices; vectors are F32 everywhere. A part of a split says nothing of the whole."""
    stated, parts = values.get("general.file_type"), values.get("split.count")
    named = _UNIFORM.get(stated) if type(stated) is int else None
    if named is None or (type(parts) is int and parts > 1):
        return None
    held: dict[str, int] = {}
    for tensor in tensors:
        if len(tensor.shape) > 1:
            held[tensor.dtype] = held.get(tensor.dtype, 0) + tensor.nbytes
    if not held or 2 * held.get(named, 0) >= sum(held.values()):
        return None
    most = max(held, key=lambda dtype: held[dtype])
    share = round(100 * held.get(named, 0) / sum(held.values()))
    return Finding(
        "config.conflict", "warning", "general.file_type",
        f"general.file_type is {stated} ({named}), but {named} has {share} % of the matrices' bytes, {most} has most",
        {"file_type": stated, "bytes": held}, "correct general.file_type; engines read each tensor's own type",
    )  # fmt: skip
