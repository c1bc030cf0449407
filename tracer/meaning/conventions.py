"""What a family's model code does with weights that no shape shows: rotary order, what is added to norms, the gate.

By `model_type`, as config.json and GGUF's `general.architecture` spell it. Sources: the modelling files of
Transformers (`rotate_half` against `rotate_every_two`, `1.0 + self.weight`), llama.cpp's `llama_model_rope_type`, and
its converter, which adds the 1 to the norms that need it. What is not listed is not known, and is not judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.formats import GGUF
from tracer.infer.canonical import text_config

Order: TypeAlias = Literal["halves", "pairs"]


def _named(text: str) -> frozenset[str]:
    return frozenset(text.split())


_HALVES = _named(
    "llama mistral mixtral qwen2 qwen2_moe qwen3 qwen3_moe gemma gemma2 gemma3 gemma3_text phi phi3 phimoe stablelm "
    "starcoder2 olmo olmo2 olmo3 olmoe granite granitemoe smollm3 ministral deepseek exaone4 seed_oss glm4_moe "
    "internlm3 minicpm yi apertus arcee dots1 hunyuan_v1_dense lfm2 gpt_oss qwen2_vl qwen2_5_vl qwen2_vl_text "
    "qwen2_5_vl_text qwen3_vl_text nemotron"
)
"""Dimension i of a head turns with i + half."""
_PAIRS = _named("gptj codegen cohere cohere2 llama4 llama4_text glm glm4 ernie4_5 ernie4_5_moe helium")
"""2i turns with 2i + 1."""
_GGUF_PAIRS = _named("llama llama4 mistral3 command-r cohere2 olmo granite granitemoe minicpm internlm2")
_GGUF_HALVES = _named("qwen2 qwen2moe qwen3 qwen3moe gemma gemma2 gemma3 starcoder2 olmo2 olmoe")
_PARTLY = _named("phi stablelm glm glm4 glm4_moe nemotron")
"""Families whose classes turn a part of each head where config.json does not say how much."""
_SHARES = ("partial_rotary_factor", "rotary_pct", "rope_pct", "rotary_dim")
_PLUS_ONE = _named("gemma gemma2 gemma3 gemma3_text recurrent_gemma qwen3_next nemotron t5gemma vaultgemma")
"""Norms that compute with 1 + weight."""
_AS_STORED = _named(
    "llama mistral mixtral qwen2 qwen2_moe qwen3 qwen3_moe phi3 phimoe olmo2 olmo3 olmoe granite granitemoe smollm3 "
    "ministral deepseek deepseek_v2 deepseek_v3 exaone4 seed_oss internlm2 internlm3 minicpm yi arcee glm4_moe gpt_oss "
    "gemma3n gemma3n_text starcoder2 stablelm baichuan cohere cohere2 glm glm4 llama4 llama4_text ernie4_5 qwen2_vl "
    "qwen2_5_vl qwen2_vl_text qwen2_5_vl_text qwen3_vl_text"
)


def model_type(config: Mapping[str, Any]) -> str:
    """Of the text decoder; empty where config.json does not say."""
    told = text_config(config).get("model_type")
    return told if isinstance(told, str) else ""


def rotary_order(checkpoint: Checkpoint, config: Mapping[str, Any]) -> Order | None:
    """How the rows of q and k are expected to be paired; None where it is not known."""
    kind = model_type(config)
    if checkpoint.format is GGUF:
        return "pairs" if kind in _GGUF_PAIRS else "halves" if kind in _GGUF_HALVES else None
    if any(name.endswith("attention.wq.weight") for name in checkpoint.names):
        return "pairs"  # Meta's own files
    if kind in _PARTLY and not _says_share(config):
        return None
    return "halves" if kind in _HALVES else "pairs" if kind in _PAIRS else None


def _says_share(config: Mapping[str, Any]) -> bool:
    text = text_config(config)
    parameters = text.get("rope_parameters")
    return any(key in part for part in (text, parameters) if isinstance(part, dict) for key in _SHARES)


def adds_one(checkpoint: Checkpoint, config: Mapping[str, Any]) -> bool | None:
    """Whether the model adds 1 to what is stored of a norm; None where it is not known. GGUF has it added already."""
    kind = model_type(config)
    if checkpoint.format is GGUF:
        return False if kind in _PLUS_ONE | _AS_STORED else None
    return True if kind in _PLUS_ONE else False if kind in _AS_STORED else None
