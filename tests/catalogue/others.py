"""Q and R: MLX and GGUF, second loads, synchronised and made-up weights."""

from __future__ import annotations

from math import ceil

from tests.catalogue.building import Gguf, Model, span
from tests.catalogue.case import Case
from tests.catalogue.models import decoder, gguf, qwen2, qwen3
from tests.catalogue.quantising import projections


def mlx(model: Model, bits: int = 4, group: int = 32) -> Model:
    """MLX's affine quantisation of every matrix, the embedding and the head among them."""
    for name, tensor in list(model.tensors.items()):
        module = name.removesuffix(".weight")
        if len(tensor.shape) == 2 and (projections(module) or module.endswith(("embed_tokens", "lm_head"))):
            out, inner = tensor.shape
            model.put(name, out, inner * bits // 32, dtype="U32")
            model.put(f"{module}.scales", out, ceil(inner / group))
            model.put(f"{module}.biases", out, ceil(inner / group))
    model.metadata = {"format": "mlx"}
    return model.set(
        quantization={"group_size": group, "bits": bits}, quantization_config={"group_size": group, "bits": bits}
    )


def affine(layers: int, bits: int, group: int, said: str, subject: str, make: str = "llama") -> Case:
    def built() -> Model:
        return decoder(layers, 128, ffn=256) if make == "llama" else qwen3(layers=layers, hidden=128, ffn=256)

    return Case(
        "Q1", f"{make}-{bits}-bit-{group}-{layers}", lambda: mlx(built(), bits, group), said, "quant.unsupported",
        subject,
        ("MLX", f"{bits}-bit", "group", str(group), "zero points", "not layer biases",
            f"128 * {bits} / 32" if False else "U32"),
        sound=built,
    )  # fmt: skip


def lost_in_export(
    name: str, layers: int, gone: tuple[str, ...], said: str, subject: str, make: Gguf | None = None
) -> Case:
    def built(lost: tuple[str, ...]) -> Gguf:
        model = gguf(name, layers=layers)
        for each in lost:
            del model.tensors[each]
        return model

    return Case(
        "Q2", f"{name}-{gone[0]}-{layers}", lambda: built(gone), said, "param.unfilled", subject,
        ("no source",), alone="same", sound=lambda: built(()),
    )  # fmt: skip


def derived(layers: int, table: str, said: str) -> Case:
    return Case(
        "R1", f"{table}-{layers}", lambda: qwen2(layers=layers), said, "tensor.derived", table,
        ("computed", "not a weight", "whole"), severity="info",
    )  # fmt: skip


def replaced(layers: int, said: str, what: str) -> Case:
    return Case(
        "R2", f"{what}-{layers}", lambda: qwen3(layers=layers), said, "param.unfilled", what,
        ("replaced", "first load", "whole"), sound=None,
    )  # fmt: skip


CASES = [
    derived(4, "cos_sin_cache", "check_weight_update_equal failed in cos_sin_cache"),
    derived(3, "cos_sin_cache",
        "Weights not equal after update: ['model.layers.0.self_attn.rotary_emb.cos_sin_cache']"),
    affine(3, 4, 32, "ValueError: Received 2 parameters not in model: lm_head.biases, lm_head.scales.",
        "lm_head.biases"),
    affine(4, 8, 64, "ValueError: Received 2 parameters not in model: \nlm_head.biases,\nlm_head.scales.",
        "lm_head.biases", "qwen3"),
    affine(3, 4, 64, "KeyError: 'model.layers.0.self_attn.qkv_proj.biases'",
        f"model.layers.{span(3)}.self_attn.q_proj.biases"),
    lost_in_export("llama", 4, ("blk.2.attn_k.weight",),
        "llama_model_load: error loading model: missing tensor 'blk.2.attn_k.weight'",
                   "model.layers.2.self_attn.qkv_proj.weight"),
    lost_in_export("llama", 3, ("output_norm.weight",), "error: missing tensor", "model.norm.weight"),
    derived(4, "cos_sin_cache",
        "AssertionError: --check-weight-update-equal failed: model.rotary_emb.cos_sin_cache differs"),
    derived(3, "inv_freq", "ValueError: weight mismatch after update: model.layers.0.self_attn.rotary_emb.inv_freq"),
    derived(3, "freqs_cis", "RuntimeError: weights are not equal: freqs_cis"),
    replaced(4, "AttributeError: 'Parameter' object has no attribute 'weight_loader'", "weight_loader"),
    replaced(3, "(EngineCore pid=12) ERROR AttributeError: 'Parameter' object has no attribute 'weight_loader'",
        "weight_loader"),
]  # fmt: skip
