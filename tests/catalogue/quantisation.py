"""F: tensors of a quantisation."""

from __future__ import annotations

from math import ceil

import numpy as np

from tests.catalogue.building import Model, span
from tests.catalogue.case import Case
from tests.catalogue.experts import deepseek
from tests.catalogue.models import PROJECTIONS, decoder, moe, qwen2
from tests.catalogue.quantising import awq, bitsandbytes, by_channel, fp8_blocks, gptq, nvfp4, projections
from tests.catalogue.towers import qwen25_vl, siglip, wrapped


def lost_config(layers: int, dtype: str, kind: str) -> Case:
    return Case(
        "F1", f"{kind}-{layers}", lambda: by_channel(decoder(layers), dtype=dtype).set(quantization_config=None),
        "KeyError: 'layers.0.mlp.down_proj.weight_scale'", "config.missing-field", "quantization_config",
        (f"{7 * layers} weights", kind, "weight_scale", "no quantization_config", "do not skip the scales"),
        alone="same",
        sound=lambda: decoder(layers),
    )  # fmt: skip


def other_vendor(layers: int) -> Case:
    """Ascend keeps its description in a file of its own."""

    def make() -> Model:
        model = decoder(layers)
        for name, tensor in list(model.tensors.items()):
            module = name.removesuffix(".weight")
            if projections(module):
                model.put(name, *tensor.shape, dtype="I8")
                model.put(f"{module}.deq_scale", tensor.shape[0], dtype="F32")
        model.files["quant_model_description.json"] = {"model_quant_type": "W8A8"}
        return model

    return Case(
        "F1", f"ascend-{layers}", make, "KeyError: 'model.layers.0.mlp.gate_up_proj.deq_scale'",
        "quant.unsupported", "quant_model_description.json",
        (f"{7 * layers} weights", "INT8", "no quantization_config"),
        alone="unasked", sound=lambda: decoder(layers),
    )  # fmt: skip


def unread(layers: int) -> Case:
    """Declared, in a scheme that the engine does not read."""

    def make() -> Model:
        return by_channel(decoder(layers)).set(quantization_config={"quant_method": "w8a8_own", "bits": 8})

    return Case(
        "F1", f"unread-{layers}", make, "KeyError: 'layers.0.mlp.down_proj.weight_scale'",
        "quant.unsupported", f"model.layers.{span(layers)}.mlp.down_proj.weight_scale",
        ("w8a8_own", f"{7 * layers} tensors"),
        sound=lambda: decoder(layers),
    )  # fmt: skip


def state_tensors(layers: int, nested: bool, layer: int) -> Case:
    words = ("nested (double)",) if nested else ()
    return Case(
        "F2", f"{'nested' if nested else 'plain'}-{layers}", lambda: bitsandbytes(decoder(layers), nested=nested),
        f"KeyError: 'layers.{layer}.mlp.down_proj.weight.absmax'",
        "quant.orphan", f"model.layers.{span(layers)}.mlp.down_proj.weight.absmax",
        (f"{7 * layers} weights", "NF4", "load-format bitsandbytes", "tp 1", *words),
        sound=lambda: decoder(layers),
    )  # fmt: skip


def bare_state(layers: int) -> Case:
    """The key alone, as it was pasted."""
    return Case(
        "F2", f"bare-{layers}", lambda: bitsandbytes(qwen2(layers=layers)), "'layers.0.mlp.down_proj.weight.absmax'",
        "quant.orphan", f"model.layers.{span(layers)}.mlp.down_proj.weight.absmax", ("bitsandbytes", "NF4"),
        sound=lambda: qwen2(layers=layers),
    )  # fmt: skip


def column(layers: int, layer: int, listed: bool, hidden: int = 64, ffn: int = 192) -> Case:
    skipped = f"model.layers.{layer}.mlp.down_proj"
    subject = f"{skipped}.weight" if listed else f"model.layers.{span(layers)}.self_attn.q_proj.weight"
    return Case(
        "F3", f"{'listed' if listed else 'unlisted'}-{layers}",
        lambda: bitsandbytes(decoder(layers, hidden, ffn=ffn), llm_int8_skip_modules=[skipped] if listed else None),
        "assert param_data.shape == loaded_weight.shape\nAssertionError",
        "quant.ignore-list" if listed else "shape.mismatch", subject,
        (f"{hidden * ffn // 2:,} bytes = {hidden * ffn:,} 4-bit values = {hidden}x{ffn} exactly",
         "built the layer plain")
        if listed else (f"{hidden * hidden // 2:,} bytes = {hidden * hidden:,} 4-bit values",),
        alone="unasked" if listed else "nothing", sound=lambda: decoder(layers, hidden, ffn=ffn),
    )  # fmt: skip


