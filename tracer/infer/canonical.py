"""A config.json of whatever family, in one vocabulary; and the products that its tensors would show.

The vocabulary is that of `families.LLAMA_SPELLING`. Spellings: the configuration classes of the families.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracer.infer.families import BY_MODEL_TYPE, PLAIN, Family

ALIASES: Mapping[str, tuple[str, ...]] = {
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "hidden": ("hidden_size", "n_embd", "d_model", "n_embed", "dim"),
    "heads": ("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads"),
    "kv_heads": ("num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num"),
    "head_dim": ("head_dim", "kv_channels", "d_kv", "attention_head_dim"),
    "ffn": ("intermediate_size", "ffn_hidden_size", "n_inner", "d_ff", "ffn_dim", "hidden_dim",
    "decoder_ffn_dim"),
    "vocab": ("padded_vocab_size", "vocab_size"),
    "tie": ("tie_word_embeddings", "weight_tying"),
    "attention_bias": ("attention_bias", "qkv_bias", "add_qkv_bias", "bias"),
    "mlp_bias": ("mlp_bias", "add_bias_linear"),
    "ssm_bias": ("use_bias", "mamba_proj_bias"), "conv_bias": ("use_conv_bias", "mamba_conv_bias"),
    "experts": ("num_local_experts", "num_experts", "n_routed_experts"),
    "active": ("num_experts_per_tok",),
    "moe_ffn": ("moe_intermediate_size", "expert_ffn_hidden_size"),
    "shared": ("n_shared_experts",), "shared_ffn": ("shared_expert_intermediate_size",),
    "dense": ("first_k_dense_replace",), "drafts": ("num_nextn_predict_layers", "mtp_num_hidden_layers"),
    "q_rank": ("q_lora_rank",), "kv_rank": ("kv_lora_rank",), "nope": ("qk_nope_head_dim",),
    "rope": ("qk_rope_head_dim",), "v_dim": ("v_head_dim",),
    "positions": ("max_position_embeddings", "n_positions", "max_seq_len"), "types": ("type_vocab_size",),
    "axis_positions": ("max_2d_position_embeddings",),
    "state": ("state_size", "mamba_d_state"), "conv": ("conv_kernel", "mamba_d_conv"),
    "dt": ("time_step_rank", "mamba_dt_rank"), "groups": ("n_groups",),
    "lin_heads": ("linear_num_value_heads",), "lin_dim": ("linear_value_head_dim",),
    "lin_key_heads": ("linear_num_key_heads",), "lin_key_dim": ("linear_key_head_dim",),
    "lin_conv": ("linear_conv_kernel_dim",),
    "theta": ("rope_theta", "rotary_emb_base"), "eps": ("rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps",
    "layernorm_epsilon"), "act": ("hidden_act", "activation_function", "hidden_activation"),
}  # fmt: skip
"""Canonical name -> how configs spell it."""

_ALIKE = {key: keys for keys in (*ALIASES.values(), ("torch_dtype", "dtype")) for key in keys}
_OF_THE_WHOLE = ("tie", "vocab")

NESTED = ("text_config", "llm_config", "language_config", "thinker_config", "decoder")
"""Where configs of several towers keep the decoder of text."""


def text_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the text decoder: what is nested outranks what lies around it.

    Sizes that lie around a whole decoder are of something else (a head_dim of the tower beside it), and where the two
    do not agree whether the head is tied, engines do not either: then nothing is said.
    """
    inner: dict[str, Any] = next((config[key] for key in NESTED if isinstance(config.get(key), dict)), {})
    if not inner:
        return dict(config)
    outer = dict(config)
    if any(name in inner for name in ALIASES["hidden"]):
        sizes = {key for name, keys in ALIASES.items() if name not in _OF_THE_WHOLE for key in keys}
        outer = {key: value for key, value in config.items() if key not in sizes}
    found = {**outer, **inner}
    for key in ALIASES["tie"]:
        if key in inner and inner[key] != config.get(key, True):
            found.pop(key)
    return found


def spellings(key: str) -> tuple[str, ...]:
    """All keys under which configs have the same field, this one first."""
    return (key, *(other for other in _ALIKE.get(key, ()) if other != key))


