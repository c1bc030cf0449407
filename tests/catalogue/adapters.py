"""L: adapters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.catalogue.building import Model
from tests.catalogue.case import Case
from tests.catalogue.folders import Folder, beside, whole
from tests.catalogue.models import decoder
from tests.catalogue.quantising import bitsandbytes

PREFIX = "base_model.model."
WEIGHTS = "adapter_model.safetensors"


def pairs(base: Model, targets: Sequence[str], rank: int, prefix: str = PREFIX) -> Model:
    """The factors of every matrix whose module ends in one of these."""
    made = Model({})
    for name, tensor in base.tensors.items():
        module = name.removesuffix(".weight")
        if module.rpartition(".")[2] in targets and len(tensor.shape) == 2:
            made.put(f"{prefix}{module}.lora_A.weight", rank, tensor.shape[1], dtype="F32")
            made.put(f"{prefix}{module}.lora_B.weight", tensor.shape[0], rank, dtype="F32")
    return made


def settings(targets: Sequence[str], rank: int, **more: Any) -> dict[str, Any]:
    return {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "target_modules": list(targets),
        "task_type": "CAUSAL_LM",
            "base_model_name_or_path": "meta-llama/Llama-2-7b-hf", **more}  # fmt: skip


def adapter(base: Model, targets: Sequence[str], rank: int, prefix: str = PREFIX) -> Folder:
    def step(folder: Any, seed: int | None) -> None:
        whole(pairs(base, targets, rank, prefix), WEIGHTS)(folder, seed)
        (folder / "config.json").unlink()

    return Folder([step, beside("adapter_config.json", settings(targets, rank))])


def served(layers: int, rank: int, targets: Sequence[str]) -> Case:
    return Case(
        "L1", f"rank-{rank}-{layers}x{len(targets)}", lambda: adapter(decoder(layers), targets, rank),
        "KeyError: 'base_model.model.model.layers.0.self_attn.qkv_proj.lora_A.weight'",
        "adapter.not-a-model", "adapter_config.json",
        (f"rank {rank}", f"{layers * len(targets)} pairs", "meta-llama/Llama-2-7b-hf", "merge"), alone="unasked",
        sound=lambda: decoder(layers),
    )  # fmt: skip


def wrapped_save(layers: int, rank: int) -> Case:
    """The state dict of the wrapped model: base and factors in one."""

    def make() -> Model:
        base = decoder(layers)
        model = pairs(base, ("q_proj", "v_proj"), rank)
        model.config = base.config
        for name, tensor in base.tensors.items():
            module, _, leaf = name.rpartition(".")
            inner = ".base_layer" if module.endswith(("q_proj", "v_proj")) else ""
            model.tensors[f"{PREFIX}{module}{inner}.{leaf}"] = tensor
        return model

    return Case(
        "L1", f"wrapped-save-{layers}", make,
        "KeyError: 'base_model.model.model.layers.0.self_attn.qkv_proj.lora_A.weight'",
        "adapter.not-a-model", "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
        (f"{2 * layers} pairs", f"rank {rank}", "merge"), alone="same", sound=lambda: decoder(layers),
    )  # fmt: skip


def no_overlap(layers: int, rank: int, stored: str, wanted: str, edit: str) -> Case:
    """The class that was trained has another depth than the one that serves."""
    targets = ("q_proj", "k_proj", "v_proj", "o_proj")
    base = decoder(layers)
    keys = ", ".join(f"'{wanted}{name.removeprefix(PREFIX)[:-7]}.default.weight'"
                     for name in pairs(base, targets, rank).tensors)  # fmt: skip
    return Case(
        "L2", f"{edit.replace(' ', '-')}-{layers}", lambda: adapter(base, targets, rank, stored),
        f"UserWarning: Found missing adapter keys while loading the checkpoint: [{keys}].",
        "adapter.no-overlap", f"{stored}model.layers.0.self_attn.q_proj.lora_A.weight",
        (f"0 of {8 * layers}", f"{8 * layers} of {8 * layers}", edit, "no-op"), alone="unasked",
        sound=lambda: adapter(base, targets, rank, wanted),
    )  # fmt: skip


def beside_its_base(layers: int, rank: int, prefix: str, edit: str) -> Case:
    """The base is at hand, so that the files alone show it."""

    def made(prefix: str) -> Folder:
        base, targets = decoder(layers), ("q_proj", "v_proj")
        told = settings(targets, rank, base_model_name_or_path="../base")
        steps = [whole(base, "base/model.safetensors"), whole(pairs(base, targets, rank, prefix), f"adapter/{WEIGHTS}")]
        files = [beside("adapter/adapter_config.json", told), beside("base/config.json", base.config)]
        return Folder([*steps, *files], "adapter")

    return Case(
        "L2", f"base-{rank}-{layers}", lambda: made(prefix), "Found missing adapter keys while loading the checkpoint",
        "adapter.no-overlap", f"{prefix}model.layers.0.self_attn.q_proj.lora_A.weight",
        (f"0 of {4 * layers}", f"{4 * layers} of {4 * layers}", edit, "no-op"), alone="same",
        sound=lambda: made(PREFIX),
    )  # fmt: skip


def inside_a_word(layers: int, name: str) -> Case:
    def make() -> Folder:
        base = Model({})
        for layer in range(layers):
            base.put(f"msa.{layer}.msa_pair_weighted_averaging.proj_m.weight", 32, 16)
        return adapter(base, ("proj_m",), 4)

    return Case(
        "L3", f"{name}-{layers}", make,
        f"KeyError: 'base_model.model.msa.0.msa_pair_{name}.weighted_averaging.proj_m.lora_A.{name}.weight'",
        "name.rewrite", f"base_model.model.msa.0.msa_pair_{name}.weighted_averaging.proj_m.lora_A.{name}.weight",
        (f"`{name}`", "inside a word", "msa_pair_weighted_averaging", "whole"), alone="unasked",
        sound=lambda: adapter(decoder(layers), ("q_proj",), 4),
    )  # fmt: skip


def still_packed(layers: int, layer: int) -> Case:
    return Case(
        "L4", f"4-bit-{layers}", lambda: bitsandbytes(decoder(layers)),
        f"KeyError: 'layers.{layer}.mlp.down_proj.weight'",
        "quant.unsupported", f"model.layers.{{0..{layers - 1}}}.mlp.down_proj.weight",
        ("bitsandbytes", f"{7 * layers} weights", "merge", "16"), sound=lambda: decoder(layers),
    )  # fmt: skip


def factors_alone(layers: int, rank: int) -> Case:
    """An adapter that was saved under the name of a model, config.json of the base beside it."""

    def make() -> Model:
        model = pairs(decoder(layers), ("q_proj", "v_proj"), rank)
        model.config = decoder(layers).config
        return model

    return Case(
        "L1", f"as-a-model-{layers}", make,
        "KeyError: 'base_model.model.model.layers.0.self_attn.qkv_proj.lora_A.weight'",
        "adapter.not-a-model", "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
        (f"{2 * layers} pairs", f"rank {rank}", "no base weights"), alone="same", sound=lambda: decoder(layers),
    )  # fmt: skip


def left_over(layers: int, rank: int) -> Case:
    """Base weights under their own names, and the factors still beside them."""

    def make() -> Model:
        base = decoder(layers)
        return base.add(pairs(base, ("q_proj", "v_proj"), rank, ""))

    return Case(
        "L4", f"factors-left-{layers}", make, "KeyError: 'layers.0.self_attn.qkv_proj.lora_A.weight'",
        "adapter.not-a-model", "model.layers.0.self_attn.q_proj.lora_A.weight",
        (f"{2 * layers} pairs", f"rank {rank}", "not merged"), alone="same", sound=lambda: decoder(layers),
    )  # fmt: skip


CASES = [
    beside_its_base(4, 8, f"{PREFIX}language_model.", "strip `language_model.`"),
    beside_its_base(3, 4, f"{PREFIX}module.", "strip `module.`"),
    factors_alone(4, 8), factors_alone(3, 16),
    served(4, 16, ("q_proj", "v_proj")), served(3, 8, ("q_proj", "k_proj", "v_proj", "gate_proj")), wrapped_save(4, 8),
    wrapped_save(3, 16), no_overlap(4, 8, f"{PREFIX}model.language_model.", PREFIX, "strip `model.language_model.`"),
    no_overlap(3, 4, PREFIX, f"{PREFIX}language_model.", "add `language_model.`"), inside_a_word(3, "default"),
    inside_a_word(4, "tuned"),
    still_packed(4, 3), still_packed(3, 1), left_over(4, 8), left_over(3, 4),
]  # fmt: skip
