"""G: a mixture of experts."""

from __future__ import annotations

from tests.catalogue.building import Gguf, Model, span
from tests.catalogue.case import Case
from tests.catalogue.models import experts_of, gguf, gpt_oss, moe, qwen2, qwen3_moe
from tests.catalogue.quantising import awq, by_channel, projections


def qwen35(layers: int, experts: int, *, stacked: bool) -> Model:
    """A wrapper whose decoder has experts, as Transformers 5 saves it or as it was published."""
    text = qwen3_moe(layers, experts, stacked=stacked)
    text.rename(lambda name: name.replace("model.", "model.language_model.", 1))
    config = {
        "architectures": ["Qwen3VLMoeForConditionalGeneration"], "model_type": "qwen3_vl_moe",
        "torch_dtype": "bfloat16", "text_config": {k: v for k, v in text.config.items() if k != "architectures"},
    }  # fmt: skip
    return Model(config).add(text)


def stacked(layers: int, experts: int) -> Case:
    return Case(
        "G1", f"wrapper-{layers}x{experts}", lambda: qwen35(layers, experts, stacked=True),
        "KeyError: 'model.language_model.layers.0.mlp.experts.gate_up_proj'",
        "experts.layout", f"model.language_model.layers.{span(layers)}.mlp.experts.gate_up_proj",
        (f"{experts}x64x64 = {experts} experts", "gate and up of 32 each", "hidden 64", "0:32", "32:64"),
        sound=lambda: qwen2(layers=layers),
    )  # fmt: skip


def single(layers: int, experts: int) -> Case:
    """The reverse: the table knows the stacked layout only."""
    return Case(
        "G1", f"one-by-one-{layers}x{experts}", lambda: qwen35(layers, experts, stacked=False),
        "KeyError: 'model.language_model.layers.0.mlp.experts.0.gate_proj.weight'",
        "experts.layout", f"model.language_model.layers.{span(layers)}.mlp.experts.{span(experts)}.gate_proj.weight",
        (f"{experts} of them", "expects them stacked", "whole"), sound=lambda: qwen2(layers=layers),
    )  # fmt: skip


def deepseek(layers: int, experts: int, *, stacked: bool = False) -> Model:
    """DeepSeek-V2-Lite's structure; its rows know experts one by one."""
    model = moe(
        layers, experts, first_dense=1, shared="shared_experts", stacked=stacked, model_type="deepseek_v2",
        architecture="DeepseekV2ForCausalLM", n_routed_experts=experts, n_shared_experts=1, num_experts_per_tok=2,
        moe_intermediate_size=32, first_k_dense_replace=1, moe_layer_freq=1, kv_lora_rank=32, q_lora_rank=None,
        qk_nope_head_dim=16, qk_rope_head_dim=8, v_head_dim=16, norm_topk_prob=False, head_dim=None, kv=4,
    )  # fmt: skip
    model.set(head_dim=None)
    for layer in range(layers):
        here = f"model.layers.{layer}.self_attn"
        model.drop(lambda name, here=here: name.startswith(here))  # type: ignore[misc]
        model.put(f"{here}.q_proj.weight", 4 * 24, 64)
        model.put(f"{here}.kv_a_proj_with_mqa.weight", 40, 64)
        model.put(f"{here}.kv_a_layernorm.weight", 32)
        model.put(f"{here}.kv_b_proj.weight", 4 * 32, 32)
        model.put(f"{here}.o_proj.weight", 64, 64)
    return model


def stacked_known(layers: int, experts: int) -> Case:
    """An architecture with rows, so that the files alone show it."""
    return Case(
        "G1", f"deepseek-{layers}x{experts}", lambda: deepseek(layers, experts, stacked=True),
        "KeyError: 'model.layers.1.mlp.experts.gate_up_proj'",
        "experts.layout", f"model.layers.{{1..{layers - 1}}}.mlp.experts.gate_up_proj",
        (f"{experts}x64x64 = {experts} experts", "gate and up of 32 each"), alone="same",
        sound=lambda: qwen2(layers=layers),
    )  # fmt: skip


def skipped(layers: int, experts: int) -> Case:
    names = ", ".join(
        f"'model.layers.{layer}.mlp.experts.{expert}.{part}.weight'"
        for layer in range(layers) for expert in range(experts) for part in ("gate_proj", "up_proj", "down_proj")
    )  # fmt: skip
    return Case(
        "G2", f"qwen3-{layers}x{experts}", lambda: qwen3_moe(layers, experts, stacked=True),
        "Some weights of Qwen3MoeForCausalLM were not initialized from the model checkpoint at ./out and are newly"
        f" initialized: [{names}]",
        "experts.layout", f"model.layers.{span(layers)}.mlp.experts.gate_up_proj",
        (f"{2 * layers} tensors unread", f"{3 * layers * experts} parameters unfilled", "never read"),
        sound=lambda: qwen3_moe(layers, experts),
    )  # fmt: skip


def with_drafts(layers: int, experts: int, body: bool, drafts: bool) -> Model:
    """Qwen3.5 or 3.6: a body and an MTP block, each in its layout."""
    model = qwen3_moe(layers, experts, stacked=body, mtp_num_hidden_layers=1, model_type="qwen3_6_moe",
                      architecture="Qwen3_6MoeForCausalLM")  # fmt: skip
    model.put("mtp.fc.weight", 64, 128)
    model.put("mtp.norm.weight", 64)
    model.put("mtp.layers.0.mlp.gate.weight", experts, 64)
    experts_of(model, "mtp.layers.0.mlp", experts, 64, 32, drafts)
    return model


