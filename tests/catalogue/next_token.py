"""N: layers that predict the next tokens, stored behind the last one."""

from __future__ import annotations

from tests.catalogue.building import Model
from tests.catalogue.case import Case
from tests.catalogue.experts import deepseek
from tests.catalogue.folders import Folder, beside, whole
from tests.catalogue.models import decoder


def with_draft(layers: int, experts: int, declared: int, *, stored: int = 1) -> Model:
    """DeepSeek-V3's way: layer `num_hidden_layers` with a norm of each input and a projection of both."""
    model = deepseek(layers + stored, experts)
    model.set(
        architectures=["DeepseekV3ForCausalLM"], model_type="deepseek_v3", num_hidden_layers=layers,
        num_nextn_predict_layers=declared, n_group=1, topk_group=1, topk_method="noaux_tc", scoring_func="sigmoid",
        routed_scaling_factor=1.0,
    )  # fmt: skip
    for layer in range(1, layers + stored):
        model.put(f"model.layers.{layer}.mlp.gate.e_score_correction_bias", experts, dtype="F32")
    for layer in range(layers, layers + stored):
        here = f"model.layers.{layer}"
        model.put(f"{here}.enorm.weight", 64)
        model.put(f"{here}.hnorm.weight", 64)
        model.put(f"{here}.eh_proj.weight", 64, 128)
        model.put(f"{here}.embed_tokens.weight", 320, 64)
        model.put(f"{here}.shared_head.norm.weight", 64)
        model.put(f"{here}.shared_head.head.weight", 320, 64)
    return model


def without_draft(layers: int, experts: int) -> Model:
    model = with_draft(layers, experts, 1)
    return model.drop(lambda name: f"layers.{layers}." in name).set(num_nextn_predict_layers=None)


def stripped(layers: int, experts: int) -> Case:
    return Case(
        "N1", f"deepseek-{layers}", lambda: with_draft(layers, experts, 1),
        f"KeyError: 'layers.{layers}.mlp.experts.w2_weight'",
        "layers.extra", f"model.layers.{layers}",
        (f"{layers} layers", f"0 to {layers - 1}", "num_nextn_predict_layers = 1", f"`model.layers.{layers}.`",
            "whole"),
        sound=lambda: without_draft(layers, experts),
    )  # fmt: skip


def shared(layers: int, experts: int, declared: int) -> Case:
    """Several layers of a model from one that is stored."""
    return Case(
        "N2", f"deepseek-{layers}-{declared}", lambda: with_draft(layers, experts, declared),
        f"KeyError: 'model.layers.{layers}.self_attn.kv_a_proj_with_mqa.weight'",
        "layers.extra", f"model.layers.{layers}",
        (f"num_nextn_predict_layers = {declared}", "1 of them is stored", "read again", "whole"),
        sound=lambda: without_draft(layers, experts),
    )  # fmt: skip


def undescribed(layers: int, kind: str = "W8A8_DYNAMIC") -> Case:
    """Ascend's description of what is quantised ends before the layer that predicts."""

    def make() -> Folder:
        model = decoder(
            layers + 1, model_type="glm4_moe", architecture="Glm4MoeForCausalLM", num_nextn_predict_layers=1
        )
        model.set(num_hidden_layers=layers)
        model.put(f"model.layers.{layers}.eh_proj.weight", 64, 128)
        described = {
            name: kind if "proj" in name else "FLOAT" for name in model.tensors if f"layers.{layers}." not in name
        }
        return Folder([whole(model), beside("quant_model_description.json", {"model_quant_type": kind, **described})])

    def complete() -> Folder:
        model = decoder(layers, model_type="glm4_moe", architecture="Glm4MoeForCausalLM")
        return Folder([whole(model), beside("quant_model_description.json", dict.fromkeys(model.tensors, "FLOAT"))])

    return Case(
        "N3", f"glm-{layers}", make, f"KeyError: 'model.layers.{layers}.self_attn.q_proj.weight'", "quant.missing",
        f"model.layers.{layers}", ("quant_model_description.json", f"layers 0 to {layers - 1}", "10 tensors", "export"),
        sound=complete,
    )  # fmt: skip


CASES = [
    stripped(4, 4), stripped(6, 8), shared(4, 4, 2), shared(3, 8, 3), undescribed(4), undescribed(7, "W4A8_DYNAMIC"),
]  # fmt: skip