def with_cache_scales(layers: int, spelled: str) -> Model:
    """FP8 with scales of keys and values where a quantiser put them."""
    model = by_channel(decoder(layers), dtype="F8_E4M3", inputs=True)
    for layer in range(layers):
        for which in ("k", "v"):
            value = np.float32(0.004 + 0.002 * layer).tobytes()
            model.put(f"model.layers.{layer}.self_attn.{spelled.format(which)}", dtype="F32", data=value)
    return model


def cache_scale(layers: int, layer: int, spelled: str, said: str, *words: str) -> Case:
    return Case(
        "F4", f"{spelled.format('k')}-{layers}", lambda: with_cache_scales(layers, spelled),
        f"KeyError: 'layers.{layer}.self_attn.{said}'",
        "quant.orphan", f"model.layers.{span(layers)}.self_attn.{spelled.format('k')}",
        (f"{2 * layers} scales of the KV cache", "attn.k_scale", "e4m3", *words),
        sound=lambda: by_channel(decoder(layers), dtype="F8_E4M3", inputs=True),
    )  # fmt: skip


def input_scale(layers: int) -> Case:
    return Case(
        "F4", f"input-scale-{layers}", lambda: by_channel(decoder(layers), dtype="F8_E4M3", inputs=True),
        "KeyError: 'model.layers.0.mlp.gate_up_proj.input_scale'",
        "quant.orphan", f"model.layers.{span(layers)}.mlp.gate_proj.input_scale",
        ("compressed-tensors", "static scale", f"{7 * layers} tensors"),
        sound=lambda: by_channel(decoder(layers), dtype="F8_E4M3"),
    )  # fmt: skip


def dropped_scales(layers: int, layer: int) -> Case:
    name = f"layers.{layer}.self_attn.attn.k_scale"
    return Case(
        "F5", f"doubled-attn-{layers}", lambda: with_cache_scales(layers, "attn.{}_scale"),
        f"WARNING Found k_scale in the checkpoint (e.g. {name}), but not found the expected name in the model (e.g."
        f" {name.replace('attn.k', 'attn.attn.k')}). k_scale is not loaded.",
        "quant.orphan", f"model.layers.{span(layers)}.self_attn.attn.k_scale",
        (f"{2 * layers} scales", "the cache would use 1.0", "0.004", f"{0.004 + 0.002 * (layers - 1):.3g}"),
        sound=lambda: by_channel(decoder(layers), dtype="F8_E4M3", inputs=True),
    )  # fmt: skip


def deepseek_fp8(layers: int, scale: str, block: int = 32) -> Model:
    # The router is plain, the rest of every layer is in blocks.
    model = fp8_blocks(deepseek(layers, 4), lambda m: ".layers." in m and not m.endswith(("mlp.gate", "norm")), block)
    return model.rename(lambda name: name.replace("weight_scale_inv", scale))


def other_suffix(layers: int) -> Case:
    def make() -> Model:
        return deepseek_fp8(layers, "weight_scale")

    count = sum(name.endswith("weight_scale") for name in make().tensors)
    return Case(
        "F6", f"deepseek-{layers}", make,
        "AttributeError: 'MergedColumnParallelLinear' object has no attribute 'weight_scale_inv'. Did you mean:"
        " 'weight_scale'?",
        "name.rewrite", "model.layers.0.mlp.gate_proj.weight_scale",
        (f"{count} of {count} map", "weight_scale_inv", "0 collisions"), alone="same",
        sound=lambda: deepseek_fp8(layers, "weight_scale_inv"), before=lambda: deepseek_fp8(layers, "weight_scale_inv"),
        still=True,
    )  # fmt: skip


def other_suffix_unknown(layers: int) -> Case:
    """The same of an architecture without rows: the words alone make it a question."""

    def before() -> Model:
        model = moe(
            layers, 4, shared="shared_experts", model_type="glm4_moe", architecture="Glm4MoeForCausalLM",
            n_routed_experts=4, n_shared_experts=1, num_experts_per_tok=2, moe_intermediate_size=32,
            first_k_dense_replace=0,
        )  # fmt: skip
        for layer in range(layers):
            model.put(f"model.layers.{layer}.mlp.gate.e_score_correction_bias", 4, dtype="F32")
        return fp8_blocks(model, block=32)

    def make() -> Model:
        return before().replace("weight_scale_inv", "weight_scale")

    count = sum(name.endswith("weight_scale") for name in make().tensors)
    return Case(
        "F6", f"glm-{layers}", make,
        "AttributeError: 'MergedColumnParallelLinear' object has no attribute 'weight_scale_inv'. Did you mean:"
        " 'weight_scale'?",
        "name.rewrite", "model.layers.0.self_attn.q_proj.weight_scale",
        (f"{count} of {count} map", "weight_scale_inv", "blocks of 32 x 32", "multiplier"),
        sound=lambda: by_channel(decoder(layers), dtype="F8_E4M3"), seed=5, before=before, still=True,
    )  # fmt: skip


