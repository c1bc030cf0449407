"""C: fused against split projections."""

from __future__ import annotations

from tests.catalogue.building import Model, span
from tests.catalogue.case import Case
from tests.catalogue.models import bigcode, decoder, moe
from tests.catalogue.quantising import awq, by_channel, projections


def fused_w8a8(layers: int, *, split: bool = False) -> Model:
    """W8A8 of Ascend's quantiser, gate and up in one."""
    model = decoder(layers, dim=16, model_type="glm4", architecture="Glm4ForCausalLM")
    if not split:
        for layer in range(layers):
            here = f"model.layers.{layer}.mlp"
            model.drop(lambda name, here=here: name.startswith((f"{here}.gate", f"{here}.up")))  # type: ignore[misc]
            model.put(f"{here}.gate_up_proj.weight", 384, 64)
    for name, tensor in list(model.tensors.items()):
        module = name.removesuffix(".weight")
        if ".mlp." in module:
            model.put(name, *tensor.shape, dtype="I8")
            model.put(f"{module}.deq_scale", tensor.shape[0], dtype="F32")
            model.put(f"{module}.quant_bias", tensor.shape[0], dtype="I32")
            model.put(f"{module}.input_scale", 1)
            model.put(f"{module}.input_offset", 1)
    model.files["quant_model_description.json"] = {"model_quant_type": "W8A8"}
    return model


def doubled(layers: int, layer: int) -> Case:
    return Case(
        "C1", f"glm4-{layers}", lambda: fused_w8a8(layers),
        f"KeyError: 'layers.{layer}.mlp.gate_gate_up_proj.deq_scale'",
        "fused.already-fused", f"model.layers.{span(layers)}.mlp.gate_up_proj.deq_scale",
        (f"{layers} gate_up_proj", "0 gate_proj", "0 up_proj", "`up_proj` -> `gate_up_proj`", "gate_gate_up_proj"),
        alone="unasked", sound=lambda: fused_w8a8(layers, split=True),
    )  # fmt: skip


def doubled_qkv(layers: int) -> Case:
    """The same rule over queries, keys and values."""

    def make() -> Model:
        model = decoder(layers, model_type="phi3", architecture="Phi3ForCausalLM")
        for layer in range(layers):
            here = f"model.layers.{layer}"
            model.drop(lambda name, here=here: name.startswith(f"{here}.") and "_proj" in name)  # type: ignore[misc]
            for name, *shape in (("self_attn.qkv_proj", 128, 64), ("self_attn.o_proj", 64, 64),
                                 ("mlp.gate_up_proj", 384, 64), ("mlp.down_proj", 64, 192)):  # fmt: skip
                model.put(f"{here}.{name}.weight", *shape)
        return model

    return Case(
        "C1", f"phi-3-{layers}", make, "KeyError: 'model.layers.0.self_attn.qkqkv_proj.weight'",
        "fused.already-fused", f"model.layers.{span(layers)}.self_attn.qkv_proj.weight",
        (f"{layers} qkv_proj", "0 q_proj", "`v_proj` -> `qkv_proj`"), sound=lambda: decoder(layers),
    )  # fmt: skip


def only_mlp(layers: int, *, all_of_it: bool = False) -> Model:
    """MLPs in 8 bits; attention plain, and in the list."""
    plain = () if all_of_it else tuple(
        f"model.layers.{n}.self_attn.{p}" for n in range(layers) for p in ("q_proj", "k_proj", "v_proj", "o_proj")
    )  # fmt: skip
    return by_channel(decoder(layers), lambda m: projections(m) and (all_of_it or ".mlp." in m), ignore=plain)


def wrong_path(layers: int) -> Case:
    return Case(
        "C2", f"llama-{layers}", lambda: only_mlp(layers), "KeyError: 'layers.0.self_attn.qkv_proj.weight'",
        "quant.ignore-list", f"model.layers.{span(layers)}.self_attn.q_proj.weight",
        ("qkv_proj", "plain", "ignore names it", "path"), sound=lambda: only_mlp(layers, all_of_it=True),
    )  # fmt: skip


def mixed(layers: int, odd: str, others: tuple[str, ...]) -> Case:
    fused = "qkv_proj" if odd == "v_proj" else "gate_up_proj"
    parent = "self_attn" if odd == "v_proj" else "mlp"

    def make() -> Model:
        return by_channel(decoder(layers), lambda m: projections(m) and not m.endswith(odd), "F8_E4M3")

    return Case(
        "C3", f"{odd}-{layers}", make, f"KeyError: 'layers.0.{parent}.{odd}.weight_scale'",
        "fused.mixed", f"model.layers.{span(layers)}.{parent}.{fused}",
        (", ".join(others), f"{odd} is plain BF16", "FP8", "one representation"), alone="same",
        sound=lambda: by_channel(decoder(layers), dtype="F8_E4M3"),
    )  # fmt: skip


def octocoder(layers: int, heads: int, dim: int) -> Case:
    def make() -> Model:
        return awq(bigcode(layers, heads, dim), lambda m: ".h." in m)

    own = heads * dim
    return Case(
        "C4", f"octocoder-{heads}x{dim}", make, "KeyError: 'transformer.h.0.attn.c_attn.qweight'",
        "fused.already-fused", f"transformer.h.{span(layers)}.attn.c_attn.qweight",
        (f"{own} + {2 * dim} rows", f"{heads} query heads", "one shared KV head", "thirds"),
        sound=lambda: awq(decoder(layers)),
    )  # fmt: skip


def activation_scales(layers: int, experts: int, first: int) -> Case:
    def model() -> Model:
        made = moe(layers, experts, model_type="llama4_text", architecture="Llama4ForCausalLM", shared="shared_expert",
                   router="router", num_local_experts=experts)  # fmt: skip
        return awq(made.replace(".mlp.", ".feed_forward."))

    def make() -> Model:
        made = model()
        for layer in range(layers):
            for expert in range(experts):
                made.put(f"model.layers.{layer}.feed_forward.experts.{expert}.activation_fn.scales", 32, dtype="F16")
        return made

    return Case(
        "C5", f"llama-4-{layers}x{experts}", make,
        f"KeyError: 'layers.{first}.feed_forward.experts.0.activation_fn.scales'",
        "quant.orphan", f"model.layers.{span(layers)}.feed_forward.experts.{span(experts)}.activation_fn.scales",
        (f"{layers * experts} tensors", "activation_fn", "no row", "changes the function"),
        alone="unasked", sound=model,
    )  # fmt: skip


CASES = [
    doubled(4, 0), doubled(6, 3), doubled_qkv(4), wrong_path(4), wrong_path(7),
    mixed(4, "v_proj", ("q_proj", "k_proj")),
    mixed(5, "up_proj", ("gate_proj",)), octocoder(4, 6, 32), octocoder(3, 12, 16), activation_scales(3, 4, 2),
    activation_scales(4, 6, 3),
]  # fmt: skip