def spelled_in(config: Mapping[str, Any], canonical: str) -> str | None:
    """The key under which a config has a field."""
    return next((key for key in ALIASES.get(canonical, (canonical,)) if config.get(key) is not None), None)


def family_named(config: Mapping[str, Any]) -> Family:
    """The family that a config names by its model type; Llama's where it is not known."""
    known = config.get("model_type")
    return BY_MODEL_TYPE.get(known, PLAIN) if isinstance(known, str) else PLAIN


def canonical(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a config says, by canonical names; what follows from its own fields is put in, nothing is made up."""
    text = text_config(config)
    found: dict[str, Any] = {}
    for name in ALIASES:
        key = spelled_in(text, name)
        if key is not None:
            found[name] = text[key]
    _complete(found, text)
    return found


def _complete(found: dict[str, Any], text: Mapping[str, Any]) -> None:
    kind = text.get("model_type")
    if kind == "qwen" and _int(found.get("ffn")):
        found["ffn"] //= 2  # the field counts gate and up together
    if kind == "molmo" and _int(found.get("ffn")):
        found["ffn"] //= 2
    if kind in ("falcon", "RefinedWeb", "RefinedWebModel"):
        _falcon(found, text)
    if kind == "chatglm" and not text.get("multi_query_attention"):
        found.pop("kv_heads", None)
    if kind in ("mixtral", "granitemoe", "gpt_oss", "olmoe", "minimax_m1") and "ffn" in found:
        found.setdefault("moe_ffn", found["ffn"])
    if kind in ("bloom", "gpt2", "mpt", "gpt_bigcode", "mixformer-sequential", "codet5p_module") and "ffn" not in found:
        times = text.get("expansion_ratio", 4)
        if _int(found.get("hidden")) and _int(times):
            found["ffn"] = times * found["hidden"]
    if kind == "jamba" and "ffn" in found:
        found["moe_ffn"] = found["ffn"]


def _falcon(found: dict[str, Any], text: Mapping[str, Any]) -> None:
    if _int(found.get("hidden")):
        found.setdefault("ffn", 4 * found["hidden"])
    if text.get("multi_query") and not text.get("new_decoder_architecture"):
        found["kv_heads"] = 1


def _int(value: object) -> bool:
    return type(value) is int and value > 0


def _number(found: Mapping[str, Any], name: str) -> int:
    """A positive number, 0 where there is none."""
    value = found.get(name)
    return value if type(value) is int and value > 0 else 0


def atoms_of(found: Mapping[str, Any]) -> dict[str, int]:
    """The atoms of `equations.py` that canonical fields give, as far as they do."""
    atoms = {name: found[name] for name in _ATOMS if _int(found.get(name))}
    heads, dim = _number(found, "heads"), _number(found, "head_dim")
    if heads:
        dim = dim or _number(found, "hidden") // heads
    if heads and dim:
        kv = _number(found, "kv_heads") or heads
        atoms |= {"q": dim * heads, "kv": dim * kv, "dim": dim, "half": dim // 2}
    if all(_int(found.get(name)) for name in ("nope", "rope", "v_dim", "heads", "kv_rank")):
        nope, rope, v_dim = found["nope"], found["rope"], found["v_dim"]
        atoms |= {"qb": heads * (nope + rope), "kvb": heads * (nope + v_dim), "vo": heads * v_dim}
    if _int(found.get("lin_heads")) and _int(found.get("lin_dim")):
        keys = _number(found, "lin_key_heads") * _number(found, "lin_key_dim")
        atoms["lin_v"] = found["lin_heads"] * found["lin_dim"]
        atoms |= {"lin_k": keys} if keys else {}
        atoms |= {"conv": found["lin_conv"]} if _int(found.get("lin_conv")) else {}
    elif "q" in atoms:
        atoms["lin_v"] = atoms["q"]  # lightning attention (MiniMax) is as wide as the other
    if _int(found.get("shared")) and _int(found.get("moe_ffn")):
        atoms["shared_ffn"] = found["shared"] * found["moe_ffn"]
    return atoms


_ATOMS = (
    "hidden", "heads", "ffn", "vocab", "experts", "moe_ffn", "shared_ffn", "q_rank", "kv_rank", "nope", "rope", "v_dim",
    "positions", "types", "state", "conv", "dt", "lin_heads", "lin_dim", "axis_positions",
)  # fmt: skip