def converter(layers: int, block: int) -> Case:
    return Case(
        "F7", f"fp8-{layers}", lambda: fp8_blocks(decoder(layers, 128, ffn=256), block=block),
        "ValueError: Can not map tensor 'model.layers.0.mlp.down_proj.weight_scale_inv'",
        "quant.unsupported", f"model.layers.{span(layers)}.mlp.down_proj.weight_scale_inv",
        (f"{7 * layers} weights in FP8", f"blocks of {block} x {block}", "dequantise to BF16"),
        sound=lambda: decoder(layers, 128, ffn=256),
    )  # fmt: skip


def bitnet(layers: int) -> Model:
    model = decoder(layers, 64, ffn=192, model_type="bitnet", architecture="BitNetForCausalLM")
    for name, tensor in list(model.tensors.items()):
        if projections(name.removesuffix(".weight")):
            model.put(name, ceil(tensor.shape[0] / 4), tensor.shape[1], dtype="U8")
            model.put(f"{name}_scale", 1)
    return model.set(quantization_config={"quant_method": "bitnet"})


def ternary(layers: int) -> Case:
    return Case(
        "F7", f"ternary-{layers}", lambda: bitnet(layers),
        "ValueError: Can not map tensor 'model.layers.0.mlp.down_proj.weight_scale'",
        "quant.unsupported", f"model.layers.{span(layers)}.mlp.down_proj.weight_scale",
        (f"{7 * layers} weights", "U8 [16, 192]", "four ternary values a byte"), sound=lambda: decoder(layers),
    )  # fmt: skip


def quantised_tower(blocks: int, entry: str) -> Model:
    """Gemma-3: the list was meant for the tower, and the tower is quantised."""
    text = decoder(3, model_type="gemma3_text", tied=True)
    model = wrapped(text, "Gemma3ForConditionalGeneration", "gemma3", siglip("vision_tower.vision_model", blocks))
    roles = (*PROJECTIONS, "fc1", "fc2")
    return by_channel(model, lambda m: m.rpartition(".")[2] in roles, "F8_E4M3", ignore=(entry,))


def lost_in_renaming(blocks: int, entry: str) -> Case:
    return Case(
        "F8", f"gemma-3-{blocks}-{entry[:14]}", lambda: quantised_tower(blocks, entry),
        "KeyError: 'vision_model.encoder.layers.0.mlp.fc1.weight_scale'",
        "quant.ignore-list", f"vision_tower.vision_model.encoder.layers.{span(blocks)}.mlp.fc1.weight_scale",
        (f"{blocks} modules", entry, "ignore has 2 entries"), sound=lambda: decoder(blocks),
    )  # fmt: skip


def trailing_dot(layers: int) -> Case:
    """LFM2-like: what is plain is in the list under another name of its module."""

    def make() -> Model:
        plain = tuple(f"model.layers.{n}.short_conv.in_proj" for n in range(layers))
        model = by_channel(decoder(layers), ignore=plain)
        for n in range(layers):
            model.put(f"model.layers.{n}.conv.in_proj.weight", 192, 64)
        return model

    return Case(
        "F8", f"short-conv-{layers}", make, "KeyError: 'model.layers.0.conv.in_proj.weight'",
        "quant.ignore-list", f"model.layers.{span(layers)}.conv.in_proj.weight",
        ("no entry covers model.layers.0.conv.in_proj", f"{layers + 1} entries"), sound=lambda: decoder(layers),
    )  # fmt: skip


def dead_entries(layers: int) -> Case:
    def model(*roles: str) -> Model:
        plain = tuple(f"model.layers.{n}.linear_attn.{role}" for n in range(layers) for role in roles)
        made = nvfp4(moe(layers, 4, model_type="qwen3_next", architecture="Qwen3NextForCausalLM", num_experts=4,
                         moe_intermediate_size=32), ignore=plain)  # fmt: skip
        for n in range(layers):
            for role, rows in (("in_proj_qkvz", 256), ("in_proj_ba", 16)):
                made.put(f"model.layers.{n}.linear_attn.{role}.weight", rows, 64)
        return made

    return Case(
        "F9", f"qwen3-next-{layers}", lambda: model("in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a"),
        "the model outputs garbage", "quant.ignore-list", f"model.layers.{span(layers)}.linear_attn.in_proj_qkvz",
        (f"{4 * layers} entries", "match no module", "BF16", "NVFP4", "in_proj_ba, in_proj_qkvz"), alone="same",
        sound=lambda: model("in_proj_qkvz", "in_proj_ba"),
    )  # fmt: skip


