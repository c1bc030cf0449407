"""What a GGUF file says of its model, in the terms of a config.json.

Keys: the GGUF specification (`{architecture}.embedding_length` ...). What the keys leave out, the tensors say: the
vocabulary's size, whether the output is tied, which biases there are. Nothing is invented: a value that is absent
stays absent, and one entry a layer stays a list, which the mappings refuse by name unless all entries agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from mappings.ggml import BLOCKS
from tracer.checkpoint.gguf.values import Array, Value
from tracer.checkpoint.tensor_info import TensorInfo

ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
"""Those whose tensors have rows. Mistral is written as llama and cannot be told from it; neither need it be."""
_WITH_EXPERTS = {"llama": "MixtralForCausalLM"}

_FIELDS = {
    "embedding_length": "hidden_size", "block_count": "num_hidden_layers", "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads", "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim", "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "rope.freq_base": "rope_theta", "context_length": "max_position_embeddings", "vocab_size": "vocab_size",
    "expert_count": "num_local_experts", "expert_used_count": "num_experts_per_tok",
}  # fmt: skip
"""Keys below the architecture's name, and the fields that they are."""
_ROPE_FIELDS = {
    "rope.scale_linear": "factor", "rope.scaling.factor": "factor",
    "rope.scaling.original_context_length": "original_max_position_embeddings",
    "rope.scaling.attn_factor": "attention_factor", "rope.scaling.yarn_beta_fast": "beta_fast",
    "rope.scaling.yarn_beta_slow": "beta_slow",
}  # fmt: skip
_TOKENS = {"bos_token_id": "bos_token_id", "eos_token_id": "eos_token_id", "padding_token_id": "pad_token_id"}
_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}
_COMPUTED = "float16"
"""What engines compute in where the weights are in blocks."""
_EMBEDDING, _OUTPUT, _ROTATION = "token_embd.weight", "output.weight", "rope_freqs.weight"


def config_of(values: Mapping[str, Value], tensors: Sequence[TensorInfo]) -> dict[str, Any] | None:
    """The model that a file describes; None where it names no architecture (all but the first of a split)."""
    name = values.get("general.architecture")
    if not isinstance(name, str):
        return None
    own = _below(values, f"{name}.")
    config: dict[str, Any] = {"architectures": [_architecture(name, own)], "model_type": name}
    config |= {field: _plain(own[key]) for key, field in _FIELDS.items() if key in own}
    config |= _rope(own)
    tokenizer = _below(values, "tokenizer.ggml.")
    config |= {field: _plain(tokenizer[key]) for key, field in _TOKENS.items() if key in tokenizer}
    tokens = tokenizer.get("tokens")
    if "vocab_size" not in config and isinstance(tokens, Array):
        config["vocab_size"] = tokens.length
    config = {field: value for field, value in config.items() if value is not None}
    return with_tensors(config, tensors)


def _below(values: Mapping[str, Value], prefix: str) -> dict[str, Value]:
    return {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}


def _architecture(name: str, own: Mapping[str, Value]) -> str:
    """The class that a config.json would name; the file's own word where it is none that has rows."""
    known = _WITH_EXPERTS if own.get("expert_count") else ARCHITECTURES
    return known.get(name, name)


def _plain(value: Value) -> Any:
    """As JSON; a list of equal numbers is that number, and what was not kept or is no number is None."""
    if isinstance(value, Array):
        items = value.items or ()
        return items[0] if items and len(set(items)) == 1 else list(items) or f"an array of {value}"
    return None if isinstance(value, float) and not isfinite(value) else value


def _rope(own: Mapping[str, Value]) -> dict[str, Any]:
    kind = own.get("rope.scaling.type", "linear" if "rope.scale_linear" in own else "none")
    found: dict[str, Any] = {}
    if kind != "none":
        scaling = {field: _plain(own[key]) for key, field in _ROPE_FIELDS.items() if key in own}
        found["rope_scaling"] = {"rope_type": kind, **scaling}
    turned, width = own.get("rope.dimension_count"), own.get("attention.key_length")
    if isinstance(turned, int) and isinstance(width, int) and 0 < turned < width:
        found["partial_rotary_factor"] = turned / width
    return found


def with_tensors(config: Mapping[str, Any], tensors: Sequence[TensorInfo]) -> dict[str, Any]:
    """The same, with what the tensors add; of a split model all of them are needed, so it may be asked again."""
    shapes = {tensor.name: tensor.shape for tensor in tensors}
    found = dict(config)
    embedding = shapes.get(_EMBEDDING, ())
    if len(embedding) == 2:
        found["vocab_size"] = embedding[0]
        found["tie_word_embeddings"] = _OUTPUT not in shapes
    if tensors:
        found["torch_dtype"] = _dtype(tensors)
        found |= _biases(shapes)
    if _ROTATION in shapes:
        # The wavelengths' divisors are in the tensor alone. A kind that nobody knows keeps an engine from guessing.
        found["rope_scaling"] = {"rope_type": f"stored in {_ROTATION}"}
    return found


def _dtype(tensors: Sequence[TensorInfo]) -> str:
    weights: dict[str, int] = {}
    for tensor in tensors:
        kind = "blocks" if tensor.dtype in BLOCKS else tensor.dtype
        weights[kind] = weights.get(kind, 0) + tensor.nbytes
    return _DTYPES.get(max(weights, key=lambda kind: weights[kind]), _COMPUTED)


def _biases(shapes: Mapping[str, Any]) -> dict[str, bool]:
    """Whether attention and feed-forward have biases, in the fields that Llama's config has for it."""
    query, out, down = (f"blk.0.{module}.bias" in shapes for module in ("attn_q", "attn_output", "ffn_down"))
    return {"attention_bias": query, "mlp_bias": down} | ({"out_bias": out} if out != query else {})
