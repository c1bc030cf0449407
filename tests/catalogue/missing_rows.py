"""A: a missing mapping row."""

from __future__ import annotations

from fixtures.gguf import Typed
from tests.catalogue.building import Gguf, Model, span
from tests.catalogue.case import Case
from tests.catalogue.models import bert, cohere, decoder, ernie, falcon, gguf
from tests.catalogue.models import moe as moe_decoder
from tests.catalogue.quantising import gptq
from tests.catalogue.towers import vision_blocks

UNEXPECTED = 'RuntimeError: Error(s) in loading state_dict: Unexpected key(s) in state_dict: "rope_freqs.weight". '
CANNOT_MAP = "ValueError: Can not map tensor '{}'"


def command_r_plus(layers: int, heads: int) -> Case:
    return Case(
        "A1", f"command-r-plus-{layers}", lambda: cohere(layers, heads),
        CANNOT_MAP.format("model.layers.0.self_attn.k_norm.weight"),
        "tensor.unmapped", f"model.layers.{span(layers)}.self_attn.k_norm.weight",
        (f"{2 * layers} tensors", "q_norm", "k_norm", f"every one of {layers} layers", "[heads, head_dim]",
         "forward pass"),
        sound=lambda: cohere(layers, heads, larger=False),
    )  # fmt: skip


def with_sub_norms(layers: int, last: int) -> Model:
    """Llama with the two norms that BitNet has in each layer."""
    model = decoder(layers)
    for layer in range(last):
        model.put(f"model.layers.{layer}.self_attn.attn_sub_norm.weight", 64)
        model.put(f"model.layers.{layer}.mlp.ffn_sub_norm.weight", 192)
    return model


def sub_norms(layers: int, last: int) -> Case:
    """The same of an architecture that has rows here, so that the files alone show it."""
    where = f"every one of {layers} layers" if last == layers else f"layers 0..{last - 1} of {layers}"
    return Case(
        "A1", f"sub-norms-{last}-of-{layers}", lambda: with_sub_norms(layers, last),
        f"KeyError: 'layers.{last - 1}.self_attn.attn_sub_norm.weight'",
        "tensor.unmapped", f"model.layers.{span(last)}.self_attn.attn_sub_norm.weight",
        (f"{2 * last} tensors", "ffn_sub_norm", where, "forward pass"), alone="same", sound=lambda: decoder(layers),
    )  # fmt: skip


def old_bert(layers: int) -> Case:
    return Case(
        "A2", f"bert-{layers}", lambda: bert(layers, old=True), CANNOT_MAP.format("bert.embeddings.LayerNorm.beta"),
        "name.rewrite", "bert.embeddings.LayerNorm.gamma",
        (f"{4 * layers + 4} of {4 * layers + 4} map", "gamma", "beta", "0 collisions"),
        alone="unasked", sound=lambda: bert(layers), before=lambda: bert(layers), still=True,
        aside=("bert.pooler.",),
    )  # fmt: skip


def glm_45v(blocks: int, layers: int = 3, experts: int = 4) -> Model:
    """GLM-4.5V: experts and shared ones below `model.language_model`, a tower below `model.visual`."""
    text = moe_decoder(
        layers, experts, first_dense=1, shared="shared_experts", model_type="glm4v_moe_text",
        architecture="Glm4vMoeForConditionalGeneration", n_routed_experts=experts, n_shared_experts=1,
        moe_intermediate_size=32, first_k_dense_replace=1,
    )  # fmt: skip
    for layer in range(1, layers):
        text.put(f"model.layers.{layer}.mlp.gate.e_score_correction_bias", experts, dtype="F32")
    text.rename(lambda name: name.replace("model.", "model.language_model.", 1))
    config = {
        "architectures": ["Glm4vMoeForConditionalGeneration"], "model_type": "glm4v_moe", "torch_dtype": "bfloat16",
        "text_config": {k: v for k, v in text.config.items() if k != "architectures"},
        "vision_config": {"depth": blocks, "hidden_size": 32},
    }  # fmt: skip
    return Model(config).add(vision_blocks("model.visual", blocks)).add(text)


