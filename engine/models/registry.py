"""`architectures` of config.json -> the class that computes it, imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TypeAlias, cast

from engine.models.contract import CausalLM

Entry: TypeAlias = str | type[CausalLM]
"""`"module:Class"`, or the class itself."""

MODELS: dict[str, Entry] = {
    "LlamaForCausalLM": "engine.models.llama:LlamaForCausalLM",
    "MistralForCausalLM": "engine.models.llama:MistralForCausalLM",
    "Qwen2ForCausalLM": "engine.models.llama:Qwen2ForCausalLM",
    "Qwen3ForCausalLM": "engine.models.llama:Qwen3ForCausalLM",
    "Phi3ForCausalLM": "engine.models.llama:Phi3ForCausalLM",
    "MixtralForCausalLM": "engine.models.mixtral:MixtralForCausalLM",
    "GPT2LMHeadModel": "engine.models.gpt2:GPT2LMHeadModel",
    "BloomForCausalLM": "engine.models.bloom:BloomForCausalLM",
}


def register(name: str, entry: Entry) -> None:
    """Add an architecture, or replace one. Raises ValueError when a text is not `module:Class`."""
    if isinstance(entry, str) and not all(entry.partition(":")):
        raise ValueError(f"{entry!r} is not of the form 'module:Class'")
    MODELS[name] = entry


def resolve(name: str) -> type[CausalLM] | None:
    """The class for an architecture, None when there is none."""
    entry = MODELS.get(name)
    if not isinstance(entry, str):
        return entry
    module, _, attribute = entry.partition(":")
    return cast("type[CausalLM]", getattr(import_module(module), attribute))