def unrecorded(layers: int, plain: int, method: str) -> Case:
    def which(module: str) -> bool:
        return projections(module) and int(module.split(".")[2]) >= plain

    make = {"awq": awq, "gptq": gptq}[method]
    return Case(
        "F10", f"{method}-{plain}-of-{layers}", lambda: make(decoder(layers), which),
        "the output is of poor quality, gibberish",
        "quant.ignore-list", f"model.layers.{{0..{plain - 1}}}.self_attn.q_proj",
        (f"{7 * plain} modules", "BF16", "no entry", "model.layers.0.self_attn.q_proj"), alone="same",
        sound=lambda: gptq_beside_a_tower(layers) if method == "gptq" else make(decoder(layers)),
    )  # fmt: skip


def asymmetric(layers: int, zero: bool) -> Model:
    model = by_channel(decoder(layers))
    for name, tensor in list(model.tensors.items()):
        if name.endswith(".weight_scale"):
            data = bytes(tensor.shape[0]) if zero else bytes((n * 7) % 120 for n in range(tensor.shape[0]))
            model.put(name.replace("weight_scale", "weight_zero_point"), *tensor.shape, dtype="I8", data=data)
    return model


def gptq_beside_a_tower(layers: int) -> Model:
    """GPTQ leaves the tower alone by class, and no list says so: sound, though its roles are the decoder's."""
    model = qwen25_vl(new=False, layers=layers)
    return gptq(model, lambda module: projections(module) and module.startswith("model."))


def zero_points(layers: int, zero: bool) -> Case:
    words = ("all 0", "symmetric after all") if zero else ("0 to 119", "asymmetric", "shift every weight")
    return Case(
        "F11", f"{'zeros' if zero else 'numbers'}-{layers}", lambda: asymmetric(layers, zero),
        "KeyError: 'layers.0.mlp.down_proj.weight_zero_point'",
        "quant.orphan", f"model.layers.{span(layers)}.mlp.down_proj.weight_zero_point",
        (f"{7 * layers} zero points", *words),
        sound=lambda: by_channel(decoder(layers)),
    )  # fmt: skip


def activation_order(layers: int, ffn: int, tp: int) -> Case:
    return Case(
        "F13", f"gptq-{ffn}-tp{tp}", lambda: gptq(decoder(layers, 256, heads=8, kv=8, ffn=ffn), order=True),
        "The model talks nonsense at tensor parallel size 2", "tp.quant-group",
        f"model.layers.{span(layers)}.mlp.down_proj.g_idx",
        (f"{ffn // tp} inputs of rank 0", f"{ffn // 32} of {ffn // 32} groups",
         f"groups 0 to {-(-ffn // 32 // tp) - 1} only",
         "column-parallel"), tp=tp, alone="same", sound=lambda: gptq(decoder(layers, 256, heads=8, kv=8, ffn=ffn)),
    )  # fmt: skip


def packed_head(layers: int, method: str) -> Case:
    make = {"awq": awq, "gptq": gptq}[method]
    leaf = "qweight"

    def model() -> Model:
        return make(decoder(layers), lambda m: projections(m) or m == "lm_head")

    return Case(
        "F14", f"{method}-{layers}", model, f"KeyError: 'lm_head.{leaf}'", "quant.orphan", f"lm_head.{leaf}",
        (f"1 of {7 * layers + 1} quantised modules", "built it plain"), sound=lambda: make(decoder(layers)),
    )  # fmt: skip


CASES = [
    lost_config(4, "I8", "INT8"), lost_config(6, "F8_E4M3", "FP8"), other_vendor(4), unread(4),
    state_tensors(4, True, 0), state_tensors(3, False, 2), bare_state(4), column(4, 1, True),
    column(3, 2, True, 128, 256),
    column(4, 0, False), cache_scale(4, 3, "k_proj.{}_scale", "qkv_proj.k_scale", "qkv_proj"),
    cache_scale(6, 2, "{}_scale", "k_scale"), input_scale(4), dropped_scales(4, 3), dropped_scales(8, 0),
    other_suffix(4), other_suffix(3), other_suffix_unknown(4), converter(4, 32), converter(3, 64), ternary(4),
    lost_in_renaming(4, "vision_tower.vision_model.encoder.layers.0.self_attn"),
    lost_in_renaming(3, "re:.*vision_tower.*"),
    trailing_dot(4), dead_entries(4), dead_entries(6), unrecorded(6, 4, "awq"), unrecorded(7, 3, "gptq"),
    zero_points(4, False), zero_points(3, True), activation_order(4, 512, 2), activation_order(3, 384, 4),
    packed_head(4, "awq"), packed_head(3, "gptq"),
]  # fmt: skip