def without_tower(blocks: int) -> Model:
    return glm_45v(blocks).drop(lambda name: ".visual." in name)


def lost_tower(blocks: int) -> Case:
    return Case(
        "A3", f"glm-4.5v-{blocks}", lambda: glm_45v(blocks), "KeyError: 'blocks.0.attn.qkv.weight'",
        "tensor.unmapped", f"model.visual.blocks.{span(blocks)}.attn.qkv.weight",
        (f"{blocks} tensors", "`model.visual.` was stripped", "whole"), sound=lambda: without_tower(blocks),
    )  # fmt: skip


def no_shared(layers: int, first: int) -> Case:
    names = ", ".join(f"'model.layers.{n}.mlp.shared_experts.gate_up_proj.weight'" for n in range(first, layers))
    return Case(
        "A4", f"ernie-{layers}-{first}", lambda: ernie(layers, first=first),
        f"ValueError: Following weights were not initialized from checkpoint: {{{names}}}",
        "param.unfilled", f"model.layers.{{{first}..{layers - 1}}}.mlp.shared_experts.gate_up_proj.weight",
        (f"{layers - first} parameters", "shared_experts", "moe_num_shared_experts = 0", "the checkpoint is complete"),
        sound=lambda: ernie(layers, first=first, shared=1),
    )  # fmt: skip


def falcon_gptq(layers: int) -> Model:
    return gptq(falcon(layers), lambda module: module.endswith(("dense", "h_to_4h", "4h_to_h", "query_key_value")))


def falcon_with_biases(layers: int, zero: bool = True) -> Model:
    model = falcon(layers)
    modules = {
        name.rpartition(".")[0]: tensor.shape for name, tensor in model.tensors.items() if len(tensor.shape) == 2
    }
    packed = {"query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"}
    gptq(model, lambda module: module.rpartition(".")[2] in packed)
    for module, shape in modules.items():
        if module.rpartition(".")[2] in packed:
            data = bytes(2 * shape[0]) if zero else b"\x00\x3c" * shape[0]
            model.put(f"{module}.bias", shape[0], dtype="F16", data=data)
    return model


def invented(layers: int, zero: bool) -> Case:
    words = (f"{4 * layers} biases", "exactly zero", "safe") if zero else (f"{4 * layers} biases", "not all zero")
    return Case(
        "A5", f"falcon-gptq-{layers}-{'zero' if zero else 'numbers'}", lambda: falcon_with_biases(layers, zero),
        "KeyError: 'transformer.h.0.mlp.dense_4h_to_h.bias'",
        "tensor.unmapped", f"transformer.h.{span(layers)}.mlp.dense_4h_to_h.bias", words,
        sound=lambda: falcon_gptq(layers), before=(lambda: falcon_gptq(layers)) if zero else None,
    )  # fmt: skip


def llama_31(layers: int, dim: int = 16) -> Gguf:
    model = gguf(layers=layers, hidden=4 * dim)
    model.values["llama.rope.freq_base"] = Typed("f32", 500000.0)
    model.put("rope_freqs.weight", dim // 2, dtype="F32")
    return model


def stored_wavelengths(layers: int, said: str, variant: str) -> Case:
    return Case(
        "A6", variant, lambda: llama_31(layers), said, "tensor.derived", "rope_freqs.weight",
        ("derived", "on purpose"), severity="info", sound=lambda: gguf(layers=layers),
    )  # fmt: skip


CASES = [
    command_r_plus(4, 8), command_r_plus(7, 4), sub_norms(4, 4), sub_norms(6, 3),
    old_bert(3), old_bert(5), lost_tower(4), lost_tower(6), no_shared(6, 3), no_shared(9, 1),
    invented(4, zero=True), invented(3, zero=True), invented(4, zero=False),
    stored_wavelengths(4, "KeyError: 'rope_freqs.weight'", "vllm"),
    stored_wavelengths(6, UNEXPECTED, "list"),
]  # fmt: skip