def drafts(layers: int, experts: int, ranks: int, body: bool) -> Case:
    first = experts // ranks * (ranks - 1)
    return Case(
        "G3", f"mtp-{experts}-of-{ranks}", lambda: with_drafts(layers, experts, body, True),
        f"RuntimeError: Missing key in checkpoint state_dict: mtp.layers.0.mlp.experts.{first}.down_proj.weight.",
        "experts.layout", "mtp.layers.0.mlp.experts.down_proj",
        (f"body: {'stacked' if body else 'one by one'}", "MTP block: stacked", "MTP one expert at a time",
         f"{first} comes first", f"rank {ranks - 1} of {ranks}"),
        sound=lambda: with_drafts(layers, experts, body, False),
    )  # fmt: skip


def in_mxfp4(layers: int, experts: int) -> Model:
    """gpt-oss as it was published: blocks and scales of the experts, biases beside them."""
    model = gpt_oss(layers, experts)
    for name, tensor in list(model.tensors.items()):
        if name.endswith((".gate_up_proj", ".down_proj")):
            del model.tensors[name]
            count, inner, out = tensor.shape
            model.put(f"{name}_blocks", count, out, inner // 32, 16, dtype="U8")
            model.put(f"{name}_scales", count, out, inner // 32, dtype="U8")
    return model.set(quantization_config={"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]})


def drafts_one_by_one(layers: int, experts: int) -> Case:
    return Case(
        "G3", f"mtp-one-by-one-{experts}", lambda: with_drafts(layers, experts, True, False),
        "KeyError: 'mtp.layers.0.mlp.experts.gate_up_proj'",
        "experts.layout", f"mtp.layers.0.mlp.experts.{span(experts)}.gate_proj.weight",
        ("body: stacked", "MTP block: one by one", "MTP stacked in one tensor", f"{experts} experts"),
        sound=lambda: qwen2(layers=layers),
    )  # fmt: skip


def biases(layers: int, experts: int, *, packed: bool) -> Case:
    def sound() -> Model:
        return qwen3_moe(layers, experts)

    return Case(
        "G4", f"gpt-oss-{layers}x{experts}{'-mxfp4' if packed else ''}",
        lambda: in_mxfp4(layers, experts) if packed else gpt_oss(layers, experts),
        "KeyError: 'layers.0.mlp.experts.w13_bias'",
        "tensor.unmapped", f"model.layers.{span(layers)}.mlp.experts.gate_up_proj_bias",
        (f"{layers} tensors", "biases", f"[{experts}, 128]", "changes the model"), sound=sound,
    )  # fmt: skip


def qwen3_gguf(layers: int, experts: int) -> Gguf:
    return gguf("qwen3moe", layers, experts=experts, dim=16, norms_of_heads=True)


def scales_of_experts(layers: int, experts: int) -> Case:
    """The same name of an engine, for scales: its parts are the experts' own."""

    def make() -> Model:
        return by_channel(qwen3_moe(layers, experts)).set(quantization_config={"quant_method": "own-int8"})

    return Case(
        "G4", f"scales-{layers}x{experts}", make, "KeyError: 'layers.0.mlp.experts.w2_weight_scale'",
        "quant.unsupported", f"model.layers.{span(layers)}.mlp.experts.{span(experts)}.down_proj.weight_scale",
        ("own-int8",), sound=lambda: qwen3_moe(layers, experts),
    )  # fmt: skip


def factored(layers: int, experts: int, mapped: int) -> Case:
    number = layers * 3 * (experts - mapped)
    return Case(
        "G5", f"{layers}x{experts}-{mapped}", lambda: qwen3_gguf(layers, experts),
        f"RuntimeError: Failed to map GGUF parameters ({number}): ['model.layers.0.mlp.experts.1.gate_proj.weight']",
        "experts.layout", f"blk.{span(layers)}.ffn_gate_exps.weight",
        (f"{number:,} unmapped = {layers} layers x 3 projections x {experts - mapped} experts",
         f"1 to {experts - 1} nowhere" if mapped else "no expert is mapped"),
        sound=lambda: gguf("qwen3", layers, dim=16, norms_of_heads=True),
    )  # fmt: skip


def mixed_precision(layers: int, experts: int, odd: int, quantise: str) -> Case:
    role = f"model.layers.{odd}.mlp.shared_expert.down_proj"

    def model(*plain: str) -> Model:
        made = moe(layers, experts, shared="shared_expert", model_type="qwen3_next",
                   architecture="Qwen3NextForCausalLM",
                   num_experts=experts, num_experts_per_tok=2, moe_intermediate_size=32)  # fmt: skip
        if quantise == "awq":
            return awq(made, lambda m: projections(m) and m not in plain)
        return by_channel(made, lambda m: projections(m) and m not in plain)

    leaf = "qweight" if quantise == "awq" else "codes"
    return Case(
        "G6", f"{quantise}-layer-{odd}-of-{layers}", lambda: model(role),
        f"KeyError: 'layers.{odd}.mlp.shared_expert.down_proj.weight'", "quant.ignore-list", role,
        (leaf, f"layer {odd} store", "BF16", role), alone="same", sound=model,
    )  # fmt: skip


CASES = [
    stacked(4, 8), stacked(3, 16), single(4, 8), single(3, 6), stacked_known(4, 8), stacked_known(6, 4), skipped(4, 8),
    skipped(3, 4), drafts(3, 16, 8, True), drafts(4, 32, 4, False), drafts_one_by_one(3, 8), biases(4, 8, packed=True),
    biases(3, 4, packed=False), scales_of_experts(3, 4), factored(4, 8, 1), factored(6, 16, 1), factored(3, 4, 0),
    mixed_precision(6, 3, 5, "awq"), mixed_precision(5, 3, 2, "int8"),
]  # fmt: skip
